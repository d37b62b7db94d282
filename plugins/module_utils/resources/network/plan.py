# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps to a network and its members."""

from __future__ import annotations

import functools
import typing as t

from ...errors import FailedPrecondition, InvalidArgument, NotFound, printable
from ...kernel.converge import Step
from ...network.connected import Endpoint
from ...network.members import Member
from ...network.meta import PORTMAP, plan_of
from ...network.networks import Networks
from ...network.rules import Rules
from ...network.subnets import usable
from .target import Target
from .values import FoundNetwork, WantedNetwork

#: Collects sentences of what went wrong beside the matter.
Tell = t.Callable[[t.Sequence[str]], None]


class Work(t.NamedTuple):
    """What the steps work with. name: of the network."""

    name: str
    networks: Networks
    rules: Rules
    tell: Tell

    # Members

    def connect(self, member: Member, endpoint: Endpoint) -> Step:
        return Step(
            f"connect container {member.name} to network {self.name}",
            lambda: self.tell(member.put(endpoint, self.rules)),
            lambda: self.tell(member.leave(self.name, self.rules)),
        )

    def disconnect(self, member: Member) -> Step:
        before, number = member.endpoint(self.name), member.number(self.name)
        return Step(
            f"disconnect container {member.name} from network {self.name}",
            lambda: self.tell(member.leave(self.name, self.rules)),
            lambda: self.tell(member.put(before, self.rules, number)),
        )

    # A change of the network under its running members

    def detach(self, member: Member, endpoint: Endpoint) -> Step:
        return Step(
            f"detach container {member.name} from network {self.name}",
            lambda: self.tell(member.detach(endpoint, self.rules)),
            lambda: self.tell(member.attach(endpoint, self.rules)),
            partial=True,
        )

    def attach(self, member: Member, before: Endpoint, after: Endpoint) -> Step:
        return Step(
            f"attach container {member.name} to network {self.name}",
            lambda: self.tell(member.attach(after, self.rules)),
            lambda: self.tell(member.detach(before, self.rules)),
            partial=True,
        )

    # The network itself

    def put(self, target: Target, have: FoundNetwork) -> Step:
        network, old = target.network, have.conflist
        put = (
            functools.partial(self.networks.put, network)
            if network
            else functools.partial(self.networks.put_document, dict(target.conflist.document))
        )
        undo = functools.partial(self.networks.restore, old) if old else functools.partial(self.networks.remove, self.name)
        if not old:
            return Step(f"create network {self.name}", put, undo, partial=True)
        names = ", ".join(change.field.option for change in target.changes)
        return Step(f"change network {self.name}: {names}", put, undo, partial=True)

    def mend(self, have: FoundNetwork) -> Step:
        """Whoever has taken the rules of the network has taken the published ports of its members, too."""

        def run() -> None:
            if have.conflist is not None:
                self.networks.put_rules(have.conflist)
            for one in have.members:
                one.publish(self.rules)

        return Step(f"restore the rules of network {self.name}", run)

    def remove(self) -> Step:
        return Step(f"remove network {self.name}", functools.partial(self.networks.remove, self.name))


def removal(want: WantedNetwork, have: FoundNetwork, work: Work) -> t.List[Step]:
    """Without force, a network that somebody is in stays."""
    if not have.conflist:
        return []
    if not have.conflist.id:
        raise FailedPrecondition(
            f"name: the network {want.name} belongs to somebody else ({have.conflist.path}), and is not removed"
        )
    names = [*(one.name for one in have.members), *have.others]
    if names and not want.force:
        raise FailedPrecondition(
            f"name: the network {want.name} has members: {printable(', '.join(names), 300)}: remove or disconnect them first, or "
            "give force=true",
            members=names,
        )
    _readable(want, have)
    return [*(work.disconnect(one) for one in have.members), work.remove()]


def steps_to(want: WantedNetwork, have: FoundNetwork, target: Target, work: Work) -> t.List[Step]:
    """Create or change the network, then its members."""
    steps: t.List[Step] = []
    stay, gone, new = membership(want, have)
    steps += [work.disconnect(one) for one in gone]
    if target.in_place:
        if lacks_rules(have, work.networks):
            steps.append(work.mend(have))
        if target.changes:
            steps.append(work.put(target, have))
        # A run that was killed has left them behind.
        again = [one for one in stay if one.runs and not one.attached(want.name)]
        steps += [work.attach(one, one.endpoint(want.name), one.endpoint(want.name)) for one in again]
    else:
        _readable(want, have)
        if have.others and not want.force:
            raise FailedPrecondition(
                f"name: containers of others are in the network {want.name} and cannot be connected again: "
                f"{printable(', '.join(have.others), 300)}: stop them first, or give force=true",
                members=list(have.others),
            )
        _check_ports(stay, want, have, target, work.networks)
        moved = [(one, one.endpoint(want.name), _moved(one, want, target)) for one in stay]
        steps += [work.detach(one, before) for one, before, _after in moved if one.runs]
        steps.append(work.put(target, have))
        steps += [work.attach(one, before, after) for one, before, after in moved if one.runs or before != after]
    return steps + [work.connect(one, Endpoint(want.name)) for one in new]


