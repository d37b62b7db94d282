# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_login over files of the test's own, and registries in this process."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import ssl
import stat
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support import trees
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, Handler, fake_registry
from ansible_collections.fleet.containerd.tests.support.memory_site import play
from ansible_collections.fleet.containerd.tests.support.messages import unclear
from ansible_collections.fleet.containerd.tests.support.stories import login as stories
from ansible_collections.fleet.containerd.tests.support.stories.login import Locked, Place, hosts


@pytest.fixture
def server(authority: t.Tuple[str, str, str]) -> t.Iterator[FakeRegistry]:
    """What place has as its registry."""
    ca, certificate, key = authority
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with fake_registry(tls) as server:
        wanted = Locked(server.address, ca).authorization

        def guard(at: Handler) -> bool:
            if at.headers.get("Authorization") == wanted:
                return True
            at.answer(401, headers={"WWW-Authenticate": 'Basic realm="test"'})
            return False

        server.guard, server.contents["/v2/"] = guard, (b"{}", "application/json")
        yield server


@pytest.fixture
def place(tmp_path: pathlib.Path, server: FakeRegistry, ca: str) -> Place:
    return Place(tmp_path, Locked(server.address, ca), play)


def test_in_and_out(place: Place) -> None:
    stories.in_and_out(place)


def test_nothing_is_asked_and_written_when_all_is_there(place: Place, server: FakeRegistry) -> None:
    """I30: a file with credentials is written when something in it differs, and keeps its mode, owner and place."""
    play([place.with_hosts(**place.right)])
    before, asked = trees.snapshot(place.base), len(server.seen)
    same = play([place.with_hosts(**place.right)]).last
    assert not same.changed
    assert same.value("verified") is False
    assert len(server.seen) == asked
    again = play([place.with_hosts(reauthorize=True, **place.right)]).last
    assert not again.changed
    assert again.value("verified") is True
    assert len(server.seen) > asked
    trees.assert_same(before, trees.snapshot(place.base))


@pytest.mark.parametrize("check", [False, True])
def test_wrong_credentials_are_not_written(place: Place, check: bool) -> None:
    stories.wrong_credentials_are_not_written(place, check)


def test_other_entries_stay(place: Place) -> None:
    place.config.parent.mkdir()
    other = {"auths": {"other.test": {"auth": "YTpi", "email": "x"}}, "detachKeys": "ctrl-e,e", "plugins": {"a": {"b": "c"}}}
    real = place.base / "real.json"
    real.write_text(json.dumps(other))
    os.chown(real, 1234, 4321)
    place.config.symlink_to(real)
    place.converge(place.login(**place.right))
    assert place.config.is_symlink()
    assert (real.stat().st_uid, real.stat().st_gid, stat.S_IMODE(real.stat().st_mode)) == (1234, 4321, 0o600)
    written = json.loads(real.read_text())
    assert written["auths"].pop(place.registry.address)
    assert written == other
    place.converge(place.login(state="absent"))
    assert json.loads(real.read_text()) == other


def test_a_changed_password(place: Place) -> None:
    place.config.parent.mkdir()
    place.config.write_text(
        json.dumps({"auths": {f"https://{place.registry.address}": {"auth": base64.b64encode(b"robot:old").decode()}}})
    )
    done = place.converge(place.login(**place.right))
    assert done.value("diff")["before"] == {"username": "robot", "password": "(secret)"}
    assert done.value("diff")["after"] == {"username": "robot", "password": "(secret, changed)"}
    assert place.auths() == {f"https://{place.registry.address}": {"auth": place.authorization.split()[1]}}


def test_hosts_toml_of_the_registry_itself(place: Place) -> None:
    stories.hosts_toml_of_the_registry_itself(place)


