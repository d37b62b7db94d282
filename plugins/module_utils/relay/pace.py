# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the host that a blob comes from is too slow, so that one before it has to be asked (docs/adr/0050)."""

from __future__ import annotations

import time
import typing as t

#: A host is slow when those before it are ahead of it by what comes here in so many seconds.
_AHEAD_SECONDS = 0.5
#: The way from it is, when it is ahead of us by what comes in so many seconds; or our own way.
_LAG_SECONDS = 1.0
#: But by this many pieces at least: so much may be on the way.
_PIECES = 4
#: The pace is that of at least so many seconds.
_LEAST_SECONDS = 0.4
#: A change has to make it so much faster within so many seconds; else it is this host that is slow.
_GAIN, _TRIAL_SECONDS = 1.3, 1.0


class Change(t.NamedTuple):
    """number: who is to be asked instead. slow: whether it is known that the present host is slow; else it is tried."""

    number: int
    slow: bool


class Pace:
    """The pace of one blob. piece: bytes. clock: seconds. blame: a host that turned out to be slow, when another one was tried."""

    def __init__(self, piece: int, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._least, self._clock = _PIECES * piece, clock
        self._since, self._begun, self._before, self._own = clock(), 0, 0.0, False
        self._present = self._tried = -1
        self.blame: t.Optional[int] = None

    def begin(self, number: int, position: int) -> None:
        """A host begins to send."""
        self._present, self._since, self._begun = number, self._clock(), position

    def change(self, position: int, places: t.Sequence[t.Tuple[int, int]], others: t.Sequence[int]) -> t.Optional[Change]:
        """None to go on. places: numbers and offsets of the present host, its source, the source of that. others: who can be
        asked, in order.
        """
        seconds = self._clock() - self._since
        if self._own or not places or seconds < (_TRIAL_SECONDS if self._before else _LEAST_SECONDS):
            return None
        pace = (position - self._begun) / seconds
        if self._before:
            helped, self._before = pace >= self._before * _GAIN, 0.0
            if not helped:
                self._own = True
                return Change(self._tried, False) if self._tried >= 0 else None
            self.blame = self._tried if self._tried >= 0 else None
        present = max(position, places[0][1])
        far = present + max(self._least, pace * _AHEAD_SECONDS)
        slow = any(offset > far for _number, offset in places[1:])
        if not slow and present - position <= max(self._least, pace * _LAG_SECONDS):
            return None
        behind = {number for number, offset in places[1:] if offset <= far} if slow else set()
        for number in others:
            if number != self._present and number not in behind:
                self._before, self._tried = pace, -1 if slow else self._present
                return Change(number, slow)
        return None
