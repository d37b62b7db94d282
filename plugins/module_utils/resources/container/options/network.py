# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the network: which networks a container is in, and as whom. Names are in names.py, ports in ports.py."""

from __future__ import annotations

import itertools
import json
import os
import re
import typing as t

from ....engine import labels as L
from ....engine.models import Container
from ....errors import InvalidArgument, printable
from ....kernel.field import MORE, STRICT, Change, Field, ignored, outcome
from .names import hosts_and_resolver, names_of
from .network_seen import DEFAULT, FACTS, kept
from .others import container_of, mode_with, named, other_id
from .ports import published_of, show_ports
from .row import Base, Context, Defaults, Draft, Live, Row, Seen, Value, Values, bad, fixed, nothing, parse_text

_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}"
_MAC = r"[0-9a-f]{2}(:[0-9a-f]{2}){5}"
if t.TYPE_CHECKING:
    # What these modules define is imported where it is needed: a target compiles what a task imports.
    from ....network.connected import Connected, Endpoint

#: What docker_container has besides, and what to do about it.
_INSTEAD = {
    "links": "there are no links: give the other container aliases in a network that both are in",
    "driver_opts": "no network has options for a single container: give driver_options of containerd_network",
    "gw_priority": "the first of the networks is the default route: name that one first",
}


#: The modes that compare a container with what would be made: networks to which the one before is connected are more than what is given.
EXACTLY: t.Mapping[str, str] = {"*": STRICT, "networks": MORE}


class NetworkMode(t.NamedTuple):
    """The network of a container. name: host, none, container:NAME (or its id), ns:PATH, or that of a network."""

    name: str

    @property
    def of_host(self) -> bool:
        return self.name == "host"

    @property
    def container(self) -> str:
        """The name of the container whose network it uses; empty for none."""
        return container_of(self.name)

    @property
    def path(self) -> str:
        """The path of the namespace that it uses; empty for none."""
        return self.name.partition(":")[2] if self.name.startswith("ns:") else ""

    @property
    def network(self) -> str:
        """The name of its network; empty where it is in none of its own."""
        return "" if self.name in ("host", "none") or ":" in self.name else self.name


def parse_network_mode(value: Value, option: str) -> NetworkMode:
    mode = NetworkMode(DEFAULT if value == "default" else parse_text(value, option))
    if not (mode.container or mode.path.startswith("/") or re.fullmatch(_NAME, mode.name)):
        raise bad(option, value, "one of default, bridge, host, none, container:NAME, ns:/PATH and the name of a network")
    return mode


def parse_mac(value: Value, option: str) -> str:
    found = str(value).lower().replace("-", ":")
    if not re.fullmatch(_MAC, found) or int(found[:2], 16) & 1:
        raise bad(option, value, "the hardware address of one link, such as 02:42:ac:11:00:02")
    return found


def parse_networks(value: Value, option: str) -> t.List[Endpoint]:
    """In their order: the first becomes eth0."""
    found = [_endpoint(one, option) for one in value]
    for what, seen in (("named", [one.network for one in found]), ("asked for", [str(ip) for one in found for ip in one.ips])):
        for one in seen:
            if seen.count(one) > 1:
                raise InvalidArgument(f"{option}: {printable(one, 100)!r} is {what} twice")
    return found


def _endpoint(value: t.Mapping[str, t.Any], option: str) -> Endpoint:
    from ....network.connected import Endpoint
    from ....network.subnets import parse_address

    for key, instead in _INSTEAD.items():
        if value.get(key):
            raise InvalidArgument(f"{option}.{key}: {instead}")
    name = str(value.get("name") or "")
    if not re.fullmatch(_NAME, name):
        raise bad(f"{option}.name", name, "the name of a network")
    ips = []
    for version in (4, 6):
        key = f"ipv{version}_address"
        if value.get(key):
            ips.append(parse_address(value[key], f"{option}.{key}"))
            if ips[-1].version != version:
                raise bad(f"{option}.{key}", value[key], f"an IPv{version} address")
    aliases = tuple(sorted({names_of(one, f"{option}.aliases") for one in value.get("aliases") or ()}))
    mac = value.get("mac_address")
    return Endpoint(name, tuple(ips), parse_mac(mac, f"{option}.mac_address") if mac else "", aliases)


