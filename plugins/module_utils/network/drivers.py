# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugins that are built in and make a link: bridge, macvlan, ipvlan, loopback. Each adds, deletes and checks.

They know the settings of the CNI plugins of these names; what is set and is not known here (unknown()) is left to the program of
that name.
"""

from __future__ import annotations

import ipaddress
import struct
import typing as t

from ..errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, printable
from . import external, ipam, netns, sysctl
from .attachment import Call
from .conflist import check_type
from .links import MAIN_TABLE, NO_DAD, Link, Links, New
from .result import Address, Interface, Result, Route
from .subnets import IPNetwork

_HOST_LOCAL = "host-local"
_ANYWHERE: t.Dict[int, IPNetwork] = {4: ipaddress.IPv4Network("0.0.0.0/0"), 6: ipaddress.IPv6Network("::/0")}
_COMMON = {"type", "name", "cniVersion", "ipam", "dns", "args", "capabilities", "prevResult", "runtimeConfig"}
MACVLAN_MODES = {"bridge": 4, "private": 1, "vepa": 2, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
_MODE = 1
#: The smallest that IPv4 is carried in, and the largest of a packet.
MTU_LIMITS = (68, 65535)
#: The largest that fit in what is left of a link's name, and in four bytes.
_NAME_PRIME, _MAC_PRIME = 2**44 - 17, 2**32 - 5


class Driver:
    """A plugin that makes the container's link."""

    #: The kind of link, and the settings that it knows, each with a value of its type.
    kind = ""
    known: t.Mapping[str, t.Any] = {}

    def unknown(self, conf: t.Mapping[str, t.Any]) -> t.List[str]:
        return sorted(key for key, value in conf.items() if value and key not in _COMMON and key not in self.known)

    def foresee(self, call: Call) -> None:
        """The error that add() would raise for its settings, whatever the container. Only reads."""
        for key, default in self.known.items():
            call.setting(key, default)
        mtu = call.setting("mtu", 0)
        if mtu and not MTU_LIMITS[0] <= mtu <= MTU_LIMITS[1]:
            raise InvalidArgument(f"network {call.network}: mtu {mtu} is not from {MTU_LIMITS[0]} to {MTU_LIMITS[1]}")

    def add(self, call: Call) -> Result:
        raise NotImplementedError

    def delete(self, call: Call) -> None:
        """Fine when it is gone, and when the namespace is. A link that somebody else has put there stays."""
        try:
            if netns.is_another(call.attachment.netns):
                with netns.entered(call.attachment.netns), Links() as inside:
                    for name in self._names(call):
                        link = inside.find(name)
                        if link is not None and self._made(call, link):
                            inside.remove(name)
        finally:
            release(call)

    def _names(self, call: Call) -> t.Sequence[str]:
        """What its link in the container can be called."""
        return (call.attachment.interface,)

    def _made(self, call: Call, link: Link) -> bool:
        """Whether it is a link such as this driver makes."""
        return link.kind == self.kind

    def check(self, call: Call) -> None:
        """FailedPrecondition when what it made is not there any more."""
        one, result = call.attachment, call.previous or Result()
        with netns.entered(one.netns), Links() as inside:
            link = inside.find(one.interface)
            if link is None or not link.up:
                raise FailedPrecondition(
                    f"network {call.network}: {one.interface} is {'down' if link else 'missing'} in the container"
                )
            there = {found.interface for found in inside.addresses(link.ifindex)}
        missing = [str(address.interface) for address in result.addresses if address.interface not in there]
        if missing:
            raise FailedPrecondition(f"network {call.network}: {one.interface} does not have {', '.join(missing)}")


