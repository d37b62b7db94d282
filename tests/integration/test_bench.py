# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks reach into the collection, so a change of it can break them; their figures are for make bench."""

from __future__ import annotations

import pathlib

from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tools.bench import act, chain, distribution, images, networks, playbooks, rows


def test_a_container_is_made_and_started_as_in_the_benchmarks(registry: Registry, tmp_path: pathlib.Path) -> None:
    ours = rows.Ours(tmp_path, registry)
    try:
        images._know(ours, 2)
        assert [ours.engine.tasks.state(made.id).status for made in ours.engine.containers.list() if made.id[:9] != "0" * 9] == [
            "running"
        ]
        assert len(ours.engine.images.list()) == 3
        images._forget(ours)
        assert act.pull_image(ours.reference, str(tmp_path / "act"))["layers"] == 1
    finally:
        ours.close()
    assert not pathlib.Path(ours.state).exists()


def test_containers_are_attached_by_both_ways() -> None:
    found = networks.on_a_host_of_its_own("attaching")(1)
    assert [(row.row, row.ratio > 0) for row in found] == [("P12", True)] * 2


def test_what_a_task_sends_is_counted() -> None:
    assert [row.ratio > 0 for row in playbooks.payload(1)] == [True, True]


def test_a_distribution_is_measured_and_simulated() -> None:
    measured = {}
    for hosts in (2, 3):
        seconds, found, copies = distribution._measure(distribution.Case(hosts), 600_000)
        assert len(seconds) == hosts
        assert 0.9 < copies < 1.2
        measured[found] = seconds
    foreseen = distribution.foreseen(measured)
    assert [row.ratio > 0 for row in foreseen] == [True] * 6


def test_a_simulated_chain_is_what_can_be_computed() -> None:
    """With the same latency for all pieces: all pieces one after the other, and the last one through all hosts."""
    fleet = chain.Fleet(20, 10_000_000, 100.0)
    pieces = fleet.size // fleet.piece
    seconds = chain.simulated(fleet, chain.Costs(0.5, 0.002))
    assert abs(seconds - (0.5 + pieces * fleet.piece_seconds + 19 * fleet.piece_seconds + 20 * 0.002)) < 0.01
    slower = chain.simulated(fleet, chain.Costs(0.5, 0.002, steady=False))
    assert seconds < slower < 3 * seconds
