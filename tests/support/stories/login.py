# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_login at a registry with TLS by a private authority and basic authentication."""

from __future__ import annotations

import base64
import json
import pathlib
import stat
import typing as t

import tomllib

from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.stories.converge import Player, converge


class Locked(t.NamedTuple):
    """The registry, and an account at it. ca: the file of its authority."""

    address: str
    ca: str
    username: str = "robot"
    password: str = "s3cret-word"

    @property
    def authorization(self) -> str:
        """The header that it wants to see."""
        return f"Basic {base64.b64encode(f'{self.username}:{self.password}'.encode()).decode()}"


class Place:
    """A config.json and a certs.d of the test's own, and tasks for the registry with TLS and basic authentication."""

    def __init__(self, base: pathlib.Path, registry: Locked, play: Player) -> None:
        self.base, self.registry, self.play = base, registry, play
        self.config, self.certs = base / "docker" / "config.json", base / "certs.d"
        self.right = {"username": registry.username, "password": registry.password}
        host, _colon, port = registry.address.partition(":")
        self.own = self.certs / f"{host}_{port}_" / "hosts.toml"
        self.authorization = registry.authorization

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
        return converge(self.play, one, self.base)

    def auths(self) -> t.Dict[str, t.Any]:
        return dict(json.loads(self.config.read_text())["auths"])


def hosts(path: pathlib.Path) -> t.Dict[str, t.Any]:
    return tomllib.loads(path.read_text())


def in_and_out(place: Place) -> None:
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


def wrong_credentials_are_not_written(place: Place, check: bool) -> None:
    wrong = {**place.login(username="robot", password="a-wrong-word"), "ignore_errors": True}
    played = place.play([wrong], check=check)
    assert played.last.failed
    assert played.last.value("error") == "Unauthenticated"
    assert place.registry.address in played.last.msg
    assert "a-wrong-word" not in played.output
    assert not place.config.exists()
    unverified = place.play([place.login(username="robot", password="a-wrong-word", verify=False)], check=check).last
    assert unverified.changed
    assert place.config.exists() is not check


def hosts_toml_of_the_registry_itself(place: Place) -> None:
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