class Bridge(Driver):
    """A bridge on the host, and a pair of links: one end in the bridge, the other in the container."""

    kind = "veth"
    known = {"bridge": "", "isGateway": False, "isDefaultGateway": False, "ipMasq": False, "mtu": 0, "hairpinMode": False}

    def foresee(self, call: Call) -> None:
        super().foresee(call)
        call.link("bridge")

    def add(self, call: Call) -> Result:
        one, mtu = call.attachment, call.setting("mtu", 0)
        gateway = call.setting("isGateway", False) or call.setting("isDefaultGateway", False)
        with netns.opened(one.netns) as namespace, Links() as host:
            bridge = ensure_bridge(host, call.link("bridge") or "cni0", mtu)
            result = allocate(call)
            if gateway:
                self._be_gateway(host, bridge, result.addresses)
            mac = one.mac or mac_of(call, result.addresses)
            name = _own_name("veth", call)
            host.remove(name)
            peer = New(one.interface, mac=mac, mtu=mtu, namespace=namespace)
            host.add(New(name, "veth", mtu=mtu, master=bridge.ifindex, peer=peer))
            end = host.get(name)
            host.change(end.ifindex, True, hairpin=call.setting("hairpinMode", False))
        default = call.setting("isDefaultGateway", False)
        routes = result.routes + tuple(_default_routes(result.addresses) if default else ())
        configure(call, result.addresses, routes, call.setting("hairpinMode", False))
        links = (Interface(bridge.name, bridge.mac), Interface(name, end.mac), Interface(one.interface, mac, one.netns))
        return result._replace(
            interfaces=links, routes=routes, addresses=tuple(a._replace(interface_index=2) for a in result.addresses)
        )

    def delete(self, call: Call) -> None:
        """The host's end takes the other with it, also when the namespace cannot be entered any more."""
        try:
            with Links() as host:
                host.remove(_own_name("veth", call))
        finally:
            super().delete(call)

    def _made(self, call: Call, link: Link) -> bool:
        """The host's end has just gone: this is one that the program bridge has made, of an attachment that was completed."""
        return super()._made(call, link) and call.previous is not None

    def check(self, call: Call) -> None:
        super().check(call)
        name = call.link("bridge") or "cni0"
        with Links() as host:
            bridge, end = host.find(name), host.find(_own_name("veth", call))
        if bridge is None or end is None or end.master != bridge.ifindex:
            raise FailedPrecondition(f"network {call.network}: the container's link is not in the bridge {name}")

    def _be_gateway(self, host: Links, bridge: Link, addresses: t.Sequence[Address]) -> None:
        wanted = [Address.of(one.gateway, one.interface.network, None).interface for one in addresses if one.gateway is not None]
        there = [one.interface for one in host.addresses(bridge.ifindex)]
        for interface in wanted:
            strange = [one for one in there if one.version == interface.version and one not in wanted and not one.is_link_local]
            if any(one.version == 4 or one.network.overlaps(interface.network) for one in strange):
                raise FailedPrecondition(
                    f"bridge: {bridge.name} has the address {strange[0]} already, and cannot be the gateway {interface}: it is "
                    "somebody else's, or of a network that was changed"
                )
            host.add_address(bridge.ifindex, interface, NO_DAD if interface.version == 6 else 0)
            sysctl.forward(interface.version)
        # Published ports can be reached on 127.0.0.1; rules keep containers from what else listens there.
        sysctl.put(f"ipv4/conf/{bridge.name}/route_localnet", "1")


def parent_of(host: Links, name: str) -> t.Optional[Link]:
    """The link that is named, or that of the default route; None where there is none. A VPN may have another one in a table of its own."""
    if name:
        return host.find(name)
    routes = [one for one in host.routes() if one.table == MAIN_TABLE and not one.destination.prefixlen]
    indexes = [one.ifindex for one in routes if one.ifindex]
    return next((link for link in host.list() if link.ifindex in indexes[:1]), None)


