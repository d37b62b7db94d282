# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plugin gives back: interfaces, addresses, routes and name servers, as values."""

from __future__ import annotations

import ipaddress
import json
import os
import typing as t

from ..errors import InvalidArgument, printable
from ..hostfs.atomic import read_file

if t.TYPE_CHECKING:
    from .subnets import IPAddress, IPNetwork

IPInterface = t.Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
Document = t.Dict[str, t.Any]

_RESULTS = "results"
#: Of a file that write_file() writes: for a moment there is one beside it whose name is longer, by 18 at most.
_NAME_LIMIT = 255 - 18


class Interface(t.NamedTuple):
    """A link. sandbox: the path of its namespace; empty on the host."""

    name: str
    mac: str = ""
    sandbox: str = ""


class Address(t.NamedTuple):
    """An address with its prefix. interface_index: in the list of a result's interfaces."""

    interface: IPInterface
    gateway: t.Optional[IPAddress] = None
    interface_index: t.Optional[int] = None

    @classmethod
    def of(cls, address: IPAddress, network: IPNetwork, gateway: t.Optional[IPAddress]) -> Address:
        return cls(ipaddress.ip_interface(f"{address}/{network.prefixlen}"), gateway)

    @property
    def ip(self) -> IPAddress:
        return self.interface.ip

    @property
    def version(self) -> int:
        return int(self.interface.version)


class Route(t.NamedTuple):
    """gateway: None means that of the address of the same family."""

    destination: IPNetwork
    gateway: t.Optional[IPAddress] = None
    mtu: int = 0

    @classmethod
    def of(cls, document: t.Any) -> Route:
        try:
            destination = ipaddress.ip_network(_text(document["dst"]), strict=False)
            gateway = ipaddress.ip_address(_text(document["gw"])) if document.get("gw") else None
            return cls(destination, gateway, int(document.get("mtu") or 0))
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise InvalidArgument(f"{printable(document, 120)} is no route") from error

    def to_json(self) -> Document:
        gateway = {"gw": str(self.gateway)} if self.gateway else {}
        return {"dst": str(self.destination), **gateway, **({"mtu": self.mtu} if self.mtu else {})}


class Result(t.NamedTuple):
    """dns: as the plugin has it (nameservers, domain, search, options)."""

    interfaces: t.Tuple[Interface, ...] = ()
    addresses: t.Tuple[Address, ...] = ()
    routes: t.Tuple[Route, ...] = ()
    dns: t.Mapping[str, t.Any] = {}

    @classmethod
    def of(cls, document: t.Any) -> Result:
        """From JSON of any version since 0.3; InvalidArgument."""
        try:
            interfaces = [
                Interface(*(_text(one.get(key) or "") for key in ("name", "mac", "sandbox")))
                for one in document.get("interfaces") or []
            ]
            addresses = [
                Address(
                    ipaddress.ip_interface(_text(one["address"])),
                    ipaddress.ip_address(_text(one["gateway"])) if one.get("gateway") else None,
                    None if one.get("interface") is None else int(one["interface"]),
                )
                for one in document.get("ips") or []
            ]
            routes = [Route.of(one) for one in document.get("routes") or []]
            return cls(tuple(interfaces), tuple(addresses), tuple(routes), dict(document.get("dns") or {}))
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise InvalidArgument(f"the result of a plugin is not valid: {printable(error, 120)}") from error

    @property
    def ways(self) -> t.List[Route]:
        """Its routes, each with its gateway."""
        gateways: t.Dict[int, IPAddress] = {}
        for address in self.addresses:
            if address.gateway is not None:
                gateways.setdefault(address.version, address.gateway)
        return [one._replace(gateway=one.gateway or gateways.get(one.destination.version)) for one in self.routes]

    def to_json(self, version: str) -> Document:
        found: Document = {"cniVersion": version}
        if self.interfaces:
            found["interfaces"] = [
                {key: value for key, value in (("name", one.name), ("mac", one.mac), ("sandbox", one.sandbox)) if value}
                for one in self.interfaces
            ]
        if self.addresses:
            found["ips"] = [_address_json(one, version) for one in self.addresses]
        if self.routes:
            found["routes"] = [one.to_json() for one in self.routes]
        found["dns"] = dict(self.dns)
        return found


def kept_at(cache_dir: str, network: str, container_id: str, interface: str) -> str:
    """The file in which CNI's own library, too, keeps what a network gave. InvalidArgument."""
    name = f"{network}-{container_id}-{interface}"
    if "/" in name or "\0" in name:
        raise InvalidArgument(f"{printable(name, 200)!r} cannot be the name of an attachment")
    if len(name.encode()) > _NAME_LIMIT:
        raise InvalidArgument(
            f"the names of the network {printable(network, 150)} and of the container's namespace are too long to be in one network: "
            f"with its id they make {len(name.encode())} bytes, and files of attachments can have {_NAME_LIMIT}"
        )
    return os.path.join(directory_of(cache_dir), name)


def directory_of(cache_dir: str) -> str:
    """Where these files are."""
    return os.path.join(cache_dir, _RESULTS)


def kept(path: str) -> t.Optional[Result]:
    """What is in such a file; None where nothing is attached, or the file cannot be read."""
    try:
        found = json.loads(read_file(path) or b"{}").get("result")
        return Result.of(found) if found else None
    except (ValueError, AttributeError, RecursionError, InvalidArgument):
        return None


def _text(value: t.Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _address_json(address: Address, version: str) -> Document:
    found: Document = {"address": address.interface.with_prefixlen}
    if version.startswith("0."):
        found["version"] = str(address.version)
    if address.gateway is not None:
        found["gateway"] = str(address.gateway)
    if address.interface_index is not None:
        found["interface"] = address.interface_index
    return found
