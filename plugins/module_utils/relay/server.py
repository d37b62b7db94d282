# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves the planned blobs to the other hosts of the play, while they still arrive here (docs/adr/0050)."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import typing as t

from ..errors import Unavailable, from_os_error
from . import wire

if t.TYPE_CHECKING:
    import ssl

    from .shelf import Blob, Shelf

#: A request has to be there within so many seconds, and a frame has to be taken.
_REQUEST_SECONDS, _SEND_SECONDS = 5.0, 30.0
_MOST, _REPLACED_SECONDS, _AGAIN_SECONDS = 64, 1.0, 0.05
#: What may wait in the kernel and is not sent yet (tcp(7)): what we tell must not be old when it comes.
_TCP_NOTSENT_LOWAT, _UNSENT = 25, 128 * 1024
_ANSWER, _REFUSAL = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n"


def listen(address: str, port: int) -> socket.socket:
    """A socket on one of the ports. Unavailable when all are taken."""
    last: t.Optional[OSError] = None
    for number in range(port, port + wire.PORTS):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, number))
            made.listen(_MOST)
            return made
        except OSError as error:
            made.close()
            last = error
    if last and last.errno == 98:
        raise Unavailable(f"port: {address} has no free port from {port} to {port + wire.PORTS - 1}: give another port")
    raise from_os_error(last or OSError(), f"listen: listening on {address}")


class Server:
    """Answers requests with threads. busy: when somebody was answered last (monotonic), now if somebody is.

    slow: whether this host was told that it is slow. Then it fetches from those at the end of its chain, and passes on only what is
    complete: so hosts never wait for each other in a circle.
    """

    def __init__(
        self, listener: socket.socket, shelf: Shelf, me: int, secret: bytes, tls: t.Optional[ssl.SSLContext] = None
    ) -> None:
        self._listener, self._shelf, self._me, self._secret, self._tls = listener, shelf, me, secret, tls
        self._lock = threading.Lock()
        self._streams: t.Dict[int, t.Tuple[int, Blob]] = {}
        #: Who is to ask others, by number.
        self._slow: t.Set[int] = set()
        #: Whose place was taken before it has asked for anything, and until when its requests are answered so.
        self._replaced: t.Dict[int, float] = {}
        self._last = time.monotonic()
        self._closed = False
        self.slow: t.Callable[[], bool] = lambda: False
        #: Called when somebody tells us that we are.
        self.told: t.Callable[[], None] = lambda: None

    @property
    def busy(self) -> float:
        with self._lock:
            return time.monotonic() if self._streams else self._last

    def start(self) -> None:
        threading.Thread(target=self._accept, name="accept", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _peer = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                # Whoever came is gone again, or there are too many files: the next one is served.
                time.sleep(_AGAIN_SECONDS)
                continue
            if threading.active_count() > _MOST:
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), name="serve", daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        # Whoever leaves, or says nothing, is no trouble of ours.
        with contextlib.suppress(OSError), plain:
            plain.settimeout(_REQUEST_SECONDS)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT)
            with self._tls.wrap_socket(plain, server_side=True) if self._tls else plain as connection:
                request = wire.Request.read(connection, self._secret, _REQUEST_SECONDS)
                blob = self._shelf.find(request.digest) if request else None
                if request is None or blob is None or request.offset > blob.descriptor.size:
                    connection.sendall(_REFUSAL)
                    return
                connection.settimeout(_SEND_SECONDS)
                self._answer(connection, request, blob)

    def _answer(self, connection: socket.socket, request: wire.Request, blob: Blob) -> None:
        if request.instead == wire.LOOK:
            connection.sendall(_ANSWER + self._shelf.ahead(blob, self._me))
            return
        key = id(connection)
        with self._lock:
            self._mark(request)
            self._streams[key] = (request.to, blob)
            if request.instead == self._me:
                self.told()
            elif request.instead in [to for to, _blob in self._streams.values()]:
                self._slow.add(request.instead)
            elif request.instead >= 0:
                self._replaced.setdefault(request.instead, 0.0)

        def stopped() -> str:
            if self.slow() and blob.valid < blob.descriptor.size:
                return wire.GONE
            return wire.SLOW if request.to in self._slow else ""

        try:
            connection.sendall(_ANSWER)
            for frame in self._shelf.frames(blob, request.offset, stopped, self._me):
                connection.sendall(frame)
        finally:
            with self._lock:
                del self._streams[key]
                self._last = time.monotonic()

    def _mark(self, request: wire.Request) -> None:
        """Who asks again is served, but for who was replaced before it came: all that it asks for at first is for others to send."""
        now, until = time.monotonic(), self._replaced.get(request.to)
        if until == 0.0:
            until = self._replaced[request.to] = now + _REPLACED_SECONDS
        if until and now < until:
            self._slow.add(request.to)
        else:
            self._slow.discard(request.to)

    def close(self) -> None:
        self._closed = True
        # accept() would hold it open.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
