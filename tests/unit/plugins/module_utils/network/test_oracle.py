# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same conflist by our plugins and by those of containernetworking: the same links, addresses, routes, and who reaches whom."""

from __future__ import annotations

import copy
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.network import meta, netns, sysctl
from ansible_collections.fleet.containerd.plugins.module_utils.network.attachment import Attachment, Host
from ansible_collections.fleet.containerd.plugins.module_utils.network.chain import Chain
from ansible_collections.fleet.containerd.plugins.module_utils.network.conflist import Conflist
from ansible_collections.fleet.containerd.plugins.module_utils.network.ports import Published
from ansible_collections.fleet.containerd.plugins.module_utils.network.result import Result
from ansible_collections.fleet.containerd.tests.support.namespaces import (
    HOST,
    HOST6,
    OUTSIDE,
    OUTSIDE6,
    Try,
    World,
    all_seen,
    ip,
    listening,
)

RANGE = {"subnet": "10.1.0.0/24", "gateway": "10.1.0.1"}
RANGE6 = {"subnet": "fd00:1::/64", "gateway": "fd00:1::1"}
BRIDGE: t.Dict[str, t.Any] = {"type": "bridge", "bridge": "br-test", "isGateway": True, "ipMasq": True, "hairpinMode": True}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
MACVLAN = {
    "type": "macvlan",
    "master": "uplink",
    "ipam": {"type": "host-local", "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100"},
}


def ranges(*found: t.Dict[str, str], routes: t.Sequence[str] = ("0.0.0.0/0",)) -> t.Dict[str, t.Any]:
    return {"type": "host-local", "ranges": [[one] for one in found], "routes": [{"dst": one} for one in routes]}


CONFLISTS: t.Dict[str, t.List[t.Dict[str, t.Any]]] = {
    "as nerdctl has it": [
        {**BRIDGE, "ipam": ranges(RANGE)},
        PORTMAP,
        {"type": "firewall", "ingressPolicy": "same-bridge"},
        {"type": "tuning"},
    ],
    "both families": [{**BRIDGE, "mtu": 1400, "ipam": ranges(RANGE, RANGE6, routes=("0.0.0.0/0", "::/0"))}, PORTMAP],
    "a default route": [{**BRIDGE, "isDefaultGateway": True, "ipam": ranges(RANGE, routes=())}],
    "routes": [
        {**BRIDGE, "ipam": {**ranges(RANGE), "routes": [{"dst": "10.7.0.0/16"}, {"dst": "10.8.0.0/16", "gw": "10.1.0.99"}]}}
    ],
    "no masquerade": [{**BRIDGE, "ipMasq": False, "ipam": ranges(RANGE)}],
    "no way out": [{**BRIDGE, "isGateway": False, "ipMasq": False, "ipam": ranges(RANGE, routes=())}, {"type": "firewall"}],
    "no hairpin": [{**BRIDGE, "hairpinMode": False, "ipam": ranges(RANGE)}, PORTMAP],
    "no addresses": [{"type": "bridge", "bridge": "br-test"}],
    "macvlan": [MACVLAN],
    "macvlan, private": [{**MACVLAN, "mode": "private", "mtu": 1400}],
    "loopback": [{"type": "loopback"}],
    "tuning": [
        {**BRIDGE, "ipam": ranges(RANGE)},
        {"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.arp_notify": "1", "net.ipv4.conf.IFNAME.arp_filter": "1"}, "mtu": 1300},
    ],
}
PORTS = (Published(None, 8080, 80), Published(None, 8053, 53, "udp"))


def links(namespace: str) -> t.List[t.Any]:
    """What is there, without what differs by chance: names of ends of pairs, indexes, MAC addresses."""
    found = []
    names = {one["ifindex"]: one["ifname"] for one in ip(namespace, "link", "show")}
    for one in ip(namespace, "-details", "address", "show"):
        info = one.get("linkinfo") or {}
        slave = info.get("info_slave_data") or {}
        addresses = [(a["local"], a["prefixlen"], a.get("broadcast")) for a in one["addr_info"] if a.get("scope") != "link"]
        name = "veth" if one["ifname"].startswith("veth") else one["ifname"]
        up, kind = "UP" in one["flags"], info.get("info_kind")
        mode = (info.get("info_data") or {}).get("mode") if kind == "macvlan" else None
        del names[one["ifindex"]]
        found.append((name, kind, mode, up, one["mtu"], one.get("master"), slave.get("hairpin"), sorted(addresses, key=str)))
    return sorted(found, key=str)


