# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links, addresses and routes of a network namespace, over rtnetlink."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import struct
import typing as t

from ..errors import InvalidArgument, from_os_error, printable
from .netlink import CREATE, DUMP, EXCLUSIVE, REPLACE, Attributes, Message, Netlink, Value, number, pack, text, unpack
from .result import IPInterface
from .subnets import IPAddress, IPNetwork

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _GETROUTE = 24, 26
_UP = 1
# Attributes of links (linux/if_link.h).
_ADDRESS, _NAME, _MTU, _LINK, _MASTER, _LINKINFO, _NETNS_FD, _EXT_MASK = 1, 3, 4, 5, 10, 18, 28, 29
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_VETH_PEER, _PORT_HAIRPIN, _SKIP_STATS = 1, 4, 8
# Of addresses and routes (linux/if_addr.h, linux/rtnetlink.h).
_A_ADDRESS, _A_LOCAL, _A_BROADCAST, _A_FLAGS = 1, 2, 4, 8
_R_DESTINATION, _R_LINK, _R_GATEWAY, _R_METRICS, _R_TABLE, _METRIC_MTU = 1, 4, 5, 8, 15, 2
_BOOT, _UNICAST, _UNIVERSE, _SCOPE_LINK = 3, 1, 0, 253
#: No duplicate is looked for: address management gives each address once, and nobody waits a second.
NO_DAD, PERMANENT = 0x02, 0x80
#: The table of routes that is asked when no rule names another one.
MAIN_TABLE = 254
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
NAME_LIMIT = 15


class Link(t.NamedTuple):
    """parent: the index of what it is made on (macvlan), or of its peer (veth), which may be in another namespace."""

    ifindex: int
    name: str
    kind: str
    mac: str
    mtu: int
    up: bool
    master: int = 0
    parent: int = 0


class LinkAddress(t.NamedTuple):
    """flags: NO_DAD, PERMANENT and others of the kernel."""

    ifindex: int
    interface: IPInterface
    flags: int


class LinkRoute(t.NamedTuple):
    """A route of any table. destination: a prefix of length 0 is the default."""

    destination: IPNetwork
    gateway: t.Optional[IPAddress]
    ifindex: int
    table: int


class New(t.NamedTuple):
    """A link to be made. data: attributes of its kind. namespace: a descriptor of where it goes; here when None. peer: of a veth,
    of which neither end can be up from the beginning.
    """

    name: str
    kind: str = ""
    mtu: int = 0
    mac: str = ""
    master: int = 0
    parent: int = 0
    up: bool = False
    data: t.Sequence[t.Tuple[int, Value]] = ()
    namespace: t.Optional[int] = None
    peer: t.Optional[New] = None

    def body(self) -> bytes:
        return _link_body(0, self.up)

    def attributes(self) -> t.List[t.Tuple[int, Value]]:
        data = list(self.data)
        if self.peer is not None:
            data.append((_VETH_PEER, self.peer.body() + pack(self.peer.attributes())))
        info: t.List[t.Tuple[int, Value]] = [(_INFO_KIND, self.kind), *([(_INFO_DATA, data)] if data else [])]
        every: t.List[t.Tuple[int, t.Optional[Value]]] = [
            (_NAME, self.name),
            (_MTU, self.mtu or None),
            (_ADDRESS, bytes.fromhex(self.mac.replace(":", "")) if self.mac else None),
            (_MASTER, self.master or None),
            (_LINK, self.parent or None),
            (_NETNS_FD, self.namespace),
            (_LINKINFO, info if self.kind else None),
        ]
        return [(kind, value) for kind, value in every if value is not None]


def _link_body(index: int, up: t.Optional[bool] = None) -> bytes:
    flags, change = (0, 0) if up is None else (_UP if up else 0, _UP)
    return struct.pack("=BxHiII", 0, 0, index, flags, change)


