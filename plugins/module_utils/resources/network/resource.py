# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_network: a network of a host, and who is in it.

It opens no engine: a network is a file of the host, and its members are known by files, whichever engine runs them.
"""

from __future__ import annotations

import typing as t

from ...kernel.converge import Facts, Plan
from ...kernel.field import render
from ...network.attachment import Host, check_rules, rules_of_host
from ...network.conflist import ConfDir
from ...network.networks import Networks
from .desired import desired
from .facts import network_facts
from .find import find_network
from .plan import Work, lacks_rules, membership, removal, steps_to
from .target import Target, target_of
from .values import FoundNetwork, WantedNetwork, options_of


class NetworkResource:
    def desired(self, params: t.Mapping[str, t.Any], engine: t.Any) -> WantedNetwork:
        return desired(params)

    def observe(self, want: WantedNetwork, engine: t.Any) -> FoundNetwork:
        return find_network(want.name, want.places, want.namespace, want.data_root)

    def lock(self, want: WantedNetwork, engine: t.Any) -> t.ContextManager[t.Any]:
        """nerdctl's, so that neither takes a subnet that the other has just found free."""
        return ConfDir(want.places.conf_dir).locked()

    def plan(self, want: WantedNetwork, have: FoundNetwork, engine: t.Any) -> Plan:
        rules, problems = rules_of_host(), t.cast(t.List[str], [])
        host = Host(rules, want.places.bin_dirs, want.places.cache_dir, want.places.data_dir)
        work = Work(want.name, Networks(ConfDir(want.places.conf_dir, want.namespace), host), rules, problems.extend)
        if not want.present:
            steps = removal(want, have, work)
            return Plan(
                steps,
                shown(have),
                {"exists": False},
                facts=lambda end: _facts(None, end, problems),
                undone="the network is as it was before",
            )
        target = target_of(want, have, work.networks)
        steps = steps_to(want, have, target, work)
        if steps and target.network and target.network.driver == "bridge":
            check_rules()
        before, after = _sides(want, have, target, work.networks)
        return Plan(
            steps,
            before,
            after,
            facts=lambda end: _facts(target, end, problems),
            undone="the network is as it was before",
        )


def shown(have: FoundNetwork) -> t.Dict[str, t.Any]:
    """A network for a diff: all of it."""
    if not have.conflist:
        return {"exists": False}
    network = have.network
    rest = options_of(network) if network else {"conflist": dict(have.conflist.document)}
    return {"exists": True, **rest, "connected": [one.name for one in have.members]}


def _sides(
    want: WantedNetwork, have: FoundNetwork, target: Target, networks: Networks
) -> t.Tuple[t.Dict[str, t.Any], t.Dict[str, t.Any]]:
    before, after = render(target.changes)
    members = [one.name for one in have.members]
    if not have.conflist:
        before, after = {"exists": False}, {"exists": True, **after}
    elif target.in_place and lacks_rules(have, networks):
        before["rules"], after["rules"] = "missing", "there"
    if want.connected is not None:
        stay, _gone, new = membership(want, have)
        names = sorted(one.name for one in [*stay, *new])
        if names != members:
            before["connected"], after["connected"] = members, names
            if not have.conflist:
                del before["connected"]
    return before, after


def _facts(target: t.Optional[Target], end: FoundNetwork, problems: t.Sequence[str]) -> Facts:
    """As it is at the end; in check mode, as it would be."""
    conflist = None if target is None else target.conflist if target.changes else end.conflist
    facts = network_facts(conflist, end.members) if conflist else {}
    lost = [str(one) for one in end.lost]
    return Facts({"network": facts}, [*end.problems, *lost, *problems])
