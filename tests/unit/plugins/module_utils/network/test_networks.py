# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of a host together: free subnets, what a change takes along, what a removal leaves."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.network.attachment import Attachment, Host
from ansible_collections.fleet.containerd.plugins.module_utils.network.chain import Chain
from ansible_collections.fleet.containerd.plugins.module_utils.network.conflist import ConfDir
from ansible_collections.fleet.containerd.plugins.module_utils.network.definition import Network
from ansible_collections.fleet.containerd.plugins.module_utils.network.drivers import parent_of
from ansible_collections.fleet.containerd.plugins.module_utils.network.ipam import Owner, Reservations
from ansible_collections.fleet.containerd.plugins.module_utils.network.links import Links
from ansible_collections.fleet.containerd.plugins.module_utils.network.meta import reservations_of
from ansible_collections.fleet.containerd.plugins.module_utils.network.networks import Networks
from ansible_collections.fleet.containerd.plugins.module_utils.network.subnets import Subnet
from ansible_collections.fleet.containerd.tests.support.namespaces import World, ip


@pytest.fixture
def networks(site: World, host: Host, tmp_path: pathlib.Path) -> t.Iterator[Networks]:
    found = Networks(ConfDir(str(tmp_path / "net.d")), host)
    with found.directory.locked():
        yield found


def subnets(network: Network) -> t.List[str]:
    return sorted(str(one.network) for one in network.subnets)


def test_automatic_subnets_stay_and_collide_with_nothing(site: World, networks: Networks) -> None:
    ip(site.host, "route", "add", "10.4.1.0/24", "via", "192.0.2.2")
    ip(site.host, "route", "add", "10.4.2.0/28", "dev", "uplink", "table", "77")
    ip(site.host, "address", "add", "10.4.3.200/32", "dev", "uplink")
    first = networks.completed(Network("first"), (4, 6))
    assert subnets(first)[0] == "10.4.4.0/24"
    assert subnets(first)[1].startswith("fd")
    networks.put(first)
    second = networks.completed(Network("second"), (4, 6))
    assert subnets(second)[0] == "10.4.5.0/24"
    networks.put(second)
    for again in ("first", "second"):
        assert networks.completed(Network(again), (4, 6)) == {"first": first, "second": second}[again]
    assert subnets(networks.completed(Network("bridge"))) == ["10.4.0.0/24"]
    mine = Network("first", subnets=frozenset({Subnet.of("10.77.0.0/16")}))
    assert subnets(networks.completed(mine, (4, 6))) == ["10.77.0.0/16", subnets(first)[1]]