def check_link_name(name: str, option: str) -> str:
    """InvalidArgument for what no link can be called."""
    if not 0 < len(name.encode("utf-8", "replace")) <= NAME_LIMIT or name in (".", "..") or any(c in "/: \t\n" for c in name):
        raise InvalidArgument(
            f"{option}: {printable(name, 60)!r} is no name of a link (up to {NAME_LIMIT} bytes, no '/', ':' or blank)"
        )
    return name


class Links:
    """What there is in the namespace that this thread was in when it was opened. Every method raises only EngineError."""

    def __init__(self) -> None:
        with _doing("opening a netlink socket"):
            self._netlink = Netlink()

    def __enter__(self) -> Links:
        return self

    def __exit__(self, *_error: object) -> None:
        self._netlink.__exit__()

    def list(self) -> t.List[Link]:
        body = _link_body(0)
        with _doing("listing links"):
            return [_link(*one) for one in self._netlink.ask(Message(_GETLINK, DUMP, body, [(_EXT_MASK, _SKIP_STATS)]))]

    def find(self, name: str) -> t.Optional[Link]:
        message = Message(_GETLINK, 0, _link_body(0), [(_NAME, name), (_EXT_MASK, _SKIP_STATS)])
        try:
            return _link(*self._netlink.ask(message)[0])
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise from_os_error(error, f"looking for the link {name}") from error

    def get(self, name: str) -> Link:
        found = self.find(name)
        if found is None:
            raise from_os_error(OSError(errno.ENOENT, "there is no such link"), f"looking for the link {printable(name, 60)}")
        return found

    def add(self, new: New) -> None:
        """AlreadyExists when the name is taken."""
        message = Message(_NEWLINK, CREATE | EXCLUSIVE, new.body(), new.attributes())
        names = f"{new.name} with {new.peer.name}" if new.peer else new.name
        with _doing(f"making the {new.kind} link {names}"):
            self._netlink.send([message])

    def change(self, index: int, up: t.Optional[bool] = None, hairpin: bool = False, **values: t.Any) -> None:
        """values: name, mtu, mac, master, namespace, as of New. hairpin: as a port of a bridge it may send a frame back where it
        came from, so that a container reaches itself by its published port.
        """
        attributes = [one for one in New(**{"name": "", **values}).attributes() if one != (_NAME, "")]
        if hairpin:
            attributes.append((_LINKINFO, [(_INFO_SLAVE_KIND, "bridge"), (_INFO_SLAVE_DATA, [(_PORT_HAIRPIN, b"\1")])]))
        with _doing(f"changing link {values.get('name') or index}"):
            self._netlink.send([Message(_NEWLINK, 0, _link_body(index, up), attributes)])

    def remove(self, name: str) -> bool:
        """False when it is not there."""
        found = self.find(name)
        if found is not None:
            try:
                self._netlink.send([Message(_DELLINK, 0, _link_body(found.ifindex))])
                return True
            except OSError as error:
                if error.errno != errno.ENODEV:
                    raise from_os_error(error, f"removing the link {name}") from error
        return False

    def addresses(self, index: int = 0) -> t.List[LinkAddress]:
        """Of one link, or of all."""
        with _doing("listing addresses"):
            answers = self._netlink.ask(Message(_GETADDR, DUMP, struct.pack("=BBBBI", 0, 0, 0, 0, index)))
        found = [_link_address(*one) for one in answers]
        return [one for one in found if index in (0, one.ifindex)]

    def add_address(self, index: int, interface: IPInterface, flags: int = 0) -> None:
        """Fine when it is there."""
        packed = interface.ip.packed
        attributes: t.List[t.Tuple[int, Value]] = [(_A_LOCAL, packed), (_A_ADDRESS, packed)]
        if interface.version == 4 and interface.network.prefixlen < 31:
            attributes.append((_A_BROADCAST, interface.network.broadcast_address.packed))
        if flags:
            attributes.append((_A_FLAGS, flags))
        body = struct.pack("=BBBBI", _FAMILY[interface.version], interface.network.prefixlen, flags & 0xFF, _UNIVERSE, index)
        with _doing(f"adding the address {interface}", errno.EEXIST):
            self._netlink.send([Message(_NEWADDR, CREATE | EXCLUSIVE, body, attributes)])

    def remove_address(self, index: int, interface: IPInterface) -> None:
        """Fine when it is not there."""
        body = struct.pack("=BBBBI", _FAMILY[interface.version], interface.network.prefixlen, 0, 0, index)
        with _doing(f"removing the address {interface}", errno.EADDRNOTAVAIL):
            self._netlink.send([Message(_DELADDR, 0, body, [(_A_LOCAL, interface.ip.packed)])])

    def routes(self) -> t.List[LinkRoute]:
        """Unicast routes of all tables, IPv4 and IPv6."""
        found = []
        for family in _FAMILY.values():
            with _doing("listing routes", errno.EAFNOSUPPORT):
                body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0)
                answers = self._netlink.ask(Message(_GETROUTE, DUMP, body))
                found += [one for one in (_link_route(*answer) for answer in answers) if one]
        return found

    def add_route(
        self, index: int, destination: IPNetwork, gateway: t.Optional[IPAddress], mtu: int = 0, replace: bool = False
    ) -> None:
        """Fine when there is one to that destination: the first wins, as with the CNI plugins. replace: the last wins."""
        attributes: t.List[t.Tuple[int, Value]] = [(_R_LINK, index)]
        if destination.prefixlen:
            attributes.append((_R_DESTINATION, destination.network_address.packed))
        if gateway is not None:
            attributes.append((_R_GATEWAY, gateway.packed))
        if mtu:
            attributes.append((_R_METRICS, [(_METRIC_MTU, mtu)]))
        scope = _UNIVERSE if gateway is not None or destination.version == 6 else _SCOPE_LINK
        body = struct.pack(
            "=BBBBBBBBI", _FAMILY[destination.version], destination.prefixlen, 0, 0, MAIN_TABLE, _BOOT, scope, _UNICAST, 0
        )
        with _doing(f"adding the route to {destination}", errno.EEXIST):
            self._netlink.send([Message(_NEWROUTE, CREATE | (REPLACE if replace else EXCLUSIVE), body, attributes)])


