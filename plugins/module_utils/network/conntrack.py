# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows that the kernel remembers: those of UDP to a published port are forgotten when it leads elsewhere.

A client that goes on sending from one port (a resolver, syslog) would else reach the address of a container that is gone, for ever.
"""

from __future__ import annotations

import errno
import struct
import typing as t

from ..errors import from_os_error
from .netlink import DUMP, NETFILTER, Attributes, Message, Netlink, unpack

# Messages and attributes (linux/netfilter/nfnetlink_conntrack.h).
_GET, _DELETE = 0x101, 0x102
_ORIGINAL, _ZONE, _PROTO, _NUMBER, _TO_PORT = 1, 18, 2, 1, 3
_UDP = 17


def forget_udp(ports: t.Collection[int]) -> int:
    """Forget flows to these ports of this host; how many there were."""
    if not ports:
        return 0
    try:
        with Netlink(NETFILTER) as kernel:
            flows = [one for one in kernel.ask(Message(_GET, DUMP, bytes(4))) if _is_to(one[1], ports)]
            return sum(_forget(kernel, body, attributes) for body, attributes in flows)
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP):
            return 0  # a kernel that remembers none, or cannot be asked
        raise from_os_error(error, "forgetting flows to published ports") from error


def _is_to(attributes: Attributes, ports: t.Collection[int]) -> bool:
    proto = unpack(unpack(attributes.get(_ORIGINAL, b"")).get(_PROTO, b""))
    port = proto.get(_TO_PORT)
    return proto.get(_NUMBER, b"")[:1] == bytes([_UDP]) and port is not None and struct.unpack(">H", port[:2])[0] in ports


def _forget(kernel: Netlink, body: bytes, attributes: Attributes) -> bool:
    wanted = [(kind, attributes[kind]) for kind in (_ORIGINAL, _ZONE) if kind in attributes]
    try:
        kernel.send([Message(_DELETE, 0, body, wanted)])
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True