def routes(namespace: str) -> t.List[t.Any]:
    every = ip(namespace, "route", "show") + ip(namespace, "-6", "route", "show")
    # Whether a link has a carrier by now.
    return sorted(
        (one["dst"], one.get("gateway", ""), one["dev"], one.get("prefsrc", "")) for one in every if one["dst"] != "fe80::/64"
    )


def setting(namespace: str) -> t.Optional[str]:
    """The one that is neither the kernel's nor that of the plugins of others."""
    with netns.entered(namespace):
        return sysctl.get("ipv4/conf/eth0/arp_filter")


def reachable(site: World, one: str, other: str, results: t.Sequence[Result]) -> t.Dict[str, str]:
    """Who reaches whom, and as who."""
    addresses = [str(address.ip) for address in results[0].addresses if not address.ip.is_loopback]
    others = [str(address.ip) for address in results[1].addresses if not address.ip.is_loopback]
    places = {"host": site.host, "outside": site.outside, "other": other, "itself": one}
    tries: t.Dict[str, Try] = {}
    with listening(one, 80) as tcp, listening(one, 53, "udp") as udp, listening(site.outside, 99) as far:
        for name, where in places.items():
            tries.update({f"{name} to {address}": Try(tcp, where, address, 80) for address in addresses})
            for address in ("127.0.0.1",) if name == "host" else (HOST, HOST6):
                tries[f"{name} to port of {address}"] = Try(tcp, where, address, 8080)
                tries[f"{name} to udp port of {address}"] = Try(udp, where, address, 8053)
        tries.update({f"container to {address}": Try(far, other, address, 99) for address in (OUTSIDE, OUTSIDE6)})
        # A lost packet is sent again after a second, a question for a neighbour, too.
        found = all_seen(tries, 1.5)
    return {key: _named(value, addresses, others) for key, value in found.items()}


def _named(address: str, addresses: t.Sequence[str], others: t.Sequence[str]) -> str:
    return "itself" if address in addresses else "other" if address in others else address


def story(site: World, host: Host, conflist: Conflist) -> t.Dict[str, t.Any]:
    """Two containers come, and go."""
    chain = Chain(conflist, host)
    before = {"links": links(site.host), "routes": routes(site.host)}
    containers = [Attachment(name * 64, site.namespace(name), ports=PORTS if name == "a" else ()) for name in "ab"]
    results = [chain.attach(one) for one in containers]
    if meta.PLUGINS:  # theirs of Debian 12 does not find routes without a gateway, and no IPv6 ports of an IPv4 network
        for one in containers:
            chain.check(one)
    with_two = {
        "host": links(site.host),
        "routes": routes(site.host),
        "containers": [links(one.netns) for one in containers],
        "their routes": [routes(one.netns) for one in containers],
        "settings": [setting(one.netns) for one in containers],
        "addresses": [[(str(a.interface), str(a.gateway), a.interface_index) for a in one.addresses] for one in results],
        "given routes": [[(str(r.destination), str(r.gateway)) for r in one.routes] for one in results],
        "interfaces": [[one.name if one.sandbox else one.name[:4] for one in result.interfaces] for result in results],
        "reachable": reachable(site, containers[0].netns, containers[1].netns, results),
    }
    problems = [chain.detach(one) for one in containers] + [chain.detach(one) for one in containers]
    after = {"links": links(site.host), "containers": [links(one.netns) for one in containers], "problems": problems}
    return {"before": before, "with two": with_two, "after": after}


@pytest.mark.parametrize("name", CONFLISTS)
def test_the_same_as_the_plugins_of_others(
    site: World, host: Host, tmp_path: pathlib.Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.fleet.containerd.tests.support.namespaces import world

    conflist = Conflist.of({"cniVersion": "1.0.0", "name": "net", "plugins": copy.deepcopy(CONFLISTS[name])})
    ours = story(site, host, conflist)
    for plugin in conflist.plugins:
        if plugin.get("ipam"):
            plugin["ipam"]["dataDir"] = str(tmp_path / "their-addresses")
    monkeypatch.setattr(meta, "PLUGINS", {})
    with world(tmp_path / "their-namespaces") as other, netns.entered(other.host):
        theirs = story(other, host._replace(cache_dir=str(tmp_path / "their-cache")), conflist)
    for part, found in ours.items():
        for what, value in found.items():
            assert value == theirs[part][what], (part, what)
