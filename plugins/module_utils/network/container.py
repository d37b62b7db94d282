# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Having the networks of a container: what an OCI hook does at each start and end, and a task while it runs."""

from __future__ import annotations

import contextlib
import typing as t

from ..errors import EngineError, NotFound
from . import netns
from .attachment import Attachment, Host, rules_of_host
from .chain import Chain, begun_with
from .conflist import DEFAULT_NETWORK, ConfDir, Conflist
from .connected import Connected
from .links import Links
from .meta import PORTMAP
from .names import Member, Names
from .result import Result, Route
from .rules import Rules
from .subnets import IPNetwork


@contextlib.contextmanager
def _told(problems: t.List[str]) -> t.Iterator[None]:
    """What goes wrong is one of the problems, and keeps nobody from the rest."""
    try:
        yield
    except EngineError as error:
        problems.append(str(error))


class Connection:
    """A container's networks on this host. rules: those of the host when not given."""

    def __init__(self, connected: Connected, rules: t.Optional[Rules] = None) -> None:
        self._connected, self._places, self.pin = connected, connected.places, connected.pin
        places = self._places
        self._host = Host(rules or rules_of_host(), places.bin_dirs, places.cache_dir, places.data_dir)
        self._conflists = ConfDir(places.conf_dir, places.namespace)

    def up(self, namespace: str) -> t.List[str]:
        """Attach a new namespace (/proc/<pid>/ns/net) to all networks, or to none. What could not be told to others, a sentence each."""
        netns.pin(namespace, self.pin)
        problems: t.List[str] = []
        if self._connected.resolver:
            with _told(problems):
                self._connected.resolver.write()
        with contextlib.ExitStack() as undo:
            undo.callback(self.down)
            for number in range(len(self._connected.endpoints)):
                problems += self.connect(number)
            undo.pop_all()
        return problems

    def down(self) -> t.List[str]:
        """Detach from all, the last first, whatever goes wrong: a sentence each. Fine when nothing is there."""
        problems: t.List[str] = []
        for number in reversed(range(len(self._connected.endpoints))):
            with _told(problems):
                problems += self.disconnect(number)
        with _told(problems):
            netns.remove(self.pin)
        return problems

    def connect(self, number: int) -> t.List[str]:
        """Attach to one of the networks, also while the container runs; problems as of up()."""
        self._member(number).check()
        result = Chain(self._conflist(number), self._host).attach(self._attachment(number))
        return self._names(number).join(self._member(number, result))

    def _member(self, number: int, result: t.Optional[Result] = None) -> Member:
        names = (*self._connected.names, *self._connected.endpoints[number].aliases)
        addresses = tuple(str(one.ip) for one in result.addresses) if result else ()
        return Member(self._key(number), names, addresses, self._connected.hosts, self._connected.silent)

    def tell(self) -> t.List[str]:
        """Have the others know its names as they are by now; problems as of up()."""
        problems, there = t.cast(t.List[str], []), self._connected.results()
        for number, endpoint in enumerate(self._connected.endpoints):
            result = there[endpoint.network]
            with _told(problems):
                problems += self._names(number).join(self._member(number, result)) if result else []
        return problems

    def disconnect(self, number: int) -> t.List[str]:
        """Detach from one; problems as of down(). The network's file may be gone by now."""
        attachment, problems = self._attachment(number), t.cast(t.List[str], [])
        with _told(problems):
            problems += self._names(number).leave(self._key(number))
        try:
            conflist: t.Optional[Conflist] = self._conflist(number)
        except NotFound as error:
            conflist = begun_with(self._connected.endpoints[number].network, attachment, self._host)
            problems += [str(error)] if conflist else []
        return problems + (Chain(conflist, self._host).detach(attachment) if conflist else [])

    def publish(self) -> None:
        """Have the ports that are asked for, and no others."""
        for number in self._publishing_last():
            Chain(self._conflist(number), self._host).publish(self._attachment(number))

    def complete(self, only: t.Optional[int] = None) -> t.List[str]:
        """Be attached to all networks with the ports that are asked for, while the container runs; problems as of up().

        only: this one comes, and the others are as they are, but for its ports.
        """
        problems, there = t.cast(t.List[str], []), self._connected.results()
        for number in self._publishing_last():
            if there[self._connected.endpoints[number].network] is None:
                problems += self.connect(number) if only in (None, number) else []
            elif only is None or self._connected.ports:
                Chain(self._conflist(number), self._host).publish(self._attachment(number))
        self._lead_out()
        return problems

    def change(self, wanted: Connected, keep: t.Callable[[Connected], None]) -> t.List[str]:
        """Become another one while the container runs, or stay as it is. keep: called where a run that is killed must find the new one."""
        after, problems = Connection(wanted, self._host.rules), t.cast(t.List[str], [])
        with contextlib.ExitStack() as undo:
            undo.callback(self._take_back, after, keep)
            problems += self._leave(wanted)
            keep(wanted)
            problems += after.complete()
            undo.pop_all()
        return problems

    def _lead_out(self) -> None:
        """The way out is that of the first network which has one, as after a start, whichever has come or gone meanwhile."""
        there, wanted = self._connected.results(), t.cast(t.Dict[IPNetwork, t.Tuple[str, Route]], {})
        for number, endpoint in enumerate(self._connected.endpoints):
            for route in (there[endpoint.network] or Result()).ways:
                wanted.setdefault(route.destination, (self._connected.interface(number), route))
        with netns.entered(self.pin), Links() as inside:
            for interface, route in wanted.values():
                inside.add_route(inside.get(interface).ifindex, route.destination, route.gateway, route.mtu, replace=True)

    def _take_back(self, after: Connection, keep: t.Callable[[Connected], None]) -> None:
        problems: t.List[str] = []
        after._leave(self._connected)
        keep(self._connected)
        with _told(problems):
            self.complete()

    def _leave(self, other: Connected) -> t.List[str]:
        """Detach from the networks that another one does not have, or has otherwise."""
        problems: t.List[str] = []
        for number in reversed(range(len(self._connected.endpoints))):
            if self._connected.endpoints[number] not in other.endpoints:
                with _told(problems):
                    problems += self.disconnect(number)
        return problems

    def _publishing_last(self) -> t.List[int]:
        """All, in the order in which they can take a port from each other."""
        last = self._publishing()
        return sorted(range(len(self._connected.endpoints)), key=lambda number: number == last)

    def _attachment(self, number: int) -> Attachment:
        endpoint, one = self._connected.endpoints[number], self._connected
        ports = one.ports if number == self._publishing() else ()
        return Attachment(one.container_id, self.pin, one.interface(number), endpoint.ips, endpoint.mac, ports)

    def _publishing(self) -> int:
        """Which of the networks has the ports: the first that has the plugin for it; -1 for none."""
        there = self._conflists.read().networks if self._connected.ports else {}
        conflists = [there.get(one.network) for one in self._connected.endpoints]
        return next((number for number, one in enumerate(conflists) if one is not None and one.plugin(PORTMAP)), -1)

    def _conflist(self, number: int) -> Conflist:
        return self._conflists.get(self._connected.endpoints[number].network)

    def _names(self, number: int) -> Names:
        network = self._connected.endpoints[number].network
        return Names(network, self._places.names_dir, shared=network != DEFAULT_NETWORK)

    def _key(self, number: int) -> str:
        return f"{self._connected.container_id}-{self._connected.interface(number)}"
