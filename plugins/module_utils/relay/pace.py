# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the host that a blob comes from is too slow, so that another one has to be asked (docs/adr/0050).

Rates are compared, not offsets alone: a host that began later than another one is behind it all the time, and is not slow.
"""

from __future__ import annotations

import time
import typing as t

if t.TYPE_CHECKING:
    from .wire import Place

#: Slow is less than this part of what others get. Two hosts at one source have half of it, and rates go up and down.
_SLOW = 0.25
#: And to be behind by what comes in so many seconds, but by so many pieces at least: so much may be on the way.
_SECONDS, _PIECES = 0.5, 4
#: And that for so long: a busy processor makes anybody slow for a moment.
_LASTING_SECONDS = 0.5
#: A host that gets nothing for so long, while its source has more, hangs: its disk does not answer, or another program has the blob in its
#: hands. It tells how far it is all the same.
_HANGING_SECONDS = 5.0
#: A change of the host has to make it so much faster within so many seconds; else it is this host that is slow.
_GAIN, _TRIAL_SECONDS = 1.3, 1.2


class Change(t.NamedTuple):
    """number: who is to be asked instead; -1 for the registry. slow: whether the present host is known to be slow; else it is tried."""

    number: int
    slow: bool


class Pace:
    """The pace of one blob. piece: bytes. clock: seconds. blame: a host that turned out to be slow, when another one was tried."""

    def __init__(self, piece: int, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._least, self._clock = _PIECES * piece, clock
        self._since, self._doubt, self._before, self._own = clock(), 0.0, 0.0, False
        self._present = self._tried = -1
        self._offset, self._moved = -1, clock()
        self.blame: t.Optional[int] = None

    def begin(self, number: int) -> None:
        """A host begins to send."""
        self._present, self._since, self._doubt = number, self._clock(), 0.0
        self._offset, self._moved = -1, self._clock()

    def change(
        self, own: Place, places: t.Sequence[Place], others: t.Sequence[int], seen: t.Sequence[Place] = ()
    ) -> t.Optional[Change]:
        """None to go on. own: where this host is. places: the present host, its source, the source of that, as the present host says.
        others: who can be asked, in order. seen: what the first of those says itself, since a slow link tells it late.
        """
        if places and places[0].offset != self._offset:
            self._offset, self._moved = places[0].offset, self._clock()
        if self._own or not places:
            return None
        if self._before:
            return self._judged(own)
        present, *before = places
        newest = {one.host: one for one in seen[:1]}
        before = [newest.get(one.host, one) for one in before]
        far = max(own.offset, present.offset) + max(self._least, int(present.rate * _SECONDS))
        faster = {one.host for one in before if one.offset > far and present.rate and present.rate < one.rate * _SLOW}
        behind = any(self._is_behind(own, one) for one in (present, *seen[:1]))
        # Where the source of the present host is slow as well, the present host has to find that out.
        faster = (
            faster if before and before[0].host in faster else self._ahead_of_one_that_hangs(present, (*before[:1], *seen[:1]))
        )
        if not faster and not behind:
            self._doubt = 0.0
            return None
        self._doubt = self._doubt or self._clock()
        if self._clock() - self._doubt < _LASTING_SECONDS:
            return None
        bad = {one.host for one in before} - faster if faster else set()
        for number in others:
            if number != self._present and number not in bad:
                self._before, self._tried = float(own.rate), -1 if faster else self._present
                return Change(number, bool(faster))
        return None

    def _ahead_of_one_that_hangs(self, present: Place, others: t.Sequence[Place]) -> t.Set[int]:
        """Who has more than the present host, which gets nothing any more. A rate says nothing of that: it is that of the time before."""
        return {one.host for one in others if self.hangs and one.offset > present.offset + self._least}

    @property
    def hangs(self) -> bool:
        """Whether the present host has got nothing for a long time."""
        return self._clock() - self._moved > _HANGING_SECONDS

    def _is_behind(self, own: Place, other: Place) -> bool:
        """Whether another host is far ahead of this one, and faster."""
        far = other.offset - own.offset > max(self._least, own.rate * _SECONDS)
        return far and 0 < own.rate < other.rate * _SLOW

    def _judged(self, own: Place) -> t.Optional[Change]:
        """Whether the last change has helped. If not, we are slow ourselves, and go back."""
        if self._clock() - self._since < _TRIAL_SECONDS:
            return None
        helped = own.rate >= self._before * _GAIN
        self._before = 0.0
        if helped:
            self.blame = self._tried if self._tried >= 0 else None
            return None
        self._own = True
        return Change(self._tried, False) if self._tried >= 0 else None
