# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of nftables that is ours, as the JSON that nft takes: pure text, nothing is run here.

The rules are always the same. What differs, networks and ports, are elements of sets and maps: looked up in constant time,
added and removed without knowing the handle of a rule.
"""

from __future__ import annotations

import typing as t
import zlib

from .ports import Published
from .subnets import IPAddress, IPNetwork

FAMILY, TABLE = "inet", "fleet_containerd"
HERE = {"family": FAMILY, "table": TABLE}

Json = t.Any
Command = t.Dict[str, t.Any]

_PORT_KEY = ["inet_proto", "inet_service"]
#: Sets and maps: the type of the key, and of the value. bridges: all networks with rules; same: each bridge with itself;
#: ports: of one address of the host, any: of all; the one tells the address, the other (_to) the port in the container, because
#: nft 1.0.6 reads no map of both from JSON, and kernels before 5.6 have none.
_SETS: t.Dict[str, t.Tuple[Json, str]] = {
    "bridges": ("ifname", ""),
    "same": (["ifname", "ifname"], ""),
    "isolated": ("ifname", ""),
    "internal": ("ifname", ""),
    **{
        f"{name}{version}": one
        for version, kind in ((4, "ipv4_addr"), (6, "ipv6_addr"))
        for name, one in {
            "subnets": (kind, ""),
            "masquerade": (kind, ""),
            "ports": ([kind, *_PORT_KEY], kind),
            "any": (_PORT_KEY, kind),
            "ports_to": ([kind, *_PORT_KEY], "inet_service"),
            "any_to": (_PORT_KEY, "inet_service"),
        }.items()
    },
}
_INTERVALS = ("subnets", "masquerade")
#: Chains: the kind, hook and priority. Ours of forward comes before filter (0): what it drops nobody else can accept, and what it
#: accepts others still may drop.
_CHAINS: t.Dict[str, t.Tuple[str, str, int]] = {
    "ports": ("", "", 0),
    "localnet": ("filter", "prerouting", -300),
    "prerouting": ("nat", "prerouting", -100),
    "output": ("nat", "output", -100),
    "postrouting": ("nat", "postrouting", 100),
    "forward": ("filter", "forward", -5),
}


def _match(left: Json, right: Json, operator: str = "==") -> Json:
    return {"match": {"op": operator, "left": left, "right": right}}


def _meta(key: str) -> Json:
    return {"meta": {"key": key}}


def _field(protocol: str, field: str) -> Json:
    return {"payload": {"protocol": protocol, "field": field}}


def _prefix(address: str, length: int) -> Json:
    return {"prefix": {"addr": address, "len": length}}


_FROM, _TO = _meta("iifname"), _meta("oifname")
_ACCEPT, _DROP, _MASQUERADE = {"accept": None}, {"drop": None}, {"masquerade": None}
_DNATTED = _match({"ct": {"key": "status"}}, "dnat", "in")
_KNOWN = _match({"ct": {"key": "state"}}, ["established", "related"], "in")
_PORT = [_meta("l4proto"), _field("th", "dport")]


def _dnat(version: int, key: Json, name: str) -> Json:
    looked_up = [{"map": {"key": {"concat": key}, "data": f"@{one}{version}"}} for one in (name, f"{name}_to")]
    return {"dnat": {"family": "ip" if version == 4 else "ip6", "addr": looked_up[0], "port": looked_up[1]}}


def _rules() -> t.Iterator[t.Tuple[str, t.List[Json]]]:
    local = _match({"fib": {"result": "type", "flags": ["daddr"]}}, "local")
    for version, family in ((4, "ip"), (6, "ip6")):
        yield "ports", [_dnat(version, [_field(family, "daddr"), *_PORT], "ports")]
        yield "ports", [local, _dnat(version, _PORT, "any")]
    # With route_localnet, which published ports on 127.0.0.1 need, containers could else reach what listens there.
    yield "localnet", [_match(_FROM, "@bridges"), _match(_field("ip", "daddr"), _prefix("127.0.0.0", 8)), _DROP]
    yield "prerouting", [{"jump": {"target": "ports"}}]
    yield "output", [{"jump": {"target": "ports"}}]
    yield "postrouting", [_match(_TO, "@bridges"), _match(_field("ip", "saddr"), _prefix("127.0.0.0", 8)), _MASQUERADE]
    for version, family, multicast in ((4, "ip", _prefix("224.0.0.0", 4)), (6, "ip6", _prefix("ff00::", 8))):
        source = _field(family, "saddr")
        # A container that comes by a published port: the answer must come back by the host.
        yield "postrouting", [_match(_TO, "@bridges"), _DNATTED, _match(source, f"@subnets{version}"), _MASQUERADE]
        outside = [_match(_TO, "@bridges", "!="), _match(source, f"@masquerade{version}")]
        yield "postrouting", [*outside, _match(_field(family, "daddr"), multicast, "!="), _MASQUERADE]
    yield "forward", [_match({"concat": [_FROM, _TO]}, "@same"), _ACCEPT]
    yield "forward", [_match(_FROM, "@internal"), _DROP]
    yield "forward", [_match(_TO, "@internal"), _DROP]
    yield "forward", [_KNOWN, _ACCEPT]
    yield "forward", [_DNATTED, _ACCEPT]
    yield "forward", [_match(_FROM, "@isolated"), _match(_TO, "@isolated"), _DROP]


def skeleton() -> t.List[Command]:
    """Makes the table what it should be, whatever it is now; elements that are there stay. Its last rule carries a checksum."""
    commands: t.List[Command] = [{"add": {"table": {"family": FAMILY, "name": TABLE}}}]
    for name, (key, value) in _SETS.items():
        flags = {"flags": ["interval"]} if name.startswith(_INTERVALS) else {}
        if value:
            commands.append({"add": {"map": {**HERE, "name": name, "type": key, "map": value}}})
        else:
            commands.append({"add": {"set": {**HERE, "name": name, "type": key, **flags}}})
    for name, (kind, hook, priority) in _CHAINS.items():
        base = {"type": kind, "hook": hook, "prio": priority, "policy": "accept"} if hook else {}
        commands.append({"add": {"chain": {**HERE, "name": name, **base}}})
        commands.append({"flush": {"chain": {**HERE, "name": name}}})
    commands += [{"add": {"rule": {**HERE, "chain": chain, "expr": rule}}} for chain, rule in _rules()]
    commands[-1]["add"]["rule"]["comment"] = f"{zlib.crc32(repr(commands).encode()):08x}"
    return commands


class Element(t.NamedTuple):
    """owner: a bridge, or a container and its interface; it is the element's comment."""

    of: str
    key: Json
    owner: str
    value: Json = None

    def add(self) -> Command:
        named: Json = {"elem": {"val": self.key, "comment": self.owner}}
        return {"add": {"element": {**HERE, "name": self.of, "elem": [named if self.value is None else [named, self.value]]}}}

    def delete(self) -> Command:
        """By the key alone; a map wants the value too."""
        return {
            "delete": {"element": {**HERE, "name": self.of, "elem": [self.key if self.value is None else [self.key, self.value]]}}
        }


