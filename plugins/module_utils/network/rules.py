# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What networks and published ports need of the host's packet filter: which elements there are to be, whoever filters.

There are two who do: nftables, and iptables where nft is not installed.
"""

from __future__ import annotations

import ipaddress
import os
import typing as t

from ..errors import AlreadyExists, EngineError, Unavailable, Unimplemented, from_os_error, printable
from ..hostfs.atomic import make_dir
from ..hostfs.lock import locked
from . import programs
from .ports import Published
from .ruleset import Bridge, Element, port_elements
from .subnets import IPAddress

#: Like the rules themselves, gone after a reboot.
LOCK = "/run/fleet-containerd/rules.lock"
#: Of a comment in nftables and iptables, in bytes.
_COMMENT_LIMIT = 128
_TIMEOUT = 60.0

_ANY: t.Tuple[IPAddress, ...] = (ipaddress.IPv4Address(0), ipaddress.IPv6Address(0))

Change = t.Tuple[t.List[Element], t.List[Element]]


class FilterError(EngineError):
    """nft or iptables refused something."""


def owner_name(container_id: str, interface: str) -> str:
    """Whose a port is, as the rules tell it; a container id that is too long for that is hashed."""
    text = f"{container_id} {interface}"
    if len(text.encode()) < _COMMENT_LIMIT:
        return text
    import hashlib

    return f"{hashlib.sha256(container_id.encode()).hexdigest()} {interface}"


class Rules:
    """lock: held from looking at what is there to changing it."""

    def __init__(self, lock: str = LOCK) -> None:
        self._lock = lock

    def put_bridge(self, bridge: Bridge) -> None:
        """Have the rules of a network, and no others of it, and let no chain that drops by default drop what it forwards."""
        wanted = bridge.elements()
        with self._locked():
            self._change(lambda there: ([one for one in there if one.owner == bridge.name and one not in wanted], wanted))
            if bridge.forwards and not bridge.internal:
                self._accept(bridge.name)
            else:
                self._forget(bridge.name)

    def remove_bridge(self, name: str) -> None:
        """The rules of a network go, and with the last one all. Fine when there are none."""
        with self._locked():
            self._change(lambda there: ([one for one in there if one.owner == name], []))
            self._forget(name)

    def publish(self, owner: str, ports: t.Sequence[Published], addresses: t.Sequence[IPAddress]) -> None:
        """Lead these ports of the host, and no others, to a container's addresses, each family to its own. AlreadyExists tells who
        has one of them.

        What is left of others at these addresses goes: an address is in one container at a time.
        """
        pairs = [(port, one) for port in ports for one in addresses if port.reaches(one)]
        wanted = [element for port, one in pairs for element in port_elements(port, one, owner)]
        texts = {str(one) for one in addresses}

        def change(there: t.List[Element]) -> Change:
            before = [one for one in there if one.owner == owner and one not in wanted]
            others = [one for one in there if one.value is not None and one.owner != owner]
            left = {one.owner for one in others if one.value in texts}
            for one in wanted:
                _check_free(one, [other for other in others if other.owner not in left])
            return [*before, *(one for one in others if one.owner in left)], wanted

        with self._locked():
            self._change(change)

    def unpublish(self, owner: str) -> None:
        """Fine when there is nothing."""
        with self._locked():
            self._change(lambda there: ([one for one in there if one.value is not None and one.owner == owner], []))

    def elements(self) -> t.List[Element]:
        """What is there."""
        raise NotImplementedError

    def _change(self, choose: t.Callable[[t.List[Element]], Change]) -> None:
        """Have what is chosen: elements of what is there that go, and those that must be there afterwards."""
        raise NotImplementedError

    def _accept(self, bridge: str) -> None:
        """In chains of others that drop by default, accept what a bridge forwards. Whether it may our own rules have decided."""
        raise NotImplementedError

    def _forget(self, bridge: str) -> None:
        """Take that back."""
        raise NotImplementedError

    def _locked(self) -> t.ContextManager[int]:
        make_dir(os.path.dirname(self._lock))
        return locked(self._lock, "the rules of networks")


def holder(port: Published, there: t.Iterable[Element]) -> str:
    """The container that has published a port of the host (the first word of owner_name()); empty for none."""
    addresses = [one for one in _ANY if port.reaches(one)]
    wanted = [element for one in addresses for element in port_elements(port, one, "")]
    found = (one for one in there if one.value is not None and any(_collide(element, one) for element in wanted))
    return next((one.owner.partition(" ")[0] for one in found), "")


def _collide(wanted: Element, one: Element) -> bool:
    """A port of one address is taken also by whoever has it on all addresses, and the other way round."""
    same = one.of[-1] == wanted.of[-1] and one.key["concat"][-2:] == wanted.key["concat"][-2:]
    return bool(same and (one.key == wanted.key or "any" in one.of or "any" in wanted.of))


def _check_free(wanted: Element, others: t.Sequence[Element]) -> None:
    for one in others:
        if _collide(wanted, one):
            protocol, number = wanted.key["concat"][-2:]
            owner = printable(one.owner.partition(" ")[0], 100)
            raise AlreadyExists(f"the host's port {number}/{protocol} is taken: the container {owner} has published it")


def run(command: t.Sequence[str], text: str = "", package: str = "") -> str:
    """What nft or iptables prints. FilterError with its first words; Unimplemented when it is not installed."""
    try:
        done = programs.run(command, text, _TIMEOUT)
    except FileNotFoundError as error:
        raise Unimplemented(f"{command[0]} is not installed (Debian, Ubuntu and others: package {package})") from error
    except TimeoutError as error:
        raise Unavailable(f"{command[0]} has not ended in {_TIMEOUT:.0f} s") from error
    except OSError as error:
        raise from_os_error(error, f"starting {command[0]}") from error
    if done.status:
        first = next((line for line in done.stderr.splitlines() if line.strip()), "it tells no reason")
        raise FilterError(f"{' '.join(command)}: {printable(first, 200)}")
    return done.stdout
