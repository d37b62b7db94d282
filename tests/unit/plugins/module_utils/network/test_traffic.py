# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our rules and links do to real packets: ports, masquerade, isolation, internal networks, firewalls of others."""

from __future__ import annotations

import ipaddress
import json
import pathlib
import socket
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.network import netns
from ansible_collections.fleet.containerd.plugins.module_utils.network.attachment import Attachment, Host
from ansible_collections.fleet.containerd.plugins.module_utils.network.chain import Chain
from ansible_collections.fleet.containerd.plugins.module_utils.network.conflist import Conflist
from ansible_collections.fleet.containerd.plugins.module_utils.network.ipam import Reservations
from ansible_collections.fleet.containerd.plugins.module_utils.network.iptables import LEGACY, Iptables, Tables
from ansible_collections.fleet.containerd.plugins.module_utils.network.nftables import Nftables, older_tables_filter
from ansible_collections.fleet.containerd.plugins.module_utils.network.ports import Published
from ansible_collections.fleet.containerd.plugins.module_utils.network.rules import Rules
from ansible_collections.fleet.containerd.plugins.module_utils.network.ruleset import Bridge
from ansible_collections.fleet.containerd.tests.support.namespaces import (
    HOST,
    HOST6,
    OUTSIDE,
    OUTSIDE6,
    World,
    ip,
    listening,
    seen,
)
from ansible_collections.fleet.containerd.tests.support.waiting import until

address = ipaddress.ip_address
#: Who filters: the tests that these are asked of pass with each.
FILTERS = ("nftables", "iptables-nft", "iptables-legacy")
each_filter = pytest.mark.parametrize("filtering", FILTERS, indirect=True)
FAST = 0.4