class Bridge(t.NamedTuple):
    """What the rules know of a network: its link on the host and its subnets. internal: there is no way out of it, nor in.
    isolated: nor to other isolated ones. forwards: chains of others must let it through.
    """

    name: str
    subnets: t.Tuple[IPNetwork, ...] = ()
    masquerade: bool = False
    isolated: bool = False
    internal: bool = False
    forwards: bool = True

    def elements(self) -> t.List[Element]:
        found = [Element("bridges", self.name, self.name), Element("same", {"concat": [self.name, self.name]}, self.name)]
        found += [Element("isolated", self.name, self.name)] * self.isolated
        found += [Element("internal", self.name, self.name)] * self.internal
        for subnet in self.subnets:
            key = _prefix(str(subnet.network_address), subnet.prefixlen)
            found.append(Element(f"subnets{subnet.version}", key, self.name))
            found += [Element(f"masquerade{subnet.version}", key, self.name)] * self.masquerade
        return found


def port_elements(port: Published, address: IPAddress, owner: str) -> t.List[Element]:
    """Where the port leads to, and to which port there."""
    key: t.List[Json] = [port.protocol, port.host_port]
    every = port.host_ip is None or port.host_ip.is_unspecified
    concat, name = {"concat": key if every else [str(port.host_ip), *key]}, "any" if every else "ports"
    return [
        Element(f"{name}{address.version}", concat, owner, str(address)),
        Element(f"{name}_to{address.version}", concat, owner, port.container_port),
    ]


class State(t.NamedTuple):
    """What is there of our table. current: its rules are those of this release."""

    current: bool
    elements: t.List[Element]

    @classmethod
    def of(cls, listing: t.Sequence[Json]) -> State:
        """From what nft lists of the table."""
        found = []
        for entry in listing:
            one = entry.get("set") or entry.get("map") or {}
            for raw in one.get("elem") or []:
                key, value = raw if isinstance(raw, list) else (raw, None)
                inner = key.get("elem") if isinstance(key, dict) else None
                found.append(Element(one["name"], inner["val"] if inner else key, (inner or {}).get("comment", ""), value))
        comments = {(entry.get("rule") or {}).get("comment") for entry in listing}
        return cls(skeleton()[-1]["add"]["rule"]["comment"] in comments, found)

    def additions(self, wanted: t.Sequence[Element]) -> t.List[Command]:
        """What makes it so that these are there too."""
        missing = [one.add() for one in wanted if one not in self.elements]
        return missing if self.current else skeleton() + missing
