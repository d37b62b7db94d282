# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_network_info: networks as they are, also those of others."""

from __future__ import annotations

import typing as t

from ...kernel.converge import Facts
from ...network.conflist import ConfDir
from ...network.members import find
from .desired import places_of
from .facts import network_facts
from .find import found_network


def network_info(params: t.Mapping[str, t.Any], engine: t.Any) -> Facts:
    """The networks asked for, or all."""
    places, data_root = places_of(params)
    listing = ConfDir(places.conf_dir, params["namespace"]).read()
    members = find(data_root)
    wanted = params["name"]
    chosen = {
        name: conflist
        for name, conflist in sorted(listing.networks.items())
        if wanted is None or name in wanted or (conflist.id and conflist.id in wanted)
    }
    networks = []
    for name, conflist in chosen.items():
        found = found_network(name, conflist, listing, members, places)
        networks.append(network_facts(conflist, found.members))
    known = {*chosen, *(one.id for one in chosen.values())}
    out: t.Dict[str, t.Any] = {"networks": networks, "exists": all(one in known for one in wanted or ())}
    if wanted is not None and len(wanted) == 1:
        out["network"] = networks[0] if networks else {}
    return Facts(out, [*listing.problems, *map(str, members.lost)])
