# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of containerd_network, parsed. What is wrong in itself is an error here, before anything is looked at."""

from __future__ import annotations

import os
import typing as t

from ...errors import EngineError, InvalidArgument, printable
from ...network.conflist import CNI_VERSION, Conflist, check_name
from ...network.definition import Network
from ...network.places import Places
from ...network.result import Document
from ...network.subnets import Subnet
from ..labels import labels_of, text_of
from .values import WantedNetwork, WantedSubnet

_PLAIN = ("driver", "internal", "mtu", "isolate", "masquerade")
_OURS = (*_PLAIN, "ipam_config", "enable_ipv6", "driver_options")
_BRIDGE = {
    "com.docker.network.bridge.name": "link",
    "com.docker.network.bridge.enable_ip_masquerade": "masquerade",
    "com.docker.network.driver.mtu": "mtu",
    "mtu": "mtu",
}
_LINK = {
    "parent": "parent",
    "mode": "mode",
    "macvlan_mode": "mode",
    "ipvlan_mode": "mode",
    "com.docker.network.driver.mtu": "mtu",
    "mtu": "mtu",
}
_ONLY_BRIDGE = {
    "internal": "internal",
    "isolate": "isolate",
    "masquerade": "masquerade",
    "link": "driver_options: com.docker.network.bridge.name",
}
_RESERVED = ("default", "host", "none")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def desired(params: t.Mapping[str, t.Any]) -> WantedNetwork:
    """InvalidArgument names option and value."""
    try:
        name = check_name(params["name"])
    except InvalidArgument as error:
        raise InvalidArgument(f"name: {error}") from error
    if name in _RESERVED:
        raise InvalidArgument(f"name: {name} is a network_mode of containers, and no network can be called so")
    places, data_root = places_of(params)
    document = _document(params, name) if params["conflist"] is not None else None
    settings = _settings(params)
    subnets = None if params["ipam_config"] is None else tuple(_subnet(one) for one in params["ipam_config"])
    labels = None if params["labels"] is None else labels_of(params["labels"])
    if params["enable_ipv6"] is False and any(one.network.version == 6 for one in subnets or ()):
        found = next(one for one in subnets or () if one.network.version == 6)
        raise InvalidArgument(f"enable_ipv6: false contradicts the subnet {found.network} of ipam_config")
    connected = params["connected"]
    if connected is not None and len(set(connected)) != len(connected):
        twice = next(one for one in connected if connected.count(one) > 1)
        raise InvalidArgument(f"connected: {printable(twice, 80)} is listed twice")
    if document is None:
        # Without a driver in the task, that of the present network decides about the rest.
        known = {key: value for key, value in settings.items() if "driver" in settings or key in ("mtu", "link")}
        checked(Network(name)._replace(**known), settings)
    return WantedNetwork(
        name,
        params["state"] == "present",
        settings,
        subnets,
        params["enable_ipv6"],
        labels,
        document,
        None if connected is None else tuple(connected),
        params["appends"],
        params["force"],
        data_root,
        params["namespace"],
        places,
    )


def places_of(params: t.Mapping[str, t.Any]) -> t.Tuple[Places, str]:
    """Where networks and containers have their files."""
    if not os.path.isabs(params["data_root"]):
        raise InvalidArgument(f"data_root: {printable(params['data_root'], 200)!r} is not an absolute path")
    places = Places(conf_dir=params["cni_conf_dir"])
    if params.get("cni_bin_dir"):
        places = places._replace(bin_dirs=tuple(params["cni_bin_dir"]))
    return places.checked(), os.path.normpath(params["data_root"])


def checked(network: Network, given: t.Mapping[str, t.Any]) -> Network:
    """The network, if its values fit each other; given: fields that the task sets."""
    if network.driver != "bridge":
        for option, words in _ONLY_BRIDGE.items():
            if option in given:
                raise InvalidArgument(
                    f"{words}: only networks with the driver bridge have it, and the driver is {network.driver}"
                )
    elif given.get("parent"):
        raise InvalidArgument("driver_options: parent: only networks with the driver macvlan or ipvlan have it")
    try:
        network.check()
    except InvalidArgument as error:
        raise InvalidArgument(named(str(error))) from error
    return network


def named(message: str) -> str:
    """Options of drivers and of subnets are named where they were given."""
    option = {"mode": "driver_options", "parent": "driver_options", "bridge": "driver_options", "subnet": "ipam_config"}
    where = option.get(message.partition(":")[0])
    return f"{where}: {message}" if where else message


def _settings(params: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    found = {option: params[option] for option in _PLAIN if params[option] is not None}
    for key, value in (params["driver_options"] or {}).items():
        known = {**_LINK, **_BRIDGE} if "driver" not in found else _BRIDGE if found["driver"] == "bridge" else _LINK
        if key not in known:
            raise InvalidArgument(f"driver_options: {printable(key, 80)} is none of {', '.join(sorted(known))}")
        field, parsed = known[key], _option(known[key], key, value)
        if field in found and found[field] != parsed:
            raise InvalidArgument(f"driver_options: {key} ({parsed}) contradicts {field} ({found[field]})")
        found[field] = parsed
    return found


def _option(field: str, key: str, value: t.Any) -> t.Any:
    text = text_of(value)
    if field == "mtu":
        if not text.isdecimal():
            raise InvalidArgument(f"driver_options: {key}: {printable(text, 40)!r} is no number")
        return int(text)
    if field == "masquerade":
        if text.lower() not in _FLAGS:
            raise InvalidArgument(f"driver_options: {key}: {printable(text, 40)!r} is neither true nor false")
        return _FLAGS[text.lower()]
    return text


def _subnet(given: t.Mapping[str, t.Any]) -> WantedSubnet:
    try:
        found = Subnet.of(given["subnet"], given["gateway"], given["iprange"], given["aux_addresses"])
    except InvalidArgument as error:
        raise InvalidArgument(f"ipam_config: {error}") from error
    return WantedSubnet(
        found.network,
        found.gateway if given["gateway"] else None,
        (found.ip_range or found.network) if given["iprange"] else None,
        found.aux if given["aux_addresses"] is not None else None,
    )


def _document(params: t.Mapping[str, t.Any], name: str) -> Document:
    others = [option for option in _OURS if params[option] is not None]
    if others:
        raise InvalidArgument(f"conflist: it says everything itself: give it without {', '.join(others)}")
    document = {"cniVersion": CNI_VERSION, "name": name, **params["conflist"]}
    if document["name"] != name:
        raise InvalidArgument(f"conflist: its name {printable(document['name'], 80)!r} is not that of the task ({name})")
    for key, where in (("nerdctlLabels", "give labels"), ("nerdctlID", "it is made from the name")):
        if key in document:
            raise InvalidArgument(f"conflist: {key} is not part of it: {where}")
    try:
        Conflist.of(document)
    except EngineError as error:
        raise InvalidArgument(f"conflist: {error}") from error
    return document
