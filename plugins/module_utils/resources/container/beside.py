# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a new container can run beside the one whose place it takes. docs/adr/0045."""

from __future__ import annotations

import typing as t

from .options.devices import devices_of
from .options.mounts import written_of
from .options.network import mode_of, same_addresses
from .options.network_seen import kept
from .options.ports import published_of
from .options.table import effective, fields_for, load, settings, values_of

if t.TYPE_CHECKING:
    from ...engine.models import Container
    from ...network.connected import Endpoint
    from ...network.ports import Published
    from .options.row import Values
    from .values import WantedContainer


def conflict(want: WantedContainer, old: Container, stored: t.Optional[t.Mapping[str, t.Any]]) -> str:
    """What both need and only one can have at a time, as the reason in a title; empty if there is nothing. stored: as FoundContainer.

    What a program does with the network of the host, or with files that it writes, is not known: so those are not shared either.
    """
    if stored is None:
        return "nobody knows what it needs"
    before, after = values_of(old), settings(want.given)
    connected = kept(old)
    return (
        _ports(connected.ports if connected else (), [one for one in published_of(after) if one.host_port])
        or _namespace(before, after)
        or _addresses(want, stored, connected.endpoints if connected else ())
        or _files(before, want.given)
        or _devices(devices_of(before) & devices_of(want.given))
    )


def _ports(before: t.Sequence[Published], after: t.Sequence[Published]) -> str:
    if before and after:
        from ...network.ports import collide

        for port in after:
            if any(collide(port, one) for one in before):
                return f"both publish the port {port} of the host"
    return ""


def _namespace(before: Values, after: Values) -> str:
    one, other = mode_of(before), mode_of(after)
    if one.of_host or other.of_host:
        published = published_of(before if other.of_host else after)
        return "both use ports of the host" if (one.of_host and other.of_host) or published else ""
    if one == other and (one.container or one.path):
        return f"both are in the network of {one.container or one.path}"
    return ""


def _addresses(want: WantedContainer, stored: t.Mapping[str, t.Any], before: t.Sequence[Endpoint]) -> str:
    modes = {one.option: one.mode for one in fields_for(want.given, want.modes)}
    made = effective(load(stored["given"]), stored["defaults"])
    network = next(iter(same_addresses(before, made, settings(want.given), modes)), "")
    return f"both have the same address in the network {network}" if network else ""


def _devices(both: t.AbstractSet[str]) -> str:
    """Who has one open may keep others out."""
    return f"both have the device {min(both)}" if both else ""


def _files(before: Values, given: Values) -> str:
    """Bind mounts of directories and files that both may write to."""
    for one in written_of(given):
        for other in written_of(before):
            if _below(one, other) or _below(other, one):
                return f"both may write to {one}"
    return ""


def _below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")
