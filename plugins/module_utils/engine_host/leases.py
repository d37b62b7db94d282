# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases: what is made under one is safe from garbage collection. The engine keeps them; when they end is alike for both."""

from __future__ import annotations

import contextlib
import typing as t

from ..errors import NotFound, Unavailable
from ..hostfs.lock import locked

if t.TYPE_CHECKING:
    from .place import Place


class Leases:
    """The lease of this process, and those of killed ones. name: of the one that is held; empty for none.

    All holders share a lock. A killed process leaves its lease behind, but not its lock: who can have that alone knows that all
    leases made under it are dead. So they need no time of expiry, which a clock that is set would bring on at once.
    begin makes a lease and tells its name, end removes it.
    """

    def __init__(self, place: Place, begin: t.Callable[[], str], end: t.Callable[[str], None]) -> None:
        self._place, self._begin, self._end, self.name = place, begin, end, ""

    @contextlib.contextmanager
    def held(self) -> t.Iterator[str]:
        """A lease for all that is done inside; a lease in a lease is the same."""
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

    def end_dead(self, end_all: t.Callable[[], bool]) -> t.Optional[bool]:
        """What end_all says, which ends all leases that there are; None when somebody alive holds one."""
        with contextlib.suppress(Unavailable, NotFound), locked(self._place.leases, "the leases", wait=0):
            return end_all()
        return None
