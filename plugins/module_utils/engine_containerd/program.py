# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find programs as the daemon does: by its own PATH and in its own root, which on some hosts (k3s) differ from ours."""

from __future__ import annotations

import os
import socket
import struct

from ..runtime.runc import missing

_CREDENTIALS = struct.Struct("3i")
_SECONDS = 5.0


def find_program(address: str, name: str) -> str:
    """The path of the runtime that the daemon's shim would run; empty if we cannot see the daemon. NotFound."""
    pid = _peer(address)
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            variables = dict(one.partition(b"=")[::2] for one in stream.read().split(b"\0"))
    except OSError:
        return ""
    path = os.fsdecode(variables.get(b"PATH", b""))
    if not pid or not (path or name.startswith("/")):
        return ""
    for candidate in (
        [name] if name.startswith("/") else [os.path.join(one, name) for one in path.split(":") if one.startswith("/")]
    ):
        inside = f"/proc/{pid}/root{candidate}"
        if os.path.isfile(inside) and os.access(inside, os.X_OK):
            return candidate
    raise missing(name)


def _peer(address: str) -> int:
    """The process behind a socket; 0 if we cannot see it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_SECONDS)
        try:
            client.connect(address)
            pid, _user, _group = _CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        except OSError:
            return 0
    return int(pid)
