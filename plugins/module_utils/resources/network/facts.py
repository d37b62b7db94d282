# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks as facts, in the shape of docker network inspect."""

from __future__ import annotations

import os
import typing as t

from ...network.conflist import Conflist
from ...network.definition import Network
from ...network.members import Member
from ...network.meta import bridge_of, subnets_of
from ..times import timestamp
from .values import options_of


def network_facts(conflist: Conflist, members: t.Sequence[Member]) -> t.Dict[str, t.Any]:
    """What docker does not know is below Containerd. Containers that do not run are members, too: their addresses are empty."""
    network = Network.of(conflist)
    options = options_of(network) if network else {}
    bridge = bridge_of(conflist)
    subnets = subnets_of(conflist)
    told = dict(options.get("driver_options", {}))
    if network and network.mtu:
        told["com.docker.network.driver.mtu"] = str(network.mtu)
    return {
        "Name": conflist.name,
        "Id": conflist.id,
        "Created": _created(conflist.path),
        "Scope": "local",
        "Driver": str(conflist.plugins[0]["type"]),
        "EnableIPv4": any(one.version == 4 for one in subnets),
        "EnableIPv6": any(one.version == 6 for one in subnets),
        "IPAM": {"Driver": "default", "Options": {}, "Config": _config(options, conflist)},
        "Internal": options.get("internal", False),
        "Attachable": False,
        "Ingress": False,
        "Containers": {one.id: _container(one, conflist.name) for one in members},
        "Options": told,
        "Labels": dict(network.labels) if network else conflist.labels,
        "Containerd": {
            "Path": conflist.path,
            "Bridge": bridge.name if bridge else "",
            "Isolate": options.get("isolate", False),
            "Masquerade": options.get("masquerade", False),
            "MTU": options.get("mtu", 0),
            "Plugins": [one["type"] for one in conflist.plugins],
            "Conflist": dict(conflist.document),
            "ManagedByUs": bool(conflist.id),
            "Raw": network is None,
        },
    }


def _config(options: t.Mapping[str, t.Any], conflist: Conflist) -> t.List[t.Dict[str, t.Any]]:
    names = {"subnet": "Subnet", "gateway": "Gateway", "iprange": "IPRange", "aux_addresses": "AuxiliaryAddresses"}
    if options:
        return [{names[key]: value for key, value in one.items()} for one in options["ipam_config"]]
    return [{"Subnet": str(one)} for one in subnets_of(conflist)]


def _container(member: Member, network: str) -> t.Dict[str, t.Any]:
    result = member.connected.results().get(network)
    found: t.Dict[str, t.Any] = {"Name": member.name, "EndpointID": "", "MacAddress": "", "IPv4Address": "", "IPv6Address": ""}
    if result is not None:
        inside = [one for one in result.interfaces if one.sandbox]
        found["MacAddress"] = inside[0].mac if inside else ""
        for address in reversed(result.addresses):
            found[f"IPv{address.version}Address"] = address.interface.with_prefixlen
    found["Aliases"] = list(member.endpoint(network).aliases)
    return found


def _created(path: str) -> str:
    """When its file was written last, which is as much as is known."""
    try:
        return timestamp(os.stat(path).st_mtime) if path else ""
    except FileNotFoundError:
        return ""
