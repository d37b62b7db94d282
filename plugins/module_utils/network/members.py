# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in which network: the containers of all engines and namespaces of a host, by the files that their hooks read.

So a member is known without its engine, and while a daemon is down.
"""

from __future__ import annotations

import glob
import json
import os
import typing as t

from ..errors import DataLoss
from ..hostfs.atomic import read_file, write_file
from . import netns
from .connected import Connected, Endpoint
from .container import Connection
from .ipam import Owner
from .rules import Rules

FILE = "networks.json"
#: As engine_host/place.py has it: engine, namespace, container.
_LAYOUT = os.path.join("containers", "*", "*", "*", FILE)


class Member(t.NamedTuple):
    """A container that has networks, and the file that says which."""

    path: str
    connected: Connected

    @classmethod
    def of(cls, path: str, raw: bytes) -> Member:
        """DataLoss, with the path."""
        try:
            return cls(path, Connected.of(raw))
        except DataLoss as error:
            raise DataLoss(f"{path}: {error}") from error

    @property
    def id(self) -> str:
        return os.path.basename(os.path.dirname(self.path))

    @property
    def namespace(self) -> str:
        return self.path.split(os.sep)[-3]

    @property
    def engine(self) -> str:
        """embedded, or containerd with what tells daemons apart."""
        return self.path.split(os.sep)[-4]

    @property
    def name(self) -> str:
        """The container's own name, which comes after its host names; all have their short id besides."""
        return ([self.id[:12], *(one for one in self.connected.names if one != self.id[:12])])[-1]

    @property
    def runs(self) -> bool:
        return netns.is_another(self.connected.pin)

    def number(self, network: str) -> int:
        """Which of its endpoints is in the network; -1 for none."""
        names = [one.network for one in self.connected.endpoints]
        return names.index(network) if network in names else -1

    def endpoint(self, network: str) -> t.Optional[Endpoint]:
        number = self.number(network)
        return self.connected.endpoints[number] if number >= 0 else None

    def attached(self, network: str) -> bool:
        return self.connected.results().get(network) is not None

    def check(self) -> None:
        """InvalidArgument where it cannot be in one of its networks, whatever these are."""
        for number in range(len(self.connected.endpoints)):
            self.connected.kept_at(number)

    # Changes. Each can be repeated: killed in between, the next run finds what is missing.

    def with_endpoint(self, endpoint: Endpoint) -> Member:
        """The same in one network more, or with another endpoint there. It gets a link whose name is free."""
        number, endpoints = self.number(endpoint.network), self._endpoints()
        if number >= 0:
            endpoints[number] = endpoint._replace(interface=endpoints[number].interface)
        else:
            taken = {one.interface for one in endpoints}
            free = next(name for name in (f"eth{one}" for one in range(len(taken) + 1)) if name not in taken)
            endpoints.append(endpoint._replace(interface=free))
        return self._replace(connected=self.connected._replace(endpoints=tuple(endpoints)))

    def without(self, network: str) -> Member:
        left = tuple(one for one in self._endpoints() if one.network != network)
        return self._replace(connected=self.connected._replace(endpoints=left))

    def _endpoints(self) -> t.List[Endpoint]:
        """Their links keep their names when others come and go."""
        return [one._replace(interface=self.connected.interface(number)) for number, one in enumerate(self.connected.endpoints)]

    def become(self, other: Member, rules: t.Optional[Rules] = None) -> t.List[str]:
        """Have the networks of another one, at once if it runs. What others could not be told, a sentence each."""
        if self.runs:
            return Connection(self.connected, rules).change(other.connected, lambda one: self._replace(connected=one).save())
        problems = Connection(self.connected, rules).down() if self.connected.begun() else []
        other.save()
        return problems

    def save(self) -> None:
        write_file(self.path, json.dumps(self.connected.to_json()).encode(), 0o644)

    def attach(self, network: str, rules: t.Optional[Rules] = None) -> t.List[str]:
        """Have its link in the network, if it runs. What others could not be told, a sentence each."""
        return Connection(self.connected, rules).connect(self.number(network)) if self.runs else []

    def detach(self, network: str, rules: t.Optional[Rules] = None) -> t.List[str]:
        """Take its link away, if it has one."""
        return Connection(self.connected, rules).disconnect(self.number(network)) if self.runs or self.attached(network) else []


class Found(t.NamedTuple):
    """The containers that have networks, and an error for each file that cannot be read: it could be a member's."""

    members: t.Tuple[Member, ...]
    lost: t.Tuple[DataLoss, ...] = ()

    def of(self, network: str, conf_dir: str, namespace: str = "") -> t.List[Member]:
        """The members of a network, by name. A network of the same name in another directory is another one. namespace: the only
        one whose containers see it.
        """
        here = [one for one in self.members if one.number(network) >= 0 and one.connected.places.conf_dir == conf_dir]
        here = [one for one in here if namespace in ("", one.connected.places.namespace)]
        return sorted(here, key=lambda one: (one.name, one.path))

    def strangers(self, owners: t.Iterable[Owner], cache_dir: str, network: str) -> t.List[Owner]:
        """Those owners of addresses that are none of these containers, but for the dead."""
        ours = {one.connected.container_id for one in self.members}
        return [one for one in owners if one.container_id not in ours and not _dead(cache_dir, network, one)]


def find(data_root: str) -> Found:
    """All of a host that have their files below data_root."""
    members, lost = [], []
    for path in sorted(glob.glob(os.path.join(glob.escape(data_root), _LAYOUT))):
        raw = read_file(path)
        try:
            members += [] if raw is None else [Member.of(path, raw)]
        except DataLoss as error:
            lost.append(error)
    return Found(tuple(members), tuple(lost))


def _dead(cache_dir: str, network: str, owner: Owner) -> bool:
    """Whether the namespace of an attachment is gone, as after a reboot: its address will be given back, and holds nobody."""
    from .result import kept_at

    raw = read_file(kept_at(cache_dir, network, *owner))
    try:
        path = json.loads(raw or b"{}").get("netns")
    except (ValueError, AttributeError, RecursionError):
        return False
    return isinstance(path, str) and bool(path) and not netns.is_namespace(path)
