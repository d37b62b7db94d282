# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client side of HTTP/2 (RFC 9113) over a unix socket, one stream at a time.

With one stream at a time the caller's thread drives the socket: we need no thread, and the socket gives the back pressure.
So we allow the peer to send without limit, and we send as much as the peer allows.
"""

from __future__ import annotations

import collections
import contextlib
import select
import socket
import struct
import time
import typing as t

from . import hpack

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PUSH_PROMISE, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
_ACK = _END_STREAM = 0x1
_END_HEADERS, _PADDED, _WITH_PRIORITY = 0x4, 0x8, 0x20
_ENABLE_PUSH, _INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 2, 4, 5
_CANCEL = 8
_FRAME_SIZE = 16384
_WINDOW, _LARGEST_WINDOW = 65535, 0x7FFFFFFF
_TOP_UP = 1 << 29
_HEADERS_LIMIT = 1 << 20
_RECEIVE = 256 * 1024

#: The longest time limit of a socket.
_LONGEST_SECONDS = 1e8

Event = t.Union[t.List[hpack.Header], bytes]


class Broken(Exception):
    """The connection cannot be used any more."""


class Reset(Exception):
    """The peer has ended the stream with an error code of section 7."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the stream was reset with code {code}")
        self.code = code


class TimedOut(Exception):
    """The deadline has passed."""


