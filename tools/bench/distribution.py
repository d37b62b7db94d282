# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image to all hosts of a play: namespaces with a shaper on each link, end to end into the stores, unpacked and durable."""

from __future__ import annotations

import random
import statistics
import typing as t

from ...tests.support.fleet import Fleet, a_fleet
from ...tests.support.images import Entry, Layout, tar_of
from .rows import Row, timed

RATE, MEGABITS = "20mbit", 20.0
SIZE = 25_000_000
#: Hosts and engines (versions of containerd) that are measured.
CASES = ((8, ""), (8, "1.7"), (32, ""))
#: What a host adds to a chain besides the time of a piece (seconds), and what headers add to the bytes: see model().
_HEADERS = 1.046


def make(size: int) -> t.Callable[[Layout], t.Mapping[str, t.Any]]:
    """An image of three layers that cannot be compressed."""

    def build(layout: Layout) -> t.Mapping[str, t.Any]:
        noise = random.Random(1)
        return layout.image([tar_of([Entry(f"file{number}", noise.randbytes(size // 3))]) for number in range(3)], level=1)

    return build


def model(hosts: int, size: float, megabits: float, hop: float) -> float:
    """The time of a chain over size/bandwidth: every host gets all at the rate of its link, the last one so much later as all hops take.

    It assumes that all hosts begin together, links of one rate, and processors that keep up.
    """
    ideal = size * 8 / megabits / 1e6
    return (_HEADERS * ideal + hosts * hop) / ideal


def distribution(runs: int) -> t.List[Row]:
    """Without Ansible: programs on all hosts begin at the same time. Then Ansible's part, beside one trivial task."""
    rows: t.List[Row] = []
    seconds: t.Dict[int, float] = {}
    for hosts, version in CASES:
        with a_fleet(make(SIZE), hosts, RATE, version) as fleet:
            ideal = fleet.size * 8 / MEGABITS / 1e6
            before = fleet.registry.sent()
            slowest, found = _relayed(fleet)
            copies = (fleet.registry.sent() - before) / fleet.size / _HEADERS
            label = f"{hosts} hosts, {version or 'embedded'}"
            rows.append(Row("P16", label, "size / bandwidth", slowest / ideal, 1.10, 1))
            rows.append(Row("P16", f"{label}: copies from the registry", "1", copies, 1.01, 1))
            if not version:
                seconds[hosts] = statistics.fmean(found)
    few, many = min(seconds), max(seconds)
    hop = max(0.0, (seconds[many] - seconds[few]) * 2 / (many - few))
    rows.append(
        Row(
            "P16",
            f"1000 hosts, 2 GB, 1 Gbit/s: model, {hop * 1000:.1f} ms a hop",
            "size / bandwidth",
            model(1000, 2e9, 1000, hop),
            1.5,
            0,
        )
    )
    with a_fleet(make(SIZE // 5), 8, RATE) as fleet:
        ideal = fleet.size * 8 / MEGABITS / 1e6
        rows.append(Row("P16", "8 hosts, each by itself", "size / bandwidth", _relayed(fleet, heads=8)[0] / ideal, 0, 1))
    return [*rows, *_ansible(runs)]


def _relayed(fleet: Fleet, **how: t.Any) -> t.Tuple[float, t.List[float]]:
    with fleet.relaying(**how) as relays:
        found = [relays.result(host)["seconds"] for host in fleet.hosts]
    return max(found), found


def _ansible(runs: int) -> t.List[Row]:
    """A play whose image is so small that it takes no time."""
    with a_fleet(make(300_000), 32, "1gbit") as fleet:
        trivial = statistics.median(timed(fleet.ping) for _run in range(runs))
        ours = fleet.play().seconds
    return [Row("P16", "32 hosts, forks 5: all of Ansible", "one trivial task", ours / trivial, 3.0, 1)]
