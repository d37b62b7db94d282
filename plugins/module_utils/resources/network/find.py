# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is there of a network, and who is in it. Only reads."""

from __future__ import annotations

from ...network.conflist import ConfDir
from ...network.members import find
from ...network.meta import reservations_of
from ...network.places import Places
from .values import FoundNetwork


def find_network(name: str, places: Places, namespace: str, data_root: str) -> FoundNetwork:
    """One network, existing or not: containers may be in one whose file is gone."""
    listing, found = ConfDir(places.conf_dir, namespace).read(), find(data_root)
    conflist = listing.networks.get(name)
    only = conflist.namespace(places.conf_dir) if conflist else ""
    owners = reservations_of(conflist, places.data_dir).owners() if conflist else []
    others = found.strangers(owners, places.cache_dir, name)
    return FoundNetwork(
        conflist,
        tuple(found.of(name, places.conf_dir, only)),
        tuple(dict.fromkeys(one.container_id for one in others)),
        found.members,
        found.lost,
        tuple(listing.problems),
    )
