# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links, addresses and routes, held against pyroute2 and the kernel."""

from __future__ import annotations

import ipaddress
import struct
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    EngineError,
    InvalidArgument,
    NotFound,
    Unimplemented,
)
from ansible_collections.fleet.containerd.plugins.module_utils.network import netns
from ansible_collections.fleet.containerd.plugins.module_utils.network.links import NO_DAD, PERMANENT, Links, New, check_link_name
from ansible_collections.fleet.containerd.plugins.module_utils.network.netlink import pack, unpack
from ansible_collections.fleet.containerd.tests.support.namespaces import World, ip

MAC = "02:42:0a:01:00:02"
interface, network, address = ipaddress.ip_interface, ipaddress.ip_network, ipaddress.ip_address


def by_pyroute2() -> t.Tuple[t.Any, t.Any, t.Any]:
    """What there is, as pyroute2 reads it, in the shape of our values."""
    from pyroute2 import IPRoute

    with IPRoute() as other:
        links = {
            (
                one["index"],
                one.get_attr("IFLA_IFNAME"),
                one.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or "",
                one.get_attr("IFLA_ADDRESS"),
                one.get_attr("IFLA_MTU"),
                bool(one["flags"] & 1),
                one.get_attr("IFLA_MASTER") or 0,
                one.get_attr("IFLA_LINK") or 0,
            )
            for one in other.get_links()
        }
        addresses = {
            (
                one["index"],
                interface(f"{one.get_attr('IFA_LOCAL') or one.get_attr('IFA_ADDRESS')}/{one['prefixlen']}"),
                one.get_attr("IFA_FLAGS"),
            )
            for one in other.get_addr()
        }
        routes = set()
        for family, anywhere in ((2, "0.0.0.0"), (10, "::")):
            for one in other.get_routes(family=family):
                if one["type"] == 1:
                    gateway = one.get_attr("RTA_GATEWAY")
                    destination = network(f"{one.get_attr('RTA_DST') or anywhere}/{one['dst_len']}")
                    link = one.get_attr("RTA_OIF") or 0
                    routes.add((destination, address(gateway) if gateway else None, link, one.get_attr("RTA_TABLE")))
    return links, addresses, routes


def agree(ours: Links) -> bool:
    """Whether both see the same. The kernel may add routes of IPv6 between the two looks: then again."""
    deadline = time.monotonic() + 5
    while True:
        seen = (set(map(tuple, ours.list())), set(map(tuple, ours.addresses())), set(map(tuple, ours.routes())))
        if seen == by_pyroute2():
            return True
        assert time.monotonic() < deadline, (seen, by_pyroute2())
        time.sleep(0.05)


def test_what_we_make_is_what_pyroute2_sees(site: World) -> None:
    container = site.namespace("container")
    with netns.opened(container) as fd, Links() as here:
        here.add(New("br0", "bridge", mtu=1400, mac="02:42:00:00:00:01", up=True))
        bridge = here.get("br0")
        here.add(New("veth0", "veth", mtu=1400, master=bridge.ifindex, peer=New("eth0", mac=MAC, mtu=1400, namespace=fd)))
        here.change(here.get("veth0").ifindex, True, hairpin=True)
        here.add(New("mac0", "macvlan", parent=here.get("uplink").ifindex, data=((1, 4),), namespace=fd))
        here.add_address(bridge.ifindex, interface("10.1.0.1/24"))
        here.add_address(bridge.ifindex, interface("fd00:1::1/64"), NO_DAD)
        here.add_route(bridge.ifindex, network("10.9.0.0/16"), address("10.1.0.7"), 1300)
        here.add_route(bridge.ifindex, network("10.8.0.0/16"), None)
        here.add_route(bridge.ifindex, network("fd09::/32"), address("fd00:1::7"))
        assert agree(here)
        port = ip(site.host, "-details", "link", "show", "veth0")[0]
        assert port["linkinfo"]["info_slave_data"]["hairpin"] is True
        (route,) = ip(site.host, "route", "show", "10.9.0.0/16")
        assert (route["gateway"], route["metrics"]) == ("10.1.0.7", [{"mtu": 1300}])
    with netns.entered(container), Links() as there:
        end = there.get("eth0")
        assert (end.mac, end.mtu, end.kind, end.up) == (MAC, 1400, "veth", False)
        there.change(end.ifindex, True)
        there.add_address(end.ifindex, interface("10.1.0.2/24"))
        there.add_route(end.ifindex, network("0.0.0.0/0"), address("10.1.0.1"))
        assert agree(there)
        shown = ip(container, "-details", "link", "show", "mac0")[0]
        assert shown["linkinfo"] == {
            **shown["linkinfo"],
            "info_kind": "macvlan",
            "info_data": {**shown["linkinfo"]["info_data"], "mode": "bridge"},
        }


