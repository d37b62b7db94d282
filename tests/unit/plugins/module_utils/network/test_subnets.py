# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subnets: what is the same, what overlaps, what is free."""

from __future__ import annotations

import ipaddress
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument, ResourceExhausted
from ansible_collections.fleet.containerd.plugins.module_utils.network.subnets import (
    Subnet,
    check_free,
    free_ipv4,
    free_ipv6,
)

net = ipaddress.ip_network


def test_the_same_subnets_are_equal_however_they_are_written() -> None:
    one = {Subnet.of("10.1.0.0/16"), Subnet.of("FD00:0:0::/64", "fd00::0001")}
    other = {Subnet.of("fd00::/64"), Subnet.of("10.1.0.0/255.255.0.0", "10.1.0.1", "10.1.0.0/16")}
    assert one == other
    assert Subnet.of("10.1.0.0/16") != Subnet.of("10.1.0.0/16", "10.1.0.2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("10.1.0.1/24",), "subnet: '10.1.0.1/24' is the address of a host in the subnet 10.1.0.0/24"),
        (("10.1.0.0/99",), "subnet: '10.1.0.0/99' is no subnet"),
        (("",), "subnet: '' is no subnet"),
        ((5,), "subnet: '5' is no subnet|too small"),
        (("10.1.0.0/24", 5), "gateway: '5' is no IP address"),
        (("x\x1b",), r"subnet: 'x\\\\x1b' is no subnet, such as"),
        (("10.1.0.0/31",), "too small"),
        (("fd00::/127",), "too small"),
        (("10.1.0.0/24", "10.2.0.1"), "gateway: 10.2.0.1 is no address of a host in the subnet 10.1.0.0/24"),
        (("10.1.0.0/24", "10.1.0.0"), "gateway: 10.1.0.0 is no address of a host"),
        (("10.1.0.0/24", "10.1.0.255"), "gateway: 10.1.0.255 is no address of a host"),
        (("10.1.0.0/24", "fd00::1"), "gateway: fd00::1 is no address of a host"),
        (("10.1.0.0/24", "one"), "gateway: 'one' is no IP address"),
        (("10.1.0.0/24", None, "10.2.0.0/25"), "iprange: 10.2.0.0/25 is not inside the subnet 10.1.0.0/24"),
        (("10.1.0.0/24", None, "10.1.0.0/16"), "iprange: 10.1.0.0/16 is not inside"),
        (("10.1.0.0/24", None, None, {"a": "10.2.0.1"}), r"aux_addresses: 10.2.0.1 \(a\) is not inside"),
    ],
)
def test_what_is_wrong_is_told_with_option_and_value(arguments: t.Tuple[t.Any, ...], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        Subnet.of(*arguments)


@pytest.mark.parametrize(
    ("subnet", "spans"),
    [
        (Subnet.of("10.1.0.0/24"), ["10.1.0.1-10.1.0.254"]),
        (Subnet.of("10.1.0.0/24", None, "10.1.0.128/25"), ["10.1.0.128-10.1.0.254"]),
        (Subnet.of("10.1.0.0/30"), ["10.1.0.1-10.1.0.2"]),
        (Subnet.of("fd00::/126"), ["fd00::1-fd00::3"]),
        (
            Subnet.of("10.1.0.0/24", "10.1.0.3", None, {"b": "10.1.0.9", "a": "10.1.0.5", "c": "10.1.0.1", "last": "10.1.0.254"}),
            ["10.1.0.2-10.1.0.4", "10.1.0.6-10.1.0.8", "10.1.0.10-10.1.0.253"],
        ),
        (Subnet.of("10.1.0.0/24", None, "10.1.0.8/31", {"a": "10.1.0.8", "b": "10.1.0.9", "far": "10.1.0.77"}), []),
    ],
)
def test_what_containers_get(subnet: Subnet, spans: t.List[str]) -> None:
    assert [f"{one.first}-{one.last}" for one in subnet.spans] == spans


def test_subnets_that_overlap_are_refused_by_whose_they_are() -> None:
    taken = {net("10.1.0.0/16"): "route of eth1", net("0.0.0.0/0"): "the default route", net("fd00::/48"): "network a"}
    check_free([Subnet.of("10.2.0.0/16"), Subnet.of("fd01::/64")], taken)
    with pytest.raises(InvalidArgument, match=r"subnet: 10.1.9.0/24 overlaps 10.1.0.0/16 \(route of eth1\)"):
        check_free([Subnet.of("10.1.9.0/24")], taken)
    with pytest.raises(InvalidArgument, match=r"subnet: fd00::/32 overlaps fd00::/48 \(network a\)"):
        check_free([Subnet.of("fd00::/32")], taken)
    with pytest.raises(InvalidArgument, match="another subnet of this network"):
        check_free([Subnet.of("10.2.0.0/16"), Subnet.of("10.2.1.0/24")], taken)


def test_free_subnets() -> None:
    assert str(free_ipv4([], default=True).network) == "10.4.0.0/24"
    assert str(free_ipv4([net("0.0.0.0/0"), net("::/0")]).network) == "10.4.1.0/24"
    assert str(free_ipv4([net("10.4.1.128/25"), net("10.4.2.0/23")]).network) == "10.4.4.0/24"
    assert str(free_ipv4([net("10.0.0.0/8")]).network) == "172.24.0.0/24"
    assert str(free_ipv4([net("10.0.0.0/8"), net("172.16.0.0/12")]).network) == "192.168.0.0/24"
    with pytest.raises(ResourceExhausted, match="give one with ipam_config"):
        free_ipv4([net("10.0.0.0/8"), net("172.16.0.0/12"), net("192.168.0.0/16")])


def test_free_subnets_of_ipv6_are_of_the_host_and_the_name() -> None:
    one = free_ipv6("a", "machine", [])
    assert one == free_ipv6("a", "machine", [net("::/0")])
    assert one.network.subnet_of(net("fd00::/8"))
    assert one.network.prefixlen == 64
    assert len({one, free_ipv6("b", "machine", []), free_ipv6("a", "other", []), free_ipv6("a", "machine", [one.network])}) == 4
    with pytest.raises(ResourceExhausted):
        free_ipv6("a", "machine", [net("fd00::/8")])
