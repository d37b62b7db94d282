# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_login through ansible-playbook, against real registries."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.stories import login as stories
from ansible_collections.fleet.containerd.tests.support.stories.login import Locked, Place


@pytest.fixture
def place(tmp_path: pathlib.Path, locked_registry: Registry) -> Place:
    registry = locked_registry
    return Place(tmp_path, Locked(registry.address, registry.ca, registry.username, registry.password), ansible.play)


def test_in_and_out(place: Place) -> None:
    stories.in_and_out(place)


@pytest.mark.parametrize("check", [False, True])
def test_wrong_credentials_are_not_written(place: Place, check: bool) -> None:
    stories.wrong_credentials_are_not_written(place, check)


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
    stories.hosts_toml_of_the_registry_itself(place)


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
