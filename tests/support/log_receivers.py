# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receivers of logs on sockets of a test's own: a journal by its native protocol, and a syslog server."""

from __future__ import annotations

import array
import contextlib
import os
import pathlib
import socket
import ssl
import tempfile
import threading
import time
import typing as t

#: Where systemd has the sockets of the journal and of its namespaces.
_SYSTEMD = pathlib.Path("/run/systemd")
Entry = t.Dict[str, bytes]


def parse_entry(data: bytes) -> Entry:
    """An entry in the native protocol of the journal (systemd, JOURNAL_NATIVE_PROTOCOL)."""
    found: Entry = {}
    while data:
        head, _end, data = data.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            size = int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + size], data[8 + size :]
            assert data[:1] == b"\n"
            data = data[1:]
        found[name.decode()] = value
    return found


class Receiver:
    """What comes to a socket. files: how many messages came as files."""

    def __init__(self, server: socket.socket) -> None:
        self._server, self._got, self.files = server, t.cast(t.List[bytes], []), 0
        server.settimeout(0.1)
        self._over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._over:
            with contextlib.suppress(OSError):
                self._take()

    def _take(self) -> None:
        data, ancillary, _flags, _sender = self._server.recvmsg(1 << 20, socket.CMSG_SPACE(4))
        for _level, _kind, rights in ancillary:
            (fd,) = array.array("i", rights[:4])
            with open(fd, "rb") as stream:
                assert os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:")
                data = stream.read() if stream.seek(0) == 0 else b""
            self.files += 1
        self._got.append(data)

    def messages(self, count: int, seconds: float = 10.0) -> t.List[bytes]:
        """All messages, when there are so many of them."""
        deadline = time.monotonic() + seconds
        while len(self._got) < count:
            assert time.monotonic() < deadline, self._got
            time.sleep(0.02)
        return list(self._got)

    def entries(self, count: int) -> t.List[Entry]:
        return [parse_entry(one) for one in self.messages(count)]

    def close(self) -> None:
        self._over = True
        self._thread.join()
        self._server.close()


class Streams(Receiver):
    """A server of streams: all that came on all connections is one message after its end, or by lines."""

    def __init__(self, server: socket.socket, context: t.Optional[ssl.SSLContext] = None) -> None:
        self._context, self._open = context, t.cast(t.List[socket.socket], [])
        super().__init__(server)

    def _take(self) -> None:
        connection, _address = self._server.accept()
        connection.settimeout(10)
        if self._context:
            connection = self._context.wrap_socket(connection, server_side=True)
        self._open.append(connection)
        threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        rest = b""
        with contextlib.suppress(OSError):
            while True:
                data = connection.recv(65536)
                if not data:
                    return
                rest += data
                *lines, rest = rest.split(b"\n")
                self._got += lines
                if self._context and rest:
                    self._got.append(rest)
                    rest = b""

    def hang_up(self) -> None:
        """End the connections, as a server that is started again does."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open = []

    def close(self) -> None:
        self.hang_up()
        super().close()


@contextlib.contextmanager
def journal() -> t.Iterator[t.Tuple[str, Receiver]]:
    """The name of a namespace of the journal, and what comes there."""
    _SYSTEMD.mkdir(exist_ok=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="journal.fleet-", dir=_SYSTEMD))
    path = directory / "socket"
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(path))
    receiver = Receiver(server)
    try:
        yield directory.name.partition(".")[2], receiver
    finally:
        receiver.close()
        path.unlink()
        directory.rmdir()


@contextlib.contextmanager
def server_at(
    scheme: str, place: pathlib.Path, tls: t.Tuple[str, str] = ("", ""), port: int = 0, host: str = "127.0.0.1"
) -> t.Iterator[t.Tuple[str, Receiver]]:
    """A syslog server: its address as in log_options, and what comes there. place: a directory for a socket. tls: certificate and key."""
    datagrams = scheme in ("udp", "unixgram")
    if scheme.startswith("unix"):
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
        server.bind(str(place / "syslog"))
        address = f"{scheme}://{place}/syslog"
    else:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        address = f"{scheme}://{host}:{server.getsockname()[1]}"
    context = None
    if tls[0]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
    if not datagrams:
        server.listen(8)
    receiver = Receiver(server) if datagrams else Streams(server, context)
    try:
        yield address, receiver
    finally:
        receiver.close()
