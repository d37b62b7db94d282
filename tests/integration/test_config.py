# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_config through ansible-playbook, for three releases of containerd: two readers agree with what was asked."""

from __future__ import annotations

import os
import pathlib
import threading
import typing as t

import pytest
import toml

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.configs import COMMENTS, ODD, at, default, flat
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES
from ansible_collections.fleet.containerd.tests.support.etc import Etc, config, plugins
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.stories import config as stories
from ansible_collections.fleet.containerd.tests.support.stories.config import CRI, IMAGES, PAUSE_1, RUNTIME, changed_lines

PAUSE_2 = ("plugins", IMAGES, "pinned_images", "sandbox")


@pytest.fixture(params=sorted(RELEASES), ids=lambda version: f"containerd-{version}")
def etc(request: pytest.FixtureRequest, tmp_path: pathlib.Path, modules: Modules) -> Etc:
    return Etc(tmp_path, modules, request.param)


@pytest.fixture
def etc17(tmp_path: pathlib.Path, modules: Modules) -> Etc:
    return Etc(tmp_path, modules, "1.7")


@pytest.fixture
def etc21(tmp_path: pathlib.Path, modules: Modules) -> Etc:
    return Etc(tmp_path, modules, "2.1")


def pause(etc: Etc) -> t.Tuple[str, ...]:
    """Where the file that was made for this release has the image of sandboxes."""
    return PAUSE_2 if etc.version == "2.1" else PAUSE_1


SETTINGS: t.Dict[str, t.Any] = {
    "root": "/srv/containerd",
    "state_dir": "/srv/run",
    "oom_score": -999,
    "grpc": {"gid": 998},
    "settings": {"debug": {"level": "warn"}, "disabled_plugins": ["io.containerd.snapshotter.v1.zfs"]},
    "plugins": {
        CRI: {"registry": {"config_path": "/etc/containerd/certs.d"}, "cni": {"bin_dir": "/opt/bin"}},
        RUNTIME: {"enable_selinux": True},
        IMAGES: {"pinned_images": {"sandbox": "registry.lan/pause:1"}, "snapshotter": "native"},
        "io.containerd.internal.v1.restart": {"interval": "5s"},
        "io.containerd.monitor.task.v1.cgroups": {"no_prometheus": True},
    },
}
RUNC = plugins(CRI, "containerd", "runtimes", "runc", runtime_type="io.containerd.runc.v2")
#: Where a file of version 2, and of version 3, and the dump of a release has them.
EXPECTED_2 = {
    ("root",): "/srv/containerd",
    ("state",): "/srv/run",
    ("oom_score",): -999,
    ("grpc", "gid"): 998,
    ("debug", "level"): "warn",
    ("disabled_plugins",): ["io.containerd.snapshotter.v1.zfs"],
    ("plugins", CRI, "registry", "config_path"): "/etc/containerd/certs.d",
    ("plugins", CRI, "cni", "bin_dir"): "/opt/bin",
    ("plugins", CRI, "enable_selinux"): True,
    PAUSE_1: "registry.lan/pause:1",
    ("plugins", CRI, "containerd", "snapshotter"): "native",
    ("plugins", "io.containerd.internal.v1.restart", "interval"): "5s",
    ("plugins", "io.containerd.monitor.v1.cgroups", "no_prometheus"): True,
}
EXPECTED_3 = {
    **{key: value for key, value in EXPECTED_2.items() if key[0] != "plugins"},
    ("plugins", IMAGES, "registry", "config_path"): "/etc/containerd/certs.d",
    ("plugins", RUNTIME, "cni", "bin_dirs"): ["/opt/bin"],
    ("plugins", RUNTIME, "enable_selinux"): True,
    PAUSE_2: "registry.lan/pause:1",
    ("plugins", IMAGES, "snapshotter"): "native",
    ("plugins", "io.containerd.monitor.container.v1.restart", "interval"): "5s",
    ("plugins", "io.containerd.monitor.task.v1.cgroups", "no_prometheus"): True,
}


