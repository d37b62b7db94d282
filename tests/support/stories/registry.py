# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_registry: a directory of certs.d, and what is shown of its secrets."""

from __future__ import annotations

import json
import pathlib
import stat
import typing as t

import tomllib

from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.stories.converge import Player, converge

SECRET = "Basic c2VjcmV0LXdvcmQ="
REGISTRY = "reg.test:5443"
MIRRORS: t.List[t.Dict[str, t.Any]] = [
    {
        "host": "https://z.test",
        "capabilities": ["pull", "resolve"],
        "header": {"Authorization": SECRET, "x-a": ["first-word", "second-word"]},
    },
    {"host": "http://a.test:5000/sub", "override_path": True, "skip_verify": True, "dial_timeout": "2s"},
]


class Certs:
    """A certs.d of the test's own, and tasks against it."""

    def __init__(self, path: pathlib.Path, play: Player) -> None:
        self.path, self.play = path, play
        self.directory = path / "reg.test_5443_"
        self.file = self.directory / "hosts.toml"

    def registry(self, **options: t.Any) -> Task:
        return task("containerd_registry", **{"registry": REGISTRY, "registry_config_dir": str(self.path), **options})

    def info(self, *names: str, **options: t.Any) -> Task:
        return task("containerd_registry_info", **{"name": list(names), "registry_config_dir": str(self.path), **options})

    def converge(self, one: Task) -> TaskResult:
        return converge(self.play, one, self.path)

    def parsed(self) -> t.Dict[str, t.Any]:
        """The file as an independent reader understands it."""
        return dict(tomllib.loads(self.file.read_text()))

    @property
    def mode(self) -> int:
        return stat.S_IMODE(self.file.stat().st_mode)


def present_change_and_absent(certs: Certs, ca: str) -> None:
    own = _written(certs, ca)
    (certs.directory / "foreign.crt").write_text("foreign")
    _changed(certs, own)
    _removed(certs)


def _written(certs: Certs, ca: str) -> pathlib.Path:
    """With a file for the authority that the task has the text of; its path."""
    authority = pathlib.Path(ca).read_text()
    mirrors = [{**MIRRORS[0], "ca": [ca], "ca_content": authority, "client": [ca, [ca, f"{ca}.key"]]}, MIRRORS[1]]
    made = certs.converge(certs.registry(server="https://up.test", mirrors=mirrors))
    (own,) = certs.directory.glob("ca-*.pem")
    assert own.read_text() == authority
    assert made.actions == [f"write {own}", f"write {certs.file}"]
    parsed = certs.parsed()
    assert list(parsed["host"]) == ["https://z.test", "http://a.test:5000/sub"]
    assert parsed == {
        "server": "https://up.test",
        "host": {
            "https://z.test": {
                "capabilities": ["pull", "resolve"],
                "ca": [ca, own.name],
                "client": [[ca, ca], [ca, f"{ca}.key"]],
                "header": {"Authorization": SECRET, "x-a": ["first-word", "second-word"]},
            },
            "http://a.test:5000/sub": {"override_path": True, "skip_verify": True, "dial_timeout": "2s"},
        },
    }
    assert (certs.mode, stat.S_IMODE(own.stat().st_mode), stat.S_IMODE(certs.directory.stat().st_mode)) == (0o640, 0o644, 0o755)
    # TLS is tried first where a host of plain HTTP has settings for it.
    assert [one["url"] for one in made.value("hosts")] == ["https://z.test", "https://a.test:5000/sub", "https://up.test"]
    assert made.value("hosts_toml") == str(certs.file)
    return own


def _changed(certs: Certs, own: pathlib.Path) -> None:
    changed = certs.converge(
        certs.registry(mirrors=[MIRRORS[1], {"host": "https://z.test", "header": {}, "ca": [], "client": []}])
    )
    assert changed.actions == [f"write {certs.file}", f"remove {own}"]
    assert list(certs.parsed()["host"]) == ["http://a.test:5000/sub", "https://z.test"]
    assert certs.parsed()["host"]["https://z.test"] == {"capabilities": ["pull", "resolve"]}
    assert certs.parsed()["server"] == "https://up.test"
    assert certs.mode == 0o644


def _removed(certs: Certs) -> None:
    """What is not ours stays."""
    gone = certs.converge(certs.registry(state="absent"))
    assert gone.actions == [f"remove {certs.file}"]
    assert gone.value("hosts") == []
    assert [path.name for path in certs.directory.iterdir()] == ["foreign.crt"]
    (certs.directory / "foreign.crt").unlink()
    certs.converge(certs.registry(mirrors=MIRRORS))
    assert certs.converge(certs.registry(state="absent")).actions == [f"remove {certs.file}", f"remove {certs.directory}"]
    assert list(certs.path.iterdir()) == []


def secrets_show_nowhere(certs: Certs) -> None:
    word = SECRET.split()[1]
    first = certs.play([certs.registry(mirrors=MIRRORS)], diff=True)
    assert first.last.value("diff")["before"] == ""
    assert 'Authorization = "(secret, changed)"' in first.last.value("diff")["after"]
    assert first.last.value("diff")["after_header"] == str(certs.file)
    other = [{**MIRRORS[0], "header": {"Authorization": SECRET + "2"}}, MIRRORS[1]]
    second = certs.play([certs.registry(mirrors=other), certs.info(REGISTRY)], diff=True)
    diff = second.results[0].value("diff")
    assert 'Authorization = "(secret)"' in diff["before"]
    assert 'Authorization = "(secret, changed)"' in diff["after"]
    third = certs.play([certs.registry(state="absent")], diff=True)
    assert "(secret)" in third.last.value("diff")["before"]
    for played in (first, second, third):
        assert word not in played.output
        assert word not in json.dumps([one.result for one in played.results])