def test_what_pyroute2_makes_is_what_we_see(site: World) -> None:
    from pyroute2 import IPRoute

    with IPRoute() as other:
        other.link("add", ifname="br0", kind="bridge", address=MAC)
        (index,) = other.link_lookup(ifname="br0")
        other.link("set", index=index, state="up", mtu=1300)
        other.addr("add", index=index, address="10.1.0.1", prefixlen=24)
    with Links() as here:
        found = here.get("br0")
        assert (found.ifindex, found.kind, found.mac, found.mtu, found.up) == (index, "bridge", MAC, 1300, True)
        (only,) = [one for one in here.addresses(index) if one.interface.version == 4]
        assert only.interface == interface("10.1.0.1/24")
        assert only.flags & PERMANENT


def test_links_change_and_go(site: World) -> None:
    container = site.namespace("container")
    with Links() as here:
        here.add(New("one", "veth", peer=New("two")))
        here.add(New("br0", "bridge"))
        index, bridge = here.get("one").ifindex, here.get("br0").ifindex
        here.change(index, True, name="three", mtu=1200, mac=MAC, master=bridge)
        found = here.get("three")
        assert (found.ifindex, found.up, found.mtu, found.mac, found.master) == (index, True, 1200, MAC, bridge)
        here.change(index, False)
        assert not here.get("three").up
        with netns.opened(container) as fd:
            here.change(here.get("two").ifindex, namespace=fd, name="eth0")
        assert (here.find("two"), here.find("eth0")) == (None, None)
        with netns.entered(container), Links() as there:
            assert there.get("eth0").kind == "veth"
        here.add_address(bridge, interface("10.1.0.1/24"))
        here.add_address(bridge, interface("10.1.0.1/24"))
        here.remove_address(bridge, interface("10.1.0.1/24"))
        here.remove_address(bridge, interface("10.1.0.1/24"))
        assert here.remove("three")
        assert not here.remove("three")
    with netns.entered(container), Links() as there:
        assert there.find("eth0") is None


def test_refusals_say_what_was_tried_and_the_kernels_reason(site: World) -> None:
    with Links() as here:
        here.add(New("br0", "bridge", up=True))
        index = here.get("br0").ifindex
        with pytest.raises(AlreadyExists, match="making the bridge link br0: File exists"):
            here.add(New("br0", "bridge"))
        with pytest.raises(Unimplemented, match=r"making the nosuch link x: .*Unknown device type"):
            here.add(New("x", "nosuch"))
        with pytest.raises(EngineError, match=r"adding the route to 10.9.0.0/24: .*Nexthop has invalid gateway"):
            here.add_route(index, network("10.9.0.0/24"), address("10.99.0.1"))
        with pytest.raises(NotFound, match="looking for the link nowhere: there is no such link"):
            here.get("nowhere")
        with pytest.raises(EngineError, match="changing link 9999"):
            here.change(9999, True)
        # The connection can still be used after all of that.
        assert here.get("br0").up


def test_more_links_than_fit_in_a_datagram(site: World) -> None:
    with Links() as here:
        for number in range(150):
            here.add(New(f"d{number}", "veth", peer=New(f"e{number}")))
        assert len([one for one in here.list() if one.kind == "veth" and one.name[0] in "de"]) == 300


@pytest.mark.parametrize("name", ["", "a" * 16, "a/b", ".", "..", "a b", "a:b", "a\n", "ä" * 8])
def test_names_that_no_link_can_have(name: str) -> None:
    with pytest.raises(InvalidArgument, match="bridge: .* is no name of a link"):
        check_link_name(name, "bridge")
    assert check_link_name("br-0123456789ab", "bridge")


def test_ipvlan_is_asked_for_as_pyroute2_reads_it() -> None:
    """There need not be a kernel that can do it."""
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    new = New("eth0", "ipvlan", mtu=1400, parent=7, data=((1, struct.pack("=H", 2)),), namespace=5)
    raw = new.body() + pack(new.attributes())
    read = ifinfmsg(struct.pack("=IHHII", 16 + len(raw), 16, 0, 0, 0) + raw)
    read.decode()
    names = ("IFLA_IFNAME", "IFLA_MTU", "IFLA_LINK", "IFLA_NET_NS_FD")
    assert [read.get_attr(name) for name in names] == ["eth0", 1400, 7, 5]
    assert read.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") == "ipvlan"
    assert read.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_IPVLAN_MODE") == 2


@pytest.mark.parametrize("raw", [b"\0", b"\3\0\1\0", b"\xff\xff\1\0a", b"\5\0\1\0a\0\0\0\2\0"])
def test_attributes_that_are_cut_off_end_there(raw: bytes) -> None:
    assert set(unpack(raw)) <= {1}