@pytest.fixture(autouse=True)
def filtering(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Rules:
    """What the host of a test filters with: nftables, where it does not say."""
    name = getattr(request, "param", FILTERS[0])
    if name == FILTERS[0]:
        return Nftables()
    return Iptables(Tables(name.replace("iptables", "")), str(tmp_path / "lock"), str(tmp_path / "rules.json"))


@pytest.fixture
def host(host: Host, filtering: Rules) -> Host:
    return host._replace(rules=filtering)


class Net:
    """A bridge network with both families, 10.n.0.0/24 and fd00:n::/64, in nerdctl's form."""

    def __init__(self, site: World, host: Host, number: int, **bridge: t.Any) -> None:
        self._site, self._host, self.number = site, host, number
        policy = bridge.pop("ingressPolicy", "same-bridge")
        ranges = [[{"subnet": f"10.{number}.0.0/24"}], [{"subnet": f"fd00:{number}::/64"}]]
        ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
        first = {"type": "bridge", "bridge": self.bridge, "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam}
        plugins = [{**first, **bridge}, {"type": "portmap", "capabilities": {"portMappings": True}}]
        plugins.append({"type": "firewall", "ingressPolicy": policy})
        self.chain = Chain(Conflist.of({"cniVersion": "1.0.0", "name": f"net{number}", "plugins": plugins}), host)

    @property
    def bridge(self) -> str:
        return f"br-{self.number}"

    def run(self, name: str, *ports: Published) -> Attachment:
        """A container."""
        made = Attachment(f"{name}-{self.number}", self._site.namespace(f"{name}{self.number}"), ports=ports)
        self.chain.attach(made)
        return made

    def remove(self) -> None:
        self._host.rules.remove_bridge(self.bridge)
        ip(self._site.host, "link", "delete", self.bridge)


def ruleset() -> t.Any:
    """All rules of the host, whoever made them; of nft what it shows, and the older tables too where they are in use."""
    # starts: nft
    shown = subprocess.run(["nft", "-j", "list", "ruleset"], check=True, capture_output=True, text=True).stdout
    found = [_without_handles(one) for one in json.loads(shown)["nftables"] if "metainfo" not in one]
    if older_tables_filter():
        found += [LEGACY.run(version, "-t", table, "-S") for version in (4, 6) for table in ("filter", "nat", "raw")]
    return found


def links(site: World) -> t.Any:
    """All links of the host, once the kernel tells of each that it works: it does so a moment after that is up."""

    def settled() -> t.Any:
        found = ip(site.host, "link", "show")
        return found if all(one["operstate"] in ("UP", "UNKNOWN") for one in found) else None

    return until(settled)


def _without_handles(found: t.Any) -> t.Any:
    if isinstance(found, dict):
        counters = ("packets", "bytes", "handle")
        return {key: _without_handles(value) for key, value in found.items() if key not in counters}
    return [_without_handles(one) for one in found] if isinstance(found, list) else found


@each_filter
def test_ports_lead_to_the_container_from_everywhere(site: World, host: Host) -> None:
    net = Net(site, host, 1)
    web = net.run("web", Published(None, 8080, 80), Published(None, 8053, 53, "udp"))
    other = net.run("other")
    with listening(web.netns, 80) as tcp, listening(web.netns, 53, "udp") as udp:
        assert seen(tcp, site.outside, HOST, 8080) == OUTSIDE
        assert seen(tcp, site.outside, HOST6, 8080) == OUTSIDE6
        assert seen(udp, site.outside, HOST, 8053) == OUTSIDE
        assert seen(udp, site.outside, HOST6, 8053) == OUTSIDE6
        assert seen(tcp, site.host, "127.0.0.1", 8080) == "10.1.0.1"
        assert seen(udp, site.host, "127.0.0.1", 8053) == "10.1.0.1"
        assert seen(tcp, site.host, HOST, 8080)
        assert seen(tcp, site.host, HOST6, 8080)
        # A neighbour, and the container itself, by the host's address.
        for one in (other, web):
            assert seen(tcp, one.netns, HOST, 8080) == "10.1.0.1"
            assert seen(tcp, one.netns, HOST6, 8080) == "fd00:1::1"
            assert seen(udp, one.netns, HOST, 8053) == "10.1.0.1"
    assert net.chain.detach(web) == []
    with listening(web.netns, 80) as tcp:
        assert not seen(tcp, site.outside, HOST, 8080, FAST)


@pytest.mark.parametrize("peer", [(OUTSIDE, HOST), (OUTSIDE6, HOST6)], ids=["IPv4", "IPv6"])
def test_a_client_that_goes_on_sending_reaches_the_next_container(site: World, host: Host, peer: t.Tuple[str, str]) -> None:
    net, port = Net(site, host, 1), Published(None, 8053, 53, "udp")
    with netns.entered(site.outside):
        client = socket.socket(socket.AF_INET6 if ":" in peer[0] else socket.AF_INET, socket.SOCK_DGRAM)
        client.bind((peer[0], 5353))
        client.connect((peer[1], 8053))
        client.settimeout(5)
    with client:
        for name in ("first", "second"):
            container = net.run(name, port)
            with listening(container.netns, 53, "udp") as server:
                client.sendall(name.encode())
                question, address = server.recvfrom(64)
                assert question == name.encode()
                server.sendto(b"answer", address)
                assert client.recv(64) == b"answer"
            assert net.chain.detach(container) == []


@each_filter
def test_ports_change_while_it_runs(site: World, host: Host) -> None:
    net = Net(site, host, 1)
    web = net.run("web", Published(None, 8080, 80))
    net.run("other", Published(None, 9090, 80))
    with listening(web.netns, 80) as server:
        net.chain.publish(web._replace(ports=(Published(None, 8081, 80), Published(None, 8082, 80))))
        assert seen(server, site.outside, HOST, 8081) == OUTSIDE
        assert not seen(server, site.outside, HOST, 8080, FAST)
        with pytest.raises(AlreadyExists, match="the host's port 9090/tcp is taken"):
            net.chain.publish(web._replace(ports=(Published(None, 9090, 80),)))
        assert seen(server, site.outside, HOST, 8082) == OUTSIDE
        net.chain.publish(web._replace(ports=()))
        assert not seen(server, site.outside, HOST, 8082, FAST)
        assert {one.owner for one in host.rules.elements() if one.value is not None} == {"other-1 eth0"}
        net.chain.publish(web._replace(ports=(Published(None, 8083, 80),)))
        assert seen(server, site.outside, HOST, 8083) == OUTSIDE
    # Whoever detaches knows the last of them.
    assert net.chain.detach(web._replace(ports=())) == []
    assert {one.owner for one in host.rules.elements() if one.value is not None} == {"other-1 eth0"}
    with pytest.raises(FailedPrecondition, match="web-1 is not attached"):
        net.chain.publish(web)


@each_filter
def test_ports_of_one_address_of_the_host(site: World, host: Host) -> None:
    ip(site.host, "address", "add", "192.0.2.9/24", "dev", "uplink")
    net = Net(site, host, 1)
    web = net.run(
        "web",
        Published(address("192.0.2.9"), 8080, 80),
        Published(address("127.0.0.1"), 8081, 80),
        Published(address(HOST6), 8082, 80),
    )
    second = net.run("second", Published(address(HOST), 8080, 80))
    with listening(web.netns, 80) as tcp, listening(second.netns, 80) as also:
        assert seen(tcp, site.outside, "192.0.2.9", 8080) == OUTSIDE
        assert seen(also, site.outside, HOST, 8080) == OUTSIDE
        assert seen(tcp, site.host, "127.0.0.1", 8081) == "10.1.0.1"
        assert seen(tcp, site.outside, HOST6, 8082) == OUTSIDE6
        assert not seen(tcp, site.outside, HOST, 8081, FAST)
        assert not seen(tcp, site.outside, HOST, 8082, FAST)
        assert not seen(tcp, site.host, "127.0.0.1", 8080, FAST)


@each_filter
def test_a_port_that_is_taken_is_refused_and_nothing_stays(site: World, host: Host) -> None:
    net = Net(site, host, 1)
    net.run("web", Published(None, 8080, 80), Published(address("127.0.0.1"), 8081, 80))
    before = ruleset(), links(site)
    for wanted in (Published(None, 8080, 1), Published(address(HOST), 8080, 1), Published(None, 8081, 1)):
        with pytest.raises(
            AlreadyExists, match=rf"the host's port {wanted.host_port}/tcp is taken: the container web-1 has published it"
        ):
            net.run("second", Published(None, 9999, 1), wanted)
    with pytest.raises(InvalidArgument, match="the host's port 9999/tcp is published twice"):
        net.run("third", Published(None, 9999, 1), Published(None, 9999, 2))
    assert (ruleset(), links(site)) == before
    assert [one.container_id for one in Reservations("net1", host.data_dir).list().values()] == ["web-1", "web-1"]
    net.run("fourth", Published(None, 8080, 1, "udp"), Published(address("127.0.0.2"), 8081, 1))


@each_filter
def test_masquerade_and_its_absence(site: World, host: Host) -> None:
    hidden, plain = Net(site, host, 1).run("a"), Net(site, host, 2, ipMasq=False).run("a")
    ip(site.outside, "route", "add", "10.2.0.0/16", "via", HOST)
    ip(site.outside, "route", "add", "fd00:2::/64", "via", HOST6)
    with listening(site.outside, 80) as server:
        assert seen(server, hidden.netns, OUTSIDE, 80) == HOST
        assert seen(server, hidden.netns, OUTSIDE6, 80) == HOST6
        assert seen(server, plain.netns, OUTSIDE, 80) == "10.2.0.2"
        assert seen(server, plain.netns, OUTSIDE6, 80) == "fd00:2::2"


@each_filter
def test_isolation(site: World, host: Host) -> None:
    one, two = Net(site, host, 1), Net(site, host, 2)
    open_one = Net(site, host, 3, ingressPolicy="open")
    first, second, third = one.run("a", Published(None, 8080, 80)), two.run("a"), open_one.run("a")
    neighbour = one.run("b")
    with listening(first.netns, 80) as server:
        for target in ("10.1.0.2", "fd00:1::2"):
            assert seen(server, neighbour.netns, target, 80) == {"10.1.0.2": "10.1.0.3", "fd00:1::2": "fd00:1::3"}[target]
            assert not seen(server, second.netns, target, 80, FAST)
        # Its source stays what it is between networks of ours that may talk to each other.
        assert seen(server, third.netns, "10.1.0.2", 80) == "10.3.0.2"
        # What is published is published to all.
        assert seen(server, second.netns, HOST, 8080)


@each_filter
def test_an_internal_network_has_no_way_out(site: World, host: Host) -> None:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]]}
    net = Net(site, host, 1, isGateway=False, ipMasq=False, ipam=ipam)
    one, other = net.run("a"), net.run("b")
    outside = Net(site, host, 2, ingressPolicy="open").run("a")
    with listening(one.netns, 80) as server, listening(site.outside, 80) as far:
        assert seen(server, other.netns, "10.1.0.2", 80) == "10.1.0.3"
        assert not seen(far, one.netns, OUTSIDE, 80, FAST)
        # Not even for a container that helps itself to a route and the host to an address.
        ip(site.host, "address", "add", "10.1.0.1/24", "dev", "br-1")
        ip(one.netns, "route", "add", "default", "via", "10.1.0.1")
        ip(site.outside, "route", "add", "10.1.0.0/24", "via", HOST)
        assert not seen(far, one.netns, OUTSIDE, 80, FAST)
        assert not seen(server, site.outside, "10.1.0.2", 80, FAST)
        assert not seen(server, outside.netns, "10.1.0.2", 80, FAST)


