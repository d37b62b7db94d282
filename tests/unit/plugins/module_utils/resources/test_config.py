# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_config over files of the test's own, where containerd is not installed (yet)."""

from __future__ import annotations

import difflib
import os
import pathlib
import re
import typing as t

import pytest
import toml

from ansible_collections.fleet.containerd.tests.support import trees
from ansible_collections.fleet.containerd.tests.support.configs import COMMENTS, ODD, WINDOWS, flat
from ansible_collections.fleet.containerd.tests.support.direct import Direct
from ansible_collections.fleet.containerd.tests.support.etc import Etc, config, plugins
from ansible_collections.fleet.containerd.tests.support.memory_site import play
from ansible_collections.fleet.containerd.tests.support.messages import unclear

CRI, IMAGES = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"
PAUSE_1 = ("plugins", CRI, "sandbox_image")


@pytest.fixture
def etc(tmp_path: pathlib.Path) -> Etc:
    return Etc(tmp_path, Direct({}))


def unchecked(etc: Etc) -> str:
    return f"validate: there is no containerd {etc.binary}, so it could not be asked about the configuration"


def changed_lines(before: str, after: str) -> t.List[str]:
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]


@pytest.mark.parametrize("text", [COMMENTS, ODD, WINDOWS], ids=["comments", "odd", "windows"])
def test_untouched_parts_keep_their_bytes(etc: Etc, text: str) -> None:
    text = text.replace("conf_template", "conf_template")
    etc.write(text)
    etc.run(oom_score=-5, plugins=plugins(CRI, sandbox_image="other"))
    after = etc.text
    changed = [line for line in changed_lines(text, after) if "oom_score" not in line and "sandbox_image" not in line]
    assert [line for line in changed if ":3.9" not in line and line.strip("+- \r") != ""] == []
    assert after.count("\r\n") in (0, after.count("\n"))
    gone = etc.run(state="absent", settings={"oom_score": None}, keys=[f'plugins."{CRI}".sandbox_image'])
    assert gone.actions == [f'change {etc.path}: remove plugins."{CRI}".sandbox_image, oom_score']
    assert flat(etc.read()) == {
        path: value for path, value in flat(toml.loads(text)).items() if path not in (PAUSE_1, ("oom_score",))
    }


def test_lists(etc: Etc) -> None:
    etc.write('version = 2\ndisabled_plugins = [\n  "io.containerd.snapshotter.v1.zfs", # no zfs\n]\n')
    one, two = "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.btrfs"
    names: t.Dict[str, t.Any] = {"settings": {"disabled_plugins": [two, one, two]}}
    etc.run(list_mode="append_unique", **names)
    assert etc.read()["disabled_plugins"] == [one, two]
    assert "# no zfs" in etc.text
    etc.run(list_mode="append_unique", state="absent", settings={"disabled_plugins": [one]})
    assert etc.read()["disabled_plugins"] == [two]
    etc.run(settings={"disabled_plugins": [one]})
    assert etc.read()["disabled_plugins"] == [one]
    etc.run(settings={"disabled_plugins": []})
    assert etc.read()["disabled_plugins"] == []


def test_meaning_counts_not_text(etc: Etc) -> None:
    etc.write("version = 2\noom_score =  -5\nroot = '''/srv'''\ndisabled_plugins = ['a.b.c.d'\n]\ngrpc.gid=0x10\n")
    same = etc.one(oom_score=-5, root="/srv", settings={"disabled_plugins": ["a.b.c.d"], "version": 2}, grpc={"gid": 16})
    other = etc.one(settings={"grpc": {"gid": "16"}}, validate=False)
    assert not same.changed
    assert other.changed
    assert etc.read()["grpc"]["gid"] == "16"


def test_nothing_to_do(etc: Etc) -> None:
    absent, made, again = etc.one(state="absent", keys=["root"]), etc.one(), etc.one()
    assert [one.actions for one in (absent, made, again)] == [[], [f"create {etc.path}"], []]
    assert etc.text == "version = 2\n"


