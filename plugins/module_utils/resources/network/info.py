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
    networks = [
        network_facts(one, members.of(name, places.conf_dir, one.namespace(places.conf_dir))) for name, one in chosen.items()
    ]
    known = {*chosen, *(one.id for one in chosen.values())}
    out: t.Dict[str, t.Any] = {"networks": networks, "exists": all(one in known for one in wanted or ())}
    if wanted is not None and len(wanted) == 1:
        out["network"] = networks[0] if networks else {}
    return Facts(out, [*listing.problems, *map(str, members.lost)])
