# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is too slow, told from how far hosts are."""

from __future__ import annotations

import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.relay.pace import Change, Pace

ALL = (5, 4, 3)


class Blob:
    """A blob that comes; a step is 0.2 s. The hosts are 5 (the present one), 4 and 3 before it."""

    def __init__(self) -> None:
        self.now, self.position = 0.0, 0
        self.pace = Pace(1000, lambda: self.now)
        self.pace.begin(5, 0)

    def step(self, came: int, *places: t.Tuple[int, int], others: t.Sequence[int] = ALL) -> t.Optional[Change]:
        self.now += 0.2
        self.position += came
        return self.pace.change(self.position, places, others)


def test_a_chain_in_which_all_are_alike_stays_as_it_is() -> None:
    blob = Blob()
    for number in range(1, 50):
        # Each is a piece or two ahead.
        assert blob.step(10_000, (5, number * 10_000 + 2000), (4, number * 10_000 + 4000), (3, number * 10_000 + 6000)) is None


def test_a_registry_that_stalls_makes_nobody_slow() -> None:
    blob = Blob()
    for _each in range(20):
        assert blob.step(0, (5, 1000), (4, 2000), (3, 3000)) is None


def test_a_host_that_is_behind_those_before_it_is_slow() -> None:
    blob = Blob()
    assert blob.step(1000, (5, 1500), (4, 10_000)) is None  # too early to tell
    assert blob.step(1000, (5, 2500), (4, 20_000)) == Change(4, True)


def test_where_the_next_one_is_slow_too_the_one_before_it_is_asked() -> None:
    blob = Blob()
    blob.step(1000, (5, 1500), (4, 1800), (3, 10_000))
    assert blob.step(1000, (5, 2500), (4, 2800), (3, 20_000)) == Change(3, True)


def test_nobody_is_asked_who_is_not_in_the_plan() -> None:
    blob = Blob()
    for number in range(1, 10):
        assert blob.step(1000, (5, number * 1000), (4, number * 20_000), others=(5,)) is None


def test_a_host_that_has_all_and_sends_it_slowly_is_tried_to_be_passed_by_and_is_not_blamed() -> None:
    blob = Blob()
    blob.step(1000, (5, 50_000), (4, 50_000))
    assert blob.step(1000, (5, 50_000), (4, 50_000)) == Change(4, False)


def test_a_change_that_brings_nothing_was_the_last_one() -> None:
    blob = Blob()
    blob.step(1000, (5, 50_000), (4, 60_000))
    assert blob.step(1000, (5, 50_000), (4, 60_000))
    blob.pace.begin(4, blob.position)
    for _each in range(20):
        assert blob.step(1000, (4, 100_000), (3, 200_000)) is None


def test_a_host_that_is_slow_itself_tries_another_one_and_comes_back() -> None:
    blob = Blob()
    blob.step(1000, (5, 50_000), (4, 50_000))
    assert blob.step(1000, (5, 50_000), (4, 50_000)) == Change(4, False)
    blob.pace.begin(4, blob.position)
    assert [one for one in [blob.step(1000, (4, 100_000)) for _each in range(6)] if one] == [Change(5, False)]
    assert blob.pace.blame is None


def test_a_host_that_sends_slowly_is_blamed_when_another_one_is_faster() -> None:
    blob = Blob()
    blob.step(1000, (5, 50_000), (4, 50_000))
    assert blob.step(1000, (5, 50_000), (4, 50_000)) == Change(4, False)
    blob.pace.begin(4, blob.position)
    for _each in range(6):
        assert blob.step(8000, (4, blob.position + 9000)) is None
    assert blob.pace.blame == 5


def test_after_a_change_that_helped_the_next_slow_host_is_noticed() -> None:
    blob = Blob()
    blob.step(1000, (5, 1500), (4, 50_000))
    assert blob.step(1000, (5, 2500), (4, 60_000)) == Change(4, True)
    blob.pace.begin(4, blob.position)
    for number in range(6):
        assert blob.step(10_000, (4, 62_000 + number * 10_000), (3, 63_000 + number * 10_000)) is None
    changes = [blob.step(500, (4, blob.position), (3, 500_000), others=(4, 3, 5)) for _each in range(30)]
    assert Change(3, True) in changes