def test_hosts_toml_wherever_the_registry_is_a_mirror(place: Place) -> None:
    url = f"https://{place.registry.address}"
    texts = {
        "docker.io": f'server = "https://registry-1.docker.io"\n# ours\n[host."{url}/hub"]\n  capabilities = ["pull"]\n[host."https://m.test"]\n',
        "_default": f'[host."https://m.test"]\n[host."{url}".header]\nauthorization = "Basic b2xk"\nx-other = "stays"\n',
        "other.test": '[host."https://m.test"]\n',
        "alias.test": f'server = "{url}"\n',
        "broken.test": "server = ",
    }
    for name, text in texts.items():
        (place.certs / name).mkdir(parents=True)
        (place.certs / name / "hosts.toml").write_text(text)
    done = place.converge(place.with_hosts(**place.right))
    named = [str(place.certs / name / "hosts.toml") for name in ("_default", "alias.test", "docker.io")]
    assert done.value("hosts_toml") == named
    assert done.actions[1:] == [f"write the credentials into {path}" for path in named]
    (warning,) = done.value("warnings")
    assert "broken.test/hosts.toml: not valid TOML" in warning
    header = {"Authorization": place.authorization}
    assert hosts(place.certs / "docker.io" / "hosts.toml")["host"] == {
        f"{url}/hub": {"capabilities": ["pull"], "header": header},
        "https://m.test": {},
    }
    assert "# ours" in (place.certs / "docker.io" / "hosts.toml").read_text()
    assert hosts(place.certs / "_default" / "hosts.toml")["host"][url] == {
        "header": {"authorization": place.authorization, "x-other": "stays"}
    }
    assert hosts(place.certs / "alias.test" / "hosts.toml") == {
        "server": url,
        "host": {url: {"header": header}},
    }
    assert (place.certs / "other.test" / "hosts.toml").read_text() == texts["other.test"]
    assert not place.own.exists()
    mirrors = [{"host": f"{url}/hub"}, {"host": "https://m.test"}]
    same = play([task("containerd_registry", registry="docker.io", registry_config_dir=str(place.certs), mirrors=mirrors)]).last
    assert not same.changed
    place.converge(place.with_hosts(state="absent"))
    assert hosts(place.certs / "_default" / "hosts.toml")["host"][url] == {"header": {"x-other": "stays"}}
    assert "Basic" not in (place.certs / "docker.io" / "hosts.toml").read_text()


def test_hosts_toml_keeps_the_certificates_of_dockers_layout(place: Place) -> None:
    place.own.parent.mkdir(parents=True)
    (place.own.parent / "ca.crt").write_text(pathlib.Path(place.registry.ca).read_text())
    (place.certs / "_default").mkdir()
    (place.certs / "_default" / "hosts.toml").write_text('[host."https://m.test"]\n')
    done = place.converge(place.with_hosts(ca_path=None, **place.right))
    assert done.value("verified") is True
    (table,) = hosts(place.own)["host"].values()
    assert table["ca"] == [str(place.own.parent / "ca.crt")]
    assert "warnings" not in done.result


def test_the_registry_itself_after_its_mirrors(place: Place) -> None:
    place.own.parent.mkdir(parents=True)
    for server in (f'server = "https://{place.registry.address}"\n', ""):
        place.own.write_text(server + '[host."https://m.test"]\n')
        place.converge(place.with_hosts(**place.right))
        assert hosts(place.own)["header"] == {"Authorization": place.authorization}
        assert hosts(place.own)["host"] == {"https://m.test": {}}
        place.converge(place.with_hosts(state="absent"))
        assert "header" not in hosts(place.own)


def test_a_file_that_leads_elsewhere(place: Place) -> None:
    place.own.parent.mkdir(parents=True)
    place.own.write_text('server = "https://elsewhere.test"\n')
    done = place.converge(place.with_hosts(**place.right))
    assert done.actions == [f"log in to {place.registry.address} as robot"]
    assert "leads to other hosts only" in done.value("warnings")[0]


def test_the_mirrors_of_default_count_for_a_registry_that_gets_a_file_of_its_own(place: Place) -> None:
    shared, url = place.certs / "_default", f"https://{place.registry.address}"
    shared.mkdir(parents=True)
    (shared / "ca.pem").write_text(pathlib.Path(place.registry.ca).read_text())
    (shared / "hosts.toml").write_text(
        'ca = "ca.pem"\n[host."https://m.test"]\ncapabilities = ["pull"]\nclient = [["c", "/k"]]\n'
    )
    done = place.converge(place.with_hosts(verify=False, ca_path=None, **place.right))
    assert done.value("hosts_toml") == [str(place.own)]
    assert f"changes in {shared} no longer affect it" in done.value("warnings")[0]
    assert hosts(place.own) == {
        "server": url,
        "ca": str(shared / "ca.pem"),
        "header": {"Authorization": place.authorization},
        "host": {"https://m.test": {"capabilities": ["pull"], "client": [[str(shared / "c"), "/k"]]}},
    }
    place.config.unlink()
    place.own.unlink()
    place.own.parent.rmdir()
    (shared / "hosts.toml").write_text('server = "https://elsewhere.test"\n')
    done = place.converge(place.with_hosts(verify=False, **place.right))
    assert done.value("hosts_toml") == [str(shared / "hosts.toml")]
    assert "leads to other hosts only" in done.value("warnings")[0]
    assert not place.own.exists()