class Connection:
    """One connection: begin() a stream, send() the request, receive() until None, then the next stream.

    deadline (time.monotonic seconds, None for no limit) holds for every wait. Raises Broken, Reset, TimedOut.
    """

    def __init__(self, address: str, deadline: t.Optional[float] = None) -> None:
        """OSError when nobody listens at address."""
        self.deadline = deadline
        self._id = -1
        self._window, self._stream_window, self._peer_window = _WINDOW, _WINDOW, _WINDOW
        self._frame_size = _FRAME_SIZE
        self._taken = self._stream_taken = 0
        self._decoder = hpack.Decoder()
        self._in, self._out = bytearray(), bytearray(_PREFACE)
        self._events: t.Deque[Event] = collections.deque()
        self._closing = False
        self.ended = self.finished = True
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(self._left())
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._put(_SETTINGS, 0, 0, struct.pack(">HIHI", _ENABLE_PUSH, 0, _INITIAL_WINDOW_SIZE, _LARGEST_WINDOW))
        self._put(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _LARGEST_WINDOW - _WINDOW))

    def begin(self, headers: t.Iterable[hpack.Header]) -> None:
        """Open a stream."""
        self._id += 2
        self._stream_window, self._stream_taken = self._peer_window, 0
        # ended: the peer has ended the stream; finished: we have.
        self.ended = self.finished = False
        block, kind = hpack.encode(headers), _HEADERS
        while len(block) > self._frame_size:
            self._put(kind, 0, self._id, block[: self._frame_size])
            block, kind = block[self._frame_size :], _CONTINUATION
        self._put(kind, _END_HEADERS, self._id, block)

    def send(self, data: bytes, end: bool = False) -> None:
        """Send data as fast as the peer allows. Stops when the peer ends the stream: then receive() tells why."""
        rest = memoryview(data)
        while rest and not self.ended:
            room = min(self._window, self._stream_window, self._frame_size)
            if room <= 0:
                self._next()
                continue
            part, rest = rest[:room], rest[room:]
            self._window -= len(part)
            self._stream_window -= len(part)
            self._put(_DATA, 0, self._id, part)
        if end and not self.ended:
            self._put(_DATA, _END_STREAM, self._id, b"")
            self.finished = True
        self._flush()

    def receive(self) -> t.Optional[Event]:
        """Returns headers (a list), data (bytes), or None when the peer has ended the stream."""
        while not self._events and not self.ended:
            self._next()
        return self._events.popleft() if self._events else None

    def usable(self) -> bool:
        """Whether another stream can begin. Reads what the peer has sent meanwhile: its end, GOAWAY, pings."""
        self.deadline = time.monotonic() + 1.0
        self._events.clear()
        try:
            while not self._closing and self._readable():
                self._next()
        except (Broken, TimedOut):
            return False
        return not self._closing and self.ended and self.finished

    def cancel(self) -> None:
        """Cancel the stream, and close the connection."""
        if not self.ended and not self._closing:
            self.deadline = time.monotonic() + 1.0
            self._put(_RST_STREAM, 0, self._id, struct.pack(">I", _CANCEL))
            with contextlib.suppress(Broken, TimedOut):
                self._flush()
        self.close()

    def close(self) -> None:
        self._closing = True
        self._socket.close()

    # Bytes

    def _left(self) -> t.Optional[float]:
        return None if self.deadline is None else min(max(0.001, self.deadline - time.monotonic()), _LONGEST_SECONDS)

    def _put(self, kind: int, flags: int, stream: int, payload: t.Union[bytes, memoryview]) -> None:
        self._out += struct.pack(">BHBBI", len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream)
        self._out += payload

    def _flush(self) -> None:
        if self._out:
            data, self._out = self._out, bytearray()
            try:
                self._socket.settimeout(self._left())
                self._socket.sendall(data)
            except socket.timeout:
                raise TimedOut from None
            except OSError as error:
                raise Broken(error.strerror or str(error)) from error

    def _readable(self) -> bool:
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return bool(self._in) or bool(poller.poll(0))

    def _take(self, count: int) -> bytes:
        """Exactly count bytes."""
        while len(self._in) < count:
            self._flush()
            try:
                self._socket.settimeout(self._left())
                data = self._socket.recv(_RECEIVE)
            except socket.timeout:
                raise TimedOut from None
            except OSError as error:
                raise Broken(error.strerror or str(error)) from error
            if not data:
                raise Broken("the connection was closed")
            self._in += data
        data = bytes(memoryview(self._in)[:count])
        del self._in[:count]
        return data

    # Frames

    def _frame(self) -> t.Tuple[int, int, int, bytes]:
        high, low, kind, flags, stream = struct.unpack(">BHBBI", self._take(9))
        length = high << 16 | low
        if length > _FRAME_SIZE:
            raise Broken(f"a frame of {length} bytes, which is more than was allowed")
        return kind, flags, stream & _LARGEST_WINDOW, self._take(length)

    def _next(self) -> None:
        """Read one frame and handle it."""
        kind, flags, stream, payload = self._frame()
        if kind == _DATA:
            self._data(flags, stream, payload)
        elif kind == _HEADERS:
            self._headers(flags, stream, payload)
        elif kind == _SETTINGS and not flags & _ACK:
            self._settings(payload)
        elif kind == _PING and not flags & _ACK:
            self._put(_PING, _ACK, 0, payload)
        elif kind == _WINDOW_UPDATE and len(payload) == 4:
            increment = int.from_bytes(payload, "big") & _LARGEST_WINDOW
            if stream == 0:
                self._window += increment
            elif stream == self._id:
                self._stream_window += increment
        elif kind == _GOAWAY:
            self._closing = True
            if len(payload) >= 8 and int.from_bytes(payload[:4], "big") & _LARGEST_WINDOW < self._id and not self.ended:
                raise Broken("the peer closes the connection")
        elif kind == _RST_STREAM and stream == self._id and not self.ended:
            self.ended = True
            raise Reset(int.from_bytes(payload, "big"))
        elif kind in (_PUSH_PROMISE, _CONTINUATION):
            raise Broken("a frame that is not allowed here")

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        self._taken += len(payload)
        if self._taken >= _TOP_UP:
            self._put(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._taken))
            self._taken = 0
        if stream != self._id or self.ended:
            return
        self._stream_taken += len(payload)
        if self._stream_taken >= _TOP_UP:
            self._put(_WINDOW_UPDATE, 0, stream, struct.pack(">I", self._stream_taken))
            self._stream_taken = 0
        data = _unpadded(flags, payload)
        if data:
            self._events.append(data)
        self.ended = bool(flags & _END_STREAM)

    def _headers(self, flags: int, stream: int, payload: bytes) -> None:
        block = _unpadded(flags, payload)
        if flags & _WITH_PRIORITY:
            block = block[5:]
        ends, total = flags, len(block)
        parts = [block]
        while not ends & _END_HEADERS:
            kind, ends, same, more = self._frame()
            total += len(more) + 9
            if kind != _CONTINUATION or same != stream or total > _HEADERS_LIMIT:
                raise Broken("a header block that breaks the rules")
            parts.append(more)
        try:
            headers = self._decoder.decode(b"".join(parts))
        except (hpack.Malformed, IndexError) as error:
            raise Broken(f"a header block that breaks the rules: {error}") from error
        if stream == self._id and not self.ended:
            self._events.append(headers)
            self.ended = bool(flags & _END_STREAM)

    def _settings(self, payload: bytes) -> None:
        if len(payload) % 6:
            raise Broken("settings that break the rules")
        for key, value in struct.iter_unpack(">HI", payload):
            if key == _INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._peer_window
                self._peer_window = value
            elif key == _MAX_FRAME_SIZE:
                self._frame_size = max(_FRAME_SIZE, value)
        self._put(_SETTINGS, _ACK, 0, b"")


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken("a frame with wrong padding")
    return payload[1 : len(payload) - payload[0]]