@pytest.mark.parametrize("base", ["minimal", "default"])
def test_a_new_file(etc: Etc, base: str) -> None:
    made = etc.run(base=base, **SETTINGS)
    expected = EXPECTED_3 if etc.version == "2.1" else EXPECTED_2
    (action,) = made.actions
    assert action.startswith(f"create {etc.path}: set ")
    assert made.value("validated") is True
    assert made.value("unknown_keys") == []
    assert made.value("config_version") == etc.read()["version"] == (3 if etc.version == "2.1" else 2)
    assert made.value("restart_required") is False
    assert oct(etc.path.stat().st_mode & 0o777) == "0o644"
    found = flat(etc.read())
    if base == "minimal":
        assert found == {**expected, ("version",): etc.read()["version"]}
    else:
        assert found == {**flat(toml.loads(default(etc.version))), **expected}
        assert len(changed_lines(default(etc.version), etc.text)) <= 2 * len(expected)
    dumped = etc.dump()
    assert {path: at(dumped, path) for path in expected} == expected


def test_a_file_of_version_2(etc: Etc) -> None:
    """On every release; what 2.x migrates in memory ends where version 3 would have it."""
    etc.write(COMMENTS)
    changed = etc.run(**SETTINGS)
    assert changed.actions[0].startswith(f"change {etc.path}: set ")
    before, after = flat(toml.loads(COMMENTS)), flat(etc.read())
    assert after == {**before, **EXPECTED_2}
    dumped, expected = etc.dump(), EXPECTED_3 if etc.version == "2.1" else EXPECTED_2
    assert {path: at(dumped, path) for path in expected} == expected
    lines = [line for line in COMMENTS.splitlines() if line.strip().startswith("#") or not line.strip()]
    assert [line for line in etc.text.splitlines() if line in lines and line.strip()] == [line for line in lines if line.strip()]
    (old, new) = (changed.value("diff")[side] for side in ("before", "after"))
    assert (old, new) == (COMMENTS, etc.text)
    assert changed.value("diff")["before_header"] == str(etc.path)


def test_there_and_back(etc: Etc) -> None:
    text = default(etc.version)
    etc.write(text)
    new = plugins(IMAGES, "registry", "mirrors", "docker.io", endpoint=["https://mirror.lan"])
    etc.run(plugins=new)
    assert etc.text != text
    etc.run(plugins=new, state="absent")
    assert etc.text == text


def test_lists(etc17: Etc) -> None:
    stories.lists(etc17)


# Drop-ins


def test_a_drop_in(etc: Etc) -> None:
    stories.a_drop_in_is_made(etc)
    dumped = flat(etc.dump())
    assert dumped["root",] == "/r"
    assert dumped["oom_score",] == -5
    assert dumped[pause(etc)] == "x/pause:1"
    assert dumped["plugins", IMAGES if etc.version == "2.1" else CRI, "registry", "config_path"] == "/c"
    assert dumped["plugins", RUNTIME if etc.version == "2.1" else CRI, "enable_selinux"] is True
    stories.a_drop_in_changes(etc)
    assert flat(etc.dump())[pause(etc)] == "y/pause:1"
    stories.a_key_of_a_drop_in_goes(etc)
    assert flat(etc.dump())[pause(etc)].startswith("registry.k8s.io/pause")
    stories.a_drop_in_goes(etc)
    assert etc.dump()["oom_score"] == -5


def test_a_drop_in_without_a_main_file(etc: Etc) -> None:
    made = etc.run(
        drop_in="a", plugins={IMAGES: {"snapshotter": "native"}, CRI: plugins("containerd", "runtimes", "runc", runtime_type="x")}
    )
    assert [action.partition(":")[0] for action in made.actions] == [
        f"create {etc.path}",
        f"create {etc.directory}/conf.d/a.toml",
    ]
    assert etc.read("conf.d/a.toml")["version"] == etc.read()["version"]
    expected = ("plugins", IMAGES, "snapshotter") if etc.version == "2.1" else ("plugins", CRI, "containerd", "snapshotter")
    assert flat(etc.dump())[expected] == "native"


def test_drop_ins_that_meet(etc17: Etc) -> None:
    stories.drop_ins_that_meet(etc17)


