# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session at another host and its client send each other: frames of a kind (one byte), a length (four) and data.

The client sends OPEN, once; RUN, and INPUT until END; PUT, and INPUT until END; FETCH; LOOK. The session answers with OUT and ERR, and at
last with DONE or FAILED. Documents are JSON.
"""

from __future__ import annotations

import os
import select
import struct
import typing as t

OPEN, RUN, PUT, FETCH, LOOK, INPUT, END = b"O", b"R", b"P", b"F", b"L", b"I", b"."
OUT, ERR, DONE, FAILED = b"1", b"2", b"=", b"!"
#: The most data in a frame.
LIMIT = 256 * 1024
_HEAD = struct.Struct(">cI")

Frame = t.Tuple[bytes, bytes]


def packed(kind: bytes, data: bytes = b"") -> bytes:
    return _HEAD.pack(kind, len(data)) + data


def split(kind: bytes, data: bytes) -> t.Iterator[bytes]:
    """Data of any length."""
    for start in range(0, len(data), LIMIT):
        yield packed(kind, data[start : start + LIMIT])


class Reader:
    """Frames from a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd, self._buffer = fd, bytearray()

    def fill(self) -> bool:
        """Read what is there, or wait for something; False at the end."""
        try:
            data = os.read(self._fd, LIMIT)
        except BlockingIOError:
            return True
        self._buffer += data
        return bool(data)

    def add(self, data: bytes) -> None:
        """What somebody else has read."""
        self._buffer += data

    def frames(self) -> t.Iterator[Frame]:
        """Those that have come as a whole."""
        while len(self._buffer) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._buffer)
            if len(self._buffer) < _HEAD.size + length:
                return
            data = bytes(self._buffer[_HEAD.size : _HEAD.size + length])
            del self._buffer[: _HEAD.size + length]
            yield kind, data

    def next(self) -> t.Optional[Frame]:
        """Wait for one; None at the end."""
        while True:
            for frame in self.frames():
                return frame
            poller = select.poll()
            poller.register(self._fd, select.POLLIN)
            poller.poll()
            if not self.fill():
                return None


def write(fd: int, data: bytes) -> None:
    """Write all, also to a descriptor that does not block."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            poller = select.poll()
            poller.register(fd, select.POLLOUT)
            poller.poll()