def test_owner_mode_link_and_backup(etc: Etc) -> None:
    real = etc.write("version = 2\n", "real/containerd.toml")
    os.chown(real, 12, 34)
    real.chmod(0o640)
    etc.path.symlink_to("real/containerd.toml")
    done = etc.one(oom_score=1, backup=True)
    assert etc.path.is_symlink()
    assert (real.stat().st_uid, real.stat().st_gid, oct(real.stat().st_mode & 0o7777)) == (12, 34, "0o640")
    assert done.actions == [f"back up {etc.path}", f"change {etc.path}: set oom_score"]
    (backup,) = map(pathlib.Path, done.value("backup_files"))
    assert backup.parent == real.parent
    assert re.fullmatch(r"containerd\.toml\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~", backup.name)
    assert backup.read_text() == "version = 2\n"
    assert (backup.stat().st_uid, oct(backup.stat().st_mode & 0o7777)) == (12, "0o640")
    again = etc.one(oom_score=1, backup=True)
    assert again.actions == []
    assert "backup_files" not in again.result


def test_drop_ins_that_meet(etc: Etc) -> None:
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
    assert behind.value("warnings") == [unchecked(etc)]
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


def test_names_that_a_killed_run_left_go(etc: Etc) -> None:
    etc.write("version = 2\n")
    etc.write("half", ".config.toml.0123456789abcdef")
    etc.write("somebody's", ".config.toml.swp")
    etc.one(oom_score=1)
    assert sorted(os.listdir(etc.directory)) == [".config.toml.swp", "config.toml"]


def test_a_secret_that_all_may_read_is_told(etc: Etc) -> None:
    etc.write("version = 2\n")
    done = etc.run(settings={"grpc": {"address": "/very/secret/place"}}, secret_keys=["grpc.address"])
    assert done.value("warnings")[1:] == [f"{etc.path} has secrets, and every user may read it: set its mode to 0600"]
    assert "/very/secret" not in str(done.result)