def test_containers_do_not_reach_the_hosts_loopback(site: World, host: Host) -> None:
    one = Net(site, host, 1).run("a")
    with listening(site.host, 80, address="127.0.0.1") as server:
        ip(one.netns, "route", "add", "127.0.0.1/32", "via", "10.1.0.1")
        ip(one.netns, "link", "set", "lo", "down")
        with netns.entered(one.netns), open("/proc/sys/net/ipv4/conf/eth0/route_localnet", "w", encoding="ascii") as stream:
            stream.write("1")
        ip(one.netns, "rule", "add", "pref", "10", "lookup", "local")
        ip(one.netns, "rule", "add", "pref", "1", "to", "127.0.0.1", "lookup", "main")
        ip(one.netns, "rule", "delete", "pref", "0")
        assert not seen(server, one.netns, "127.0.0.1", 80, FAST)
        # It is the rule that keeps it away.
        subprocess.run(["nft", "flush", "chain", "inet", "fleet_containerd", "localnet"], check=True)
        assert seen(server, one.netns, "127.0.0.1", 80) == "10.1.0.2"


@pytest.mark.parametrize("filtering", FILTERS[1:], indirect=True)
def test_rules_of_iptables_that_somebody_flushed_come_back(site: World, host: Host) -> None:
    net = Net(site, host, 1)
    web = net.run("web", Published(None, 8080, 80))
    tables = t.cast(Iptables, host.rules)._tables
    for version in (4, 6):
        for table in ("filter", "nat", "raw"):
            tables.run(version, "-t", table, "-F")
    net.run("next")
    with listening(web.netns, 80) as server:
        assert seen(server, site.outside, HOST, 8080) == OUTSIDE
        assert seen(server, site.outside, HOST6, 8080) == OUTSIDE6


