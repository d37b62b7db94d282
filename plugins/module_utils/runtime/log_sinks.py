# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send the output of a container to the journal (its native protocol) or to a syslog server, a line each. docs/adr/0051.

A slow receiver holds up the container for a moment, and one that is away not at all: its lines are dropped and counted.

Processes that stay in memory use this, so it imports next to nothing.
"""

from __future__ import annotations

import _socket
import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import typing as t

    Sink = t.Union["Journal", "Syslog"]

#: How long a line waits for the receiver; after it was in vain once, no line waits until one got through (seconds).
_PATIENCE = 1.0
#: How long after a failed connection nothing is tried (seconds).
_REST = 5.0
#: As libsystemd asks for; the kernel gives less to who is not root.
_BUFFER = 8 * 1024 * 1024
_PRIORITIES = {"stdout": 6, "stderr": 3}
_LOCAL = ("/dev/log", "/var/run/syslog", "/var/run/log")


def opened(text: bytes) -> Sink:
    """The sink that a file beside the log asks for (resources/container/options/log_told.py writes it)."""
    head, _end, rest = text.partition(b"\n")
    kind, *words = os.fsdecode(head).split("\t")
    return Journal(words[0], rest) if kind == "journald" else Syslog(*words)


def local_syslog() -> str:
    """The socket of this host's syslog; the usual one if there is none."""
    return next((path for path in _LOCAL if os.path.exists(path)), _LOCAL[0])


class Journal:
    """fields: those of each entry besides the message, in the form of the protocol."""

    def __init__(self, path: str, fields: bytes) -> None:
        self._path, self._fields, self._patience = path, fields, _PATIENCE
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        self._socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, _BUFFER)

    def send(self, stream: str, line: bytes, partial: bool) -> bool:
        """False when it did not get there. partial: more of the line follows."""
        data = b"MESSAGE\n" + len(line).to_bytes(8, "little") + line
        data += (
            b"\nPRIORITY=%d\n" % _PRIORITIES[stream] + (b"CONTAINER_PARTIAL_MESSAGE=true\n" if partial else b"") + self._fields
        )
        try:
            self._socket.settimeout(self._patience)
            try:
                # Without a connection: the journal may be started again meanwhile.
                self._socket.sendto(data, self._path)
            except OSError as error:
                if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                    raise
                self._send_file(data)
        except OSError:
            self._patience = 0.0
            return False
        self._patience = _PATIENCE
        return True

    def _send_file(self, data: bytes) -> None:
        """For what is too large for a datagram: the journal takes a file that nobody can change any more."""
        import fcntl
        import sys

        fd = os.memfd_create("journal-message", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(fd, left) :]
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
            rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, sys.byteorder))]
            self._socket.sendmsg([], rights, 0, self._path)
        finally:
            os.close(fd)


class Syslog:
    """scheme: unix, unixgram, udp, tcp or tcp+tls; host: of unix the path. layout: "", rfc3164, rfc5424, rfc5424micro.

    ca, certificate, key: files, or empty. trusting: "yes" to accept every certificate.
    """

    def __init__(
        self,
        scheme: str,
        host: str,
        port: str,
        facility: str,
        layout: str,
        tag: str,
        ca: str,
        certificate: str,
        key: str,
        trusting: str,
    ) -> None:
        self._scheme, self._host, self._port = scheme, host, int(port)
        self._facility, self._layout, self._tag = int(facility), layout, tag
        self._ca, self._certificate, self._key, self._trusting = ca, certificate, key, trusting == "yes"
        self._where, self._pid = os.uname().nodename, os.getpid()
        self._socket: t.Any = None
        self._streams = False
        self._patience, self._not_before = _PATIENCE, 0.0

    def send(self, stream: str, line: bytes, partial: bool) -> bool:
        """False when it did not get there."""
        if not line:
            return True
        data = self._formatted(self._facility * 8 + _PRIORITIES[stream]).encode() + line
        for _turn in range(2):
            try:
                if self._socket is None or self._is_closed():
                    self._connect()
                self._socket.settimeout(self._patience)
                self._socket.sendall(self._framed(data))
                self._patience = _PATIENCE
                return True
            except (OSError, ValueError) as error:
                if self._socket is None:
                    return False
                if isinstance(error, (BlockingIOError, _socket.timeout)):
                    self._give_up()
                    return False
                self._close()
        return False

    def _give_up(self) -> None:
        """The receiver is too slow. Part of a line may be in its stream."""
        if self._streams:
            self._close()
            self._not_before = time.monotonic() + _REST
        else:
            self._patience = 0.0

    def _formatted(self, priority: int) -> str:
        now, tag, where = time.time(), self._tag, self._where
        if self._layout.startswith("rfc5424"):
            micro = f".{int(now % 1 * 1e6):06d}" if self._layout == "rfc5424micro" else ""
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f"{micro}Z"
            return f"<{priority}>1 {stamp} {where} {tag} {self._pid} {tag} - "
        stamp = time.strftime("%b %e %H:%M:%S", time.localtime(now))
        return f"<{priority}>{stamp} {where + ' ' if self._layout else ''}{tag}[{self._pid}]: "

    def _framed(self, data: bytes) -> bytes:
        """A stream needs ends: RFC 5425 counts bytes, others end lines."""
        if not self._streams:
            return data
        if self._scheme == "tcp+tls" and self._layout.startswith("rfc5424"):
            return b"%d %s" % (len(data), data)
        return data + b"\n"

    def _is_closed(self) -> bool:
        """Whether the server has ended the connection: the next line would be lost without an error."""
        if not self._streams or self._scheme == "tcp+tls":
            return False
        self._socket.settimeout(0.0)
        try:
            if self._socket.recv(1, _socket.MSG_PEEK):
                return False
        except BlockingIOError:
            return False
        except OSError:
            pass
        self._close()
        return True

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        """OSError, or ValueError for a certificate that cannot be used."""
        if time.monotonic() < self._not_before:
            raise OSError("it was not there a moment ago")
        try:
            self._socket = self._connected()
        except (OSError, ValueError):
            self._not_before = time.monotonic() + _REST
            raise

    def _connected(self) -> t.Any:
        if self._scheme == "tcp+tls":
            return self._secured()
        problem = OSError("there is no such address")
        for family, kind, address in self._addresses():
            found = _socket.socket(family, kind)
            try:
                found.settimeout(_PATIENCE)
                found.connect(address)
            except OSError as error:
                found.close()
                problem = error
                continue
            self._streams = kind == _socket.SOCK_STREAM
            return found
        raise problem

    def _addresses(self) -> t.Iterator[tuple[int, int, t.Any]]:
        if self._scheme in ("unix", "unixgram"):
            for kind in (_socket.SOCK_DGRAM, _socket.SOCK_STREAM):
                yield _socket.AF_UNIX, kind, self._host
        else:
            kind = _socket.SOCK_DGRAM if self._scheme == "udp" else _socket.SOCK_STREAM
            for family, _kind, _protocol, _name, address in _socket.getaddrinfo(self._host, self._port, 0, kind):
                yield family, kind, address

    def _secured(self) -> t.Any:
        import socket
        import ssl

        context = ssl.create_default_context(cafile=self._ca or None)
        if self._trusting:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self._certificate:
            context.load_cert_chain(self._certificate, self._key or None)
        self._streams = True
        return context.wrap_socket(socket.create_connection((self._host, self._port), _PATIENCE), server_hostname=self._host)
