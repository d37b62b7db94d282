# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of ports: those that a container exposes, and those of the host that lead to it."""

from __future__ import annotations

import typing as t

from ....errors import InvalidArgument
from ....kernel.field import MORE, Field
from .network_seen import bindings, ports_seen
from .row import Base, Defaults, Live, Row, Seen, Value, Values, bad, fixed, nothing, parse_flag

if t.TYPE_CHECKING:
    # What these modules define is imported where it is needed: a target compiles what a task imports.
    from ....network.ports import Published


def parse_ports(value: Value, option: str) -> t.List[Published]:
    """A host port of 0: one is chosen when the container is made. An address 0.0.0.0 stays: no default takes its place."""
    from ....network.ports import check_twice, parse_published

    if "all" in (str(one).lower() for one in value):
        raise InvalidArgument(f"{option}: all is not taken any more, as in Docker's module: set publish_all_ports")
    found = [port for text in value for port in parse_published(str(text), option=option)]
    try:
        check_twice([port for port in _at(found, None) if port.host_port])
    except InvalidArgument as error:
        raise InvalidArgument(f"{option}: {error}") from error
    return found


def parse_exposed(value: Value, option: str) -> t.List[str]:
    """As port/protocol."""
    from ....network.ports import parse_published

    found = []
    for text in value:
        for one in parse_published(str(text), option=option):
            if one.host_port or one.host_ip:
                raise bad(option, text, "PORT[/PROTOCOL], where PORT may be a range")
            found.append(f"{one.container_port}/{one.protocol}")
    return sorted(set(found))


def exposed_of(defaults: Defaults) -> t.List[str]:
    """Those of the image. What is no port there is passed over."""
    found: t.List[str] = []
    for one in defaults.get("exposed_ports") or ():
        try:
            found += parse_exposed([one], "exposed_ports")
        except InvalidArgument:
            continue
    return found


def published_of(values: Values) -> t.List[Published]:
    """All ports to publish, of which some have no port of the host yet."""
    found: t.List[Published] = list(values["published_ports"])
    if values["publish_all_ports"]:
        there = {(one.container_port, one.protocol) for one in found}
        exposed = [(int(number), protocol) for number, protocol in (one.split("/") for one in values["exposed_ports"])]
        from ....network.ports import Published

        found += _at([Published(None, 0, *one) for one in exposed if one not in there], values["default_host_ip"])
    return found


def publishing(values: Values) -> str:
    """The option that asks for ports of the host; empty if none does."""
    return next((option for option in ("published_ports", "publish_all_ports") if values[option]), "")


def _at(ports: t.Iterable[Published], default: t.Optional[str]) -> t.List[Published]:
    """Where they are published: what names no address at the default one. 0.0.0.0 is everywhere, IPv6 too."""
    from ....network.subnets import parse_address

    address = parse_address(default, "default_host_ip") if default else None
    found = [one._replace(host_ip=one.host_ip or address) for one in ports]
    return [one._replace(host_ip=None) if one.host_ip == parse_address("0.0.0.0", "") else one for one in found]  # compared


def parse_host_ip(value: Value, option: str) -> str:
    """Empty, 0.0.0.0: all addresses of the host."""
    from ....network.subnets import parse_address

    address = parse_address(value, option) if value else None
    return "" if address is None or (address.is_unspecified and address.version == 4) else str(address)


def _dump(ports: t.Sequence[Published]) -> t.List[t.List[t.Any]]:
    return [[str(one.host_ip or ""), *one[1:]] for one in ports]


def _load(found: t.Any) -> t.List[Published]:
    if not found:
        return []
    from ....network.ports import Published
    from ....network.subnets import parse_address

    return [Published(parse_address(one[0], "host IP") if one[0] else None, *one[1:]) for one in found]


def show_ports(ports: t.Sequence[Published]) -> str:
    return ", ".join(_show(ports))


def _show(ports: t.Sequence[Published]) -> t.List[str]:
    def shown(port: Published) -> str:
        host, _slash, protocol = str(port).partition("/")
        host = host[:-1] if not port.host_port else host
        return f"{host}:{port.container_port}/{protocol}"

    return [shown(one) for one in ports]


def _exposed_seen(seen: Seen) -> t.Dict[str, t.Any]:
    values = seen.values
    ports = [f"{one.container_port}/{one.protocol}" for one in values.get("published_ports") or ()]
    return {one: {} for one in sorted({*(values.get("exposed_ports") or ()), *ports})}


ROWS = (
    Row(
        Field("published_ports", "set", MORE, _show),
        parse_ports,
        Base(lambda defaults, given: [], lambda base, value, given: _at(value, given.get("default_host_ip"))),
        nothing,
        Live.NETWORKS,
        {
            "HostConfig.PortBindings": lambda seen: bindings(seen.values.get("published_ports") or ()),
            "NetworkSettings.Ports": ports_seen,
        },
        dump=_dump,
        load=_load,
    ),
    Row(
        Field("publish_all_ports"),
        parse_flag,
        fixed(False),
        nothing,
        Live.NETWORKS,
        {"HostConfig.PublishAllPorts": lambda seen: bool(seen.values.get("publish_all_ports"))},
    ),
    Row(
        Field("exposed_ports", "set", MORE),
        parse_exposed,
        Base(lambda defaults, given: exposed_of(defaults), lambda base, value, given: sorted({*base, *value})),
        nothing,
        Live.NETWORKS,
        {"Config.ExposedPorts": _exposed_seen},
    ),
    Row(
        Field("default_host_ip"),
        parse_host_ip,
        fixed(""),
        nothing,
        Live.NETWORKS,
        {"HostConfig.DefaultHostIp": lambda seen: seen.values.get("default_host_ip") or ""},
    ),
)
