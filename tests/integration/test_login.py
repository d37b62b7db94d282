# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_login through ansible-playbook, against real registries."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import stat
import typing as t

import pytest
import tomllib

from ansible_collections.fleet.containerd.tests.support import ansible, trees
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.registry import Registry


class Place:
    """A config.json and a certs.d of the test's own, and tasks for the registry with TLS and basic authentication."""

    def __init__(self, base: pathlib.Path, registry: Registry) -> None:
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

    def converge(self, one: Task, **how: t.Any) -> TaskResult:
        before = trees.snapshot(self.base)
        predicted = ansible.play([one], check=True, diff=True, **how).last
        trees.assert_same(before, trees.snapshot(self.base))
        real, again = ansible.play([one, one], diff=True, **how).results
        assert predicted.actions == real.actions
        assert predicted.get("diff") == real.get("diff")
        assert real.changed
        assert (again.changed, again.actions) == (False, [])
        return real

    def auths(self) -> t.Dict[str, t.Any]:
        return dict(json.loads(self.config.read_text())["auths"])

    def requests(self) -> int:
        """How many answers the registry has given so far."""
        return self.registry.log.read_text().count("response completed")


@pytest.fixture
def place(tmp_path: pathlib.Path, locked_registry: Registry) -> Place:
    return Place(tmp_path, locked_registry)


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


@pytest.mark.parametrize("check", [False, True])
def test_wrong_credentials_are_not_written(place: Place, check: bool) -> None:
    wrong = {**place.login(username="robot", password="a-wrong-word"), "ignore_errors": True}
    played = ansible.play([wrong], check=check)
    assert played.last.failed
    assert played.last.value("error") == "Unauthenticated"
    assert place.registry.address in played.last.msg
    assert "a-wrong-word" not in played.output
    assert not place.config.exists()
    unverified = ansible.play([place.login(username="robot", password="a-wrong-word", verify=False)], check=check).last
    assert unverified.changed
    assert place.config.exists() is not check


def test_a_password_shows_nowhere(place: Place) -> None:
    played = ansible.play([place.with_hosts(**place.right), place.with_hosts(state="absent")], diff=True, arguments=["-vvv"])
    for secret in (place.registry.password, place.authorization.split()[1]):
        assert secret not in played.output
        assert secret not in json.dumps([one.result for one in played.results])


# starts: sh, test, cat, basename, python3, rm
HELPER = """#!/bin/sh
echo "$0 $*" >> {base}/calls
case $1 in
get) read server; test -f {base}/$(basename $server) && cat {base}/$(basename $server) || {{ echo credentials not found in native keychain; exit 1; }} ;;
store) cat > {base}/stored; python3 -c '
import json, os
found = json.load(open("{base}/stored"))
json.dump({{"Username": found["Username"], "Secret": found["Secret"]}}, open("{base}/" + os.path.basename(found["ServerURL"]), "w"))' ;;
erase) read server; rm {base}/$(basename $server) ;;
esac
"""


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_credential_helpers(place: Place, key: str) -> None:
    keychain = place.base / "keychain"
    keychain.mkdir()
    helper = keychain / "docker-credential-fake"
    helper.write_text(HELPER.format(base=keychain))
    helper.chmod(0o755)
    place.config.parent.mkdir()
    text = json.dumps({key: "fake" if key == "credsStore" else {place.registry.address: "fake"}})
    place.config.write_text(text)
    (keychain / "calls").write_text("")
    environment = {"PATH": f"{keychain}:{os.environ['PATH']}"}
    done = ansible.play([place.login(**place.right)] * 2, environment=environment).results
    assert [one.changed for one in done] == [True, False]
    stored = json.loads((keychain / place.registry.address).read_text())
    assert stored == {"Username": "robot", "Secret": place.registry.password}
    assert place.registry.password not in (keychain / "calls").read_text()
    gone = ansible.play([place.login(state="absent")] * 2, environment=environment).results
    assert [one.changed for one in gone] == [True, False]
    assert not (keychain / place.registry.address).exists()
    assert place.config.read_text() == text
    missing = ansible.play([{**place.login(**place.right), "ignore_errors": True}]).last
    assert missing.msg.startswith("the credential helper docker-credential-fake is not installed")


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


def test_examples(place: Place) -> None:
    address = place.registry.address
    replace = {
        "registry.example.com:5443": address,
        '    username: robot\n    password: "{{ hub_token }}"': f'    registry_url: {address}\n    username: robot\n    password: "{{{{ hub_token }}}}"',
    }
    place.certs.mkdir()
    defaults = {"config_path": str(place.config), "registry_config_dir": str(place.certs), "ca_path": place.registry.ca}
    variables = {"hub_token": place.registry.password, "registry_password": place.registry.password}
    first, second, third = ansible.play(examples_of("containerd_login", replace), defaults=defaults, variables=variables).results
    assert first.actions == [f"log in to {address} as robot"]
    assert second.actions == [f"write the credentials into {place.own}"]
    assert third.actions == [f"log out of {address}", f"take the credentials out of {place.own}"]