WRONG: t.List[t.Tuple[t.Dict[str, t.Any], str]] = [
    ({"settings": {"root": None}}, "settings: root: TOML has no null: to remove the key, name it in a task with state=absent"),
    (
        {"settings": {"disabled_plugins": ["a.b", 1]}},
        "settings: disabled_plugins: a list may not mix a string and an integer: ['a.b', 1]",
    ),
    (
        {"settings": {"disabled_plugins": ["a.b", None]}},
        "settings: disabled_plugins: a list may not mix a string and null: ['a.b', None]",
    ),
    ({"settings": {"imports": [None]}}, "settings: imports.0: TOML has no null"),
    ({"settings": {"oom_score": 2**63}}, "settings: oom_score: 9223372036854775808 does not fit into 64 bits"),
    (
        {"settings": {"root": {"a": 1}}},
        "settings: root.a: root is a string in {path}, and '1' needs a table there: remove it first with state=absent",
    ),
    ({"settings": {"root": {}}}, "settings: root: a table ({{}}) cannot take the place of a string in {path}: remove that first"),
    (
        {"settings": {"grpc": 5}},
        "settings: grpc: an integer (5) cannot take the place of a table in {path}: remove that first with state=absent",
    ),
    (
        {"plugins": {CRI: {"cni": "x"}}},
        'plugins: plugins."io.containerd.grpc.v1.cri".cni: a string (x) cannot take the place of a table in {path}',
    ),
    ({"settings": {"temp": 5}}, "{path}: temp: an integer stands where a string must be"),
    ({"settings": {"required_plugins": "x"}}, "{path}: required_plugins: a string stands where a list must be"),
    ({"settings": {"timeouts": {"a": "soon"}}}, "{path}: timeouts.a: 'soon' is not a duration such as 5s or 1m30s"),
    (
        {"settings": {"imports": ["/no/such.toml"]}},
        "{path}: imports: /no/such.toml is missing, and containerd does not start without it",
    ),
    ({"settings": {"version": 9}}, "settings: version: an integer (9) is not one of 1 to 4"),
    ({"settings": {"version": "2"}}, "settings: version: a string (2) is not one of 1 to 4"),
    ({"settings": {"plugins": {"io": {"containerd": {"x": 1}}}}}, "settings: plugins.io.containerd.x: quote the plugin's name"),
    (
        {"settings": {"a": {"b": 1}}, "plugins": {IMAGES: {"use_local_image_pull": True}}},
        "cannot be written in {path}, whose version is 2: set migrate",
    ),
    ({"root": "relative"}, "root: 'relative' is not an absolute path"),
    ({"state_dir": "relative"}, "state_dir: 'relative' is not an absolute path"),
    ({"containerd_binary": "containerd"}, "containerd_binary: 'containerd' is not an absolute path"),
    ({"path": "config.toml"}, "path: 'config.toml' is not an absolute path"),
    ({"path": "/proc"}, "/proc is not a regular file"),
    (
        {"root": "/a", "settings": {"root": "/b"}},
        "root: root and settings: root are the same key here, and have different values",
    ),
    ({"drop_in": "../x"}, "drop_in: '../x' is not a file name"),
    ({"drop_in": ".x"}, "drop_in: '.x' is not a file name"),
    ({"keys": ["root"]}, "keys: they are removed, which needs state=absent"),
    ({"state": "absent"}, "settings: state=absent needs settings or keys, which name what to remove"),
    ({"state": "absent", "keys": ["a..b"]}, "keys: 'a..b' is not a dotted key such as"),
    ({"state": "absent", "keys": [["a", 1]]}, "keys: ['a', 1] must be a list of strings"),
    ({"state": "absent", "keys": [{"a": 1}]}, "keys: \"{{'a': 1}}\" is not a dotted key such as"),
    (
        {"state": "absent", "keys": ["plugins.io.containerd.grpc.v1.cri"]},
        "keys: plugins.io.containerd.grpc.v1.cri: quote the plugin's name",
    ),
    ({"state": "absent", "keys": ["version"]}, "settings: version: the version of a file cannot be removed"),
    ({"secret_keys": ["a b"], "root": "/r"}, "secret_keys: 'a b' is not a dotted key such as"),
    ({"oom_score": "high"}, "oom_score"),
    ({"settings": ["a"]}, "settings"),
    ({"base": "full"}, "base"),
    ({"list_mode": "merge"}, "list_mode"),
]


def test_wrong_values(etc: Etc) -> None:
    etc.write(COMMENTS)
    before = trees.snapshot(etc.directory)
    rows = [(expected.format(path=etc.path), options) for options, expected in WRONG]
    found = unclear("config", rows, etc.defaults)
    assert not found, "\n".join(found)
    trees.assert_same(before, trees.snapshot(etc.directory))


def test_deep_nesting_is_no_accident(etc: Etc) -> None:
    deep: t.Dict[str, t.Any] = {}
    for _level in range(60):
        deep = {"a": deep}
    assert "tables are nested more than 32 deep" in etc.fails(settings=deep)


def test_a_file_that_is_no_toml(etc: Etc) -> None:
    etc.write('version = 2\npassword = "hunter2hunter2\n')
    message = etc.fails(oom_score=1)
    assert message.startswith(f"{etc.path} is not valid TOML: line 2, column ")
    assert "hunter2" not in message
    etc.write("version = 2\nimports = ['x.toml']\n")
    etc.write("a = \n", "x.toml")
    assert etc.fails(oom_score=1).startswith(f"{etc.directory}/x.toml is not valid TOML: line 1")


