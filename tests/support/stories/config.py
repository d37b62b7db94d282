# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_config: what it makes of files, whether a containerd can be asked about them or not."""

from __future__ import annotations

import difflib
import os
import typing as t

from ansible_collections.fleet.containerd.tests.support.configs import at, flat
from ansible_collections.fleet.containerd.tests.support.etc import Etc, plugins

CRI, IMAGES, RUNTIME = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"
#: Where files of version 2 have the image of sandboxes.
PAUSE_1 = ("plugins", CRI, "sandbox_image")
DROP_IN = "conf.d/50-pause.toml"


def unchecked(etc: Etc) -> str:
    return f"validate: there is no containerd {etc.binary}, so it could not be asked about the configuration"


def changed_lines(before: str, after: str) -> t.List[str]:
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]


def lists(etc: Etc) -> None:
    etc.write('version = 2\ndisabled_plugins = [\n  "io.containerd.snapshotter.v1.zfs", # no zfs\n]\n')
    one, two = "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.btrfs"
    readers = len(etc.readers)

    def disabled() -> t.List[t.Any]:
        return [read()["disabled_plugins"] for read in etc.readers]

    names: t.Dict[str, t.Any] = {"settings": {"disabled_plugins": [two, one, two]}}
    etc.run(list_mode="append_unique", **names)
    assert disabled() == [[one, two]] * readers
    assert "# no zfs" in etc.text
    etc.run(list_mode="append_unique", state="absent", settings={"disabled_plugins": [one]})
    assert disabled() == [[two]] * readers
    etc.run(settings={"disabled_plugins": [one]})
    assert disabled() == [[one]] * readers
    etc.run(settings={"disabled_plugins": []})
    assert disabled() == [[]] * readers


def a_drop_in_is_made(etc: Etc) -> None:
    """From then on the main file imports the whole directory."""
    etc.write(
        f'version = 2\noom_score = -5\n[plugins."{CRI}"]\n  enable_selinux = true\n  [plugins."{CRI}".registry]\n    config_path = "/c"\n'
    )
    name = f"{etc.directory}/{DROP_IN}"
    made = etc.run(drop_in="50-pause", root="/r", plugins={CRI: {"sandbox_image": "x/pause:1"}})
    assert [action.partition(":")[0] for action in made.actions] == [f"change {etc.path}", f"create {name}"]
    assert made.value("config_file") == name
    assert etc.read()["imports"] == [f"{etc.directory}/conf.d/*.toml"]
    own = {("version",): 2, ("root",): "/r", PAUSE_1: "x/pause:1"}
    # containerd 1.x takes whole tables from the last file, so what the main file has in this one is copied.
    rest = {("plugins", CRI, "enable_selinux"): True, ("plugins", CRI, "registry", "config_path"): "/c"}
    assert flat(etc.read(DROP_IN)) == (own if etc.version == "2.1" else {**own, **rest})


def a_drop_in_changes(etc: Etc) -> None:
    """By the name that version 3 has for the same key."""
    etc.run(drop_in="50-pause.toml", plugins={IMAGES: {"pinned_images": {"sandbox": "y/pause:1"}}})
    assert flat(etc.read(DROP_IN))[PAUSE_1] == "y/pause:1"


def a_key_of_a_drop_in_goes(etc: Etc) -> None:
    """With what had to be copied for it."""
    etc.run(drop_in="50-pause", state="absent", keys=[f'plugins."{CRI}".sandbox_image'])
    assert flat(etc.read(DROP_IN)) == {("version",): 2, ("root",): "/r"}


def a_drop_in_goes(etc: Etc) -> None:
    gone = etc.run(drop_in="50-pause", state="absent")
    assert gone.actions == [f"remove {etc.directory}/{DROP_IN}"]
    assert os.listdir(etc.directory / "conf.d") == []


