# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one call to systemd that we need, over its own socket (no dbus-daemon, no library): a scope for one of our processes.

D-Bus Specification 0.38: authentication, the message format; org.freedesktop.systemd1(5): StartTransientUnit.
"""

from __future__ import annotations

import io
import os
import socket
import time
import typing as t

_SOCKET = "/run/systemd/private"
_SECONDS = 10.0
_METHOD_CALL, _METHOD_RETURN, _ERROR = 1, 2, 3
_PATH, _INTERFACE, _MEMBER, _DESTINATION, _SIGNATURE = 1, 2, 3, 6, 8
_MANAGER = "org.freedesktop.systemd1"


class _Message:
    """Marshalled values, little endian. Each type is aligned to its own size."""

    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, size: int) -> None:
        self.data += bytes(-len(self.data) % size)

    def number(self, value: int) -> None:
        self.align(4)
        self.data += value.to_bytes(4, "little")

    def string(self, text: str) -> None:
        data = text.encode()
        self.number(len(data))
        self.data += data + b"\0"

    def variant(self, signature: str, value: t.Any) -> None:
        self.data += bytes((len(signature),)) + signature.encode() + b"\0"
        if signature == "g":
            self.data += bytes((len(value),)) + value.encode() + b"\0"
        elif signature in ("s", "o"):
            self.string(value)
        elif signature == "b":
            self.number(int(value))
        else:  # au
            self.number(4 * len(value))
            for one in value:
                self.number(one)

    def structs(self, entries: t.Sequence[t.Any], write: t.Callable[[t.Any], None]) -> None:
        """An array of structs: its length does not count the alignment of the first one."""
        self.number(0)
        at = len(self.data) - 4
        self.align(8)
        begin = len(self.data)
        for entry in entries:
            self.align(8)
            write(entry)
        self.data[at : at + 4] = (len(self.data) - begin).to_bytes(4, "little")


def _start_transient_unit(name: str, properties: t.Sequence[t.Tuple[str, str, t.Any]]) -> bytes:
    body = _Message()

    def write_property(entry: t.Tuple[str, str, t.Any]) -> None:
        body.string(entry[0])
        body.variant(*entry[1:])

    body.string(name)
    body.string("fail")
    body.structs(properties, write_property)
    body.structs((), write_property)
    fields = (
        (_PATH, "o", "/org/freedesktop/systemd1"),
        (_INTERFACE, "s", f"{_MANAGER}.Manager"),
        (_MEMBER, "s", "StartTransientUnit"),
        (_DESTINATION, "s", _MANAGER),
        (_SIGNATURE, "g", "ssa(sv)a(sa(sv))"),
    )
    whole = _Message()
    whole.data += bytes((ord("l"), _METHOD_CALL, 0, 1))
    whole.number(len(body.data))
    whole.number(1)

    def write_field(field: t.Tuple[int, str, str]) -> None:
        whole.data.append(field[0])
        whole.variant(*field[1:])

    whole.structs(fields, write_field)
    whole.align(8)
    return bytes(whole.data + body.data)


class _Answers(io.RawIOBase):
    """The messages of a connection, until a deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        super().__init__()
        self._connection, self._deadline = connection, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def start_scope(name: str, pid: int, description: str) -> bool:
    """Make a scope below system.slice for a process; it ends with the process. False when systemd does not make it.

    It has no default dependencies, so that a shutdown does not stop it before the containers.
    """
    properties = (
        ("Description", "s", description),
        ("Slice", "s", "system.slice"),
        ("PIDs", "au", (pid,)),
        ("DefaultDependencies", "b", False),
        ("CollectMode", "s", "inactive-or-failed"),
    )
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            deadline = time.monotonic() + _SECONDS
            connection.settimeout(_SECONDS)
            connection.connect(_SOCKET)
            user = str(os.geteuid()).encode().hex()
            connection.sendall(f"\0AUTH EXTERNAL {user}\r\nBEGIN\r\n".encode())
            connection.sendall(_start_transient_unit(name, properties))
            return _answer(io.BufferedReader(_Answers(connection, deadline))) == _METHOD_RETURN
    except OSError:
        return False


def _answer(stream: t.BinaryIO) -> int:
    """The type of the answer to our call; 0 when there is none."""
    if not stream.readline(200).startswith(b"OK "):
        return 0
    while True:
        head = stream.read(16)
        if len(head) < 16:
            return 0
        length, fields = (int.from_bytes(head[at : at + 4], "little") for at in (4, 12))
        stream.read(fields + -fields % 8 + length)
        if head[1] in (_METHOD_RETURN, _ERROR):
            return head[1]