@pytest.mark.parametrize("filtering", FILTERS[1:], indirect=True)
def test_iptables_that_drops_what_is_forwarded(site: World, host: Host) -> None:
    tables = t.cast(Iptables, host.rules)._tables
    for version in (4, 6):
        tables.run(version, "-P", "FORWARD", "DROP")
    _check_forwards(site, host)
    for version in (4, 6):
        assert tables.run(version, "-S", "FORWARD") == "-P FORWARD DROP\n"


def test_older_tables_that_drop_what_is_forwarded(site: World, host: Host) -> None:
    for version in (4, 6):
        LEGACY.run(version, "-P", "FORWARD", "DROP")
    assert older_tables_filter()
    _check_forwards(site, host)
    assert LEGACY.run(4, "-S", "FORWARD") == "-P FORWARD DROP\n"


def _check_forwards(site: World, host: Host) -> None:
    net = Net(site, host, 1)
    web = net.run("web", Published(None, 8080, 80))
    with listening(web.netns, 80) as server, listening(site.outside, 80) as far:
        assert seen(server, site.outside, HOST, 8080) == OUTSIDE
        assert seen(far, web.netns, OUTSIDE, 80) == HOST
        assert seen(far, web.netns, OUTSIDE6, 80) == HOST6
    assert net.chain.detach(web) == []
    net.remove()


