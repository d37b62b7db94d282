# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the kernel for networks, of the namespace that this thread is in."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ..errors import InvalidArgument, from_os_error, printable

_ROOT = "/proc/sys/net"


def get(name: str) -> t.Optional[str]:
    """None when there is no such setting, as without IPv6. name: path below net."""
    try:
        with open(os.path.join(_ROOT, name), encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return None


def put(name: str, value: str) -> None:
    """Written only when it is something else, since some machines let it be read alone. Fine when there is no such setting."""
    found = get(name)
    if found is None or found == value:
        return
    try:
        with open(os.path.join(_ROOT, name), "w", encoding="ascii") as stream:
            stream.write(value)
    except OSError as error:
        raise from_os_error(error, f"setting net.{name.replace('/', '.')} to {printable(value, 40)}") from error


def path_of(name: str, link: str) -> str:
    """That of a setting that users name: net.ipv4.conf.eth0.arp_notify, or with slashes where a name has a dot. IFNAME stands for the
    container's link, as it does for the CNI plugin tuning. InvalidArgument.
    """
    parts = (name if "/" in name else name.replace(".", "/")).split("/")
    if parts[0] != "net" or len(parts) < 2 or any(part in ("", ".", "..") for part in parts):
        raise InvalidArgument(f"sysctl: {printable(name, 80)!r} is no setting below net")
    return "/".join(link if part == "IFNAME" else part for part in parts[1:])


def put_wanted(name: str, value: str, link: str) -> None:
    """A setting that users name, for path_of(). InvalidArgument."""
    path = path_of(name, link)
    if get(path) is None:
        raise InvalidArgument(f"sysctl: there is no setting {printable(name, 80)!r}")
    put(path, value)


def forward(version: int) -> None:
    """Have the host forward packets of IPv4 or IPv6. It goes on listening to router advertisements where it did."""
    if version == 4:
        put("ipv4/ip_forward", "1")
        return
    if get("ipv6/conf/all/forwarding") == "0":
        with contextlib.suppress(FileNotFoundError):
            for link in os.listdir(os.path.join(_ROOT, "ipv6/conf")):
                if link not in ("all", "default", "lo") and get(f"ipv6/conf/{link}/accept_ra") == "1":
                    put(f"ipv6/conf/{link}/accept_ra", "2")
    put("ipv6/conf/all/forwarding", "1")
