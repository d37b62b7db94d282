# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules by iptables, for hosts without nft: chains of ours, written anew as a whole whenever an element comes or goes.

What the elements are is kept in a file beside the lock, which a reboot takes away together with the rules.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from ..hostfs.atomic import read_file, write_file
from .rules import LOCK, Change, FilterError, Rules, run
from .ruleset import Element, Json

STATE = "/run/fleet-containerd/rules.json"
_COMMANDS = {4: "iptables", 6: "ip6tables"}
#: By table: our chains, and the chains of the kernel that lead there. On top, as docker's and those of the CNI plugins.
_CHAINS: t.Dict[str, t.Dict[str, t.Tuple[str, ...]]] = {
    "raw": {"FLEET-LOCALNET": ("PREROUTING",)},
    "nat": {"FLEET-PORTS": ("PREROUTING", "OUTPUT"), "FLEET-OUT": ("POSTROUTING",)},
    "filter": {"FLEET-FORWARD": ("FORWARD",)},
}
_MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}
_KNOWN, _DNATTED = "-m conntrack --ctstate RELATED,ESTABLISHED", "-m conntrack --ctstate DNAT"


class Tables:
    """The command, and that for IPv6. suffix: -legacy or -nft, where it must be one of them."""

    def __init__(self, suffix: str = "") -> None:
        self.suffix = suffix

    def run(self, version: int, *arguments: str) -> str:
        return run([f"{_COMMANDS[version]}{self.suffix}", "-w", *arguments], package="iptables")

    def has(self, version: int, table: str, chain: str, rule: t.Sequence[str]) -> bool:
        with contextlib.suppress(FilterError):
            self.run(version, "-t", table, "-C", chain, *rule)
            return True
        return False

    def restore(self, version: int, text: str) -> None:
        """All of a table's changes at once; other chains stay."""
        run([f"{_COMMANDS[version]}{self.suffix}-restore", "-w", "--noflush"], text, "iptables")

    def accept(self, bridge: str) -> None:
        """On top of FORWARD where its policy is DROP."""
        for version in versions():
            if self.run(version, "-S", "FORWARD").startswith("-P FORWARD DROP"):
                for rule in _accepts(bridge):
                    if not self.has(version, "filter", "FORWARD", rule):
                        self.run(version, "-I", "FORWARD", *rule)

    def forget(self, bridge: str) -> None:
        for version in versions():
            for rule in _accepts(bridge):
                while self.has(version, "filter", "FORWARD", rule):
                    self.run(version, "-D", "FORWARD", *rule)


LEGACY = Tables("-legacy")


def versions() -> t.List[int]:
    return [4, 6] if os.path.exists("/proc/net/if_inet6") else [4]


def _accepts(bridge: str) -> t.List[t.List[str]]:
    comment = ["-m", "comment", "--comment", f"fleet.containerd {bridge}", "-j", "ACCEPT"]
    return [["-i", bridge, *comment], ["-o", bridge, *comment]]


