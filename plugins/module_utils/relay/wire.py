# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two hosts of a play say to each other: one request, and an answer of frames (docs/adr/0050)."""

from __future__ import annotations

import hmac
import json
import re
import time
import typing as t

from ..errors import DataLoss, Unavailable

if t.TYPE_CHECKING:
    import socket

#: Kinds of frames: a piece with its tag, how far hosts are, and the end with its reason.
PIECE, AHEAD, END = b"P", b"A", b"E"
#: Reasons of an end. BAD: what came was not the blob, so all of it is to be forgotten. SLOW: ask others, you are too slow here.
DONE, BAD, SLOW, GONE = "done", "bad", "slow", "gone"
#: Seconds: a sender is never silent for so long; a receiver gives it up after so long. A connection has so long to begin: the kernel
#: sends what was lost of that again after one second, and a busy link loses it now and then.
BEAT, SILENCE, BEGIN = 0.2, 1.0, 1.5
#: A process listens on one of so many ports, so that several plays at once find one each.
PORTS = 4
TAG = 32
#: Instead of a host: whoever asks only wants to know how far the host is.
LOOK = -2
_HEAD = 5
#: A socket without a limit would wait for ever.
_LEAST_SECONDS = 0.001
_REQUEST_LIMIT = 2048
_FRAME_LIMIT = 1024 * 1024
_REQUEST = re.compile(
    rb"GET (/(?P<digest>[a-z0-9]+:[a-f0-9]+)\?from=(?P<offset>[0-9]{1,18})&to=(?P<to>[0-9]{1,9})&instead=(?P<instead>-?[0-9]{1,9}))"
    rb" HTTP/1\.1\r\n(?:[^\r\n]*\r\n)*?Authorization: Fleet (?P<proof>[a-f0-9]{64})\r\n(?:[^\r\n]*\r\n)*\r\n"
)


class Request(t.NamedTuple):
    """to: the number of the host that asks. instead: whose successor it takes the place of, since that one is slow; -1 for nobody's.

    Where that is the host that is asked, it is told so. LOOK: only a frame AHEAD is wanted.
    """

    digest: str
    offset: int
    to: int
    instead: int = -1

    @property
    def _path(self) -> bytes:
        return f"/{self.digest}?from={self.offset}&to={self.to}&instead={self.instead}".encode()

    def text(self, secret: bytes) -> bytes:
        return b"GET %s HTTP/1.1\r\nAuthorization: Fleet %s\r\n\r\n" % (self._path, _proof(secret, self._path))

    @classmethod
    def read(cls, connection: socket.socket, secret: bytes, seconds: float) -> t.Optional[Request]:
        """The request that begins a connection; None if it is no such, or the secret is another one.

        None or OSError if it is not there within so many seconds: a stranger who sends a byte now and then holds no thread.
        """
        text, end = b"", time.monotonic() + seconds
        while not text.endswith(b"\r\n\r\n"):
            connection.settimeout(max(_LEAST_SECONDS, end - time.monotonic()))
            data = connection.recv(_REQUEST_LIMIT)
            text += data
            if not data or len(text) > _REQUEST_LIMIT or time.monotonic() > end:
                return None
        found = _REQUEST.fullmatch(text)
        if not found or not hmac.compare_digest(found["proof"], _proof(secret, found[1])):
            return None
        return cls(found["digest"].decode(), int(found["offset"]), int(found["to"]), int(found["instead"]))


def _proof(secret: bytes, path: bytes) -> bytes:
    return hmac.digest(secret, b"GET " + path, "sha256").hex().encode()


def tag_of(secret: bytes, hasher: t.Any, end: int) -> bytes:
    """The tag of the piece up to an offset. hasher: of all bytes up to there."""
    return hmac.digest(secret, b"%d:" % end + hasher.digest(), "sha256")


def frame(kind: bytes, data: bytes) -> bytes:
    return kind + len(data).to_bytes(4, "big") + data


class Place(t.NamedTuple):
    """How far a host is with a blob. rate: bytes a second at which blobs come to that host; 0 where none has come, or it is too early."""

    host: int
    offset: int
    rate: int = 0


def ahead(places: t.Sequence[Place]) -> bytes:
    """A frame that says how far hosts are: the sender, its source, the source of that."""
    return frame(AHEAD, json.dumps(places).encode())


def read_frame(stream: t.BinaryIO) -> t.Tuple[bytes, bytes]:
    """Kind and data. Unavailable when the connection ends; DataLoss for what is no frame."""
    head = stream.read(_HEAD)
    if len(head) < _HEAD:
        raise Unavailable("it has closed the connection")
    kind, length = head[:1], int.from_bytes(head[1:], "big")
    if kind not in (PIECE, AHEAD, END) or length > _FRAME_LIMIT:
        raise DataLoss("it sent something else than a blob")
    data = stream.read(length)
    if len(data) < length:
        raise Unavailable("it has closed the connection")
    return kind, data


def places_of(data: bytes) -> t.List[Place]:
    """What a frame AHEAD says. DataLoss for what is none."""
    try:
        return [Place(int(host), int(offset), int(rate)) for host, offset, rate in json.loads(data)]
    except (ValueError, TypeError) as error:
        raise DataLoss("it sent something else than where it is") from error


def piece_end(offset: int, piece: int, size: int) -> int:
    """Where the piece that has an offset ends."""
    return min(size, (offset // piece + 1) * piece)
