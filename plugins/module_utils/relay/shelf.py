# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planned blobs on this host: which are there, and how far those are that are arriving. Threads share it.

Blobs are read from the files of the content store, those of ingests too, so nothing is kept twice.
"""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t

from ..errors import EngineError, FailedPrecondition
from ..image.walk import ingest_ref
from ..oci.descriptor import Descriptor
from . import wire

if t.TYPE_CHECKING:
    from ..oci.digest import Digest

_BLOCK = 1024 * 1024
#: How often a file is looked at that lags behind what was written to it, as another process writes it.
_LOOK_SECONDS = 0.005
#: A rate is that of at least so many seconds.
_WINDOW_SECONDS = 0.8
#: Of a pause, so much counts: a slow host has pauses, and one that waits, too.
_PAUSE_SECONDS = 0.4
#: How many of those before it a host tells of.
_PLACES = 4


class Content(t.Protocol):
    """What is needed of a content store (engine/api.pyi: ContentStore)."""

    def open(self, descriptor: Descriptor) -> t.BinaryIO: ...
    def ingest_file(self, ref: str) -> str: ...


class Meter:
    """How fast blobs come to this host, all together, while they come: who waits for another host is not slow. clock: seconds."""

    def __init__(self, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._last, self._seconds, self._bytes, self._rate = 0.0, 0.0, 0, 0

    def add(self, size: int) -> None:
        """Bytes have come."""
        with self._lock:
            before, self._last = self._last, self._clock()
            if not before:
                return
            self._seconds += min(_PAUSE_SECONDS, self._last - before)
            self._bytes += size
            if self._seconds >= _WINDOW_SECONDS:
                self._rate = int(self._bytes / self._seconds)
                self._seconds, self._bytes = 0.0, 0

    def begin(self) -> None:
        """It comes from another host now: what was before says nothing of that."""
        with self._lock:
            self._last, self._seconds, self._bytes, self._rate = 0.0, 0.0, 0, 0

    @property
    def rate(self) -> int:
        """Bytes a second; 0 where nothing has come, or it is too early to tell."""
        return self._rate


class Blob:
    """A blob. valid: how many bytes are on the disk, and checked. tags: by the end of each piece. life: increases when all is forgotten.

    arriving: it has begun to come. places: how far those are that it comes from. failed: it does not come any more.
    """

    def __init__(self, digest: Digest, size: int, there: bool, meter: Meter) -> None:
        self.descriptor = Descriptor("", digest, size)
        self.valid, self.life, self.failed = size if there else 0, 0, False
        self.there, self.arriving = there, False
        self.tags: t.Dict[int, bytes] = {}
        self.places: t.List[wire.Place] = []
        self._meter = meter
        self.changed = threading.Condition()

    def begin(self, descriptor: Descriptor, offset: int) -> None:
        """It arrives from offset on."""
        with self.changed:
            self.descriptor, self.valid, self.arriving, self.failed = descriptor, offset, True, False
            self.changed.notify_all()

    def advance(self, end: int, tag: bytes) -> None:
        """The piece up to end is on the disk."""
        with self.changed:
            self._meter.add(end - self.valid)
            self.valid, self.tags[end] = end, tag
            self.changed.notify_all()

    def forget(self) -> None:
        """What came was not the blob."""
        with self.changed:
            self.life, self.valid, self.there, self.places = self.life + 1, 0, False, []
            self.tags.clear()
            self.changed.notify_all()

    def lose(self) -> None:
        """It is damaged in the store: nobody gets it from here."""
        with self.changed:
            self.there, self.valid, self.failed = False, 0, True
            self.changed.notify_all()

    def fail(self) -> None:
        """It does not come."""
        with self.changed:
            self.failed = not self.there
            self.changed.notify_all()

    def arrived(self) -> None:
        """It is in the store."""
        with self.changed:
            self.there, self.valid = True, self.descriptor.size
            self.changed.notify_all()


class Shelf:
    """The blobs of a plan. there: those that the store has already."""

    def __init__(
        self, content: Content, sizes: t.Mapping[Digest, int], there: t.Collection[Digest], piece: int, secret: bytes
    ) -> None:
        self._content, self.piece, self.secret = content, piece, secret
        self._meter = Meter()
        self._blobs = {digest: Blob(digest, size, digest in there, self._meter) for digest, size in sizes.items()}

    def find(self, digest: str) -> t.Optional[Blob]:
        """A planned blob; None for others."""
        return self._blobs.get(t.cast("Digest", digest))

    @property
    def rate(self) -> int:
        """At which blobs come to this host (bytes a second)."""
        return self._meter.rate

    def begin_rate(self) -> None:
        """We have left a slow host: those behind us must not take its rate for ours."""
        self._meter.begin()

    @property
    def left(self) -> int:
        """How many bytes are still to come."""
        return sum(blob.descriptor.size - blob.valid for blob in self._blobs.values() if not blob.there)

    def blobs(self) -> t.Iterable[Blob]:
        return self._blobs.values()

    def begin(self, descriptor: Descriptor, offset: int) -> t.Tuple[Blob, t.Any]:
        """A blob arrives from offset on; what was left before that is read. The blob, and the hash of what is there.

        FailedPrecondition when that cannot be read: then it has to come as a whole.
        """
        blob, hasher = self._blobs[descriptor.digest], descriptor.digest.hasher()
        if offset and self._hash(descriptor, offset, hasher) < offset:
            raise FailedPrecondition(f"what an earlier run left of {descriptor.digest} cannot be read")
        blob.begin(descriptor, offset)
        return blob, hasher

    def _hash(self, descriptor: Descriptor, offset: int, hasher: t.Any) -> int:
        """Read an ingest up to offset. How many bytes there were."""
        done = 0
        with contextlib.suppress(OSError), open(self._content.ingest_file(ingest_ref(descriptor)), "rb") as stream:
            while done < offset:
                data = stream.read(min(_BLOCK, offset - done))
                if not data:
                    break
                hasher.update(data)
                done += len(data)
        return done

    def look(self, blob: Blob) -> None:
        """Somebody else may have brought a blob that does not arrive through us."""
        if not blob.there and not blob.arriving and not blob.failed:
            with contextlib.suppress(EngineError):
                self._content.open(blob.descriptor).close()
                blob.arrived()

    def open(self, blob: Blob) -> t.Optional[t.BinaryIO]:
        """Its file, complete or not; None as long as there is none."""
        with contextlib.suppress(EngineError):
            if blob.there:
                return self._content.open(blob.descriptor)
        # A daemon that does not answer, where its files are, may do so later.
        with contextlib.suppress(OSError, EngineError):
            if blob.arriving:
                return open(self._content.ingest_file(ingest_ref(blob.descriptor)), "rb", buffering=0)
        # It may have been completed just now.
        with contextlib.suppress(EngineError):
            return self._content.open(blob.descriptor) if blob.valid == blob.descriptor.size else None
        return None

    def ahead(self, blob: Blob, me: int) -> bytes:
        """The frame that says how far a blob is here, and at those that it comes from."""
        return wire.ahead([wire.Place(me, blob.valid, self.rate), *blob.places[:_PLACES]])

    def frames(self, blob: Blob, offset: int, stopped: t.Callable[[], str], me: int) -> t.Iterator[bytes]:
        """A blob from offset on, as frames, while it arrives. stopped: the reason for an end before that; empty for none."""
        reading = _Reading(self, blob, offset, blob.life)
        beat = time.monotonic()
        try:
            while True:
                reason = stopped() or reading.over()
                if reason:
                    yield wire.frame(wire.END, reason.encode())
                    return
                piece = reading.piece()
                if piece:
                    yield piece
                if time.monotonic() >= beat:
                    beat = time.monotonic() + wire.BEAT
                    self.look(blob)
                    yield self.ahead(blob, me)
                if not piece:
                    reading.wait(beat - time.monotonic())
        finally:
            reading.close()


class _Reading:
    """A blob on its way to one other host."""

    def __init__(self, shelf: Shelf, blob: Blob, offset: int, life: int) -> None:
        self._shelf, self._blob, self._life = shelf, blob, life
        self.offset = offset
        self._stream: t.Optional[t.BinaryIO] = None
        #: Of all bytes before hashed; where nobody has given us the tags.
        self._hasher, self._hashed = blob.descriptor.digest.hasher(), 0
        self._damaged = False
        #: What should be on the disk cannot be read.
        self._starved = False

    def close(self) -> None:
        if self._stream:
            self._stream.close()

    def over(self) -> str:
        blob = self._blob
        if self._damaged or blob.life != self._life:
            return wire.BAD
        if self.offset >= blob.descriptor.size:
            return wire.DONE
        # Where a disk is full, what was written is thrown away.
        return wire.GONE if blob.failed and (self._starved or self._end() > blob.valid) else ""

    def wait(self, seconds: float) -> None:
        """Until there is another piece, or that long."""
        blob = self._blob
        with blob.changed:
            if self._end() > blob.valid and blob.life == self._life and not blob.failed:
                blob.changed.wait(max(0.0, seconds))
                return
        time.sleep(_LOOK_SECONDS)

    def _end(self) -> int:
        return wire.piece_end(self.offset, self._shelf.piece, self._blob.descriptor.size)

    def piece(self) -> bytes:
        """The next piece as a frame; empty when it is not there yet."""
        blob, end = self._blob, self._end()
        if end > blob.valid or blob.life != self._life:
            return b""
        self._stream = self._stream or self._shelf.open(blob)
        if self._stream is None:
            return b""
        data = self._read(self.offset, end)
        self._starved = len(data) < end - self.offset
        tag = b"" if self._starved else blob.tags.get(end)
        if tag is None:
            tag = self._tag(data, end)
        if not tag:
            return b""
        self.offset = end
        return wire.frame(wire.PIECE, tag + data)

    def _read(self, begin: int, end: int) -> bytes:
        """Empty, or less, when it is not on the disk yet."""
        stream = t.cast(t.BinaryIO, self._stream)
        stream.seek(begin)
        return stream.read(end - begin) or b""

    def _tag(self, data: bytes, end: int) -> bytes:
        """Make the tag ourselves: the blob begins its way here. Empty when it turns out to be damaged."""
        while self._hashed < self.offset:
            block = self._read(self._hashed, min(self.offset, self._hashed + _BLOCK))
            if not block:
                return b""
            self._hasher.update(block)
            self._hashed += len(block)
        self._hasher.update(data)
        self._hashed = end
        descriptor = self._blob.descriptor
        if end == descriptor.size and self._hasher.hexdigest() != descriptor.digest.hex:
            self._damaged = True
            self._blob.lose()
            return b""
        return wire.tag_of(self._shelf.secret, self._hasher, end)
