# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Subnets as values: normalised, compared as sets, with their gateway, range and reserved addresses; and free ones."""

from __future__ import annotations

import ipaddress
import typing as t

from ..errors import InvalidArgument, ResourceExhausted, printable

IPNetwork = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
IPAddress = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Reserved = t.Tuple[t.Tuple[str, IPAddress], ...]

#: As nerdctl has them: the first is the default network's, the others follow.
_POOL = ipaddress.IPv4Network("10.4.0.0/16")
_POOL_PREFIX = 24
_MORE_POOLS = (ipaddress.IPv4Network("172.24.0.0/13"), ipaddress.IPv4Network("192.168.0.0/16"))
_TRIES = 256
#: What no network of containers has, and why.
_SPECIAL: t.Dict[IPNetwork, str] = {
    ipaddress.IPv4Network("0.0.0.0/8"): "no addresses of hosts",
    ipaddress.IPv4Network("127.0.0.0/8"): "every host's own addresses",
    ipaddress.IPv4Network("169.254.0.0/16"): "addresses of one link",
    ipaddress.IPv4Network("224.0.0.0/4"): "multicast",
    ipaddress.IPv6Network("::/96"): "every host's own addresses",
    ipaddress.IPv6Network("fe80::/10"): "addresses of one link",
    ipaddress.IPv6Network("ff00::/8"): "multicast",
}


def parse_network(text: str, option: str) -> IPNetwork:
    """InvalidArgument, for a number too. Bits of a host are refused rather than cut off: who wrote them may have meant another prefix."""
    shown = repr(printable(text, 80))
    try:
        found = ipaddress.ip_network(str(text), strict=False)
    except ValueError as error:
        raise InvalidArgument(f"{option}: {shown} is no subnet, such as 10.1.0.0/24 or fd00:1::/64") from error
    try:
        return ipaddress.ip_network(str(text))
    except ValueError as error:
        raise InvalidArgument(
            f"{option}: {shown} is the address of a host in the subnet {found}: give that if it is meant"
        ) from error


def parse_address(text: str, option: str) -> IPAddress:
    """InvalidArgument, for a number too."""
    try:
        return ipaddress.ip_address(str(text))
    except ValueError as error:
        raise InvalidArgument(f"{option}: {printable(text, 80)!r} is no IP address") from error


class Span(t.NamedTuple):
    """Addresses from first to last, both included."""

    first: IPAddress
    last: IPAddress

    def __contains__(self, address: object) -> bool:
        return getattr(address, "version", 0) == self.first.version and int(self.first) <= int(t.cast(IPAddress, address)) <= int(
            self.last
        )


def usable(network: IPNetwork) -> Span:
    """As host-local has it: neither the network's own address nor an IPv4 broadcast address."""
    last = network.broadcast_address
    return Span(network.network_address + 1, last - 1 if network.version == 4 else last)