def lacks_rules(have: FoundNetwork, networks: Networks) -> bool:
    return bool(have.conflist and have.conflist.id and networks.lacks_rules(have.conflist))


def _readable(want: WantedNetwork, have: FoundNetwork) -> None:
    if have.lost and not want.force:
        raise have.lost[0]


def membership(want: WantedNetwork, have: FoundNetwork) -> t.Tuple[t.List[Member], t.List[Member], t.List[Member]]:
    """Members that stay, that go, and that come, as connected has it."""
    if want.connected is None:
        return list(have.members), [], []
    wanted = [one for name in want.connected for one in _containers(name, want, have)]
    stay = [one for one in have.members if want.appends or one in wanted]
    gone = [one for one in have.members if one not in stay]
    if have.others and not want.appends:
        raise FailedPrecondition(
            f"connected: containers of others are in the network {want.name} and cannot be disconnected: "
            f"{printable(', '.join(have.others), 300)}: stop them, or give appends=true",
            members=list(have.others),
        )
    return stay, gone, [one for one in dict.fromkeys(wanted) if one not in have.members]


def _containers(name: str, want: WantedNetwork, have: FoundNetwork) -> t.List[Member]:
    """By name or id; one of the namespace of the task before others. While a container is made anew there are two of its name."""
    found, shown = [one for one in have.all if name in (one.name, one.id)], printable(name, 80)
    here = [one for one in found if one.namespace == want.namespace] or [one for one in found if one.id == name]
    if not here:
        raise NotFound(
            f"connected: there is no container {shown} with networks of its own in the namespace {want.namespace} "
            f"(data_root {want.data_root}); one with network_mode host, none or container: has none"
        )
    if len({one.engine for one in here}) > 1:
        engines = ", ".join(f"{one.id[:12]} ({one.engine})" for one in here)
        raise InvalidArgument(f"connected: {shown} is more than one container: {engines}: give the whole id")
    for one in here:
        theirs, only = one.connected.places.conf_dir, have.conflist.namespace(want.places.conf_dir) if have.conflist else ""
        if theirs != want.places.conf_dir:
            raise InvalidArgument(
                f"connected: the container {shown} has its networks in {theirs}, not in {want.places.conf_dir} (cni_conf_dir)"
            )
        if only not in ("", one.namespace):
            raise InvalidArgument(
                f"connected: the container {shown} is in the namespace {one.namespace}, and only those of {only} see this network"
            )
        one.with_endpoint(Endpoint(want.name)).check()
    return here


def _check_ports(stay: t.Sequence[Member], want: WantedNetwork, have: FoundNetwork, target: Target, networks: Networks) -> None:
    """Ports of members stay published, by this network or another one, or the change is refused."""
    if want.force or not have.conflist or not have.conflist.plugin(PORTMAP) or target.conflist.plugin(PORTMAP):
        return
    there = {**networks.directory.read().networks, want.name: target.conflist}
    for one in stay:
        left = [there[each.network] for each in one.connected.endpoints if each.network in there]
        if one.connected.ports and not any(each.plugin(PORTMAP) for each in left):
            options = ", ".join(change.field.option for change in target.changes)
            ports = printable(", ".join(map(str, one.connected.ports)), 200)
            raise InvalidArgument(
                f"{options}: the container {one.name} publishes ports of the host ({ports}), which the network {want.name} would not do "
                "any more: put the container into another network, too, or give force=true"
            )


def _moved(member: Member, want: WantedNetwork, target: Target) -> Endpoint:
    """A member's endpoint in the changed network. Its static addresses stay, or the change is refused."""
    endpoint, plan = member.endpoint(want.name), plan_of(target.conflist)
    if plan is None or not endpoint.ips:
        return endpoint
    left, ranges = [], [one for each in plan.sets for one in each]
    for address in endpoint.ips:
        found = next((one for one in ranges if address in one.network), None)
        if found is not None and address in usable(found.network) and address != found.gateway:
            left.append(address)
        elif not want.force:
            where = ", ".join(dict.fromkeys(str(one.network) for one in ranges))
            problem = f"is the gateway of {found.network}" if found and address == found.gateway else f"is not inside {where}"
            option = "ipam_config" if target.network else "conflist"
            raise InvalidArgument(
                f"{option}: the static address {address} of the container {member.name} {problem}: give the container another "
                "one, or force=true to let it have any"
            )
    return endpoint._replace(ips=tuple(left))
