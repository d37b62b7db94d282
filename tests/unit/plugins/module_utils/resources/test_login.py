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
import tomllib

from ansible_collections.fleet.containerd.tests.support import trees
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.direct import Direct
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, Handler, fake_registry
from ansible_collections.fleet.containerd.tests.support.memory_site import play
from ansible_collections.fleet.containerd.tests.support.registry import make_ca


class Locked(t.NamedTuple):
    """A registry with TLS by a private authority and basic authentication."""

    server: FakeRegistry
    ca: str
    username: str = "robot"
    password: str = "s3cret-word"

    @property
    def address(self) -> str:
        return self.server.address


class Place:
    """A config.json and a certs.d of the test's own, and tasks for the registry with TLS and basic authentication."""

    def __init__(self, base: pathlib.Path, registry: Locked) -> None:
        self.base, self.registry = base, registry
        self.config, self.certs = base / "docker" / "config.json", base / "certs.d"
        self.right = {"username": registry.username, "password": registry.password}
        host, _colon, port = registry.address.partition(":")
        self.own = self.certs / f"{host}_{port}_" / "hosts.toml"
        pair = base64.b64encode(f"{registry.username}:{registry.password}".encode()).decode()
        self.authorization = f"Basic {pair}"

    def login(self, **options: t.Any) -> Task:
        how = {
            "registry_url": self.registry.address,
            "ca_path": self.registry.ca,
            "config_path": str(self.config),
            "retries": 0,
            "registry_config_dir": "",
        }
        return task("containerd_login", **{**how, **options})

    def with_hosts(self, **options: t.Any) -> Task:
        self.certs.mkdir(exist_ok=True)
        return self.login(**{"hosts_toml": True, "registry_config_dir": str(self.certs), **options})

    def converge(self, one: Task) -> TaskResult:
        before = trees.snapshot(self.base)
        predicted = play([one], check=True, diff=True).last
        trees.assert_same(before, trees.snapshot(self.base))
        real, again = play([one, one], diff=True).results
        assert predicted.actions == real.actions
        assert predicted.get("diff") == real.get("diff")
        assert real.changed
        assert (again.changed, again.actions) == (False, [])
        return real

    def auths(self) -> t.Dict[str, t.Any]:
        return dict(json.loads(self.config.read_text())["auths"])

    def requests(self) -> int:
        """How many requests the registry has seen so far."""
        return len(self.registry.server.seen)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> t.Tuple[str, str, str]:
    """Keys take a while: once for all tests."""
    return make_ca(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def place(tmp_path: pathlib.Path, authority: t.Tuple[str, str, str]) -> t.Iterator[Place]:
    ca, certificate, key = authority
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with fake_registry(tls) as server:
        found = Place(tmp_path, Locked(server, ca))

        def guard(at: Handler) -> bool:
            if at.headers.get("Authorization") == found.authorization:
                return True
            at.answer(401, headers={"WWW-Authenticate": 'Basic realm="test"'})
            return False

        server.guard, server.contents["/v2/"] = guard, (b"{}", "application/json")
        yield found


def hosts(path: pathlib.Path) -> t.Dict[str, t.Any]:
    return tomllib.loads(path.read_text())


def test_in_and_out(place: Place) -> None:
    done = place.converge(place.login(**place.right))
    assert done.actions == [f"log in to {place.registry.address} as robot"]
    assert done.value("verified") is True
    assert done.value("config_path") == str(place.config)
    assert done.value("diff") == {"before": {}, "after": {"username": "robot", "password": "(secret, changed)"}}
    assert place.auths() == {place.registry.address: {"auth": place.authorization.split()[1]}}
    assert stat.S_IMODE(place.config.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.config.parent.stat().st_mode) == 0o700
    gone = place.converge(place.login(state="absent"))
    assert gone.actions == [f"log out of {place.registry.address}"]
    assert place.auths() == {}


def test_nothing_is_asked_and_written_when_all_is_there(place: Place) -> None:
    play([place.with_hosts(**place.right)])
    before, asked = trees.snapshot(place.base), place.requests()
    same = play([place.with_hosts(**place.right)]).last
    assert not same.changed
    assert same.value("verified") is False
    assert place.requests() == asked
    again = play([place.with_hosts(reauthorize=True, **place.right)]).last
    assert not again.changed
    assert again.value("verified") is True
    assert place.requests() > asked
    trees.assert_same(before, trees.snapshot(place.base))


@pytest.mark.parametrize("check", [False, True])
def test_wrong_credentials_are_not_written(place: Place, check: bool) -> None:
    wrong = {**place.login(username="robot", password="a-wrong-word"), "ignore_errors": True}
    played = play([wrong], check=check)
    assert played.last.failed
    assert played.last.value("error") == "Unauthenticated"
    assert place.registry.address in played.last.msg
    assert "a-wrong-word" not in played.output
    assert not place.config.exists()
    unverified = play([place.login(username="robot", password="a-wrong-word", verify=False)], check=check).last
    assert unverified.changed
    assert place.config.exists() is not check


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
    done = place.converge(place.with_hosts(**place.right))
    assert done.actions == [f"log in to {place.registry.address} as robot", f"write the credentials into {place.own}"]
    assert done.value("hosts_toml") == [str(place.own)]
    url = f"https://{place.registry.address}"
    table = {
        "capabilities": ["pull", "resolve", "push"],
        "ca": [place.registry.ca],
        "header": {"Authorization": place.authorization},
    }
    assert hosts(place.own) == {"server": url, "host": {url: table}}
    assert stat.S_IMODE(place.own.stat().st_mode) == 0o640
    assert done.value("diff")["after"]["hosts_toml"] == [str(place.own)]
    gone = place.converge(place.with_hosts(state="absent"))
    assert gone.actions == [f"log out of {place.registry.address}", f"take the credentials out of {place.own}"]
    del table["header"]
    assert hosts(place.own) == {"server": url, "host": {url: table}}


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
    unclear = []
    for option, value in WRONG:
        options = {
            "registry_url": "reg.test",
            "username": "a",
            "password": "secret-word",
            "config_path": str(place.config),
            option: value,
        }
        result = Direct({}).result("login", **options)
        message = str(result.get("msg"))
        if not result.get("failed") or option not in message or "\n" in message or "secret-word" in message:
            unclear.append(f"{option}: {value!r} gives {message!r}")
    assert not unclear, "\n".join(unclear)
    assert not place.config.exists()


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_a_broken_config_json(place: Place, text: str) -> None:
    place.config.parent.mkdir()
    place.config.write_text(text)
    failed = play([{**place.login(**place.right), "ignore_errors": True}]).last
    assert failed.msg == f"config_path: {place.config} is not a JSON object"
    assert place.config.read_text() == text