class Subnet(t.NamedTuple):
    """One entry of ipam_config. aux: addresses that are not given to containers, by name."""

    network: IPNetwork
    gateway: IPAddress
    ip_range: t.Optional[IPNetwork] = None
    aux: Reserved = ()

    @classmethod
    def of(
        cls,
        subnet: str,
        gateway: t.Optional[str] = None,
        ip_range: t.Optional[str] = None,
        aux: t.Optional[t.Mapping[str, str]] = None,
    ) -> Subnet:
        """From text, checked. The gateway is the subnet's first address when none is given."""
        return cls.checked(
            parse_network(subnet, "subnet"),
            parse_address(gateway, "gateway") if gateway else None,
            parse_network(ip_range, "iprange") if ip_range else None,
            tuple((name, parse_address(text, "aux_addresses")) for name, text in sorted((aux or {}).items())),
        )

    @classmethod
    def checked(
        cls, network: IPNetwork, gateway: t.Optional[IPAddress], ip_range: t.Optional[IPNetwork], aux: Reserved
    ) -> Subnet:
        """InvalidArgument, with the key of ipam_config, where they do not fit each other."""
        if network.max_prefixlen - network.prefixlen < 2:
            raise InvalidArgument(f"subnet: {network} is too small, it has no address for a container")
        span = usable(network)
        where = gateway or span.first
        if where not in span:
            raise InvalidArgument(f"gateway: {where} is no address of a host in the subnet {network}")
        if ip_range is not None and not _inside(ip_range, network):
            raise InvalidArgument(f"iprange: {ip_range} is not inside the subnet {network}")
        holders = {where: "the gateway"}
        for name, address in aux:
            shown = printable(name, 80)
            if address not in network:
                raise InvalidArgument(f"aux_addresses: {address} ({shown}) is not inside the subnet {network}")
            if address in holders:
                raise InvalidArgument(f"aux_addresses: {address} ({shown}) is taken: it is that of {holders[address]}")
            holders[address] = shown
        return cls(network, where, ip_range if ip_range != network else None, aux)

    @property
    def spans(self) -> t.List[Span]:
        """What containers get: the range without reserved addresses, of which the gateway is left to address management."""
        whole = usable(self.network)
        first, last = whole
        if self.ip_range is not None:
            first = max(first, self.ip_range.network_address)
            last = min(last, self.ip_range.broadcast_address)
        found = []
        for _name, address in sorted(self.aux, key=lambda pair: int(pair[1])):
            if first <= address <= last:  # type: ignore[operator]
                if address > first:  # type: ignore[operator]
                    found.append(Span(first, address - 1))
                first = address + 1
        return found + ([Span(first, last)] if first <= last else [])  # type: ignore[operator]


def _inside(part: IPNetwork, network: IPNetwork) -> bool:
    return part.version == network.version and part.subnet_of(network)  # type: ignore[arg-type]


def overlap(network: IPNetwork, others: t.Iterable[IPNetwork]) -> t.Optional[IPNetwork]:
    """The first of the others that shares addresses with it. A default route shares them with everybody, and is none."""
    return next((one for one in others if one.version == network.version and one.prefixlen and one.overlaps(network)), None)


def check_usual(network: IPNetwork) -> None:
    """InvalidArgument for addresses that mean something else everywhere."""
    special = next((one for one in _SPECIAL if one.version == network.version and one.overlaps(network)), None)
    if special is not None:
        raise InvalidArgument(f"subnet: {network} cannot be that of a network: {special} has {_SPECIAL[special]}")


def check_free(subnets: t.Sequence[Subnet], taken: t.Mapping[IPNetwork, str]) -> None:
    """InvalidArgument when subnets overlap each other, or what is taken: by whom."""
    seen: t.Dict[IPNetwork, str] = dict(taken)
    for one in subnets:
        other = overlap(one.network, seen)
        if other is not None:
            raise InvalidArgument(f"subnet: {one.network} overlaps {other} ({seen[other]})")
        seen[one.network] = "another subnet of this network"


def free_ipv4(taken: t.Collection[IPNetwork], default: bool = False) -> Subnet:
    """The first subnet of the pools that overlaps nothing. default: for the default network, which has the very first."""
    for pool in (_POOL, *_MORE_POOLS):
        for number, network in enumerate(pool.subnets(new_prefix=_POOL_PREFIX)):
            if (number or default or pool is not _POOL) and overlap(network, taken) is None:
                return Subnet.of(str(network))
    raise ResourceExhausted("no free IPv4 subnet was found for the network: give one with ipam_config")


def free_ipv6(name: str, host: str, taken: t.Collection[IPNetwork]) -> Subnet:
    """A unique local one (RFC 4193), made from what tells this host from others (its machine id) and the network's name."""
    import hashlib

    for number in range(_TRIES):
        bits = hashlib.sha256(f"{host}\0{name}\0{number}".encode()).digest()[:7]
        network = ipaddress.IPv6Network((b"\xfd" + bits + bytes(8), 64))
        if overlap(network, taken) is None:
            return Subnet.of(str(network))
    raise ResourceExhausted("no free IPv6 subnet was found for the network: give one with ipam_config")