FIREWALLS = {
    "iptables": "table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; };"
    "table ip6 filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }",
    "nftables": "table inet mine { chain forward { type filter hook forward priority 10; policy drop; }; }",
    "firewalld": "table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; policy accept;"
    " ct state { established, related } accept; reject with icmpx admin-prohibited; }; }",
}


@pytest.mark.parametrize("name", FIREWALLS)
def test_where_others_drop_what_is_forwarded(site: World, host: Host, name: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=FIREWALLS[name], text=True, check=True)
    before = ruleset()
    net = Net(site, host, 1)
    web = net.run("web", Published(None, 8080, 80))
    again = net.run("again")
    with listening(web.netns, 80) as server, listening(site.outside, 80) as far:
        assert seen(server, site.outside, HOST, 8080) == OUTSIDE
        assert seen(server, site.outside, HOST6, 8080) == OUTSIDE6
        assert seen(far, web.netns, OUTSIDE, 80) == HOST
        assert seen(far, web.netns, OUTSIDE6, 80) == HOST6
        # They still decide about all others.
        stranger = site.namespace("stranger")
        _cable(site, stranger)
        assert not seen(far, stranger, OUTSIDE, 80, FAST)
    if name == "iptables":
        # starts: iptables-nft
        shown = subprocess.run(["iptables-nft", "-S", "FORWARD"], check=True, capture_output=True, text=True).stdout
        assert '-A FORWARD -i br-1 -m comment --comment "fleet.containerd br-1 iifname" -j ACCEPT' in shown
        assert shown.count("ACCEPT") == 2
    assert [net.chain.detach(one) for one in (web, again)] == [[], []]
    net.remove()
    assert ruleset() == before


def test_rules_in_chains_of_others_go_though_these_have_another_policy_by_now(site: World, host: Host) -> None:
    drops = FIREWALLS["nftables"]
    subprocess.run(["nft", "-f", "-"], input=drops, text=True, check=True)
    net = Net(site, host, 1)
    web = net.run("web")
    assert "fleet.containerd br-1 iifname" in str(ruleset())
    subprocess.run(["nft", "-f", "-"], input=drops.replace("drop", "accept"), text=True, check=True)
    assert net.chain.detach(web) == []
    net.remove()
    assert {one["family"] for found in ruleset() for one in found.values()} == {"inet"}
    assert "fleet.containerd" not in str(ruleset())


def _cable(site: World, stranger: str) -> None:
    """Somebody else's link behind the host, whose packets it would forward."""
    ip(site.host, "link", "add", "else", "type", "veth", "peer", "name", "eth0")
    with netns.opened(stranger) as fd:
        ip(site.host, "link", "set", "eth0", "netns", f"/proc/self/fd/{fd}", pass_fds=[fd])
    for where, link, number in ((site.host, "else", 1), (stranger, "eth0", 2)):
        ip(where, "address", "add", f"10.99.0.{number}/24", "dev", link)
        ip(where, "link", "set", link, "up")
    ip(stranger, "route", "add", "default", "via", "10.99.0.1")
    ip(site.outside, "route", "add", "10.99.0.0/24", "via", HOST)