def drop_ins_that_meet(etc: Etc) -> None:
    """Whole tables replace each other: what would be lost is refused or told."""
    etc.write(f'version = 2\nimports = ["conf.d/*.toml"]\noom_score = -5\n[plugins."{CRI}"]\n  enable_selinux = true\n')
    etc.write(f'version = 2\n[plugins."{CRI}"]\n  enable_cdi = true\n', "conf.d/50.toml")
    assert etc.fails(drop_in="10", plugins={CRI: {"sandbox_image": "x"}}) == (
        f'plugins: plugins."{CRI}".sandbox_image has no effect in {etc.directory}/conf.d/10.toml: {etc.directory}/conf.d/50.toml '
        "is read later: choose a drop_in that sorts behind it, or set it there"
    )
    assert etc.fails(drop_in="60", oom_score=0) == (
        'oom_score: oom_score: containerd takes 0, "" and false in an imported file for "not set", so that the value of the files '
        f"before it stays: set it in {etc.path}"
    )
    behind = etc.run(drop_in="60", plugins={CRI: {"sandbox_image": "x"}})
    assert flat(etc.read("conf.d/60.toml")) == {("version",): 2, PAUSE_1: "x", ("plugins", CRI, "enable_cdi"): True}
    assert behind.get("warnings") == (None if etc.version else [unchecked(etc)])
    assert "enable_cdi = true # copied: follows the files before this one" in (etc.directory / "conf.d" / "60.toml").read_text()
    main = etc.run(plugins={CRI: {"enable_selinux": False}})
    assert f"has no effect in {etc.path}: {etc.directory}/conf.d/50.toml, {etc.directory}/conf.d/60.toml is read later" in str(
        main.value("warnings")
    )
    etc.write(f'version = 2\n[plugins."{CRI}"]\n  enable_cdi = false\n  max_concurrent_downloads = 9\n', "conf.d/50.toml")
    follows = etc.run(drop_in="60", plugins={CRI: {"sandbox_image": "x"}})
    assert follows.changed
    own = {("version",): 2, PAUSE_1: "x"}
    copied = {("plugins", CRI, "enable_cdi"): False, ("plugins", CRI, "max_concurrent_downloads"): 9}
    assert flat(etc.read("conf.d/60.toml")) == {**own, **copied}
    # What a task asks for is a copy no more, even when it is the same.
    assert etc.run(drop_in="60", plugins={CRI: {"enable_cdi": False}}).changed
    etc.write("version = 2\n", "conf.d/50.toml")
    etc.run(drop_in="60", plugins={CRI: {"sandbox_image": "x"}})
    found = {**own, ("plugins", CRI, "enable_cdi"): False, ("plugins", CRI, "enable_selinux"): False}
    assert flat(etc.read("conf.d/60.toml")) == found


def mirrors(etc: Etc) -> None:
    registry = f'plugins."{CRI}".registry'
    etc.write(
        f"""version = 2
[{registry}.mirrors."docker.io"] # of old
  endpoint = ["https://mirror.lan:5000"]
[{registry}.configs."mirror.lan:5000".tls]
  ca_file = "/etc/ca.pem"
[{registry}.configs."mirror.lan:5000".auth]
  username = "robot"
  password = "hunter2hunter2"
"""
    )
    certs = f"{etc.directory}/certs.d"
    wanted = plugins(CRI, "registry", config_path=certs)
    refused = etc.fails(plugins=wanted)
    assert (
        f"{registry}.mirrors cannot be used together with config_path, the CRI plugin fails with both: set migrate_mirrors=true"
        in refused
    )
    moved = etc.run(plugins=wanted, migrate_mirrors=True)
    assert moved.actions[0] == f"create {certs}/docker.io/hosts.toml"
    assert "move the mirrors to hosts.toml files" in moved.actions[1]
    assert "hunter2" not in str(moved.result)
    assert etc.read("certs.d/docker.io/hosts.toml") == {
        "host": {"https://mirror.lan:5000": {"capabilities": ["pull", "resolve"], "ca": "/etc/ca.pem"}}
    }
    found = at(etc.read(), ("plugins", CRI, "registry"))
    assert found == {
        "config_path": certs,
        "configs": {"mirror.lan:5000": {"auth": {"username": "robot", "password": "hunter2hunter2"}}},
    }


def some_things_need_containerd(etc: Etc) -> None:
    assert etc.fails(path=f"{etc.directory}/new.toml", base="default").startswith("base: default needs containerd on the target")
    assert etc.fails(migrate=True).startswith("migrate: containerd is not installed")
