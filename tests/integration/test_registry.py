# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_registry and containerd_registry_info through ansible-playbook."""

from __future__ import annotations

import json
import pathlib
import stat
import typing as t

import pytest
import tomllib

from ansible_collections.fleet.containerd.tests.support import ansible, trees
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.registry import make_ca

SECRET = "Basic c2VjcmV0LXdvcmQ="
REGISTRY = "reg.test:5443"


class Certs:
    """A certs.d of the test's own, and tasks against it."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.directory = path / "reg.test_5443_"
        self.file = self.directory / "hosts.toml"

    def registry(self, **options: t.Any) -> Task:
        return task("containerd_registry", **{"registry": REGISTRY, "registry_config_dir": str(self.path), **options})

    def info(self, *names: str, **options: t.Any) -> Task:
        return task("containerd_registry_info", **{"name": list(names), "registry_config_dir": str(self.path), **options})

    def converge(self, one: Task, **how: t.Any) -> TaskResult:
        """In check mode (which touches nothing), for real, and again."""
        before = trees.snapshot(self.path) if self.path.exists() else {}
        predicted = ansible.play([one], check=True, diff=True).last
        trees.assert_same(before, trees.snapshot(self.path) if self.path.exists() else {})
        real, again = ansible.play([one, one], diff=True, **how).results
        assert predicted.actions == real.actions
        assert predicted.get("diff") == real.get("diff")
        assert real.changed
        assert (again.changed, again.actions) == (False, [])
        return real

    def parsed(self) -> t.Dict[str, t.Any]:
        """The file as an independent reader understands it."""
        return dict(tomllib.loads(self.file.read_text()))

    @property
    def mode(self) -> int:
        return stat.S_IMODE(self.file.stat().st_mode)


@pytest.fixture
def certs(tmp_path: pathlib.Path) -> Certs:
    return Certs(tmp_path / "certs.d")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_ca(tmp_path_factory.mktemp("ca"))[0]


MIRRORS: t.List[t.Dict[str, t.Any]] = [
    {
        "host": "https://z.test",
        "capabilities": ["pull", "resolve"],
        "header": {"Authorization": SECRET, "x-a": ["first-word", "second-word"]},
    },
    {"host": "http://a.test:5000/sub", "override_path": True, "skip_verify": True, "dial_timeout": "2s"},
]


def test_present_change_and_absent(certs: Certs, ca: str) -> None:
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
    (certs.directory / "foreign.crt").write_text("foreign")
    changed = certs.converge(
        certs.registry(mirrors=[MIRRORS[1], {"host": "https://z.test", "header": {}, "ca": [], "client": []}])
    )
    assert changed.actions == [f"write {certs.file}", f"remove {own}"]
    assert list(certs.parsed()["host"]) == ["http://a.test:5000/sub", "https://z.test"]
    assert certs.parsed()["host"]["https://z.test"] == {"capabilities": ["pull", "resolve"]}
    assert certs.parsed()["server"] == "https://up.test"
    assert certs.mode == 0o644
    gone = certs.converge(certs.registry(state="absent"))
    assert gone.actions == [f"remove {certs.file}"]
    assert gone.value("hosts") == []
    assert [path.name for path in certs.directory.iterdir()] == ["foreign.crt"]
    (certs.directory / "foreign.crt").unlink()
    certs.converge(certs.registry(mirrors=MIRRORS))
    assert certs.converge(certs.registry(state="absent")).actions == [f"remove {certs.file}", f"remove {certs.directory}"]
    assert list(certs.path.iterdir()) == []


def test_secrets_show_nowhere(certs: Certs) -> None:
    word = SECRET.split()[1]
    first = ansible.play([certs.registry(mirrors=MIRRORS)], diff=True, arguments=["-vvv"])
    assert first.last.value("diff")["before"] == ""
    assert 'Authorization = "(secret, changed)"' in first.last.value("diff")["after"]
    assert first.last.value("diff")["after_header"] == str(certs.file)
    other = [{**MIRRORS[0], "header": {"Authorization": SECRET + "2"}}, MIRRORS[1]]
    second = ansible.play([certs.registry(mirrors=other), certs.info(REGISTRY)], diff=True, arguments=["-vvv"])
    diff = second.results[0].value("diff")
    assert 'Authorization = "(secret)"' in diff["before"]
    assert 'Authorization = "(secret, changed)"' in diff["after"]
    third = ansible.play([certs.registry(state="absent")], diff=True, arguments=["-vvv"])
    assert "(secret)" in third.last.value("diff")["before"]
    for played in (first, second, third):
        assert word not in played.output
        assert word not in json.dumps([one.result for one in played.results])


def test_without_tomlkit(certs: Certs, tmp_path: pathlib.Path) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "tomlkit.py").write_text("raise ImportError('not installed', name='tomlkit')\n")
    environment = {"PYTHONPATH": str(tmp_path / "modules")}
    wanted = certs.registry(mirrors=MIRRORS)
    changed = {**certs.registry(mirrors=MIRRORS[:1]), "ignore_errors": True}
    first, again, other, gone = ansible.play(
        [wanted, wanted, changed, certs.registry(state="absent")], environment=environment
    ).results
    assert (first.changed, again.changed, gone.changed) == (True, False, True)
    assert other.failed
    assert other.msg.startswith(f"the Python library tomlkit is needed to read {certs.file}: install the package python3-tomlkit")


def test_examples(certs: Certs, ca: str, tmp_path: pathlib.Path) -> None:
    replace = {
        "'ca.pem'": f"'{ca}'",
        "/etc/ssl/private-ca.pem": ca,
        "/etc/ssl/node.pem": ca,
        "/etc/ssl/private/node.key": f"{ca}.key",
    }
    tasks = examples_of("containerd_registry", replace)
    played = ansible.play([*tasks[:3], *tasks[:3], tasks[3], tasks[3]], defaults={"registry_config_dir": str(certs.path)})
    assert [one.changed for one in played.results] == [True] * 3 + [False] * 3 + [True, False]
    assert sorted(path.name for path in certs.path.iterdir()) == ["_default", "registry.example.com_5443_"]
    shown = ansible.play(examples_of("containerd_registry_info"), defaults={"registry_config_dir": str(certs.path)})
    first, second = (one.value("registries") for one in shown.results)
    assert [one["url"] for one in first[0]["hosts"]] == ["http://mirror.example.com:5000", "https://registry-1.docker.io"]
    assert [one["registry"] for one in second] == ["docker.io", "registry.example.com:5443"]
