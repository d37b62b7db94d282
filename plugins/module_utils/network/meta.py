# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugins that are built in and change what others have made: portmap, firewall, tuning."""

from __future__ import annotations

import contextlib
import typing as t

from ..errors import FailedPrecondition, InvalidArgument, printable
from . import ipam, netns, sysctl
from .attachment import Call
from .conflist import Conflist
from .conntrack import forget_udp
from .drivers import DRIVERS, Driver
from .links import Links
from .ports import check_twice, check_unused
from .result import Interface, Result
from .rules import owner_name
from .ruleset import Bridge, port_elements
from .subnets import IPNetwork

#: Of the plugin firewall: containers of other networks are not let in.
SAME_BRIDGE = "same-bridge"
#: The plugin that publishes ports.
PORTMAP = "portmap"


class Portmap(Driver):
    """Ports of the host lead to the container's addresses."""

    known = {"snat": True}

    def add(self, call: Call) -> Result:
        one, result = call.attachment, call.previous or Result()
        if one.ports:
            check_twice(one.ports)
            check_unused(one.ports)
            call.host.rules.publish(owner_name(*one.owner), one.ports, [address.ip for address in result.addresses])
            forget_udp({port.host_port for port in one.ports if port.protocol == "udp"})
        return result

    def delete(self, call: Call) -> None:
        """Fine when there are none, which is known when the attachment was completed."""
        one = call.attachment
        if one.ports or call.previous is None:
            call.host.rules.unpublish(owner_name(*one.owner))

    def check(self, call: Call) -> None:
        one, addresses = call.attachment, (call.previous or Result()).addresses
        owner, there = owner_name(*one.owner), call.host.rules.elements() if one.ports else []
        for port in one.ports:
            for address in addresses:
                if port.reaches(address.ip) and not set(map(repr, port_elements(port, address.ip, owner))) <= set(
                    map(repr, there)
                ):
                    raise FailedPrecondition(f"network {call.network}: the host's port {port} does not lead to {address.ip}")


class Firewall(Driver):
    """Its rules are those of the whole network, which the chain puts (bridge_of)."""

    known = {"ingressPolicy": ""}

    def unknown(self, conf: t.Mapping[str, t.Any]) -> t.List[str]:
        strange = ["ingressPolicy"] * (conf.get("ingressPolicy") not in (None, "", "open", SAME_BRIDGE))
        return super().unknown(conf) + strange

    def add(self, call: Call) -> Result:
        return call.previous or Result()

    def delete(self, call: Call) -> None:
        """They stay as long as the network."""

    def check(self, call: Call) -> None:
        """There is nothing of one container."""


class Tuning(Driver):
    """Settings of the kernel in the container's namespace, and of its link."""

    known = {"sysctl": {}, "mac": "", "mtu": 0}

    def add(self, call: Call) -> Result:
        one, result = call.attachment, call.previous or Result()
        settings, mtu = call.setting("sysctl", {}), call.setting("mtu", 0)
        mac = call.setting("mac", "")
        if not (settings or mtu or mac):
            return result
        with netns.entered(one.netns), Links() as inside:
            for name, value in sorted(settings.items()):
                sysctl.put_wanted(name, str(value), one.interface)
            link = inside.get(one.interface)
            if mtu or mac:
                inside.change(link.ifindex, mtu=mtu, mac=mac)
            changed = inside.get(one.interface)
        interfaces = tuple(_renewed(each, one.interface, changed.mac) for each in result.interfaces)
        return result._replace(interfaces=interfaces)

    def delete(self, call: Call) -> None:
        """They go with the namespace."""

    def check(self, call: Call) -> None:
        one = call.attachment
        with netns.entered(one.netns):
            for name, value in call.setting("sysctl", {}).items():
                # The kernel separates numbers by tabs.
                if (sysctl.get(sysctl.path_of(name, one.interface)) or "").split() != str(value).split():
                    raise FailedPrecondition(f"network {call.network}: {printable(name, 80)} is not {printable(value, 40)}")


def _renewed(interface: Interface, name: str, mac: str) -> Interface:
    return interface._replace(mac=mac) if interface.name == name and interface.sandbox else interface


PLUGINS: t.Dict[str, Driver] = {**DRIVERS, PORTMAP: Portmap(), "firewall": Firewall(), "tuning": Tuning()}


def built_in(plugin: t.Mapping[str, t.Any]) -> t.Optional[Driver]:
    """What does this plugin's work here; None when it, or a setting of it, is not known here."""
    found = PLUGINS.get(str(plugin["type"]))
    return found if found is not None and not found.unknown(plugin) else None


def plan_of(conflist: Conflist) -> t.Optional[ipam.Plan]:
    """The addresses of a network that host-local gives out, here or as a program; None where somebody else gives them."""
    for plugin in conflist.plugins:
        document = plugin.get("ipam")
        if isinstance(document, dict) and document.get("type") == "host-local":
            with contextlib.suppress(InvalidArgument):
                return ipam.Plan.of(document)
    return None


def reservations_of(conflist: Conflist, data_dir: str) -> ipam.Reservations:
    """The addresses that are given out in a network, where its list has them, or in the usual place."""
    plan = plan_of(conflist)
    return ipam.Reservations(conflist.name, (plan.data_dir if plan else "") or data_dir)


def subnets_of(conflist: Conflist) -> t.List[IPNetwork]:
    """Those that its plugins give addresses of, as far as they say, and say it in a way that can be understood."""
    plan = plan_of(conflist)
    return list(dict.fromkeys(one.network for ranges in (plan.sets if plan else ()) for one in ranges))


def bridge_of(conflist: Conflist) -> t.Optional[Bridge]:
    """The rules that a network needs as a whole; None for one without a bridge of ours."""
    first = conflist.plugins[0]
    name = first.get("bridge") or "cni0"
    if first["type"] != "bridge" or built_in(first) is None or not isinstance(name, str):
        return None
    wall = conflist.plugin("firewall")
    wall = wall if wall is not None and built_in(wall) is not None else None
    gateway = bool(first.get("isGateway") or first.get("isDefaultGateway"))
    return Bridge(
        name,
        tuple(subnets_of(conflist)),
        masquerade=bool(first.get("ipMasq")),
        isolated=wall is not None and wall.get("ingressPolicy") == SAME_BRIDGE,
        internal=wall is not None and not gateway,
        forwards=wall is not None,
    )
