# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_registry and containerd_registry_info over files of the test's own."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import typing as t

import pytest
import tomllib

from ansible_collections.fleet.containerd.tests.support import trees
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.direct import Direct
from ansible_collections.fleet.containerd.tests.support.memory_site import play
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

    def converge(self, one: Task) -> TaskResult:
        """In check mode (which touches nothing), for real, and again."""
        before = trees.snapshot(self.path) if self.path.exists() else {}
        predicted = play([one], check=True, diff=True).last
        trees.assert_same(before, trees.snapshot(self.path) if self.path.exists() else {})
        real, again = play([one, one], diff=True).results
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
    first = play([certs.registry(mirrors=MIRRORS)], diff=True)
    assert first.last.value("diff")["before"] == ""
    assert 'Authorization = "(secret, changed)"' in first.last.value("diff")["after"]
    assert first.last.value("diff")["after_header"] == str(certs.file)
    other = [{**MIRRORS[0], "header": {"Authorization": SECRET + "2"}}, MIRRORS[1]]
    second = play([certs.registry(mirrors=other), certs.info(REGISTRY)], diff=True)
    diff = second.results[0].value("diff")
    assert 'Authorization = "(secret)"' in diff["before"]
    assert 'Authorization = "(secret, changed)"' in diff["after"]
    third = play([certs.registry(state="absent")], diff=True)
    assert "(secret)" in third.last.value("diff")["before"]
    for played in (first, second, third):
        assert word not in played.output
        assert word not in json.dumps([one.result for one in played.results])


def test_what_is_not_asked_for_stays(certs: Certs) -> None:
    certs.directory.mkdir(parents=True)
    text = f"""# kept by hand
server = "https://up.test" # the real one

# the mirror in the cellar
[host."https://z.test"]
  capabilities = ["pull", "resolve"] # all but pushes
  skip_verify = false
[host."https://z.test".header]
  Authorization = "{SECRET}"

# the other one
[host."https://y.test"]
  new_key = 5
"""
    certs.file.write_text(text)
    hosts = [{"host": "https://z.test"}, {"host": "https://y.test"}]
    same, less = play([certs.registry(mirrors=hosts), certs.registry(server="https://up.test")]).results
    assert (same.changed, same.actions) == (True, [f"make {certs.file} unreadable for others"])
    assert not less.changed
    assert certs.file.read_text() == text
    certs.converge(certs.registry(mirrors=[{"host": "https://z.test", "capabilities": ["pull"]}, hosts[1]]))
    assert certs.file.read_text() == text.replace('["pull", "resolve"]', '["pull"]')
    certs.converge(certs.registry(mirrors=[hosts[1], {"host": "https://new.test"}, hosts[0]]))
    assert list(certs.parsed()["host"]) == ["https://y.test", "https://new.test", "https://z.test"]
    assert certs.parsed()["host"]["https://z.test"]["header"] == {"Authorization": SECRET}
    assert certs.parsed()["host"]["https://y.test"] == {"new_key": 5}
    for comment in ("# kept by hand", "# the real one", "# all but pushes"):
        assert comment in certs.file.read_text()
    certs.converge(certs.registry(mirrors=[hosts[1]]))
    assert certs.parsed() == {"server": "https://up.test", "host": {"https://y.test": {"new_key": 5}}}


def test_a_server_alone_is_written_as_a_host_too(certs: Certs) -> None:
    certs.converge(certs.registry(server="up.test"))
    assert certs.parsed() == {
        "server": "https://up.test",
        "host": {"https://up.test": {"capabilities": ["pull", "resolve", "push"]}},
    }
    hosts = play([certs.info(REGISTRY)]).last.value("registries")[0]["hosts"]
    assert [one["url"] for one in hosts] == ["https://up.test"]


def test_names_of_directories(certs: Certs) -> None:
    (certs.path / "old.test:5000").mkdir(parents=True)
    mirrors = [{"host": "https://m.test"}]
    names = ("docker.io", "old.test:5000", "new.test:5000", "_default")
    played = play([certs.registry(registry=name, mirrors=mirrors) for name in names])
    directories = ("docker.io", "old.test:5000", "new.test_5000_", "_default")
    assert [one.value("hosts_toml") for one in played.results] == [f"{certs.path}/{name}/hosts.toml" for name in directories]
    assert [one["url"] for one in played.results[0].value("hosts")] == ["https://m.test", "https://registry-1.docker.io"]
    assert [one["url"] for one in played.results[3].value("hosts")] == ["https://m.test"]
    (certs.path / "old.test_5000_").mkdir()
    gone = play([certs.registry(registry="old.test:5000", state="absent")]).last
    assert gone.actions == [f"remove {certs.path}/old.test:5000/hosts.toml", f"remove {certs.path}/old.test:5000"]


