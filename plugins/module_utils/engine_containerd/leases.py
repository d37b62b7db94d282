# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases of the daemon, and its garbage collection, which they start. lock: the lock file that all their holders share."""

from __future__ import annotations

import contextlib
import hashlib
import os
import typing as t

from ..errors import NotFound

if t.TYPE_CHECKING:
    from ..rpc.channel import Channel


#: A collection may have to remove large trees.
COLLECT_SECONDS = 600.0


def begin(rpc: Channel, lock: str) -> str:
    """Begin a lease for all calls from here on."""
    rpc.lease = _new(rpc, lock)
    return rpc.lease


def end(rpc: Channel, name: str) -> None:
    rpc.lease = ""
    with contextlib.suppress(NotFound):
        rpc.call("leases.v1.Leases/Delete", {"id": name})


def end_all(rpc: Channel, lock: str) -> None:
    """End all leases made with this lock."""
    ours = prefix(lock)
    found = [one["id"] for one in rpc.call("leases.v1.Leases/List")["leases"] if one["id"].startswith(ours)]
    for name in found:
        with contextlib.suppress(NotFound):
            # One collection is enough for all.
            rpc.call("leases.v1.Leases/Delete", {"id": name, "sync": name == found[-1]}, COLLECT_SECONDS)


def collect(rpc: Channel, lock: str) -> None:
    """Make the daemon collect garbage: it does so before it answers to the end of such a lease."""
    name = _new(rpc, lock)
    with contextlib.suppress(NotFound):
        rpc.call("leases.v1.Leases/Delete", {"id": name, "sync": True}, COLLECT_SECONDS)


def _new(rpc: Channel, lock: str) -> str:
    name = prefix(lock) + os.urandom(8).hex()
    rpc.call("leases.v1.Leases/Create", {"id": name})
    return name


def prefix(lock: str) -> str:
    """The prefix of the names of all leases with this lock."""
    return f"fleet-{hashlib.sha256(lock.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}-"