def test_copies_go_with_containerd_1(tmp_path: pathlib.Path, modules: Modules) -> None:
    """2.x merges the tables: what was copied for 1.x would hide later changes of the main file."""
    etc = Etc(tmp_path, modules, "1.7")
    etc.write(f'version = 2\n[plugins."{CRI}"]\n  enable_selinux = true\n')
    wanted: t.Dict[str, t.Any] = {"drop_in": "a", "plugins": {CRI: {"sandbox_image": "x"}}}
    etc.run(**wanted)
    assert ("plugins", CRI, "enable_selinux") in flat(etc.read("conf.d/a.toml"))
    (tmp_path / "later").mkdir()
    later = Etc(tmp_path / "later", modules, "2.1")
    later.directory, later.defaults["path"] = etc.directory, str(etc.path)
    assert later.run(**wanted).changed
    assert flat(etc.read("conf.d/a.toml")) == {("version",): 2, PAUSE_1: "x"}


def test_others_in_the_directory_are_named(etc21: Etc) -> None:
    etc21.write("version = 3\n")
    etc21.write("version = 3\noom_score = 7\n", "conf.d/forgotten.toml")
    made = etc21.run(drop_in="mine", root="/r")
    assert f"and so also {etc21.directory}/conf.d/forgotten.toml" in str(made.value("warnings"))


# Versions


def test_migrate(etc: Etc) -> None:
    etc.write(COMMENTS)
    before = etc.dump()
    if etc.version < "2":
        assert etc.run(migrate=True).actions == []
        assert etc.text == COMMENTS
        refused = etc.fails(migrate=True, settings={"version": 3})
        assert "version: the installed containerd reads versions up to 2, and this is 3" in refused
        return
    done = etc.run(migrate=True, oom_score=-7)
    assert done.actions == [f"change {etc.path}: migrate from version 2 to 3; set oom_score"]
    assert done.value("config_version") == 3
    assert etc.dump() == {**before, "oom_score": -7}


def test_migrate_from_version_1(etc: Etc) -> None:
    etc.write('oom_score = -5\n[plugins.cri]\n  sandbox_image = "x/pause:1" # ours\n')
    if etc.version == "2.1":
        lost = etc.fails(plugins={CRI: {"sandbox_image": "y"}})
        assert "would have no effect" in lost
        assert lost.endswith("set migrate=true")
    etc.run(migrate=True)
    assert etc.read()["version"] == (3 if etc.version == "2.1" else 2)
    assert flat(etc.dump())[pause(etc)] == "x/pause:1"
    assert "# ours" in etc.text


def test_migrate_with_drop_ins(etc21: Etc) -> None:
    """containerd migrates the main file alone; one without a version would be read by the new names."""
    etc21.write('version = 2\nimports = ["conf.d/*.toml"]\n')
    etc21.write(f'[plugins."{CRI}"]\n  sandbox_image = "x"\n', "conf.d/a.toml")
    etc21.write(f'version = 2\n[plugins."{CRI}".registry]\n  config_path = "/c"\n', "conf.d/b.toml")
    done = etc21.run(migrate=True)
    assert [action.rpartition("/")[2] for action in done.actions] == [
        "config.toml: migrate from version 2 to 3",
        "a.toml: migrate from version 2 to 3",
        "b.toml: migrate from version 2 to 3",
    ]
    assert [etc21.read(name)["version"] for name in ("config.toml", "conf.d/a.toml", "conf.d/b.toml")] == [3, 3, 3]
    dumped = flat(etc21.dump())
    assert dumped[PAUSE_2] == "x"
    assert dumped["plugins", IMAGES, "registry", "config_path"] == "/c"
    assert done.value("diff")["before"].startswith(f"# {etc21.directory}/conf.d/a.toml\n[plugins.")


def test_a_version_is_kept(etc21: Etc) -> None:
    etc21.write("version = 2\n")
    etc21.run(plugins=plugins(RUNTIME, enable_selinux=True))
    assert flat(etc21.read()) == {("version",): 2, ("plugins", CRI, "enable_selinux"): True}
    assert etc21.fails(settings={"version": 1}).endswith("a file cannot go back to an older one")
    assert (
        etc21.fails(settings={"version": 3})
        == f"settings: version: {etc21.path} has version 2, and not 3: set migrate=true to bring it there"
    )
    etc21.run(settings={"version": 3}, migrate=True)
    assert flat(etc21.read()) == {("version",): 3, ("plugins", RUNTIME, "enable_selinux"): True}


