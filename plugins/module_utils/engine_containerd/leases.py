# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases: what is made under one is safe from the daemon's garbage collection."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import typing as t

from ..errors import NotFound, Unavailable
from ..hostfs.lock import locked

if t.TYPE_CHECKING:
    from ..rpc.channel import Channel


#: A collection may have to remove large trees.
COLLECT_SECONDS = 600.0


@contextlib.contextmanager
def held(rpc: Channel, lock: str) -> t.Iterator[str]:
    """A lease for all calls inside; a lease in a lease is the same.

    lock: a file that all holders of leases share. A killed process leaves its lease behind, but not its lock: who can have that
    alone knows that all leases made under it are dead, and ends them. So they need no time of expiry, which a clock that is set
    would bring on at once.
    """
    if rpc.lease:
        yield rpc.lease
        return
    with locked(lock, "the leases", shared=True):
        name = rpc.lease = _new(rpc, lock)
        try:
            yield name
        finally:
            rpc.lease = ""
            with contextlib.suppress(NotFound):
                rpc.call("leases.v1.Leases/Delete", {"id": name})


@contextlib.contextmanager
def lease(rpc: Channel, lock: str, ended: t.Callable[[], t.Any]) -> t.Iterator[str]:
    """The same for those who change something. ended: called at its end, when nothing is held any more."""
    outermost = not rpc.lease
    with held(rpc, lock) as name:
        yield name
    if outermost:
        ended()


def end_dead_leases(rpc: Channel, lock: str, alone: t.Callable[[], None]) -> bool:
    """End the leases of processes that were killed. False when one that lives holds another lease.

    alone: called while nobody else can hold one, and should not take long.
    """
    with contextlib.suppress(Unavailable, NotFound), locked(lock, "the leases", wait=0):
        prefix = _prefix(lock)
        dead = [one["id"] for one in rpc.call("leases.v1.Leases/List")["leases"] if one["id"].startswith(prefix)]
        for name in dead:
            with contextlib.suppress(NotFound):
                # One collection is enough for all.
                rpc.call("leases.v1.Leases/Delete", {"id": name, "sync": name == dead[-1]}, COLLECT_SECONDS)
        alone()
        return True
    return False


def collect(rpc: Channel, lock: str) -> None:
    """Have the daemon collect garbage: it does so before it answers when a lease ends that way."""
    name = _new(rpc, lock)
    with contextlib.suppress(NotFound):
        rpc.call("leases.v1.Leases/Delete", {"id": name, "sync": True}, COLLECT_SECONDS)


def _new(rpc: Channel, lock: str) -> str:
    name = _prefix(lock) + secrets.token_hex(8)
    rpc.call("leases.v1.Leases/Create", {"id": name})
    return name


def _prefix(lock: str) -> str:
    """Of the names of all leases that are made with this lock."""
    return f"fleet-{hashlib.sha256(lock.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}-"