@contextlib.contextmanager
def _doing(what: str, *fine: int) -> t.Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in fine:
            raise from_os_error(error, what) from error


def _link(body: bytes, attributes: Attributes) -> Link:
    _family, index, flags = struct.unpack_from("=BxxxiI", body)
    info = unpack(attributes.get(_LINKINFO, b""))
    mac = attributes.get(_ADDRESS, b"")
    return Link(
        index,
        text(attributes.get(_NAME)),
        text(info.get(_INFO_KIND)),
        ":".join(f"{one:02x}" for one in mac),
        number(attributes.get(_MTU)),
        bool(flags & _UP),
        number(attributes.get(_MASTER)),
        number(attributes.get(_LINK)),
    )


def _link_address(body: bytes, attributes: Attributes) -> LinkAddress:
    _family, prefix, flags, _scope, index = struct.unpack("=BBBBI", body)
    address = ipaddress.ip_address(attributes.get(_A_LOCAL) or attributes[_A_ADDRESS])
    return LinkAddress(index, ipaddress.ip_interface(f"{address}/{prefix}"), number(attributes.get(_A_FLAGS)) or flags)


def _link_route(body: bytes, attributes: Attributes) -> t.Optional[LinkRoute]:
    family, prefix, table, kind = struct.unpack("=BBxxBxxBxxxx", body)
    if kind != _UNICAST:
        return None
    raw = attributes.get(_R_DESTINATION) or bytes(4 if family == socket.AF_INET else 16)
    gateway = attributes.get(_R_GATEWAY)
    return LinkRoute(
        ipaddress.ip_network((raw, prefix)),
        ipaddress.ip_address(gateway) if gateway else None,
        number(attributes.get(_R_LINK)),
        number(attributes.get(_R_TABLE)) or table,
    )