class Iptables(Rules):
    """tables: which commands. state: the file that the elements are in."""

    def __init__(self, tables: t.Optional[Tables] = None, lock: str = LOCK, state: str = STATE) -> None:
        super().__init__(lock)
        self._tables, self._path = tables or Tables(), state

    def elements(self) -> t.List[Element]:
        try:
            found = json.loads(read_file(self._path) or b"[]")
            return [Element(*one) for one in found]
        except (ValueError, TypeError):
            return []  # nobody but us writes it; what it said is written anew by the next start

    def _change(self, choose: t.Callable[[t.List[Element]], Change]) -> None:
        there = self.elements()
        going, coming = choose(there)
        after = [one for one in there if one not in going]
        after += [one for one in coming if one not in after]
        if after == there and self._complete(after):
            return
        # First the file: what is in it and has no rules yet gets them the next time.
        write_file(self._path, json.dumps(after).encode(), durable=False)
        for version in versions():
            self._write(version, after)

    def _complete(self, elements: t.Sequence[Element]) -> bool:
        """Whether the rules are there that the file tells of; somebody may have flushed them."""
        return all(self._linked(version, "filter", "FORWARD", "FLEET-FORWARD") == bool(elements) for version in versions())

    def _linked(self, version: int, table: str, chain: str, ours: str) -> bool:
        return self._tables.has(version, table, chain, ["-j", ours])

    def _write(self, version: int, elements: t.Sequence[Element]) -> None:
        rules = render(version, elements)
        for table, chains in _CHAINS.items():
            links = [(chain, ours) for ours, hooks in chains.items() for chain in hooks]
            missing = [link for link in links if not self._linked(version, table, *link)]
            lines = [f"*{table}", *(f":{ours} - [0:0]" for ours in chains)]
            if elements:
                lines += [f"-A {ours} {rule}" for ours in chains for rule in rules.get(ours, [])]
                lines += [f"-I {chain} -j {ours}" for chain, ours in missing]
            else:
                lines += [f"-D {chain} -j {ours}" for chain, ours in links if (chain, ours) not in missing]
                lines += [f"-X {ours}" for ours in chains]
            self._tables.restore(version, "\n".join([*lines, "COMMIT", ""]))

    def _accept(self, bridge: str) -> None:
        self._tables.accept(bridge)

    def _forget(self, bridge: str) -> None:
        self._tables.forget(bridge)


def render(version: int, elements: t.Sequence[Element]) -> t.Dict[str, t.List[str]]:
    """The rules of our chains that do what those of nftables do with these elements (ruleset.py)."""
    sets: t.Dict[str, t.List[Element]] = {}
    for one in elements:
        sets.setdefault(one.of, []).append(one)

    def of(name: str) -> t.List[str]:
        return [str(_text(one.key)) for one in sets.get(name, [])]

    bridges, isolated, subnets = of("bridges"), of("isolated"), of(f"subnets{version}")
    out = [f"-o {one} -s 127.0.0.0/8 -j MASQUERADE" for one in bridges if version == 4]
    out += [f"-o {one} -s {subnet} {_DNATTED} -j MASQUERADE" for one in bridges for subnet in subnets]
    out += [f"-o {one} -j RETURN" for one in bridges]
    out += [f"-s {subnet} ! -d {_MULTICAST[version]} -j MASQUERADE" for subnet in of(f"masquerade{version}")]
    forward = [f"-i {one} -o {one} -j ACCEPT" for one in bridges]
    forward += [f"-{side} {one} -j DROP" for one in of("internal") for side in "io"]
    forward += [f"-o {one} {state} -j ACCEPT" for one in bridges for state in (_KNOWN, _DNATTED)]
    forward += [f"-i {one} -o {other} -j DROP" for one in isolated for other in isolated if one != other]
    return {
        "FLEET-LOCALNET": [f"-i {one} -d 127.0.0.0/8 -j DROP" for one in bridges if version == 4],
        "FLEET-PORTS": [*_ports(version, sets, "ports"), *_ports(version, sets, "any")],
        "FLEET-OUT": out,
        "FLEET-FORWARD": forward,
    }


def _text(key: Json) -> Json:
    return f"{key['prefix']['addr']}/{key['prefix']['len']}" if isinstance(key, dict) and "prefix" in key else key


def _ports(version: int, sets: t.Mapping[str, t.Sequence[Element]], name: str) -> t.Iterator[str]:
    numbers = {repr(one.key): one.value for one in sets.get(f"{name}_to{version}", [])}
    for one in sets.get(f"{name}{version}", []):
        *where, protocol, port = one.key["concat"]
        match = f"-d {where[0]}" if where else "-m addrtype --dst-type LOCAL"
        address = f"[{one.value}]" if version == 6 else one.value
        target = f"-j DNAT --to-destination {address}:{numbers[repr(one.key)]}"
        yield f'-p {protocol} -m {protocol} --dport {port} {match} -m comment --comment "{one.owner}" {target}'
