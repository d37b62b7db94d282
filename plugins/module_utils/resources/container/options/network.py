# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the network: which networks a container is in, and as whom. Names are in names.py, ports in ports.py."""

from __future__ import annotations

import json
import os
import re
import typing as t

from ....engine import labels as L
from ....engine.models import Container
from ....errors import DataLoss, InvalidArgument, printable
from ....kernel.field import MORE, Field
from .names import hosts_and_resolver, names_of
from .ports import published_of
from .row import Base, Context, Defaults, Draft, Live, Row, Seen, Value, Values, bad, fixed, nothing, parse_text

if t.TYPE_CHECKING:
    # What these modules define is imported where it is needed: a target compiles what a task imports.
    from ....network.connected import Connected, Endpoint

#: The value of network_mode that docker calls default.
DEFAULT = "bridge"
#: In the directory of a container: what its hook needs (libexec/hook.py).
NETWORKS_FILE = "networks.json"
#: At the end of its command: the link, createRuntime, and the file (libexec/hooks.py).
_HOOK_WORDS = 3
_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}"
_MAC = r"[0-9a-f]{2}(:[0-9a-f]{2}){5}"
_KEYS = ("name", "ipv4_address", "ipv6_address", "aliases", "mac_address")


class NetworkMode(t.NamedTuple):
    """The network of a container. name: host, none, container:NAME, ns:PATH, or that of a network."""

    name: str

    @property
    def of_host(self) -> bool:
        return self.name == "host"

    @property
    def container(self) -> str:
        """The name of the container whose network it uses; empty for none."""
        return self.name.partition(":")[2] if self.name.startswith("container:") else ""

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
        raise bad(option, value, "none of default, bridge, host, none, container:NAME, ns:PATH and the name of a network")
    return mode


def parse_mac(value: Value, option: str) -> str:
    found = str(value).lower().replace("-", ":")
    if not re.fullmatch(_MAC, found) or int(found[:2], 16) & 1:
        raise bad(option, value, "the hardware address of one link, such as 02:42:ac:11:00:02")
    return found


