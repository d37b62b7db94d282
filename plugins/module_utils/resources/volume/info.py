# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_volume_info: volumes as they are."""

from __future__ import annotations

import typing as t

from ...kernel.converge import Facts
from ...volume.users import find
from .desired import store_of
from .facts import volume_facts


def volume_info(params: t.Mapping[str, t.Any], engine: t.Any) -> Facts:
    """The volumes asked for, or all."""
    store, wanted = store_of(params), params["name"]
    users = find(store.data_root, store.namespace)
    found = [one for one in store.all() if wanted is None or one.name in wanted]
    dangling = params["dangling"]
    chosen = [one for one in found if dangling is None or dangling is not bool(users.of(one.name))]
    volumes = [volume_facts(one, store.namespace, users.of(one.name)) for one in chosen]
    known = {one.name for one in chosen}
    out: t.Dict[str, t.Any] = {"volumes": volumes, "exists": all(one in known for one in wanted or ())}
    if wanted is not None and len(wanted) == 1:
        out["volume"] = volumes[0] if volumes else {}
    return Facts(out, [*(one.problem for one in chosen if one.problem), *map(str, users.lost)])