# Mirrors


def test_mirrors(etc: Etc) -> None:
    stories.mirrors(etc)
    where = IMAGES if etc.version == "2.1" else CRI
    assert at(etc.dump(), ("plugins", where, "registry", "config_path")) == f"{etc.directory}/certs.d"


# Validation


def test_what_containerd_refuses(etc: Etc) -> None:
    etc.write("version = 2\noom_score = 5\n")
    for options in (
        {"settings": {"grpc": {"uid": "root"}}},
        {"plugins": {CRI: {"max_concurrent_downloads": "many"}}},
        {"plugins": {"io.containerd.gc.v1.scheduler": {"schedule_delay": "soon"}}},
    ):
        assert f"containerd {etc.version} refuses the configuration: " in etc.fails(**options)
    unchecked = etc.one(settings={"grpc": {"uid": "root"}}, validate=False)
    assert unchecked.changed
    assert "validated" not in unchecked.result


def test_a_name_that_containerd_refuses(etc17: Etc) -> None:
    refused = etc17.fails(settings={"disabled_plugins": ["zfs of mine."]})
    assert "containerd 1.7 refuses the configuration: " in refused


def test_unknown_keys_are_told(etc: Etc) -> None:
    done = etc.run(plugins={CRI: {"sandbox_imge": "x"}}, settings={"oom_scre": 1})
    where = RUNTIME if etc.version == "2.1" else CRI
    assert sorted(done.value("unknown_keys")) == ["oom_scre", f'plugins."{where}".sandbox_imge']
    (warning,) = done.value("warnings")
    assert warning.startswith(f"containerd {etc.version} does not know, and ignores: ")


def test_before_containerd_is_installed(tmp_path: pathlib.Path, modules: Modules) -> None:
    etc = Etc(tmp_path, modules)
    (tmp_path / "nothing").write_text("")
    hidden = f'mount --bind {tmp_path}/nothing {os.path.realpath("/usr/bin/containerd")} && exec "$@"'
    quiet = ansible.play([config(path=str(etc.path), **SETTINGS)], under=("unshare", "--mount", "sh", "-c", hidden, "sh")).last
    assert quiet.changed
    assert quiet.value("validated") is False
    assert "warnings" not in quiet.result
    etc.path.unlink()
    asked = etc.run(**SETTINGS, validate=True)
    assert asked.value("validated") is False
    assert asked.value("unknown_keys") == []
    assert asked.value("warnings") == [stories.unchecked(etc)]
    assert flat(etc.read()) == {**EXPECTED_2, ("version",): 2}
    stories.some_things_need_containerd(etc)
    fresh = etc.fails(path=f"{etc.directory}/new.toml", settings={"root": {"a": 1}})
    assert fresh == f"{etc.directory}/new.toml: root: a table stands where a string must be"
    etc.run(migrate=True, settings={"version": 3})
    assert flat(etc.read()) == {**EXPECTED_3, ("version",): 3}


def test_without_its_library(etc17: Etc, tmp_path: pathlib.Path) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "tomlkit.py").write_text("raise ImportError('not installed', name='tomlkit')\n")
    played = etc17.play({**config(root="/r"), "ignore_errors": True}, environment={"PYTHONPATH": str(tmp_path / "modules")})
    assert played.last.msg == (
        "the Python library tomlkit is needed to read containerd's configuration: install the package python3-tomlkit "
        "(Debian, Ubuntu) or tomlkit (pip)"
    )
    assert not etc17.path.exists()


def test_debian_12_has_an_old_library(etc: Etc) -> None:
    """tomlkit 0.11.7, under the Python that is there."""
    etc.write(ODD)
    done = etc.play(
        config(**SETTINGS),
        config(**SETTINGS),
        config(drop_in="x", plugins={CRI: {"sandbox_image": "z"}}),
        interpreter="/usr/bin/python3",
    )
    assert [one.changed for one in done.results] == [True, False, True]
    assert {path: value for path, value in flat(etc.read()).items() if path in EXPECTED_2} == EXPECTED_2


