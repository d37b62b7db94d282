# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in which network: the containers of all engines and namespaces of a host, by the files that their hooks read.

So a member is known without its engine, and while a daemon is down.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import json
import os
import typing as t

from ..errors import DataLoss, NotFound
from ..hostfs.atomic import read_file
from . import netns
from .connected import Connected, Endpoint, held, keep, pinned
from .container import Connection
from .ipam import Owner
from .rules import Rules
from .strangers import in_use

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

    def endpoint(self, network: str) -> Endpoint:
        """That of a network in which it is, with its link."""
        return self._endpoints()[self.number(network)]

    def attached(self, network: str) -> bool:
        return self.connected.results().get(network) is not None

    def check(self) -> None:
        """InvalidArgument where it cannot be in one of its networks, whatever these are."""
        for number in range(len(self.connected.endpoints)):
            self.connected.kept_at(number)

    # Changes, to what is kept by then. Each can be repeated: killed in between, the next run finds what is missing.

    def put(self, endpoint: Endpoint, rules: t.Optional[Rules] = None, number: t.Optional[int] = None) -> t.List[str]:
        """Have this endpoint, at once if it runs, and then alone: a failure leaves it as it was. number: where a new one comes among the
        others. What others could not be told, a sentence each.
        """
        with self._held() as now:
            return now._become(now.with_endpoint(endpoint, number).connected, rules)

    def leave(self, network: str, rules: t.Optional[Rules] = None) -> t.List[str]:
        """Be in a network no more; the rest as put()."""
        with contextlib.suppress(NotFound), self._held() as now:
            left = tuple(one for one in now._endpoints() if one.network != network)
            return now._become(now.connected._replace(endpoints=left), rules)
        return []

    def attach(self, endpoint: Endpoint, rules: t.Optional[Rules] = None) -> t.List[str]:
        """Have a link in a network in which it is already, if it runs; the rest as put()."""
        with contextlib.suppress(NotFound), self._held() as now:
            after, number = now._kept(endpoint), now.number(endpoint.network)
            return Connection(after, rules).complete(number) if number >= 0 and now.runs else []
        return []

    def detach(self, endpoint: Endpoint, rules: t.Optional[Rules] = None) -> t.List[str]:
        """Take its link in such a network away, if it has one, until attach() or a start; the rest as put()."""
        with contextlib.suppress(NotFound), self._held() as now:
            number = now.number(endpoint.network)
            linked = number >= 0 and (now.runs or now.attached(endpoint.network))
            problems = Connection(now.connected, rules).disconnect(number) if linked else []
            now._kept(endpoint)
            return problems
        return []

    def publish(self, rules: t.Optional[Rules] = None) -> None:
        """Have its ports published, if it runs."""
        with contextlib.suppress(NotFound), self._held() as now:
            if now.runs:
                Connection(now.connected, rules).publish()

    def _kept(self, endpoint: Endpoint) -> Connected:
        """With another endpoint in the same network, written down. One that has left the network meanwhile stays out."""
        after = self.with_endpoint(endpoint).connected if self.number(endpoint.network) >= 0 else self.connected
        if after != self.connected:
            keep(self.path, after)
        return after

    @contextlib.contextmanager
    def _held(self) -> t.Iterator[Member]:
        """As it is by now. NotFound when it was removed."""
        with held(self.path) as connected:
            yield self._replace(connected=connected)

    def _become(self, after: Connected, rules: t.Optional[Rules]) -> t.List[str]:
        if self.runs:
            return Connection(self.connected, rules).change(after, functools.partial(keep, self.path))
        problems = Connection(self.connected, rules).down() if self.connected.begun() else []
        keep(self.path, after)
        return problems

    def with_endpoint(self, endpoint: Endpoint, number: t.Optional[int] = None) -> Member:
        """What put() makes of it. One that is there keeps its link; a new one has its own, or one whose name is free."""
        there, endpoints = self.number(endpoint.network), self._endpoints()
        if there >= 0:
            endpoints[there] = endpoint._replace(interface=endpoints[there].interface)
        else:
            taken = {one.interface for one in endpoints}
            free = next(name for name in (f"eth{one}" for one in range(len(taken) + 1)) if name not in taken)
            interface = free if endpoint.interface in ("", *taken) else endpoint.interface
            endpoints.insert(len(endpoints) if number is None else number, endpoint._replace(interface=interface))
        return self._replace(connected=self.connected._replace(endpoints=tuple(endpoints)))

    def _endpoints(self) -> t.List[Endpoint]:
        """Their links keep their names when others come and go."""
        return [one._replace(interface=self.connected.interface(number)) for number, one in enumerate(self.connected.endpoints)]


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
    """Whether the namespace of an attachment is gone, as after a reboot, or is a pin of ours in which no process is (strangers.py). Its
    address will be given back, and holds nobody.
    """
    from .result import kept_at

    raw = read_file(kept_at(cache_dir, network, *owner))
    try:
        path = json.loads(raw or b"{}").get("netns")
    except (ValueError, AttributeError, RecursionError):
        return False
    if not isinstance(path, str) or not path:
        return False
    return not netns.is_namespace(path) or (pinned(os.path.basename(path)) == owner.container_id and not in_use(path))
