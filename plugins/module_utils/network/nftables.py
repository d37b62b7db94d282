# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules by nft and its JSON: each change is one transaction, all of it or nothing."""

from __future__ import annotations

import json
import typing as t

from ..errors import from_os_error
from ..hostfs.atomic import read_file
from . import ruleset
from .netlink import DUMP, NETFILTER, Attributes, Message, Netlink, text, unpack
from .rules import LOCK, Change, FilterError, Rules, run
from .ruleset import Command, Element, Json, State

_NO_SUCH, _THERE, _FORBIDDEN = "No such file or directory", "File exists", "Operation not permitted"
#: A table that drops what is forwarded though its policy says that it accepts it.
_FIREWALLD = "firewalld"
_DIRECTIONS = ("iifname", "oifname")
# Messages and attributes (linux/netfilter/nf_tables.h); numbers in them have the network's order.
_GET_CHAIN, _GET_GENERATION, _GENERATION_ID = 0xA04, 0xA10, 1
_C_TABLE, _C_NAME, _C_HOOK, _C_POLICY, _C_HOOK_NUMBER = 1, 3, 4, 5, 1
_FORWARD, _DROP = b"\0\0\0\2", bytes(4)
_FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}


class Nftables(Rules):
    """program: nft, or another command that takes its arguments."""

    def __init__(self, program: str = "nft", lock: str = LOCK) -> None:
        super().__init__(lock)
        self._program = program
        self._seen: t.Optional[t.Tuple[int, State]] = None

    def elements(self) -> t.List[Element]:
        return self._state().elements

    def _state(self) -> State:
        """Listed anew only when a rule of this host has changed since, whoever's: the kernel counts that."""
        now = _generation()
        if self._seen is None or self._seen[0] != now:
            try:
                state = State.of(self._list("table", ruleset.FAMILY, ruleset.TABLE))
            except FilterError as error:
                if _NO_SUCH not in str(error):
                    raise
                state = State(False, [])
            self._seen = (now, state)
        return self._seen[1]

    def _change(self, choose: t.Callable[[t.List[Element]], Change]) -> None:
        """Once more, when somebody who does not know our lock changed the table in between."""
        try:
            self._try(choose)
        except FilterError as error:
            if not any(text in str(error) for text in (_NO_SUCH, _THERE)):
                raise
            self._try(choose)

    def _try(self, choose: t.Callable[[t.List[Element]], Change]) -> None:
        state = self._state()
        going, coming = choose(state.elements)
        if going and not coming and len(going) == len(state.elements):
            self._run([{"delete": {"table": {"family": ruleset.FAMILY, "name": ruleset.TABLE}}}])
        else:
            self._run([one.delete() for one in going] + (state.additions(coming) if coming else []))

    def _accept(self, bridge: str) -> None:
        for chain in [chain for chain, strict in self._chains_of_others() if strict]:
            there = {rule.get("comment") for rule in self._rules(chain)}
            missing = [direction for direction in _DIRECTIONS if _comment(bridge, direction) not in there]
            try:
                self._run([_insertion(chain, bridge, direction) for direction in missing])
            except FilterError as error:
                if chain["table"] != _FIREWALLD or _FORBIDDEN not in str(error):
                    raise
                self._zone(bridge, "--add-interface", False)
        if older_tables_filter():
            from .iptables import LEGACY

            LEGACY.accept(bridge)

    def _forget(self, bridge: str) -> None:
        ours = {_comment(bridge, direction) for direction in _DIRECTIONS}
        # Also where somebody has changed the policy since.
        for chain, _strict in self._chains_of_others():
            rules = [rule for rule in self._rules(chain) if rule.get("comment") in ours]
            self._run([{"delete": {"rule": {**chain, "handle": rule["handle"]}}} for rule in rules])
            if chain["table"] == _FIREWALLD:
                self._zone(bridge, "--remove-interface", True)
        if older_tables_filter():
            from .iptables import LEGACY

            LEGACY.forget(bridge)

    def _zone(self, bridge: str, change: str, known: bool) -> None:
        """Ask firewalld, where it keeps others from changing its table (since 2.1), to trust a bridge or not to, as docker does.
        Only where it does not do so already: its client takes half a second.
        """
        if (f'"{bridge}"' in json.dumps(self._list("table", "inet", _FIREWALLD))) == known:
            run(["firewall-cmd", "--quiet", "--zone=trusted", f"{change}={bridge}"], package=_FIREWALLD)

    def _rules(self, chain: t.Dict[str, str]) -> t.List[Json]:
        listing = self._list("chain", chain["family"], chain["table"], chain["chain"])
        return [entry["rule"] for entry in listing if "rule" in entry]

    def _chains_of_others(self) -> t.List[t.Tuple[t.Dict[str, str], bool]]:
        """Those on the forward hook, and whether they drop what they do not know."""
        found = []
        for family, attributes in _ask(_GET_CHAIN, DUMP):
            hook = unpack(attributes.get(_C_HOOK, b"")).get(_C_HOOK_NUMBER, b"")
            table, policy = text(attributes.get(_C_TABLE)), attributes.get(_C_POLICY)
            if hook == _FORWARD and table != ruleset.TABLE and family in _FAMILIES:
                chain = {"family": _FAMILIES[family], "table": table, "chain": text(attributes.get(_C_NAME))}
                found.append((chain, policy == _DROP or table == _FIREWALLD))
        return found

    def _list(self, *what: str) -> t.List[Json]:
        return list(json.loads(self._nft("-j", "list", *what)).get("nftables") or [])

    def _run(self, commands: t.Sequence[Command]) -> None:
        if commands:
            # For "-" it opens /dev/stdin, which not every container or chroot has.
            self._nft("-j", "-f", "/proc/self/fd/0", stdin=json.dumps({"nftables": list(commands)}))

    def _nft(self, *arguments: str, stdin: str = "") -> str:
        return run([self._program, *arguments], stdin, "nftables")


def _ask(kind: int, flags: int = 0) -> t.List[t.Tuple[int, Attributes]]:
    """Of nf_tables itself: nft would take longer to come up than the kernel to answer. The family and attributes of each answer."""
    try:
        with Netlink(NETFILTER) as kernel:
            return [(body[0], attributes) for body, attributes in kernel.ask(Message(kind, flags, bytes(4)))]
    except OSError as error:
        raise from_os_error(error, "asking the kernel for its packet filter") from error


def _generation() -> int:
    found = _ask(_GET_GENERATION)
    return int.from_bytes(found[0][1].get(_GENERATION_ID, b""), "big")


def older_tables_filter() -> bool:
    """Whether tables of the older kind, which nft does not show, filter here."""
    found = b"".join(read_file(f"/proc/net/{name}_tables_names") or b"" for name in ("ip", "ip6"))
    return b"filter" in found.split()


def _insertion(chain: t.Dict[str, str], bridge: str, direction: str) -> Command:
    match = {"match": {"op": "==", "left": {"meta": {"key": direction}}, "right": bridge}}
    # A counter, because iptables shows no rules without one.
    rule = {**chain, "comment": _comment(bridge, direction), "expr": [match, {"counter": None}, {"accept": None}]}
    return {"insert": {"rule": rule}}


def _comment(bridge: str, direction: str) -> str:
    return f"fleet.containerd {bridge} {direction}"