def test_a_hundred_times_leave_nothing(site: World, host: Host) -> None:
    net = Net(site, host, 1)
    net.run("keeps")
    before = ruleset(), links(site), Reservations("net1", host.data_dir).list()
    namespace = site.namespace("comes")
    for number in range(100):
        one = Attachment(f"c{number}", namespace, ports=(Published(None, 8080, 80),))
        net.chain.attach(one)
        assert net.chain.detach(one) == []
    assert (ruleset(), links(site), Reservations("net1", host.data_dir).list()) == before
    assert [one["ifname"] for one in ip(namespace, "link", "show")] == ["lo"]


@each_filter
def test_nothing_stays_of_networks_that_are_removed(site: World, host: Host) -> None:
    # The first look of iptables makes its empty tables.
    host.rules.put_bridge(Bridge("br-0"))
    host.rules.remove_bridge("br-0")
    before = ruleset()
    nets = [Net(site, host, number) for number in (1, 2)]
    containers = [net.run("a", Published(None, 8000 + net.number, 80)) for net in nets]
    assert ruleset() != before
    for net, one in zip(nets, containers):
        assert net.chain.detach(one) == []
        net.remove()
        host.rules.remove_bridge(net.bridge)
    assert ruleset() == before
    assert host.rules.elements() == []


def test_mtu(site: World, host: Host) -> None:
    one = Net(site, host, 1, mtu=1400).run("a")
    assert {link["ifname"]: link["mtu"] for link in ip(one.netns, "link", "show")}["eth0"] == 1400
    mtus = {link["ifname"][:4]: link["mtu"] for link in ip(site.host, "link", "show")}
    assert (mtus["br-1"], mtus["veth"]) == (1400, 1400)


def test_macvlan_reaches_the_outside_and_each_other(site: World, host: Host) -> None:
    ipam = {
        "type": "host-local",
        "subnet": "192.0.2.0/24",
        "rangeStart": "192.0.2.100",
        "gateway": OUTSIDE,
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    document = {"cniVersion": "1.0.0", "name": "lan", "plugins": [{"type": "macvlan", "master": "uplink", "ipam": ipam}]}
    chain = Chain(Conflist.of(document), host)
    one, two = (Attachment(name, site.namespace(name)) for name in ("one", "two"))
    for each in (one, two):
        chain.attach(each)
    with listening(one.netns, 80) as server, listening(site.outside, 80) as far:
        assert seen(server, two.netns, "192.0.2.100", 80) == "192.0.2.101"
        assert seen(server, site.outside, "192.0.2.100", 80) == OUTSIDE
        assert seen(far, one.netns, OUTSIDE, 80) == "192.0.2.100"
        assert not seen(server, site.host, "192.0.2.100", 80, FAST)


def test_a_bridge_of_somebody_else_is_left_alone(site: World, host: Host) -> None:
    ip(site.host, "link", "add", "br-1", "type", "bridge")
    ip(site.host, "address", "add", "172.16.0.1/24", "dev", "br-1")
    before = ip(site.host, "address", "show", "br-1")
    with pytest.raises(FailedPrecondition, match=r"bridge: br-1 has the address 172.16.0.1/24 already"):
        Net(site, host, 1).run("a")
    assert ip(site.host, "address", "show", "br-1")[0]["addr_info"][:1] == before[0]["addr_info"][:1]
    ip(site.host, "link", "add", "br-2", "type", "veth", "peer", "name", "x")
    with pytest.raises(FailedPrecondition, match=r"bridge: the link br-2 is there already, and is no bridge \(veth\)"):
        Net(site, host, 2).run("a")
    assert [one for one in ip(site.host, "link", "show") if one["ifname"].startswith("veth")] == []
