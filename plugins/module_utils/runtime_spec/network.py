# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a specification, and the files of /etc that describe it, as in Docker."""

from __future__ import annotations

import typing as t

from .mounts import mount

HOSTS, RESOLVER = "/etc/hosts", "/etc/resolv.conf"


def share_host_network(spec: t.Mapping[str, t.Any]) -> None:
    """Use the host's network. The sysfs of another network namespace cannot be mounted, so take the host's, read-only."""
    linux = spec["linux"]
    linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] != "network"]
    sysfs = mount("/sys", "bind", "/sys", "rbind nosuid noexec nodev ro")
    spec["mounts"][:] = [sysfs if one["destination"] == "/sys" else one for one in spec["mounts"]]


def join_network(spec: t.Mapping[str, t.Any], path: str) -> None:
    """Use a network namespace that is there."""
    linux = spec["linux"]
    others = [one for one in linux["namespaces"] if one["type"] != "network"]
    linux["namespaces"] = [*others, {"type": "network", "path": path}]


def hosts_file(hostname: str) -> bytes:
    """hostname: empty where it belongs to an address of a network, which is written there by whoever attaches."""
    names = f"localhost {hostname}" if hostname not in ("localhost", "") else "localhost"
    lines = [f"127.0.0.1\t{names}", "::1\tlocalhost ip6-localhost ip6-loopback"]
    return "".join(f"{line}\n" for line in lines).encode()
