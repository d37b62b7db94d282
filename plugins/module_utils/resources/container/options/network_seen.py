# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of a container read back, in the shape of docker inspect."""

from __future__ import annotations

import typing as t

from ....engine.models import Container
from ....errors import DataLoss
from ....runtime_spec.namespaces import path_of
from .row import Seen

if t.TYPE_CHECKING:
    # What these modules define is imported where it is needed: a target compiles what a task imports.
    from ....network.conflist import Conflist
    from ....network.connected import Connected
    from ....network.ports import Published

#: The value of network_mode that docker calls default: network/conflist.py, DEFAULT_NETWORK.
DEFAULT = "bridge"
#: In the directory of a container: what its hook needs (libexec/hook.py).
NETWORKS_FILE = "networks.json"
#: At the end of its command: the link, createRuntime, and the file (libexec/hooks.py).
_HOOK_WORDS = 3
_NOTHING = {"IPAddress": "", "IPPrefixLen": 0, "Gateway": "", "MacAddress": ""}
_NOTHING6 = {"GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "IPv6Gateway": ""}


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


def kept(container: Container) -> t.Optional[Connected]:
    """The networks of a container as its hook knows them; None where it has none of ours, or the file is gone or damaged: then a start
    fails, and a removal must not.
    """
    path = hook_of(container).networks
    if not path:
        return None
    from ....hostfs.atomic import read_file
    from ....network.connected import Connected

    raw = read_file(path)
    try:
        return Connected.of(raw) if raw is not None else None
    except DataLoss:
        return None


def networks_seen(seen: Seen) -> t.Dict[str, t.Any]:
    """NetworkSettings.Networks."""
    connected = kept(seen.container)
    if connected is None:
        return {}
    results = connected.results() if seen.runs else {}
    conflists = _conflists(connected)
    return {
        one.network: _settings(connected, number, results.get(one.network), conflists.get(one.network))
        for number, one in enumerate(connected.endpoints)
    }


def _conflists(connected: Connected) -> t.Dict[str, Conflist]:
    from ....network.conflist import ConfDir

    return ConfDir(connected.places.conf_dir, connected.places.namespace).read().networks


def _settings(connected: Connected, number: int, result: t.Any, conflist: t.Optional[Conflist]) -> t.Dict[str, t.Any]:
    endpoint, interface = connected.endpoints[number], connected.interface(number)
    addresses = {one.version: one for one in (result.addresses if result else ())}
    mac = next((one.mac for one in (result.interfaces if result else ()) if one.sandbox and one.name == interface), "")
    first, second = addresses.get(4), addresses.get(6)
    return {
        "IPAMConfig": {f"IPv{one.version}Address": str(one) for one in endpoint.ips} or None,
        "Links": None,
        "Aliases": list(endpoint.aliases),
        "DNSNames": [*connected.names, *endpoint.aliases],
        "DriverOpts": None,
        "NetworkID": conflist.id if conflist else "",
        "MacAddress": mac,
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
    return lambda seen: networks_seen(seen).get(DEFAULT, {}).get(key, nothing_there)


def sandbox(seen: Seen) -> str:
    """The path of its network namespace; empty where it has none that can be entered."""
    connected = kept(seen.container)
    path = connected.pin if connected else path_of(seen.spec, "network")
    if not (seen.runs and path):
        return ""
    from ....network import netns

    return path if netns.is_namespace(path) else ""


def _hairpin(seen: Seen) -> bool:
    """Whether it reaches itself by its published ports."""
    connected = kept(seen.container)
    first = _conflists(connected).get(connected.endpoints[0].network) if connected and connected.endpoints else None
    return bool(first and (first.plugin("bridge") or {}).get("hairpinMode"))


def bindings(ports: t.Iterable[Published]) -> t.Dict[str, t.List[t.Dict[str, str]]]:
    """HostConfig.PortBindings: as they are asked for."""
    found: t.Dict[str, t.List[t.Dict[str, str]]] = {}
    for one in ports:
        host = {"HostIp": str(one.host_ip or ""), "HostPort": str(one.host_port or "")}
        found.setdefault(f"{one.container_port}/{one.protocol}", []).append(host)
    return found


def ports_seen(seen: Seen) -> t.Dict[str, t.Any]:
    """NetworkSettings.Ports: those that lead to it now, and those that are only exposed (None). Empty for what does not run."""
    connected = kept(seen.container)
    if connected is None or not seen.runs:
        return {}
    versions = {one.version for result in connected.results().values() for one in (result.addresses if result else ())}
    everywhere = [address for version, address in ((4, "0.0.0.0"), (6, "::")) if version in versions]
    found: t.Dict[str, t.Any] = dict.fromkeys(seen.values.get("exposed_ports") or ())
    for one in connected.ports:
        key = f"{one.container_port}/{one.protocol}"
        places = [str(one.host_ip)] if one.host_ip else everywhere
        found[key] = [*(found.get(key) or ()), *({"HostIp": place, "HostPort": str(one.host_port)} for place in places)]
    return found


#: Places of facts that the row of networks fills.
FACTS: t.Dict[str, t.Callable[[Seen], t.Any]] = {
    "NetworkSettings.Networks": networks_seen,
    "NetworkSettings.SandboxKey": sandbox,
    "NetworkSettings.HairpinMode": _hairpin,
    **{f"NetworkSettings.{key}": _of_default(key, value) for key, value in {**_NOTHING, **_NOTHING6}.items()},
}