def test_a_registry_is_asked_with_the_header_for_tags_and_for_layers(place: Place) -> None:
    url = f"https://{place.registry.address}"
    place.own.parent.mkdir(parents=True)
    place.own.write_text(f'server = "{url}"\n[host."{url}"]\ncapabilities = ["pull"]\n')
    place.converge(place.with_hosts(verify=False, **place.right))
    header = {"Authorization": place.authorization}
    assert hosts(place.own) == {"server": url, "header": header, "host": {url: {"capabilities": ["pull"], "header": header}}}
    place.config.unlink()
    place.own.write_text(f'server = "{url}"\nca = "{place.registry.ca}"\n')
    place.converge(place.with_hosts(**place.right))
    assert hosts(place.own)["host"] == {url: {"ca": place.registry.ca, "header": header}}


@pytest.mark.parametrize(("before", "with_secrets", "afterwards"), [(0o600, 0o600, 0o600), (0o644, 0o640, 0o644)])
def test_a_strict_mode_of_hosts_toml_stays(place: Place, before: int, with_secrets: int, afterwards: int) -> None:
    place.own.parent.mkdir(parents=True)
    place.own.write_text(f'[host."https://{place.registry.address}"]\n')
    place.own.chmod(before)
    for options, wanted in ({"verify": False, **place.right}, with_secrets), ({"state": "absent"}, afterwards):
        assert play([place.with_hosts(**options)]).last.changed
        assert stat.S_IMODE(place.own.stat().st_mode) == wanted


def test_a_registry_that_asks_for_no_credentials(place: Place, registry: FakeRegistry) -> None:
    registry.contents["/v2/"] = (b"{}", "application/json")
    done = play([place.login(registry_url=f"http://{registry.address}/v2/", username="a", password="any-word")]).last
    assert done.changed
    assert done.value("verified") is False
    assert "could not be verified" in done.value("warnings")[0]
    assert list(place.auths()) == [registry.address]


def test_tokens(place: Place) -> None:
    basic = "Basic " + base64.b64encode(b"robot:right-word").decode()

    def bearer(at: Handler) -> bool:
        if at.headers.get("Authorization") == "Bearer good":
            return True
        at.answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{tokens.address}/token",service="s"'})
        return False

    def account(at: Handler) -> bool:
        if at.headers.get("Authorization") == basic:
            return True
        at.answer(401)
        return False

    with fake_registry() as registry, fake_registry() as tokens:
        registry.guard, tokens.guard = bearer, account
        registry.contents["/v2/"] = (b"{}", "application/json")
        tokens.contents["/token"] = (b'{"token":"good"}', "application/json")
        right = place.login(registry_url=f"http://{registry.address}", username="robot", password="right-word")
        wrong = {
            **place.login(registry_url=f"http://{registry.address}", username="robot", password="wrong-word"),
            "ignore_errors": True,
        }
        good, bad = play([right, wrong]).results
        assert good.value("verified") is True
        assert bad.failed
        assert "refuses a token with HTTP 401: check username and password" in bad.msg
        assert [value for value in registry.sent("Authorization") if value.startswith("Basic")] == []


def test_docker_hub_has_its_own_key(place: Place) -> None:
    play([place.login(registry_url="https://index.docker.io/v1/", verify=False, ca_path=None, **place.right)])
    assert list(place.auths()) == ["https://index.docker.io/v1/"]
    gone = play([place.login(registry_url="docker.io", state="absent", ca_path=None)]).last
    assert gone.changed
    assert place.auths() == {}


WRONG: t.List[t.Tuple[str, t.Any]] = [
    ("registry_url", "ftp://reg.test"),
    ("registry_url", "plain"),
    ("registry_url", "https://user:pw@reg.test"),
    ("registry_url", "_default"),
    ("username", ""),
    ("username", "a:b"),
    ("password", ""),
    ("password", "a\nb"),
    ("config_path", "relative"),
    ("ca_path", "/no/such/ca.pem"),
    ("registry_config_dir", "/no/such/certs.d"),
    ("state", "gone"),
]


def test_wrong_values(place: Place) -> None:
    right = {"registry_url": "reg.test", "username": "a", "password": "secret-word", "config_path": str(place.config)}
    found = unclear("login", [(option, {**right, option: value}) for option, value in WRONG], hidden="secret-word")
    assert not found, "\n".join(found)
    assert not place.config.exists()


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_a_broken_config_json(place: Place, text: str) -> None:
    place.config.parent.mkdir()
    place.config.write_text(text)
    failed = play([{**place.login(**place.right), "ignore_errors": True}]).last
    assert failed.msg == f"config_path: {place.config} is not a JSON object"
    assert place.config.read_text() == text
