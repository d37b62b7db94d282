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


def hosts_file(hostname: str) -> bytes:
    names = f"localhost {hostname}" if hostname != "localhost" else hostname
    return f"127.0.0.1\t{names}\n::1\tlocalhost ip6-localhost ip6-loopback\n".encode()
