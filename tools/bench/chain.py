# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A chain of more hosts than fit on this machine, simulated piece by piece, with what was measured on those that do.

It assumes that the programs of all hosts run when the first byte leaves the registry (what Ansible needs until then is a row of its own);
that every link has the given rate, both ways, and is not shared; that a piece takes its time on the link and a latency at each host, which
was measured here; that processors and disks keep up with the link; and that nothing breaks. The latency is the same for all pieces
(steady), or another one for each piece, spread as waiting times are (at random), which is the worst case: a link that was idle never
catches up.
"""

from __future__ import annotations

import random
import statistics
import typing as t

from ...plugins.plugin_utils.distribution.plan import piece_of

#: What the headers of Ethernet, IP and TCP add.
HEADERS = 1.046
#: So many pieces show how the pipe fills; the others follow at the rate that it has then.
_PIECES = 2000
_HALVINGS = 12


class Costs(t.NamedTuple):
    """Seconds. fixed: what a host needs besides the transfer. hop: the latency that it adds to a piece, besides its time on the link.

    steady: whether that is the same for all pieces.
    """

    fixed: float
    hop: float
    steady: bool = True


class Fleet(t.NamedTuple):
    """What is moved. size: bytes. megabits: of a link."""

    hosts: int
    size: int
    megabits: float

    @property
    def ideal(self) -> float:
        """Size over bandwidth, in seconds."""
        return self.size * 8 / self.megabits / 1e6

    @property
    def piece(self) -> int:
        return piece_of(self.size, self.hosts)

    @property
    def piece_seconds(self) -> float:
        return self.piece * 8 * HEADERS / self.megabits / 1e6


def calibrated(measured: t.Mapping[Fleet, t.Sequence[float]]) -> t.List[Costs]:
    """From the seconds of the hosts of some fleets, in the order of their chains: a line through all of them; and the random latency that
    takes the largest fleet as long as it took.
    """
    places = [place * fleet.piece_seconds for fleet, seconds in measured.items() for place in range(1, len(seconds) + 1)]
    rests = [one - HEADERS * fleet.ideal for fleet, seconds in measured.items() for one in seconds]
    numbers = [place for seconds in measured.values() for place in range(1, len(seconds) + 1)]
    line = statistics.linear_regression(numbers, [rest - place for rest, place in zip(rests, places)])
    steady = Costs(max(0.0, line.intercept), max(0.0, line.slope))
    largest = max(measured)
    low, high = 0.0, 0.1
    for _step in range(_HALVINGS):
        middle = (low + high) / 2
        late = simulated(largest, steady._replace(hop=middle, steady=False)) > max(measured[largest])
        low, high = (low, middle) if late else (middle, high)
    return [steady, Costs(steady.fixed, low, False)]


def simulated(fleet: Fleet, costs: Costs) -> float:
    """Seconds until the last host has all."""
    chance = random.Random(1)
    pieces, step = max(1, fleet.size // fleet.piece), fleet.piece_seconds
    shown = min(pieces, _PIECES)
    # When the last piece has come, by host; the registry has all of them.
    times = [0.0] * fleet.hosts
    middle = 0.0
    for number in range(shown):
        came = 0.0
        for host, before in enumerate(times):
            late = costs.hop if costs.steady or not costs.hop else chance.expovariate(1 / costs.hop)
            came = max(came + late, before) + step
            times[host] = came
        if number == shown // 2:
            middle = came
    rate = (times[-1] - middle) / max(1, shown - 1 - shown // 2)
    return times[-1] + (pieces - shown) * max(step, rate) + costs.fixed
