# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes as facts, in the shape of docker volume inspect."""

from __future__ import annotations

import typing as t

from ...volume.store import Volume
from ...volume.users import User
from ..times import timestamp
from .values import options_of


def volume_facts(
    volume: Volume, namespace: str, users: t.Sequence[User], values: t.Optional[t.Mapping[str, t.Any]] = None
) -> t.Dict[str, t.Any]:
    """What docker does not know is below Containerd. users: its containers, running or not. values: its options, by default as they are."""
    known = options_of(volume) if values is None else values
    return {
        "Name": volume.name,
        "Driver": "local",
        "Mountpoint": volume.data,
        "CreatedAt": timestamp(volume.created),
        "Labels": dict(known["labels"]),
        "Options": dict(known["driver_options"]),
        "Scope": "local",
        "Containerd": {
            "Namespace": namespace,
            "Anonymous": volume.anonymous,
            "UsedBy": [{"Id": one.id, "Name": one.name, "Engine": one.engine} for one in users],
            "Owner": known.get("owner"),
            "Group": known.get("group"),
            "Mode": f"{known['mode']:04o}" if "mode" in known else "",
        },
    }
