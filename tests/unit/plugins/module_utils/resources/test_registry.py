# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_registry and containerd_registry_info over files of the test's own."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.memory_site import play
from ansible_collections.fleet.containerd.tests.support.messages import unclear
from ansible_collections.fleet.containerd.tests.support.stories import registry as stories
from ansible_collections.fleet.containerd.tests.support.stories.registry import MIRRORS, REGISTRY, SECRET, Certs


@pytest.fixture
def certs(tmp_path: pathlib.Path) -> Certs:
    return Certs(tmp_path / "certs.d", play)


def test_present_change_and_absent(certs: Certs, ca: str) -> None:
    stories.present_change_and_absent(certs, ca)


def test_secrets_show_nowhere(certs: Certs) -> None:
    stories.secrets_show_nowhere(certs)


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


def with_wrong(option: str, value: t.Any) -> t.Dict[str, t.Any]:
    """Options of which one is wrong: of the module, or of its one mirror."""
    if option in ("registry", "registry_config_dir", "server", "mirrors"):
        return {"mirrors": [{"host": "https://m.test"}], option: value}
    return {"mirrors": [{"host": "https://m.test", option: value}]}


def test_wrong_values(certs: Certs) -> None:
    right = {"registry": REGISTRY, "registry_config_dir": str(certs.path)}
    found = unclear("registry", [(option, {**right, **with_wrong(option, value)}) for option, value in WRONG])
    assert not found, "\n".join(found)
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