def endpoints_of(values: Values) -> t.List[Endpoint]:
    """Everything that these options ask of networks, the first network first; empty for a container in none of its own."""
    mode: NetworkMode = values["network_mode"]
    if not mode.network:
        return []
    from ....network.connected import Endpoint

    endpoints = list(values["networks"])
    if all(one.network != mode.network for one in endpoints):
        endpoints.insert(0, Endpoint(mode.network))
    if values["mac_address"]:
        first = endpoints[0]
        if first.mac not in ("", values["mac_address"]):
            raise InvalidArgument(
                f"mac_address: {values['mac_address']} contradicts networks.mac_address {first.mac} of {first.network}"
            )
        endpoints[0] = first._replace(mac=values["mac_address"])
    return endpoints


def _fit(there: t.Sequence[Endpoint], values: Values, made: Values, mode: str) -> t.List[Endpoint]:
    """All networks that the container is to be in. As in docker_container, what an entry does not give may be as it is, and so may other
    networks; but a container that gets another first network begins anew. strict: what is asked for, and nothing else.
    """
    wanted, had = endpoints_of(values), {one.network: one for one in there}
    if not wanted or not there:
        return wanted
    if mode != STRICT:
        wanted = [_filled(one, had[one.network]) if one.network in had else one for one in wanted]
    first = wanted[0].network
    if first not in (there[0].network, *(one.network for one in endpoints_of(made)[:1])):
        return numbered([one._replace(interface="") for one in wanted])
    names = {one.network for one in wanted}
    wanted = [one._replace(interface=had[one.network].interface) if one.network in had else one for one in wanted]
    return numbered([*wanted, *(one for one in there if mode != STRICT and one.network not in names)])


def with_added(connected: Connected, before: Connected, made: Values, modes: t.Mapping[str, str]) -> Connected:
    """The networks of a new container, and those besides that the one before it is in although it was not made for them: containerd_network
    has connected it.
    """
    if modes["networks"] == STRICT or connected.places.conf_dir != before.places.conf_dir:
        return connected
    names = {one.network for one in (*endpoints_of(made), *connected.endpoints)}
    more = [one._replace(interface="") for one in before.endpoints if one.network not in names]
    return connected._replace(endpoints=tuple(numbered([*connected.endpoints, *more])))


def same_addresses(before: t.Sequence[Endpoint], made: Values, after: Values, modes: t.Mapping[str, str]) -> t.List[str]:
    """The networks in which a container and the one before it would both have the same static or hardware address. made: the values of
    the one before; after: those of the new one, which inherits what with_added() gives it.
    """
    names, wanted = {one.network for one in endpoints_of(made)}, {one.network: one for one in endpoints_of(after)}
    found = []
    for one in before:
        inherited = None if one.network in names or modes["networks"] == STRICT else one
        other = wanted.get(one.network, inherited)
        if other and (set(one.ips) & set(other.ips) or (one.mac and one.mac == other.mac)):
            found.append(one.network)
    return found


def _filled(one: Endpoint, there: Endpoint) -> Endpoint:
    """With what is there already, where the task does not say."""
    given = {ip.version for ip in one.ips}
    ips = sorted((*one.ips, *(ip for ip in there.ips if ip.version not in given)), key=lambda ip: ip.version)
    aliases = there.aliases if set(one.aliases) <= set(there.aliases) else one.aliases
    return one._replace(ips=tuple(ips), mac=one.mac or there.mac, aliases=aliases)


def numbered(endpoints: t.Sequence[Endpoint]) -> t.List[Endpoint]:
    """Each with a link inside: those that have one keep it."""
    used = {one.interface for one in endpoints}
    free = (name for name in map("eth{}".format, itertools.count()) if name not in used)
    return [one if one.interface else one._replace(interface=next(free)) for one in endpoints]


def _networks_there(container: Container, value: t.List[Endpoint]) -> t.List[Endpoint]:
    """As its hook has them: containerd_network, too, connects and disconnects."""
    connected = kept(container)
    return numbered(connected.endpoints) if connected else value


def connected_of(context: Context) -> t.Optional[Connected]:
    """The networks of a container as its hook gets them; None where it is in none."""
    values = context.values
    if not values["network_mode"].network:
        return None
    from ....network.connected import Connected

    # Of a container that stays they are complete.
    endpoints = values["networks"] if context.root < 0 else endpoints_of(values)
    hostname = values["hostname"] or context.container_id[:12]
    full = f"{hostname}.{values['domainname']}" if values["domainname"] else hostname
    names = tuple(dict.fromkeys(name for name in (full, hostname, context.name, context.container_id[:12]) if name))
    return Connected(
        f"{context.namespace}-{context.container_id}",
        names,
        tuple(numbered(endpoints)),
        tuple(published_of(values)),
        f"{context.directory}/hosts",
        context.places,
    )