class _Child(Driver):
    """A link on top of a link of the host."""

    known = {"master": "", "mode": "", "mtu": 0}
    modes: t.Dict[str, int] = {}
    default = ""

    def _mode(self, call: Call) -> bytes:
        mode = call.setting("mode", "") or self.default
        if mode not in self.modes:
            raise InvalidArgument(
                f"network {call.network}: mode {printable(mode, 40)!r} of {self.kind} is none of {', '.join(self.modes)}"
            )
        return self._data(self.modes[mode])

    def _data(self, mode: int) -> bytes:
        raise NotImplementedError

    def _mac(self, call: Call, addresses: t.Sequence[Address]) -> str:
        raise NotImplementedError

    def foresee(self, call: Call) -> None:
        super().foresee(call)
        self._mode(call)
        with Links() as host:
            self._parent(call, host)

    def add(self, call: Call) -> Result:
        one, mode = call.attachment, self._mode(call)
        with netns.opened(one.netns) as namespace, Links() as host:
            parent, mtu = self._parent(call, host), call.setting("mtu", 0)
            result = allocate(call)
            mac = self._mac(call, result.addresses)
            data = ((_MODE, mode),)
            # Kernels such as 6.12 refuse a name that a link of the host has (eth0), though the new one goes elsewhere.
            first = _own_name("link", call)
            host.add(New(first, self.kind, mtu or parent.mtu, mac, parent=parent.ifindex, data=data, namespace=namespace))
        with netns.entered(one.netns), Links() as inside:
            inside.change(inside.get(first).ifindex, name=one.interface)
        made = configure(call, result.addresses, result.routes)
        addresses = tuple(address._replace(interface_index=0) for address in result.addresses)
        return result._replace(interfaces=(Interface(one.interface, made.mac, one.netns),), addresses=addresses)

    def _names(self, call: Call) -> t.Sequence[str]:
        return (*super()._names(call), _own_name("link", call))

    def _parent(self, call: Call, host: Links) -> Link:
        name, mtu = call.link("master"), call.setting("mtu", 0)
        parent = parent_of(host, name)
        if parent is None and name:
            raise NotFound(f"network {call.network}: the parent link {name} is not there")
        if parent is None:
            raise FailedPrecondition(f"network {call.network}: no parent link is given, and the host has no default route")
        if mtu > parent.mtu:
            raise InvalidArgument(f"network {call.network}: mtu {mtu} is more than that of {parent.name} ({parent.mtu})")
        return parent


class Macvlan(_Child):
    kind, modes, default = "macvlan", MACVLAN_MODES, "bridge"

    def _data(self, mode: int) -> bytes:
        return struct.pack("=I", mode)

    def _mac(self, call: Call, addresses: t.Sequence[Address]) -> str:
        return call.attachment.mac or mac_of(call, addresses)


class Ipvlan(_Child):
    kind, modes, default = "ipvlan", IPVLAN_MODES, "l2"

    def _data(self, mode: int) -> bytes:
        return struct.pack("=H", mode)

    def _mac(self, call: Call, addresses: t.Sequence[Address]) -> str:
        if call.attachment.mac:
            raise InvalidArgument(f"network {call.network}: an ipvlan link has the MAC address of its parent, and no other")
        return ""


class Loopback(Driver):
    """The loopback link of the namespace, whatever the interface is called."""

    def add(self, call: Call) -> Result:
        one = call.attachment
        with netns.entered(one.netns), Links() as inside:
            link = inside.get("lo")
            inside.change(link.ifindex, True)
            found = [Address(each.interface, None, 0) for each in inside.addresses(link.ifindex)]
        return Result((Interface("lo", link.mac, one.netns),), tuple(found))

    def delete(self, call: Call) -> None:
        """It goes down, where the namespace is still there."""
        if netns.is_another(call.attachment.netns):
            with netns.entered(call.attachment.netns), Links() as inside:
                inside.change(inside.get("lo").ifindex, False)

    def check(self, call: Call) -> None:
        with netns.entered(call.attachment.netns), Links() as inside:
            if not inside.get("lo").up:
                raise FailedPrecondition(f"network {call.network}: the loopback link is down in the container")


def ensure_bridge(host: Links, name: str, mtu: int = 0) -> Link:
    """The bridge, which is made when it is missing and is up. FailedPrecondition when the name is that of another link."""
    found = host.find(name)
    if found is None:
        # A bridge without an address of its own takes the lowest of its ports, another one each time a container comes.
        mac = f"02:42:{_octets(_digest(name, _MAC_PRIME).to_bytes(4, 'big'))}"
        try:
            host.add(New(name, "bridge", mtu=mtu, mac=mac, up=True))
            sysctl.put(f"ipv6/conf/{name}/accept_ra", "0")
        except AlreadyExists:
            pass  # another process was faster
        found = host.get(name)
    if found.kind != "bridge":
        raise FailedPrecondition(f"bridge: the link {name} is there already, and is no bridge ({found.kind or 'a device'})")
    if not found.up:
        host.change(found.ifindex, True)
    return found