def test_subnets_that_are_taken_are_refused_before_anything_is_changed(site: World, networks: Networks) -> None:
    networks.put(Network("first", subnets=frozenset({Subnet.of("10.1.0.0/24")})))
    for subnet, words in (
        ("10.1.0.0/25", r"subnet: 10.1.0.0/25 overlaps 10.1.0.0/24 \(the network first\)"),
        ("192.0.0.0/8", r"subnet: 192.0.0.0/8 overlaps 192.0.2.0/24 \(a route of this host, by uplink\)"),
        ("192.0.2.128/25", r"subnet: 192.0.2.128/25 overlaps 192.0.2.0/24 \(a route of this host, by uplink\)"),
        ("2001:db8::/96", r"overlaps 2001:db8::/64 \(a route of this host, by uplink\)"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            networks.put(Network("second", subnets=frozenset({Subnet.of(subnet)})))
    assert list(networks.directory.read().networks) == ["first"]
    # Macvlan shares the subnet of its parent: that is what it is for.
    networks.put(Network("lan", "macvlan", frozenset({Subnet.of("192.0.2.0/24")}), parent="uplink"))


def test_a_network_lives_and_goes(site: World, host: Host, networks: Networks) -> None:
    before = [link["ifname"] for link in ip(site.host, "link", "show")]
    conflist = networks.put(networks.completed(Network("net"), (4, 6)))
    one = Attachment("c1", site.namespace("c1"))
    Chain(conflist, host).attach(one)
    assert Reservations("net", host.data_dir).owners() == [Owner("c1", "eth0")]
    assert networks.taken("net") == {key: value for key, value in networks.taken("x").items() if "uplink" in value}
    assert Chain(conflist, host).detach(one) == []
    assert Reservations("net", host.data_dir).owners() == []
    assert networks.remove("net")
    assert not networks.remove("net")
    assert [link["ifname"] for link in ip(site.host, "link", "show")] == before
    assert host.rules.elements() == []
    assert not pathlib.Path(host.data_dir, "net").exists()


def test_a_network_may_have_its_addresses_elsewhere(site: World, host: Host, networks: Networks, tmp_path: pathlib.Path) -> None:
    document = networks.completed(Network("net")).document()
    document["plugins"][0]["ipam"]["dataDir"] = str(tmp_path / "elsewhere")
    conflist = networks.put_document(document)
    chain, one = Chain(conflist, host), Attachment("c1", site.namespace("c1"))
    chain.attach(one)
    assert reservations_of(conflist, host.data_dir).owners() == [one.owner]
    assert chain.detach(one) == []
    assert networks.remove("net")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_default_route_of_a_vpn_is_none_of_the_hosts(site: World, host: Host) -> None:
    """wg-quick puts one into a table of its own, and a rule."""
    ip(site.host, "link", "add", "wg0", "type", "veth", "peer", "name", "wg1")
    ip(site.host, "link", "set", "wg0", "up")
    ip(site.host, "route", "add", "default", "dev", "wg0", "table", "51820")
    with Links() as links:
        parent = parent_of(links, "")
    assert parent is not None
    assert parent.name == "uplink"


def test_what_changes_takes_the_old_along(site: World, host: Host, networks: Networks) -> None:
    first = Network("net", subnets=frozenset({Subnet.of("10.1.0.0/24"), Subnet.of("fd00:1::/64")}))
    one = Attachment("c1", site.namespace("c1"))

    def bridge(network: Network) -> t.Tuple[t.List[str], t.Set[str]]:
        chain = Chain(networks.put(network), host)
        chain.attach(one)
        link = ip(site.host, "address", "show", network.bridge)[0]
        addresses = [f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"] if each["scope"] == "global"]
        assert chain.detach(one) == []
        return addresses, {each.of for each in host.rules.elements()}

    sets = {"bridges", "same", "isolated", "subnets4", "masquerade4", "subnets6", "masquerade6"}
    assert bridge(first) == (["10.1.0.1/24", "fd00:1::1/64"], sets)
    assert bridge(first._replace(isolate=False)) == (["10.1.0.1/24", "fd00:1::1/64"], sets - {"isolated"})
    assert bridge(first._replace(masquerade=False)) == (["10.1.0.1/24", "fd00:1::1/64"], sets - {"masquerade4", "masquerade6"})
    assert bridge(first._replace(subnets=frozenset({Subnet.of("10.1.0.0/23")})))[0] == ["10.1.0.1/23"]
    other = first._replace(subnets=frozenset({Subnet.of("10.2.0.0/24", "10.2.0.9")}), mtu=1400)
    assert bridge(other) == (["10.2.0.9/24"], {"bridges", "same", "isolated", "subnets4", "masquerade4"})
    assert ip(site.host, "link", "show", other.bridge)[0]["mtu"] == 1400
    assert bridge(other._replace(internal=True)) == ([], {"bridges", "same", "isolated", "internal", "subnets4"})
    moved = other._replace(link="br-mine")
    assert bridge(moved)[0] == ["10.2.0.9/24"]
    assert [link["ifname"] for link in ip(site.host, "link", "show") if link["ifname"].startswith("br-")] == ["br-mine"]
    assert {each.owner for each in host.rules.elements()} == {"br-mine"}


def test_the_default_network_is_made_once(networks: Networks) -> None:
    made = networks.put_default()
    assert (made.name, made.labels) == ("bridge", {"nerdctl/default-network": "true"})
    assert networks.put_default() == made
    assert (made.plugin("bridge") or {})["bridge"] == "nerdctl0"


def test_networks_of_others_are_not_removed(networks: Networks, site: World) -> None:
    path = pathlib.Path(networks.directory.path, "10-theirs.conflist")
    path.write_text('{"cniVersion": "1.0.0", "name": "theirs", "plugins": [{"type": "bridge", "bridge": "br-theirs"}]}')
    ip(site.host, "link", "add", "br-theirs", "type", "bridge")
    with pytest.raises(FailedPrecondition, match="belongs to somebody else"):
        networks.remove("theirs")
    assert path.exists()
    assert ip(site.host, "link", "show", "br-theirs")


def test_a_file_of_ours_that_somebody_broke_can_be_mended_and_removed(site: World, networks: Networks) -> None:
    good = networks.completed(Network("net"))
    path = pathlib.Path(networks.put(good).path)
    for old, new in (("host-local", "nothing"), ("10.4.1.0/24", "10.4.1.0/99"), ('"bridge": "br-', '"bridge": "br/')):
        path.write_text(path.read_text().replace(old, new))
        assert networks.completed(Network("net")) == good
        networks.put(good)
        assert Network.of(networks.directory.get("net")) == good
        path.write_text(path.read_text().replace(old, new))
        assert networks.remove("net")
        networks.put(good)