def _network_mode(draft: Draft, value: NetworkMode, context: Context) -> None:
    """Everything about networks, from all rows. What is to be chosen on the host (ports), networks.py chooses."""
    from ....runtime_spec.network import HOSTS, RESOLVER, join_network, share_host_network

    draft.connected, theirs = connected_of(context), t.cast(t.Dict[str, str], {})
    if value.of_host:
        share_host_network(draft.spec)
        theirs = {path: path for path in (HOSTS, RESOLVER) if os.path.isfile(path)}
    elif context.joined:
        join_network(draft.spec, context.joined.pin)
        theirs = {HOSTS: context.joined.hosts, RESOLVER: os.path.join(os.path.dirname(context.joined.hosts), "resolv.conf")}
    elif value.path:
        join_network(draft.spec, value.path)
    hosts_and_resolver(draft, context, theirs)
    used = [one.network for one in draft.connected.endpoints] if draft.connected else [value.name]
    draft.labels[L.NETWORKS] = json.dumps(used)


def mode_of(values: Values) -> NetworkMode:
    return values.get("network_mode") or NetworkMode(DEFAULT)


def with_mode(given: Values, made: Values, modes: t.Mapping[str, str]) -> Values:
    """What a task gives, with the mode that its networks mean where the container has been made without any of its own."""
    if "network_mode" in given or not given.get("networks") or made["network_mode"].network or ignored("network_mode", modes):
        return given
    return {**given, "network_mode": _mode_of({}, given)}


def option_of(values: Values, network: str) -> str:
    """Where a task names a network."""
    return "networks" if any(one.network == network for one in values["networks"]) else "network_mode"


def endpoints_after(changes: t.Iterable[Change], there: t.Sequence[Endpoint]) -> t.Sequence[Endpoint]:
    """The networks of a container that stays."""
    return next((outcome(one) for one in changes if one.field.option == "networks"), there)


def check_without(values: Values, given: Values) -> None:
    """What needs networks of one's own is not asked for without. given: those of the task."""
    mode: NetworkMode = values["network_mode"]
    if mode.network:
        return
    for option, show in (("networks", _names), ("published_ports", show_ports), ("publish_all_ports", str), ("mac_address", str)):
        if values[option]:
            what, name = printable(show(values[option]), 200), printable(mode.name, 100)
            advice = "" if "network_mode" in given else ", as the container was made: give network_mode, too"
            raise InvalidArgument(f"{option}: {what} needs a network of the container's own, and network_mode is {name}{advice}")


def _mode_of(defaults: Defaults, given: Values) -> NetworkMode:
    networks = given.get("networks")
    return NetworkMode(networks[0].network if networks else DEFAULT)


def _network_mode_seen(seen: Seen) -> str:
    """Of another container the id, as docker has it."""
    if "network_mode" in seen.values:
        mode: NetworkMode = seen.values["network_mode"]
        return mode_with(other_id(seen.spec, "network")) if mode.container else mode.name
    namespaces = (seen.spec.get("linux") or {}).get("namespaces") or ()
    return "none" if any(one.get("type") == "network" for one in namespaces) else "host"


def _show_networks(networks: t.Sequence[Endpoint]) -> t.List[t.Dict[str, t.Any]]:
    return [
        {
            "name": one.network,
            **{f"ipv{ip.version}_address": str(ip) for ip in one.ips},
            **({"aliases": list(one.aliases)} if one.aliases else {}),
            **({"mac_address": one.mac} if one.mac else {}),
        }
        for one in networks
    ]


def _load_networks(found: t.Any) -> t.List[Endpoint]:
    if not found:
        return []
    from ....network.connected import Endpoint

    return [Endpoint.of(one) for one in found]


def _names(networks: t.Sequence[Endpoint]) -> str:
    return ", ".join(one.network for one in networks)


def _name(value: NetworkMode) -> str:
    return value.name


ROWS = (
    Row(
        Field("network_mode", show=_name),
        parse_network_mode,
        Base(_mode_of),
        _network_mode,
        Live.NEVER,
        {"HostConfig.NetworkMode": _network_mode_seen},
        dump=_name,
        load=NetworkMode,
        known=lambda engine, own, mode: NetworkMode(named(engine, own, "network_mode", mode.name)),
    ),
    Row(
        Field("networks", "list", MORE, _show_networks),
        parse_networks,
        fixed([]),
        nothing,
        Live.NETWORKS,
        FACTS,
        dump=lambda value: [one.to_json() for one in value],
        load=_load_networks,
        there=_networks_there,
        fit=_fit,
        said_by="network_mode",
    ),
    Row(
        Field("mac_address"),
        parse_mac,
        fixed(None),
        nothing,
        Live.NEVER,
        {"Config.MacAddress": lambda seen: seen.values.get("mac_address") or ""},
    ),
)
