# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host knows of the others it fetches from: who is gone, who is slow, who sent something else, and what came from whom."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import typing as t

from ..errors import DataLoss, Unavailable
from . import wire

if t.TYPE_CHECKING:
    import ssl

    from ..oci.digest import Digest
    from .part import Part

#: How long a host that is gone is not asked at first (seconds), and how much longer with each time: it may have been a busy link.
_GONE_SECONDS, _GONE_FACTOR, _GONE_MOST = 3.0, 3.0, 60.0
#: How long to wait for a host where no process listens yet, from our own start; and after that, how often it is tried.
_START_SECONDS, _AGAIN_SECONDS = 10.0, 1.0
#: It may be silent for twice as long with each time, but not more often than this.
_PATIENT_TIMES = 3
_PAUSE = 0.05
#: How often a slow host is told so, until it answers.
_TELLS = 3
#: Whoever sends more lines before a blob is no host of ours.
_LINES = 8
REGISTRY = "registry"


class Refused(Unavailable):
    """Nobody of this play listens there."""


class Stream(t.NamedTuple):
    """A connection on which a blob comes."""

    connection: socket.socket
    frames: t.BinaryIO

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.frames.close()
            self.connection.close()


class Peers:
    """The other hosts of a part. Threads share it. bytes: by host (or registry). fallbacks: whom we left, why, and when (seconds)."""

    def __init__(self, part: Part, tls: t.Optional[ssl.SSLContext] = None) -> None:
        self._part, self._tls = part, tls
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._ports: t.Dict[int, int] = {}
        self._until: t.Dict[int, float] = {}
        self._gone: t.Dict[int, int] = {}
        self._avoided: t.Set[int] = set()
        self._bad: t.Set[t.Tuple[int, Digest]] = set()
        self._lacking: t.Set[t.Tuple[int, Digest]] = set()
        #: We were told that we are slow: the others come first.
        self.slow = False
        #: The head of our chain is slow or gone: we have taken its place, and ask the registry.
        self.leading = False
        self._led = self._compared = False
        self.bytes: t.Dict[str, int] = {}
        self.fallbacks: t.List[t.Dict[str, t.Any]] = []

    def name(self, number: int) -> str:
        return self._part.peers[number].name

    def count(self, name: str, size: int) -> None:
        with self._lock:
            self.bytes[name] = self.bytes.get(name, 0) + size

    def able(self, asked: t.Sequence[int], digest: Digest) -> t.List[int]:
        """Who of them can be asked for a blob, those that were gone last, and after them those that are slow."""
        now = time.monotonic()
        with self._lock:
            never = self._bad | self._lacking
            found = [one for one in asked if (one, digest) not in never and self._until.get(one, 0.0) <= now]
            return sorted(found, key=lambda one: (one in self._avoided, one in self._gone))

    def choose(self, sources: t.Sequence[int], last: t.Sequence[int], digest: Digest) -> t.Optional[int]:
        """Whom to ask for a blob; None for the registry."""
        if self.leading and not self.slow:
            return None
        return next(iter(self.able([*last, *sources] if self.slow else sources, digest)), None)

    def left(self, number: int, why: str, seconds: float = 0.0) -> None:
        """It is not asked for so long; by default longer each time. All blobs that came from it notice the same, which counts once."""
        with self._lock:
            now = time.monotonic()
            if seconds:
                self._until[number] = now + seconds
            elif self._until.get(number, 0.0) <= now:
                times = self._gone.get(number, 0)
                self._gone[number] = times + 1
                self._until[number] = now + min(_GONE_MOST, _GONE_SECONDS * _GONE_FACTOR**times)
        self._tell(self.name(number), why)

    def patience(self, number: int) -> float:
        """How long a host that sends may be silent (seconds). Longer when it was gone, and is there again: so it was its link that is slow,
        and has long queues.
        """
        with self._lock:
            return float(wire.SILENCE * 2 ** min(self._gone.get(number, 0), _PATIENT_TIMES))

    def be_slow(self) -> None:
        """We were told so."""
        self.slow = True

    def compare(self) -> bool:
        """Whether the registry may be tried, to see if the head of our chain is slow: once."""
        with self._lock:
            done, self._compared = self._compared, True
            return not done

    def lead(self, number: int, request: wire.Request) -> None:
        """Take the place of the head of our chain, and tell it so: it will have all from the end of the chain."""
        with self._lock:
            if self._led:
                return
            self._led = self.leading = True

        def tell() -> None:
            for _each in range(_TELLS):
                # It may be gone; and what is slow answers late.
                with contextlib.suppress(Unavailable):
                    self._try(number, request).close()
                    return

        threading.Thread(target=tell, daemon=True).start()

    def avoid(self, number: int) -> None:
        """It is slow: it is asked when nobody else is left."""
        with self._lock:
            known = number in self._avoided
            self._avoided.add(number)
        if not known:
            self._tell(self.name(number), "it is slow")

    def better(self, number: int, sources: t.Sequence[int], digest: Digest) -> t.Optional[int]:
        """Who is to be asked instead of a host that another blob has shown to be slow; None if nobody, or it is not."""
        if number not in self._avoided:
            return None
        found = next(iter(self.able(sources, digest)), number)
        return None if found in self._avoided else found

    def refuse(self, number: int, digest: Digest) -> None:
        """It sent something else for a blob."""
        with self._lock:
            self._bad.add((number, digest))
        self._tell(self.name(number), "it sent something else")

    def lacks(self, number: int, digest: Digest) -> None:
        """It does not get a blob itself."""
        with self._lock:
            self._lacking.add((number, digest))
        self._tell(self.name(number), "it does not get the blob itself")

    @property
    def bad(self) -> t.List[t.Tuple[Digest, str]]:
        with self._lock:
            return [(digest, self.name(number)) for number, digest in self._bad]

    def _tell(self, name: str, why: str) -> None:
        with self._lock:
            self.fallbacks.append({"host": name, "why": why, "seconds": round(time.monotonic() - self._started, 2)})

    def look(self, number: int, digest: Digest) -> t.List[wire.Place]:
        """How far a host is with a blob, and those that it comes from. Empty where it does not say."""
        with contextlib.suppress(Unavailable, DataLoss, OSError):
            stream = self._try(number, wire.Request(str(digest), 0, self._part.me, wire.LOOK))
            try:
                kind, data = wire.read_frame(stream.frames)
                return wire.places_of(data) if kind == wire.AHEAD else []
            finally:
                stream.close()
        return []

    def listens(self, number: int) -> bool:
        """Whether a process of this play or another one is there."""
        peer = self._part.peers[number]
        for port in range(peer.port, peer.port + wire.PORTS):
            with contextlib.suppress(OSError), socket.create_connection((peer.address, port), timeout=wire.BEGIN):
                return True
        return False

    def open(self, number: int, request: wire.Request) -> Stream:
        """Ask for a blob. Refused, Unavailable. A process that is not there yet is waited for."""
        while True:
            try:
                return self._try(number, request)
            except Refused as error:
                if time.monotonic() - self._started > _START_SECONDS:
                    self.left(number, str(error), _AGAIN_SECONDS)
                    raise
            time.sleep(_PAUSE)

    def _try(self, number: int, request: wire.Request) -> Stream:
        """The process has one of the ports: a process of another play refuses our proof."""
        peer = self._part.peers[number]
        known = self._ports.get(number)
        for port in [known] if known else range(peer.port, peer.port + wire.PORTS):
            stream = self._connect(peer.address, port, request, self.patience(number))
            if stream:
                self._ports[number] = port
                return stream
        self._ports.pop(number, None)
        raise Refused("nobody listens there")

    def _connect(self, address: str, port: int, request: wire.Request, patience: float) -> t.Optional[Stream]:
        """None where nobody of this play listens. Unavailable. patience: seconds that a frame may take."""
        connection: t.Optional[socket.socket] = None
        try:
            connection = socket.create_connection((address, port), timeout=wire.BEGIN)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = self._tls.wrap_socket(connection) if self._tls else connection
            connection.sendall(request.text(self._part.secret))
            frames = t.cast(t.BinaryIO, connection.makefile("rb", buffering=256 * 1024))
            stream = Stream(connection, frames)
            answer = frames.readline(64)
            if answer.startswith(b"HTTP/1.1 200 ") and any(not frames.readline(256).strip() for _each in range(_LINES)):
                connection.settimeout(patience)
                return stream
            stream.close()
            return None
        except ConnectionError:
            if connection:
                connection.close()
            return None
        except OSError as error:
            if connection:
                connection.close()
            raise Unavailable(f"{address}: {error.strerror or 'it does not answer'}") from error