# Two at once, and killed


def test_two_playbooks_at_once(etc17: Etc) -> None:
    etc17.write(COMMENTS)
    failures: t.List[BaseException] = []

    def play(number: int) -> None:
        try:
            etc17.play(*(config(settings={"timeouts": {f"mine.{number}.{turn}": "1s"}}) for turn in range(3)))
        except AssertionError as error:
            failures.append(error)

    threads = [threading.Thread(target=play, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert etc17.read()["timeouts"] == {f"mine.{number}.{turn}": "1s" for number in range(2) for turn in range(3)}


def test_killed_in_the_middle(etc17: Etc, modules: Modules) -> None:
    one, two = {"plugins": {CRI: {"sandbox_image": "one"}}}, {"plugins": {CRI: {"sandbox_image": "two"}}}
    etc17.write(COMMENTS)
    texts = []
    for options in (one, two):
        modules.run("containerd_config", **etc17.defaults, **options)
        texts.append(etc17.text)
    whole = modules.duration("containerd_config", **etc17.defaults, **one)
    for turn in range(100):
        options = (one, two)[turn % 2]
        modules.kill_after(whole * (turn + 1) / 90, "containerd_config", **etc17.defaults, **options)
        assert etc17.text in texts, turn
    # Only who writes clears up what killed runs have left: one of the two changes something, whatever is there by now.
    for options in (two, one):
        modules.run("containerd_config", **etc17.defaults, **options)
    assert etc17.text == texts[0]
    assert os.listdir(etc17.directory) == ["config.toml"]
    assert modules.run("containerd_config", **etc17.defaults, **one)["changed"] is False


# Secrets


def test_secrets_are_seen_nowhere(etc: Etc) -> None:
    words = ["hunter2hunter2", "swordfish-swordfish", "opensesame", "unmarked-but-credential"]
    settings = {
        "plugins": {
            CRI: {"registry": {"configs": {"r.lan": {"auth": {"username": "robot", "password": words[0], "auth": words[3]}}}}},
            "io.containerd.snapshotter.v1.mine": {"key": words[1]},
        }
    }
    hidden = [
        f'plugins."{IMAGES}".registry.configs',
        ["plugins", "io.containerd.snapshotter.v1.mine", "key"],
        "stream_processors.x.env",
    ]
    more = {"stream_processors": {"x": {"env": [f"KEY={words[2]}"], "path": "/x"}}}
    done = etc.play(
        config(settings={**settings, **more}, secret_keys=hidden),
        config(settings=settings, secret_keys=hidden),
        config(
            settings={**settings, **plugins("plugins", "io.containerd.snapshotter.v1.mine", key="other-secret")},
            secret_keys=hidden,
        ),
        {**config(settings=settings, secret_keys=hidden, state="gone"), "ignore_errors": True},
        {**config(settings=settings, secret_keys=hidden, list_mode="merge"), "ignore_errors": True},
        {**config(settings={**settings, "oom_score": words[0]}, secret_keys=[*hidden, "oom_score"]), "ignore_errors": True},
        {**config(settings=str(settings), secret_keys=hidden), "ignore_errors": True},
        diff=True,
        arguments=["-vvv"],
    )
    made, same, other, *failed = done.results
    assert (made.changed, same.changed, other.changed) == (True, False, True)
    assert [one.failed for one in failed][:3] == [True, True, True]
    for word in [*words, "other-secret"]:
        assert word not in done.output, word
        assert word not in str([one.result for one in done.results]), word
    assert '+  key = "(secret)"' in done.output
    assert '+  key = "(secret, changed)"' in done.output
    assert "/x" in str(made.result)
    assert etc.text.count(words[0]) == 1
    assert oct(etc.path.stat().st_mode & 0o777) == "0o600"


def test_in_the_action_group(etc17: Etc) -> None:
    one = task("containerd_config", **etc17.defaults, root="/r", state="absent")
    done = ansible.play([one], defaults={"drop_in": "of-the-group"}).last
    assert done.value("config_file") == f"{etc17.directory}/conf.d/of-the-group.toml"
