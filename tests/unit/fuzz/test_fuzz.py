# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parsers against bytes of strangers: what make fuzz has found once, and some that are the same on every day."""

from __future__ import annotations

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.fleet.containerd.tests.unit.fuzz.seeds import SEEDS
from ansible_collections.fleet.containerd.tests.unit.fuzz.targets import TARGETS

CASES = [(name, number) for name, seeds in SEEDS.items() for number in range(len(seeds))]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_what_was_found_once(name: str, number: int) -> None:
    TARGETS[name].run(base64.b64decode(SEEDS[name][number]))


@pytest.mark.parametrize("name", TARGETS)
def test_bytes_of_strangers(name: str) -> None:
    target = TARGETS[name]

    @settings(
        max_examples=60 if name.startswith("layer") else 120,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.shared(target.bytes))
    def run(data: bytes) -> None:
        target.run(data)

    run()


def test_every_seed_has_a_target() -> None:
    assert set(SEEDS) <= set(TARGETS)