def parse_networks(value: Value, option: str) -> t.List[Endpoint]:
    """In their order: the first becomes eth0."""
    found = [_endpoint(one, option) for one in value]
    names = [one.network for one in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidArgument(f"{option}: {printable(name, 100)!r} is named twice")
    return found


def _endpoint(value: t.Mapping[str, t.Any], option: str) -> Endpoint:
    from ....network.connected import Endpoint
    from ....network.subnets import parse_address

    for key in value:
        if key not in _KEYS:
            raise InvalidArgument(f"{option}: {printable(key, 80)!r} is none of {', '.join(_KEYS)}")
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


def connected_of(context: Context) -> t.Optional[Connected]:
    """The networks of a container as its hook gets them; None where it is in none."""
    values = context.values
    mode: NetworkMode = values["network_mode"]
    if not mode.network:
        return None
    from ....network.connected import Connected, Endpoint
    from ....network.places import Places

    endpoints = list(values["networks"])
    if all(one.network != mode.network for one in endpoints):
        endpoints.insert(0, Endpoint(mode.network))
    if values["mac_address"] and not endpoints[0].mac:
        endpoints[0] = endpoints[0]._replace(mac=values["mac_address"])
    hostname = values["hostname"] or context.container_id[:12]
    full = f"{hostname}.{values['domainname']}" if values["domainname"] else hostname
    names = tuple(dict.fromkeys(name for name in (full, hostname, context.name, context.container_id[:12]) if name))
    return Connected(
        f"{context.namespace}-{context.container_id}",
        names,
        tuple(one._replace(interface=f"eth{number}") for number, one in enumerate(endpoints)),
        tuple(published_of(values)),
        f"{context.directory}/hosts",
        Places(namespace=context.namespace),
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
    check_without(context.values)
    hosts_and_resolver(draft, context, theirs, draft.connected is not None)
    if context.values["mac_address"]:
        draft.labels[L.MAC_ADDRESS] = context.values["mac_address"]
    used = [one.network for one in draft.connected.endpoints] if draft.connected else [value.name]
    draft.labels[L.NETWORKS] = json.dumps(used)


def shared_with(values: Values) -> str:
    """The name of the container whose network is used; empty for none."""
    mode: t.Optional[NetworkMode] = values.get("network_mode")
    return mode.container if mode else ""


def named(given: Values) -> t.List[t.Tuple[str, str]]:
    """The networks that a task names, the first one first, each with its option."""
    mode: t.Optional[NetworkMode] = given.get("network_mode")
    found = [("networks", one.network) for one in given.get("networks") or ()]
    if mode and mode.network and all(mode.network != name for _option, name in found):
        found.insert(0, ("network_mode", mode.network))
    return found


def joined(given: Values) -> t.List[t.Tuple[str, str]]:
    """The networks that a container with these given values is in, each with its option."""
    mode: t.Optional[NetworkMode] = given.get("network_mode")
    return (named(given) or [("network_mode", DEFAULT)]) if mode is None or mode.network else []


def check_without(values: Values) -> None:
    """What needs networks of one's own is not asked for without."""
    mode: NetworkMode = values["network_mode"]
    if mode.network:
        return
    for option in ("networks", "published_ports", "publish_all_ports", "mac_address"):
        if values[option]:
            raise InvalidArgument(f"{option}: needs a network, and network_mode is {printable(mode.name, 100)}")


def _mode_of(defaults: Defaults, given: Values) -> NetworkMode:
    networks = given.get("networks")
    return NetworkMode(networks[0].network if networks else DEFAULT)


def _network_mode_seen(seen: Seen) -> str:
    if "network_mode" in seen.values:
        return str(seen.values["network_mode"].name)
    namespaces = (seen.spec.get("linux") or {}).get("namespaces") or ()
    return "none" if any(one.get("type") == "network" for one in namespaces) else "host"


class Hook(t.NamedTuple):
    """What the hook of a container names: the link to its code, and its networks.json. Empty without one."""

    link: str = ""
    networks: str = ""


def hook_of(container: Container) -> Hook:
    for hook in (container.spec.get("hooks") or {}).get("createRuntime") or ():
        arguments = [str(one) for one in hook.get("args") or ()]
        if len(arguments) > _HOOK_WORDS and arguments[-1].endswith(f"/{NETWORKS_FILE}"):
            return Hook(arguments[-3], arguments[-1])
    return Hook()


def kept(seen: Seen) -> t.Optional[Connected]:
    """The networks of a container as its hook knows them; None where it has none of ours, or the file is gone or damaged: then a start
    fails, and a removal must not.
    """
    path = hook_of(seen.container).networks
    if not path:
        return None
    from ....hostfs.atomic import read_file
    from ....network.connected import Connected

    raw = read_file(path)
    try:
        return Connected.of(raw) if raw is not None else None
    except DataLoss:
        return None


def _networks_seen(seen: Seen) -> t.Dict[str, t.Any]:
    """NetworkSettings.Networks of docker inspect."""
    connected = kept(seen)
    if connected is None:
        return {}
    results = connected.results()
    return {one.network: _settings(connected, number, results[one.network]) for number, one in enumerate(connected.endpoints)}


def _settings(connected: Connected, number: int, result: t.Any) -> t.Dict[str, t.Any]:
    endpoint, interface = connected.endpoints[number], connected.interface(number)
    addresses = {one.version: one for one in (result.addresses if result else ())}
    asked = {f"IPv{one.version}Address": str(one) for one in endpoint.ips}
    mac = next((one.mac for one in (result.interfaces if result else ()) if one.sandbox and one.name == interface), "")
    first, second = addresses.get(4), addresses.get(6)
    return {
        "IPAMConfig": asked or None,
        "Aliases": list(endpoint.aliases),
        "DNSNames": [*connected.names, *endpoint.aliases],
        "MacAddress": mac or endpoint.mac,
        "IPAddress": str(first.ip) if first else "",
        "IPPrefixLen": first.interface.network.prefixlen if first else 0,
        "Gateway": str(first.gateway or "") if first else "",
        "GlobalIPv6Address": str(second.ip) if second else "",
        "GlobalIPv6PrefixLen": second.interface.network.prefixlen if second else 0,
        "IPv6Gateway": str(second.gateway or "") if second else "",
        "Interface": interface,
    }


def _of_default(key: str, nothing_there: t.Any) -> t.Callable[[Seen], t.Any]:
    """Older playbooks read the settings of the default network here."""
    return lambda seen: _networks_seen(seen).get(DEFAULT, {}).get(key, nothing_there)


def _pin(seen: Seen) -> str:
    connected = kept(seen)
    return connected.pin if connected else ""


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


def _name(value: NetworkMode) -> str:
    return value.name


ROWS = (
    Row(
        Field("network_mode", show=_name),
        parse_network_mode,
        Base(_mode_of),
        _network_mode,
        Live.NEVER,
        {"HostConfig.NetworkMode": _network_mode_seen, "NetworkSettings.SandboxKey": _pin},
        dump=_name,
        load=NetworkMode,
    ),
    Row(
        Field("networks", "set", MORE, _show_networks),
        parse_networks,
        fixed([]),
        nothing,
        Live.NETWORKS,
        {
            "NetworkSettings.Networks": _networks_seen,
            "NetworkSettings.IPAddress": _of_default("IPAddress", ""),
            "NetworkSettings.IPPrefixLen": _of_default("IPPrefixLen", 0),
            "NetworkSettings.Gateway": _of_default("Gateway", ""),
            "NetworkSettings.MacAddress": _of_default("MacAddress", ""),
            "NetworkSettings.GlobalIPv6Address": _of_default("GlobalIPv6Address", ""),
        },
        dump=lambda value: [one.to_json() for one in value],
        load=_load_networks,
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
