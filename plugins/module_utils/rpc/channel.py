# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""gRPC calls to containerd's socket (grpc.io, "gRPC over HTTP2"). The rest of the collection talks to containerd through this.

A message is a dictionary (protobuf.py). A method is named without the common prefix: images.v1.Images/Get. Each call has its
own connection while it lasts, so threads may call at the same time. Connections are used again.
"""

from __future__ import annotations

import functools
import os
import re
import struct
import threading
import time
import typing as t

from .. import errors
from . import http2, protobuf
from .descriptors import METHODS

Message = t.Dict[str, t.Any]

PREFIX = "containerd.services."
#: The size limit of a message, in both directions (containerd's own default).
LIMIT = 16 * 1024 * 1024
DEFAULT_SECONDS = 60.0
_IDLE = 4

_BY_STATUS: t.Dict[int, t.Type[errors.EngineError]] = {
    1: errors.Unavailable,
    3: errors.InvalidArgument,
    4: errors.Unavailable,
    5: errors.NotFound,
    6: errors.AlreadyExists,
    7: errors.PermissionDenied,
    8: errors.ResourceExhausted,
    9: errors.FailedPrecondition,
    10: errors.Unavailable,
    11: errors.InvalidArgument,
    12: errors.Unimplemented,
    14: errors.Unavailable,
    15: errors.DataLoss,
    16: errors.Unauthenticated,
}
#: The error class that containerd appends to a message that crossed ttrpc; the same in every version.
_SUFFIX = r"(: (unknown|not found|already exists|failed precondition|invalid argument|unavailable))+\Z"
_SUFFIX_KINDS = {"not found": errors.NotFound, "already exists": errors.AlreadyExists}


class Method(t.NamedTuple):
    path: str
    request: str
    answer: str
    kind: str


@functools.cache
def _methods() -> t.Dict[str, Method]:
    words = METHODS.split()
    return {words[i]: Method("/" + words[i], words[i + 1], words[i + 2], words[i + 3]) for i in range(0, len(words), 4)}


def error_of(status: int, message: str) -> errors.EngineError:
    """The error for a gRPC status. Shims and runtimes answer UNKNOWN, so only their text tells what happened."""
    text = message.strip()
    kind = _BY_STATUS.get(status, errors.EngineError)
    found = re.search(_SUFFIX, text)
    if found:
        text = text[: found.start()]
        if kind is errors.EngineError:
            kind = _SUFFIX_KINDS.get(found.group(2), kind)
    return kind("containerd: " + errors.printable(text or "no reason given", 1000), grpc_status=status)


def _unquoted(text: bytes) -> str:
    """Decode grpc-message: percent-encoded UTF-8."""
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes((int(found.group(1), 16),)), text).decode("utf-8", "replace")


def _timeout_header(seconds: float) -> bytes:
    """At most eight digits and a unit ("gRPC over HTTP2"): milliseconds, or seconds where those do not fit."""
    number = int(seconds * 1000)
    return b"%dm" % number if number < 10**8 else b"%dS" % min(int(seconds), 10**8 - 1)


class Channel:
    """The socket at address, in one namespace. lease: the lease that keeps what calls create ("" for none)."""

    def __init__(self, address: str, namespace: str) -> None:
        self.address, self.namespace, self.lease = address, namespace, ""
        self._idle: t.List[http2.Connection] = []
        self._lock = threading.Lock()

    def call(
        self, method: str, request: t.Optional[protobuf.Values] = None, timeout: t.Optional[float] = DEFAULT_SECONDS
    ) -> Message:
        """Send one request and return its answer. timeout: seconds; Unavailable after that."""
        with self.open(method, timeout) as stream:
            stream.send(request or {}, end=True)
            answer = stream.receive()
            while stream.receive() is not None:
                pass
        if answer is None:
            raise errors.DataLoss(f"containerd has not answered {method}")
        return answer

    def stream(
        self, method: str, request: t.Optional[protobuf.Values] = None, timeout: t.Optional[float] = DEFAULT_SECONDS
    ) -> t.Iterator[Message]:
        """Send one request and yield its answers. timeout: for each answer."""
        with self.open(method, timeout, whole=False) as stream:
            stream.send(request or {}, end=True)
            while True:
                answer = stream.receive()
                if answer is None:
                    return
                yield answer

    def open(self, method: str, timeout: t.Optional[float] = DEFAULT_SECONDS, whole: bool = True) -> Stream:
        """A context manager for a call whose messages are sent and received one by one.

        whole: timeout holds for the whole call, and the daemon gets it too; else it holds for each message.
        """
        return Stream(self, _methods()[PREFIX + method], timeout, whole)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def take(self, deadline: t.Optional[float]) -> http2.Connection:
        """Take a free connection, or a new one."""
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                break
            if connection.usable():
                connection.deadline = deadline
                return connection
            connection.close()
        try:
            return http2.Connection(self.address, deadline)
        except OSError as error:
            raise self._unreachable(error) from error

    def give(self, connection: http2.Connection) -> None:
        """Give back a connection that is free again."""
        with self._lock:
            if len(self._idle) < _IDLE and connection.ended and connection.finished:
                self._idle.append(connection)
                return
        connection.close()

    def _unreachable(self, error: OSError) -> errors.EngineError:
        where = f"containerd's socket {errors.printable(self.address, 200)}"
        if isinstance(error, PermissionError):
            return errors.PermissionDenied(f"{where} may not be used by this user (uid {os.geteuid()}): set become=true")
        if isinstance(error, FileNotFoundError):
            return errors.Unavailable(f"{where} is not there: start containerd, or set address")
        if isinstance(error, ConnectionRefusedError):
            return errors.Unavailable(f"no process listens on {where}: start containerd")
        return errors.Unavailable(f"{where} cannot be reached: {errors.printable(error.strerror or str(error), 200)}")


class Stream:
    """One call in progress. Leaving the context early cancels the call."""

    def __init__(self, channel: Channel, method: Method, timeout: t.Optional[float], whole: bool) -> None:
        self._channel, self._method, self._timeout, self._whole = channel, method, timeout, whole
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._data, self._over = bytearray(), False
        self._seen: t.Dict[bytes, bytes] = {}
        self._connection = channel.take(self._deadline)
        self._connection.begin(self._headers())

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _headers(self) -> t.List[t.Tuple[bytes, bytes]]:
        headers = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", self._method.path.encode()),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", b"fleet.containerd"),
            (b"containerd-namespace", self._channel.namespace.encode("ascii", "replace")),
        ]
        if self._channel.lease:
            headers.append((b"containerd-lease", self._channel.lease.encode()))
        if self._whole and self._timeout is not None:
            # A little later than our own limit, so that ours is the one that is reported.
            headers.append((b"grpc-timeout", _timeout_header(self._timeout + 1)))
        return headers

    def send(self, message: protobuf.Values, end: bool = False) -> None:
        """Send one message. end: it is the last one."""
        data = protobuf.encode(self._method.request, message)
        if len(data) > LIMIT:
            raise errors.ResourceExhausted(f"a message of {len(data)} bytes for {self._method.path}; the limit is {LIMIT}")
        self._waiting(lambda: self._connection.send(struct.pack(">BI", 0, len(data)) + data, end))

    def finish(self) -> None:
        """Tell the daemon that no more messages follow."""
        self._waiting(lambda: self._connection.send(b"", end=True))

    def receive(self) -> t.Optional[Message]:
        """The next message, or None at the end of a successful call. Raises the error of a failed one."""
        while not self._over:
            message = self._message()
            if message is not None:
                return message
            event = self._waiting(self._connection.receive)
            if event is None:
                self._over = True
                self._check()
            elif isinstance(event, bytes):
                self._data += event
            else:
                self._seen.update(event)
        return None

    def _waiting(self, act: t.Callable[[], t.Any]) -> t.Any:
        if not self._whole:
            self._connection.deadline = None if self._timeout is None else time.monotonic() + self._timeout
        try:
            return act()
        except http2.TimedOut:
            raise errors.Unavailable(f"containerd has not answered {self._method.path[1:]} within {self._timeout:g} s") from None
        except http2.Reset as reset:
            raise errors.Unavailable(f"containerd has given up {self._method.path[1:]} (HTTP/2 code {reset.code})") from reset
        except http2.Broken as broken:
            raise errors.Unavailable(
                f"the connection to containerd broke in {self._method.path[1:]}: {errors.printable(broken, 200)}"
            ) from broken

    def _message(self) -> t.Optional[Message]:
        """The next message, if all of it has arrived."""
        if len(self._data) < 5:
            return None
        packed, length = struct.unpack_from(">BI", self._data)
        if packed or length > LIMIT + 1024:
            raise errors.DataLoss(f"containerd answers {self._method.path[1:]} with a message that cannot be read")
        if len(self._data) < 5 + length:
            return None
        data = bytes(memoryview(self._data)[5 : 5 + length])
        del self._data[: 5 + length]
        try:
            return protobuf.decode(self._method.answer, data)
        except protobuf.Malformed as error:
            raise errors.DataLoss(f"containerd's answer to {self._method.path[1:]} cannot be read: {error}") from error

    def _check(self) -> None:
        """Raise the error that the call ended with."""
        http, status = self._seen.get(b":status", b""), self._seen.get(b"grpc-status", b"")
        if http != b"200" and not status:
            where = errors.printable(self._channel.address, 200)
            raise errors.Unavailable(f"{where} does not speak gRPC as containerd does (HTTP status {errors.printable(http, 20)})")
        if not status:
            raise errors.Unavailable(f"containerd has ended {self._method.path[1:]} without a status")
        if self._data and status == b"0":
            raise errors.DataLoss(f"containerd's answer to {self._method.path[1:]} is cut off")
        if status != b"0":
            raise error_of(int(status) if status.isdigit() else 2, _unquoted(self._seen.get(b"grpc-message", b"")))

    def close(self) -> None:
        """Free the connection."""
        if self._connection.ended and self._connection.finished:
            self._channel.give(self._connection)
        else:
            self._connection.cancel()
        self._over = True
