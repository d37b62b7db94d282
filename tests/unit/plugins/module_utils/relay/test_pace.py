# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is too slow, told from how far hosts are and how fast it comes to them."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.relay.pace import Change, Pace
from ansible_collections.fleet.containerd.plugins.module_utils.relay.shelf import Meter
from ansible_collections.fleet.containerd.plugins.module_utils.relay.wire import Place

FAST, SLOW = 50_000, 5_000


class Blob:
    """A blob that comes to host 6; the hosts before it are 5 (the present one), 4 and 3."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pace = Pace(1000, lambda: self.now)
        self.pace.begin(5)

    def at(
        self,
        own: t.Tuple[int, int],
        *places: t.Tuple[int, int, int],
        others: t.Sequence[int] = (5, 4, 3),
        seen: t.Sequence[t.Tuple[int, int, int]] = (),
    ) -> t.Optional[Change]:
        """own: offset and rate of host 6. A beat later."""
        self.now += 0.2
        return self.pace.change(Place(6, *own), [Place(*one) for one in places], others, [Place(*one) for one in seen])

    def lasts(
        self, own: t.Tuple[int, int], *places: t.Tuple[int, int, int], others: t.Sequence[int] = (5, 4, 3)
    ) -> t.Optional[Change]:
        """The same for a while."""
        assert [self.at(own, *places, others=others) for _each in range(3)] == [None] * 3
        return self.at(own, *places, others=others)


def test_a_chain_in_which_all_are_alike_stays_as_it_is() -> None:
    blob = Blob()
    for number in range(1, 50):
        offset = number * 10_000
        assert blob.at((offset, FAST), (5, offset + 2000, FAST), (4, offset + 4000, FAST), (3, offset + 6000, FAST)) is None


def test_hosts_that_began_later_are_behind_and_not_slow() -> None:
    blob = Blob()
    for number in range(1, 50):
        offset = number * 10_000
        assert blob.at((offset, FAST), (5, offset + 300_000, FAST), (4, offset + 900_000, FAST), (3, 2_000_000, FAST)) is None


def test_a_host_that_has_had_it_before_says_no_rate_and_nothing_follows() -> None:
    blob = Blob()
    for number in range(1, 50):
        assert blob.at((number * 1000, SLOW), (5, 2_000_000, 0)) is None
        assert blob.at((number * 1000, FAST), (5, number * 1000, FAST), (4, 2_000_000, 0)) is None


def test_a_registry_that_stalls_makes_nobody_slow() -> None:
    blob = Blob()
    for _each in range(20):
        assert blob.at((0, 0), (5, 1000, 10), (4, 2000, 10), (3, 3000, 10)) is None


def test_a_host_to_which_it_comes_slower_than_to_those_before_it_is_slow() -> None:
    blob = Blob()
    assert blob.at((1000, SLOW), (5, 1500, SLOW), (4, 5000, FAST)) is None  # it is near
    assert blob.lasts((2000, SLOW), (5, 2500, SLOW), (4, 20_000, FAST)) == Change(4, True)


def test_behind_a_slow_host_all_are_slow_and_only_the_one_right_behind_it_leaves() -> None:
    blob = Blob()
    for _each in range(10):
        assert blob.at((2000, SLOW), (5, 2500, SLOW), (4, 2800, SLOW), (3, 20_000, FAST)) is None


def test_who_is_slow_for_a_moment_is_not_left() -> None:
    blob = Blob()
    for _each in range(10):
        assert blob.at((2000, SLOW), (5, 2500, SLOW), (4, 20_000, FAST)) is None
        assert blob.at((2000, SLOW), (5, 2500, FAST), (4, 20_000, FAST)) is None


def test_without_anybody_else_it_goes_on() -> None:
    blob = Blob()
    assert blob.lasts((2000, SLOW), (5, 2500, SLOW), (4, 20_000, FAST), others=(5,)) is None


def test_a_host_that_sends_slowly_is_blamed_when_another_one_is_faster() -> None:
    blob = Blob()
    assert blob.lasts((2000, SLOW), (5, 50_000, FAST), (4, 52_000, FAST)) == Change(4, False)
    blob.pace.begin(4)
    for number in range(11):
        assert blob.at((2000 + number * 10_000, FAST), (4, 90_000, FAST)) is None
    assert blob.pace.blame == 5


def test_a_host_that_is_slow_itself_tries_another_one_comes_back_and_stays() -> None:
    blob = Blob()
    assert blob.lasts((2000, SLOW), (5, 50_000, FAST), (4, 52_000, FAST)) == Change(4, False)
    blob.pace.begin(4)
    assert [one for number in range(12) if (one := blob.at((2000 + number * 1000, SLOW), (4, 90_000, FAST)))] == [
        Change(5, False)
    ]
    assert blob.pace.blame is None
    blob.pace.begin(5)
    for number in range(20):
        assert blob.at((9000 + number * 1000, SLOW), (5, 200_000, FAST), (4, 300_000, FAST)) is None


def test_what_a_slow_link_tells_late_is_seen_at_the_host_before_it() -> None:
    """Host 5 has told nothing yet, or what was so long ago."""
    for late in ((5, 2100, 0), (5, 2100, FAST)):
        blob = Blob()
        changes = [blob.at((2000, SLOW), late, (4, 3000, 0), seen=[(4, 50_000, FAST), (3, 51_000, FAST)]) for _each in range(4)]
        assert changes == [None, None, None, Change(4, False)]
        blob.pace.begin(4)
        for number in range(7):
            assert blob.at((2000 + number * 10_000, FAST), (4, 90_000, FAST)) is None
        assert blob.pace.blame == 5
    # Where it has told that it is slow, it is known.
    blob = Blob()
    changes = [blob.at((2000, SLOW), (5, 2100, SLOW), (4, 3000, 0), seen=[(4, 50_000, FAST)]) for _each in range(4)]
    assert changes[-1] == Change(4, True)


def test_a_host_that_gets_nothing_any_more_hangs_though_its_rate_was_good() -> None:
    blob = Blob()
    for number in range(1, 10):
        assert blob.at((number * 10_000, FAST), (5, number * 10_000 + 100, FAST), (4, number * 10_000 + 2000, FAST)) is None
    stays, seconds = (5, 90_100, FAST), 0.0
    while not (change := blob.at((90_000, FAST), stays, (4, 200_000, FAST))):
        seconds += 0.2
    assert change == Change(4, True)
    assert 5.0 < seconds < 7.0


def test_a_host_that_never_begins_hangs_when_the_one_before_it_has_more() -> None:
    """Another program may have the blob in its hands there; then it names no source."""
    for before, expected in (((4, 90_000, FAST), Change(4, True)), ((4, 0, 0), None)):
        blob = Blob()
        assert [one for _each in range(40) if (one := blob.at((0, 0), (5, 0, 0), seen=[before]))][:1] == [expected] * bool(
            expected
        )


def test_a_host_that_waits_for_its_own_source_does_not_hang() -> None:
    blob = Blob()
    for _each in range(100):
        assert blob.at((90_000, FAST), (5, 90_100, FAST), (4, 92_000, FAST), (3, 200_000, FAST)) is None


def test_after_a_change_that_helped_the_next_slow_host_is_noticed() -> None:
    blob = Blob()
    assert blob.lasts((2000, SLOW), (5, 2500, SLOW), (4, 20_000, FAST)) == Change(4, True)
    blob.pace.begin(4)
    for number in range(11):
        assert blob.at((2000 + number * 10_000, FAST), (4, 60_000, FAST), (3, 61_000, FAST)) is None
    assert blob.lasts((60_000, SLOW), (4, 60_000, SLOW), (3, 200_000, FAST), others=(4, 3, 5)) == Change(3, True)


def test_the_rate_is_that_of_the_time_in_which_something_comes() -> None:
    """A second without a word, since the host before is gone, makes nobody look slow; pauses of a slow host count."""
    now = [1.0]
    meter = Meter(lambda: now[0])

    def comes(size: int, *pauses: float) -> int:
        for pause in pauses:
            now[0] += pause
            meter.add(size)
        return meter.rate

    assert comes(1000, 0.1, 0.1) == 0
    assert comes(1000, *[0.1] * 20) == pytest.approx(10_000, rel=0.01)
    assert comes(1000, 5.0, *[0.1] * 10) > 5000
    assert comes(1000, *[0.1] * 20) == pytest.approx(10_000, rel=0.01)
    assert comes(250, *[0.25] * 10) == pytest.approx(1000, rel=0.01)
    # From another host: neither the rate of the one before counts, nor the time until it begins.
    meter.begin()
    assert comes(1000, 3.0, *[0.1] * 5) == 0
    assert comes(1000, *[0.1] * 5) == pytest.approx(10_000, rel=0.01)
