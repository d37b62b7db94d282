# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container asks of the host's networks and of other containers, looked at before anything is changed: that is there, and nobody
else has what it wants.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ...engine.models import Container
from ...errors import AlreadyExists, InvalidArgument, NotFound, printable
from .joined import joined
from .networks import default_or, gateway
from .options.names import gateway_for
from .options.network import check_without, endpoints_after, endpoints_of, mode_of, option_of
from .options.network_seen import kept
from .options.ports import published_of, publishing
from .options.table import load, settings

if t.TYPE_CHECKING:
    from ...kernel.field import Change
    from ...network.conflist import Conflist
    from ...network.connected import Endpoint
    from ...network.ports import Published
    from .options.row import Host, Values
    from .values import FoundContainer, WantedContainer


class Look:
    """One container's. runs: whether it will run, so that it needs its addresses and ports now."""

    def __init__(self, host: Host, want: WantedContainer, have: FoundContainer, runs: bool) -> None:
        self._host, self._want, self._have, self._runs = host, want, have, runs
        self._places = want.places._replace(namespace=host.engine.namespace)

    def at_new(self) -> None:
        """A container that will be made."""
        values = settings(self._want.given)
        endpoints = endpoints_of(values)
        self._check(values, endpoints, published_of(values))
        gateway_for(values, lambda: gateway(self._places, mode_of(values).network))
        before = kept(self._have.container) if self._have.container else None
        self._check_publishes(values, [*endpoints, *(before.endpoints if before else ())])

    def at_old(self, container: Container, live: t.Sequence[Change]) -> None:
        """One that stays, with changes in place."""
        stored, connected = self._have.stored or {"given": {}}, kept(container)
        values = settings({**load(stored["given"]), **self._want.given})
        if connected is None:
            self._check(values, [], [])
            return
        self._places, endpoints = connected.places, endpoints_after(live, connected.endpoints)
        self._check(values, endpoints, published_of(values) if live else connected.ports)
        if live:
            self._check_publishes(values, endpoints)

    def _check(self, values: Values, endpoints: t.Sequence[Endpoint], ports: t.Sequence[Published]) -> None:
        check_without(values, self._want.given)
        for one in joined(self._host.engine, values):
            if self._runs:
                one.check()
        for endpoint in endpoints:
            try:
                conflist = default_or(self._places, endpoint.network)
            except NotFound as error:
                raise NotFound(f"{option_of(values, endpoint.network)}: {error}") from error
            self._check_network(endpoint, conflist)
        if self._runs:
            self._check_ports([one for one in ports if one.host_port])

    def _check_publishes(self, values: Values, endpoints: t.Sequence[Endpoint]) -> None:
        """That one of the networks publishes ports, if some are asked for."""
        from ...network.meta import PORTMAP

        option = publishing(values)
        if option and not any(one.plugin(PORTMAP) for one in self._conflists(endpoints)):
            names = ", ".join(dict.fromkeys(one.network for one in endpoints))
            raise InvalidArgument(
                f"{option}: no network of the container ({printable(names, 200)}) publishes ports: "
                "an internal one does not, nor does macvlan or ipvlan"
            )

    def _conflists(self, endpoints: t.Sequence[Endpoint]) -> t.Iterator[Conflist]:
        for endpoint in endpoints:
            # One that is to be left may be gone.
            with contextlib.suppress(NotFound):
                yield default_or(self._places, endpoint.network)

    def _check_network(self, endpoint: Endpoint, conflist: Conflist) -> None:
        from ...network.attachment import check_rules
        from ...network.meta import bridge_of, plan_of, reservations_of

        if bridge_of(conflist) is not None:
            check_rules()
        plan = plan_of(conflist) if endpoint.ips else None
        if plan is None:
            return
        there = reservations_of(conflist, self._places.data_dir).list() if self._runs else {}
        for ip in endpoint.ips:
            option, found = f"networks.ipv{ip.version}_address", plan.place(ip)
            if found is None:
                subnets = ", ".join(str(one.network) for ranges in plan.sets for one in ranges)
                raise InvalidArgument(f"{option}: {ip} is in no subnet of the network {endpoint.network} ({subnets})")
            if ip == found.gateway:
                raise InvalidArgument(f"{option}: {ip} is the gateway of the network {endpoint.network}")
            owner = there.get(str(ip))
            who = self._holder(owner.container_id if owner else "")
            if who:
                raise AlreadyExists(f"{option}: {ip} is taken in the network {endpoint.network}: {who} has it")

    def _check_ports(self, ports: t.Sequence[Published]) -> None:
        from ...network.attachment import rules_of_host
        from ...network.ports import check_unused
        from ...network.rules import holder

        there = rules_of_host().elements() if ports else []
        for port in ports:
            who = self._holder(holder(port, there))
            if who:
                raise AlreadyExists(f"published_ports: the host's port {port} is taken: {who} has published it")
        try:
            check_unused(ports)
        except AlreadyExists as error:
            raise AlreadyExists(f"published_ports: {error}") from error

    def _holder(self, container_id: str) -> str:
        """Who has what this container wants, in a message; empty for itself, for nobody, and for one that is gone: the start takes it away
        from those. container_id: as networks and rules know it.
        """
        from ...network.strangers import left

        mine = [one for one in (self._have.container, *self._have.leftovers) if one]
        own = [f"{self._host.engine.namespace}-{one.id}" for one in mine]
        if not container_id or any(container_id in _words(one) for one in own):
            return ""
        return "" if any(container_id in _words(one) for one in left(self._places)) else self._name(container_id)

    def _name(self, container_id: str) -> str:
        """Of a container of any engine."""
        from ...network.members import find

        there = find(self._want.engine.data_root).members
        member = next((one for one in there if container_id in _words(one.connected.container_id)), None)
        if member is None:
            return f"the container {printable(container_id, 100)}"
        elsewhere = os.path.dirname(member.path) != self._host.engine.container_dir(member.id)
        more = f" (engine {member.engine}, namespace {member.namespace})" if elsewhere else ""
        return f"the container {printable(member.name, 100)}{more}"


def _words(container_id: str) -> t.Tuple[str, str]:
    """As addresses tell a container, and as rules do."""
    from ...network.rules import owner_name

    return container_id, owner_name(container_id, "").partition(" ")[0]