def test_files_that_are_not_there(certs: Certs, tmp_path: pathlib.Path) -> None:
    wanted = certs.registry(mirrors=[{"host": "https://m.test", "ca": [str(tmp_path / "later.pem")]}])
    assert play([wanted], check=True).last.changed
    failed = play([{**wanted, "ignore_errors": True}]).last
    assert failed.failed
    assert "later.pem': expected a file that is there" in failed.msg
    assert not certs.file.exists()
    (tmp_path / "later.pem").write_text("")
    certs.converge(wanted)


def test_a_broken_file(certs: Certs) -> None:
    certs.directory.mkdir(parents=True)
    certs.file.write_text(f'header = "{SECRET}')
    present = {**certs.registry(mirrors=[{"host": "https://m.test"}]), "ignore_errors": True}
    played = play([present, {**certs.info(REGISTRY), "ignore_errors": True}, certs.registry(state="absent")], diff=True)
    for one in played.results[:2]:
        assert one.failed
        assert f"{certs.file}: not valid TOML at line 1" in one.msg
    assert played.last.changed
    assert SECRET not in played.output


WRONG: t.List[t.Tuple[str, t.Any]] = [
    ("registry", "https://reg.test"),
    ("registry", "reg.test/path"),
    ("registry", "plain"),
    ("registry", ""),
    ("registry", "registry-1.docker.io"),
    ("registry", "../etc"),
    ("registry_config_dir", "relative"),
    ("server", "ftp://up.test"),
    ("server", "https://user:pw@up.test"),
    ("server", "https://up.test/?a=b"),
    ("mirrors", []),
    ("mirrors", [{"host": "https://a.test"}, {"host": "https://a.test"}]),
    ("host", "https://a b"),
    ("host", ""),
    ("capabilities", ["pul"]),
    ("ca", [""]),
    ("ca_content", "no certificate"),
    ("client", [["only one"]]),
    ("client", [5]),
    ("header", {"bad name": "value"}),
    ("header", {"name": 5}),
    ("header", {"name": "a\nb"}),
    ("dial_timeout", "5"),
    ("dial_timeout", "-5s"),
    ("skip_verify", "perhaps"),
    ("override_path", "perhaps"),
]


def test_wrong_values(certs: Certs) -> None:
    unclear = []
    for option, value in WRONG:
        options: t.Dict[str, t.Any] = {"registry": REGISTRY, "registry_config_dir": str(certs.path)}
        if option in ("registry", "registry_config_dir", "server", "mirrors"):
            options = {"mirrors": [{"host": "https://m.test"}], **options, option: value}
        else:
            options["mirrors"] = [{"host": "https://m.test", option: value}]
        result = Direct({}).result("registry", **options)
        message = str(result.get("msg"))
        if not result.get("failed") or option not in message or "\n" in message or "MODULE FAILURE" in message:
            unclear.append(f"{option}: {value!r} gives {message!r}")
    assert not unclear, "\n".join(unclear)
    assert not certs.path.exists()


def test_info(certs: Certs, tmp_path: pathlib.Path) -> None:
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {"z.test": {"username": "a", "password": "b"}}}))
    play([certs.registry(mirrors=MIRRORS)])
    image = f"{REGISTRY}/team/app:2"
    played = play([certs.info(image, "nginx", "docker.io", "localhost:5000", auth_file=str(tmp_path / "auth.json"))])
    first, nginx, hub, local = played.last.value("registries")
    assert (first["image"], first["registry"], first["hosts_toml"]) == (image, REGISTRY, str(certs.file))
    assert [one["manifest"] for one in first["hosts"]] == [
        "https://z.test/v2/team/app/manifests/2?ns=reg.test%3A5443",
        "https://a.test:5000/sub/team/app/manifests/2?ns=reg.test%3A5443",
        f"https://{REGISTRY}/v2/team/app/manifests/2",
    ]
    assert [one["credentials"] for one in first["hosts"]] == [True, False, False]
    assert [one["registry"] for one in first["hosts"]] == [False, False, True]
    assert first["hosts"][0]["capabilities"] == ["pull", "resolve"]
    assert first["hosts"][0]["headers"] == ["Authorization", "x-a"]
    assert (nginx["image"], nginx["directory"]) == ("docker.io/library/nginx:latest", "")
    assert [one["url"] for one in nginx["hosts"]] == [one["url"] for one in hub["hosts"]] == ["https://registry-1.docker.io"]
    assert "image" not in hub
    assert local["hosts"][0]["plain_http"] is True
    assert not played.changed


def test_links_and_owners_stay(certs: Certs, tmp_path: pathlib.Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text('[host."https://a.test"]\n')
    os.chown(real, 1234, 4321)
    certs.directory.mkdir(parents=True)
    certs.file.symlink_to(real)
    certs.converge(certs.registry(mirrors=[{"host": "https://b.test"}]))
    assert certs.file.is_symlink()
    assert "b.test" in real.read_text()
    assert (real.stat().st_uid, real.stat().st_gid) == (1234, 4321)
