# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_config over files of the test's own, where containerd is not installed (yet)."""

from __future__ import annotations

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
from ansible_collections.fleet.containerd.tests.support.stories import config as stories
from ansible_collections.fleet.containerd.tests.support.stories.config import CRI, IMAGES, PAUSE_1, changed_lines


@pytest.fixture
def etc(tmp_path: pathlib.Path) -> Etc:
    return Etc(tmp_path, Direct({}))


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
    stories.lists(etc)


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
    stories.drop_ins_that_meet(etc)


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
    stories.a_drop_in_is_made(etc)
    stories.a_drop_in_changes(etc)
    stories.a_key_of_a_drop_in_goes(etc)
    stories.a_drop_in_goes(etc)


def test_before_containerd_is_installed(etc: Etc) -> None:
    made = etc.run(root="/r", plugins={IMAGES: {"snapshotter": "native"}})
    assert made.value("validated") is False
    assert made.value("warnings") == [stories.unchecked(etc)]
    assert flat(etc.read()) == {
        ("version",): 2,
        ("root",): "/r",
        ("plugins", CRI, "containerd", "snapshotter"): "native",
    }
    stories.some_things_need_containerd(etc)
    etc.run(migrate=True, settings={"version": 3})
    assert flat(etc.read())["plugins", IMAGES, "snapshotter"] == "native"


def test_mirrors(etc: Etc) -> None:
    stories.mirrors(etc)


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