def test_a_drop_in(etc: Etc) -> None:
    etc.write(
        f'version = 2\noom_score = -5\n[plugins."{CRI}"]\n  enable_selinux = true\n  [plugins."{CRI}".registry]\n    config_path = "/c"\n'
    )
    name = f"{etc.directory}/conf.d/50-pause.toml"
    made = etc.run(drop_in="50-pause", root="/r", plugins={CRI: {"sandbox_image": "x/pause:1"}})
    assert [action.partition(":")[0] for action in made.actions] == [f"change {etc.path}", f"create {name}"]
    assert made.value("config_file") == name
    assert etc.read()["imports"] == [f"{etc.directory}/conf.d/*.toml"]
    rest = {("plugins", CRI, "enable_selinux"): True, ("plugins", CRI, "registry", "config_path"): "/c"}
    assert flat(etc.read("conf.d/50-pause.toml")) == {("version",): 2, ("root",): "/r", PAUSE_1: "x/pause:1", **rest}
    etc.run(drop_in="50-pause.toml", plugins={IMAGES: {"pinned_images": {"sandbox": "y/pause:1"}}})
    assert flat(etc.read("conf.d/50-pause.toml"))[PAUSE_1] == "y/pause:1"
    etc.run(drop_in="50-pause", state="absent", keys=[f'plugins."{CRI}".sandbox_image'])
    assert flat(etc.read("conf.d/50-pause.toml")) == {("version",): 2, ("root",): "/r"}
    gone = etc.run(drop_in="50-pause", state="absent")
    assert gone.actions == [f"remove {name}"]
    assert os.listdir(etc.directory / "conf.d") == []


def test_before_containerd_is_installed(etc: Etc) -> None:
    made = etc.run(root="/r", plugins={IMAGES: {"snapshotter": "native"}})
    assert made.value("validated") is False
    assert made.value("warnings") == [unchecked(etc)]
    assert flat(etc.read()) == {
        ("version",): 2,
        ("root",): "/r",
        ("plugins", CRI, "containerd", "snapshotter"): "native",
    }
    assert etc.fails(path=f"{etc.directory}/new.toml", base="default").startswith("base: default needs containerd on the target")
    assert etc.fails(migrate=True).startswith("migrate: containerd is not installed")
    etc.run(migrate=True, settings={"version": 3})
    assert flat(etc.read())["plugins", IMAGES, "snapshotter"] == "native"


def test_mirrors(etc: Etc) -> None:
    registry = f'plugins."{CRI}".registry'
    etc.write(
        f"""version = 2
[{registry}.mirrors."docker.io"] # of old
  endpoint = ["https://mirror.lan:5000"]
[{registry}.configs."mirror.lan:5000".auth]
  password = "hunter2hunter2"
"""
    )
    certs = f"{etc.directory}/certs.d"
    wanted = plugins(CRI, "registry", config_path=certs)
    assert f"{registry}.mirrors cannot be used together with config_path" in etc.fails(plugins=wanted)
    moved = etc.run(plugins=wanted, migrate_mirrors=True)
    assert moved.actions[0] == f"create {certs}/docker.io/hosts.toml"
    assert "move the mirrors to hosts.toml files" in moved.actions[1]
    assert "hunter2" not in str(moved.result)
    assert etc.read("certs.d/docker.io/hosts.toml") == {
        "host": {"https://mirror.lan:5000": {"capabilities": ["pull", "resolve"]}}
    }


def test_secrets_are_seen_nowhere(etc: Etc) -> None:
    words = ["hunter2hunter2", "swordfish-swordfish", "other-secret"]
    auth = {CRI: {"registry": {"configs": {"r.lan": {"auth": {"username": "robot", "password": words[0]}}}}}}
    mine = "io.containerd.snapshotter.v1.mine"
    hidden = [["plugins", mine, "key"]]

    def task(key: str, **more: t.Any) -> t.Dict[str, t.Any]:
        settings = {"plugins": {**auth, mine: {"key": key}}}
        return {**config(**{**etc.defaults, "settings": settings, "secret_keys": hidden, **more}), "ignore_errors": True}

    done = play([task(words[1]), task(words[1]), task(words[2]), task(words[1], list_mode="merge"), task(words[1], state="gone")])
    made, same, other, *failed = done.results
    assert (made.changed, same.changed, other.changed) == (True, False, True)
    assert [one.failed for one in failed] == [True, True]
    for word in words:
        assert word not in done.output, word
    assert 'key = "(secret)"' in made.value("diff")["after"]
    assert 'key = "(secret, changed)"' in other.value("diff")["after"]
    assert toml.loads(etc.text)["plugins"][mine]["key"] == words[2]
    assert oct(etc.path.stat().st_mode & 0o777) == "0o600"
