# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets an image from whom."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.plugin_utils.distribution.plan import (
    Host,
    Sources,
    chains,
    in_order,
    piece_of,
    sources_of,
)


def fleet(count: int, holders: t.Collection[int] = (), **more: t.Any) -> t.List[Host]:
    return [
        Host(f"h{number}", f"192.0.2.{number}", "linux/amd64", holds=frozenset(["d"] if number in holders else []), **more)
        for number in range(count)
    ]


def test_a_host_asks_the_one_before_it_first_and_the_first_one_asks_only_the_registry() -> None:
    found = sources_of(fleet(12), "d")
    assert found["h0"] == Sources((), ("h11", "h10", "h9"), head="h0")
    assert found["h1"].sources == ("h0",)
    assert found["h11"].sources == ("h10", "h9", "h8", "h6", "h3", "h0")
    assert found["h11"].last == ()


def test_whoever_has_the_image_takes_nothing_and_leads_a_chain() -> None:
    found = sources_of(fleet(8, holders=[5, 7]), "d")
    assert found["h5"] == Sources((), ("h2", "h1", "h0"), True)
    assert found["h7"] == Sources((), ("h6", "h4", "h3"), True)
    assert {name: one.sources[0] for name, one in found.items() if not one.holds} == {
        "h0": "h5", "h1": "h0", "h2": "h1", "h3": "h7", "h4": "h3", "h6": "h4"
    }  # fmt: skip
    # Nobody is without a host that has it.
    assert all({"h5", "h7"} & set(one.sources) for one in found.values() if not one.holds)


@pytest.mark.parametrize(
    ("takers", "holders", "heads", "expected"),
    [
        ("abcde", "", 1, ["abcde"]),
        ("abcde", "", 2, ["ab", "cde"]),
        ("ab", "", 9, ["a", "b"]),
        ("abcde", "X", 3, ["Xabcde"]),
        ("abcde", "XY", 1, ["Xab", "Ycde"]),
        ("a", "XYZ", 1, ["Xa"]),
    ],
)
def test_there_are_as_many_chains_as_holders_or_heads(takers: str, holders: str, heads: int, expected: t.List[str]) -> None:
    assert chains(takers, holders, heads) == [list(line) for line in expected]


def test_those_who_hold_it_and_lead_no_chain_can_be_asked_too() -> None:
    found = sources_of(fleet(4, holders=[0, 1, 2]), "d")
    assert found["h3"].sources == ("h0", "h1", "h2")
    # They stay until it is done.
    assert [found[name].last for name in ("h0", "h1", "h2")] == [("h3",)] * 3


def test_hosts_of_a_group_are_side_by_side_and_groups_in_the_order_of_the_inventory() -> None:
    hosts = [host._replace(group="ab"[number % 2]) for number, host in enumerate(fleet(6))]
    assert [host.name for host in in_order(hosts)] == ["h0", "h2", "h4", "h1", "h3", "h5"]


def test_hosts_of_another_platform_are_in_a_chain_of_their_own() -> None:
    hosts = [
        host._replace(platform=f"linux/{('amd64', 'arm64')[number % 2]}") for number, host in enumerate(fleet(6, holders=[2]))
    ]
    found = sources_of(hosts, "d")
    assert {name: one.sources[:1] for name, one in found.items()} == {
        "h0": ("h2",), "h2": (), "h4": ("h0",), "h1": (), "h3": ("h1",), "h5": ("h3",)
    }  # fmt: skip


@pytest.mark.parametrize(("count", "holders"), [(1, []), (2, []), (2, [1]), (50, []), (50, range(0, 50, 7)), (1000, [500])])
def test_nobody_is_its_own_source_and_no_bytes_go_in_a_circle(count: int, holders: t.Collection[int]) -> None:
    found = sources_of(fleet(count, holders), "d", heads=3)
    assert len(found) == count
    for name, one in found.items():
        assert name not in (*one.sources, *one.last)
        assert len(set(one.sources)) == len(one.sources)
        seen = {name}
        while one.sources:
            assert one.sources[0] not in seen
            seen.add(one.sources[0])
            one = found[one.sources[0]]
    roots = [name for name, one in found.items() if not one.sources and not one.holds]
    assert len(roots) == (0 if holders else min(3, count))


@pytest.mark.parametrize(
    ("size", "hosts", "piece"),
    [
        (25_000_000, 32, 16384),
        (2_000_000_000, 32, 262144),
        (2_000_000_000, 1000, 32768),
        (50_000_000_000, 1000, 262144),
        (1000, 1, 16384),
    ],
)
def test_pieces_are_so_small_that_a_long_chain_costs_little(size: int, hosts: int, piece: int) -> None:
    assert piece_of(size, hosts) == piece
