# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases keep new blobs and snapshots from garbage collection. The engine stores them; when they end is the same for both engines."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ..errors import NotFound, Unavailable
from ..hostfs.lock import locked

if t.TYPE_CHECKING:
    from .place import Place


class Leases:
    """The lease of this process, and those of killed processes. name: the lease that is held; empty for none.

    All holders share a lock. A killed process leaves its lease, but not its lock: a process that gets the lock exclusively knows
    that all leases made under it are dead. So leases need no expiry time, which a changed clock would make wrong.
    begin makes a lease and returns its name, end removes it.
    """

    def __init__(self, place: Place, begin: t.Callable[[], str], end: t.Callable[[str], None]) -> None:
        self._place, self._begin, self._end, self.name = place, begin, end, ""

    @contextlib.contextmanager
    def held(self) -> t.Iterator[str]:
        """Hold a lease during the context. A lease inside a lease is the same one."""
        if self.name:
            yield self.name
            return
        with locked(self._place.leases, "the leases", shared=True):
            name = self.name = self._begin()
            try:
                yield name
            finally:
                self.name = ""
                self._end(name)

    def nobody_holds_one(self) -> bool:
        """Whether all leases are those of killed processes. Only reads."""
        return not os.path.exists(self._place.leases_path) or self.end_dead(lambda: True) is not None

    def end_dead(self, end_all: t.Callable[[], bool]) -> t.Optional[bool]:
        """The result of end_all, which ends all leases; None when a living process holds one."""
        with contextlib.suppress(Unavailable, NotFound), locked(self._place.leases, "the leases", wait=0):
            return end_all()
        return None
