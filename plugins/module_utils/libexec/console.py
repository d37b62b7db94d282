# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Get the console of a process from the runtime that makes it."""

from __future__ import annotations

import os
import sys
from select import POLLIN, poll

TYPE_CHECKING = False
if TYPE_CHECKING:
    import typing as t


def receive(directory: str, spawn: t.Callable[[list[str]], t.Any]) -> int:
    """The console's master, which the runtime sends over a socket (SCM_RIGHTS); -1 when it ends without sending one.

    directory: for the socket. spawn: starts the runtime with these options more, as the only child of this process.
    """
    import _socket

    # The path goes through /proc, since a socket's path may have only 107 bytes.
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        path = f"/proc/self/fd/{place}/console.sock"
        listener.bind(path)
        listener.listen(1)
        os.set_inheritable(place, True)
        spawn(["--console-socket", path])
        poller = poll()
        poller.register(listener.fileno(), POLLIN)
        while not poller.poll(20):
            if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return -1
        connection = _socket.socket(fileno=listener._accept()[0])  # type: ignore[attr-defined]  # typeshed knows the module socket only
        _data, ancillary, _flags, _sender = connection.recvmsg(4096, _socket.CMSG_SPACE(4))
        connection.close()
        for level, kind, data in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                return int.from_bytes(data[:4], sys.byteorder)
        return -1
    finally:
        listener.close()
        os.close(place)
