# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of registries as facts."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ...registry.options import Host


def host_facts(host: Host) -> t.Dict[str, t.Any]:
    """The facts of one host, with only the names of its headers."""
    out: t.Dict[str, t.Any] = {
        "url": host.url,
        "api": f"{host.schemes[0]}://{host.authority}{host.path}",
        "registry": host.own,
        "capabilities": list(host.capabilities),
        "plain_http": "http" in host.schemes,
        "ca": list(host.ca),
        "client": [[one for one in pair if one] for pair in host.client],
        "skip_verify": bool(host.skip_verify),
        "headers": sorted(host.header),
    }
    if host.dial_timeout:
        out["dial_timeout"] = host.dial_timeout
    return out