def configure(call: Call, addresses: t.Sequence[Address], routes: t.Sequence[Route], hairpin: bool = False) -> Link:
    """Give the container's link its addresses and routes, and have it up."""
    one = call.attachment
    with netns.entered(one.netns), Links() as inside:
        link = inside.get(one.interface)
        if any(address.version == 6 for address in addresses):
            sysctl.put(f"ipv6/conf/{one.interface}/disable_ipv6", "0")
            if hairpin:
                # It would hear itself, and take its own address for somebody else's.
                sysctl.put(f"ipv6/conf/{one.interface}/accept_dad", "0")
        inside.change(link.ifindex, True)
        for address in addresses:
            inside.add_address(link.ifindex, address.interface, NO_DAD if address.version == 6 else 0)
        for route in Result(addresses=tuple(addresses), routes=tuple(routes)).ways:
            inside.add_route(link.ifindex, route.destination, route.gateway, route.mtu)
        return link


def allocate(call: Call) -> Result:
    """Addresses, routes and name servers, from address management here or from a plugin."""
    document = call.setting("ipam", {})
    kind = _ipam_type(call)
    dns = call.setting("dns", {})
    if not kind:
        return Result(dns=dns)
    if kind != _HOST_LOCAL:
        result = external.run("ADD", call, kind) or Result()
        return result if result.dns else result._replace(dns=dns)
    plan = ipam.Plan.of(document)
    store = ipam.Reservations(call.network, ipam.data_dir_of(document, call.host.data_dir))
    # What this very container has from a run that was killed: it is not attached now, or we would not be called.
    store.release(call.attachment.owner)
    addresses = store.allocate(plan, call.attachment.owner, call.attachment.ips)
    return Result(addresses=tuple(addresses), routes=plan.routes, dns=dns)


def _ipam_type(call: Call) -> str:
    """Empty for a network without addresses. It is the name of a program, as a plugin's type is."""
    found = call.setting("ipam", {}).get("type") or ""
    return check_type(found, f"network {call.network}: ipam") if found else ""


def release(call: Call) -> None:
    document, kind = call.setting("ipam", {}), _ipam_type(call)
    if kind == _HOST_LOCAL:
        ipam.Reservations(call.network, ipam.data_dir_of(document, call.host.data_dir)).release(call.attachment.owner)
    elif kind:
        external.run("DEL", call, kind)


def mac_of(call: Call, addresses: t.Sequence[Address]) -> str:
    """Made from the address: whoever has it next has the same, so that nobody's table of neighbours is wrong."""
    packed = next((one.ip.packed for one in addresses if one.version == 4), b"")
    if not packed:
        text = str(addresses[0].ip) if addresses else _place(call)
        packed = _digest(text, _MAC_PRIME).to_bytes(4, "big")
    return f"02:42:{_octets(packed)}"


def _own_name(kind: str, call: Call) -> str:
    """Of a link, the same every time: what a killed run has left is found and replaced."""
    return f"{kind}{_digest(_place(call), _NAME_PRIME):011x}"


def _place(call: Call) -> str:
    return "\0".join((call.network, *call.attachment.owner))


def _digest(text: str, prime: int) -> int:
    """A number below the prime; the same for the same text. Importing hashlib takes 2 ms of every start, and nobody attacks this."""
    return int.from_bytes(text.encode(), "big") % prime


def _octets(raw: bytes) -> str:
    return ":".join(f"{one:02x}" for one in raw)


def _default_routes(addresses: t.Sequence[Address]) -> t.Iterator[Route]:
    for version, anywhere in _ANYWHERE.items():
        gateway = next((one.gateway for one in addresses if one.version == version and one.gateway is not None), None)
        if gateway is not None:
            yield Route(anywhere, gateway)


DRIVERS: t.Dict[str, Driver] = {"bridge": Bridge(), "macvlan": Macvlan(), "ipvlan": Ipvlan(), "loopback": Loopback()}
