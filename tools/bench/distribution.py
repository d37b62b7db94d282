# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image to all hosts of a play: namespaces with a shaper on each link, end to end into the stores, unpacked and durable.

HOSTS=2,3 measures fleets of those sizes, MB=2 an image of that size, instead of what the issue asks for.
"""

from __future__ import annotations

import os
import random
import statistics
import typing as t

from ...tests.support.containerds import RELEASES
from ...tests.support.fleet import a_fleet
from ...tests.support.images import Entry, Layout, tar_of
from . import chain, chart
from .rows import Row, timed

#: In Mbit/s, up to so many hosts: slow enough for two processors that do the work of all, which would otherwise be what is measured.
_FAST, _FEW, _SLOW = 20.0, 16, 10.0
_LAYERS = 10
#: What is simulated, and the goal of it.
THOUSAND, MOST = chain.Fleet(1000, 2_000_000_000, 1000.0), 1.5


class Case(t.NamedTuple):
    """A fleet to measure. version: of containerd; empty for the embedded engine."""

    hosts: int
    version: str = ""

    @property
    def megabits(self) -> float:
        return _FAST if self.hosts <= _FEW else _SLOW

    @property
    def label(self) -> str:
        return f"{self.hosts} hosts, {self.megabits:g} Mbit/s, {f'containerd {self.version}' if self.version else 'embedded'}"


def cases() -> t.List[Case]:
    sizes = [int(one) for one in os.environ.get("HOSTS", "8,32").split(",")]
    return [*(Case(hosts) for hosts in sizes), *(Case(hosts, max(RELEASES)) for hosts in sizes)]


def make(size: int) -> t.Callable[[Layout], t.Mapping[str, t.Any]]:
    """An image whose layers cannot be compressed."""

    def build(layout: Layout) -> t.Mapping[str, t.Any]:
        noise = random.Random(1)
        return layout.image(
            [tar_of([Entry(f"file{number}", noise.randbytes(size // _LAYERS))]) for number in range(_LAYERS)], level=1
        )

    return build


def distribution(runs: int) -> t.Iterator[Row]:
    """Without Ansible: the programs of all hosts are loaded, and begin at the same time. Then Ansible's part (with the loading), beside one
    trivial task.
    """
    size = int(float(os.environ.get("MB", "50")) * 1e6)
    measured: t.Dict[chain.Fleet, t.List[float]] = {}
    for case in cases():
        patience = 10.0 * case.hosts
        seconds, found, copies = _measure(case, size, timeout=patience, alone=patience)
        yield from _rows(case.label, max(seconds) / found.ideal, copies, 1.10, 1.01)
        if case.version:
            continue
        measured[found] = seconds
        # The registry's link is what all of them wait for: a smaller image shows the same.
        seconds, found, copies = _measure(case, size // 20, heads=case.hosts, timeout=patience, alone=patience)
        yield from _rows(f"{case.label}, each by itself", max(seconds) / found.ideal, copies, 0, 0)
    yield from foreseen(measured)
    yield from _ansible(max(case.hosts for case in cases()), runs)


def _rows(label: str, ratio: float, copies: float, goal: float, most: float) -> t.List[Row]:
    return [Row("P16", label, chart.IDEAL, ratio, goal, 1), Row("P16", label + chart.COPIES, "1", copies, most, 1)]


def foreseen(measured: t.Mapping[chain.Fleet, t.Sequence[float]]) -> t.List[Row]:
    """A thousand hosts, with the costs of the measured fleets; and how well those foretell what was measured."""
    rows: t.List[Row] = []
    for costs in chain.calibrated(measured):
        words = f"{costs.hop * 1000:.2f} ms a hop, {'steady' if costs.steady else 'at random'}"
        for one, seconds in measured.items():
            ratio = chain.simulated(one, costs) / max(seconds)
            rows.append(Row("P16", f"{one.hosts} hosts simulated, {words}", "what was measured", ratio, 0, 1))
        thousand, goal = chain.simulated(THOUSAND, costs) / THOUSAND.ideal, MOST if costs.steady else 0
        rows.append(Row("P16", f"1000 hosts, 2 GB, 1 Gbit/s: {words}", chart.IDEAL, thousand, goal, 0))
    return rows


def _measure(case: Case, size: int, **how: t.Any) -> t.Tuple[t.List[float], chain.Fleet, float]:
    """The seconds of each host, what was moved, and how often the image left the registry's network card."""
    with a_fleet(make(size), case.hosts, f"{case.megabits:g}mbit", case.version) as fleet:
        before = fleet.registry.sent()
        with fleet.relaying(**how) as relays:
            seconds = [float(relays.result(host)["seconds"]) for host in fleet.hosts]
        copies = (fleet.registry.sent() - before) / fleet.size / chain.HEADERS
        return seconds, chain.Fleet(case.hosts, fleet.size, case.megabits), copies


def _ansible(hosts: int, runs: int) -> t.List[Row]:
    """Plays whose image is so small that it takes no time. The first one writes our program on each host, and compiles it there."""
    with a_fleet(make(300_000), hosts, "1gbit") as fleet:
        trivial = statistics.median(timed(fleet.ping) for _run in range(runs))
        first = fleet.play().seconds
        for host in fleet.hosts:
            with host.engine() as engine:
                engine.images.delete(fleet.image)
        again = fleet.play().seconds
    label = f"{hosts} hosts, forks 5: all of Ansible"
    return [
        Row("P16", label, "one trivial task", again / trivial, 3.0, 1),
        Row("P16", f"{label}, the first time", "one trivial task", first / trivial, 0, 1),
    ]
