# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ContentStore over containerd's content service."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import time
import typing as t

from ..engine.models import ContentInfo, IngestStatus, Labels
from ..errors import (
    AlreadyExists,
    DataLoss,
    EngineError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unimplemented,
    printable,
)
from ..hostfs import lock
from ..oci.block_reader import buffered
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from .values import Message, label_filter, seconds

if t.TYPE_CHECKING:
    from ..rpc.channel import Channel, Stream

_STAT, _WRITE, _COMMIT = 0, 1, 2
_PIECE = 1024 * 1024
_AHEAD = 4
_STALL_SECONDS = 120.0


def _info(message: Message) -> ContentInfo:
    return ContentInfo(Digest.parse(message["digest"]), message["size"], seconds(message["created_at"]), dict(message["labels"]))


class ContentProxy:
    """Blobs of one namespace. root: the directory of the daemon's content store; empty if it is not known.

    written: blobs were stored or found since it was last set to False.
    """

    def __init__(self, rpc: Channel, collect: t.Callable[[], None], root: t.Callable[[], str]) -> None:
        self._rpc, self._collect, self._root = rpc, collect, root
        self.written = False

    def info(self, digest: Digest) -> ContentInfo:
        return _info(self._rpc.call("content.v1.Content/Info", {"digest": str(digest)})["info"])

    def walk(self, labels: t.Optional[Labels] = None) -> t.Iterator[ContentInfo]:
        for answer in self._rpc.stream("content.v1.Content/List", {"filters": label_filter(labels)}):
            yield from map(_info, answer["info"])

    def open(self, descriptor: Descriptor) -> t.BinaryIO:
        small = descriptor.size <= _PIECE
        data = self._start(descriptor) if small else b""
        size = len(data) if small and len(data) <= descriptor.size else self.info(descriptor.digest).size
        if size != descriptor.size:
            raise DataLoss(f"the blob {descriptor.digest} has {size} bytes, not {descriptor.size}: pull the image again")
        if small:
            return io.BytesIO(data)
        return self._file(descriptor) or buffered(descriptor.size, functools.partial(self._pieces, descriptor), _PIECE)

    def _pieces(self, descriptor: Descriptor, offset: int) -> t.Iterator[bytes]:
        """The blob from offset on, by one call."""
        request = {"digest": str(descriptor.digest), "offset": offset}
        pieces = self._rpc.stream("content.v1.Content/Read", request, _STALL_SECONDS)
        with contextlib.closing(t.cast(t.Generator[Message, None, None], pieces)):
            for piece in pieces:
                offset += len(piece["data"])
                yield piece["data"]
        raise DataLoss(f"the blob {descriptor.digest} ends after {offset} bytes: pull the image again")

    def open_layer(self, descriptor: Descriptor) -> t.BinaryIO:
        """As open(), but a small blob is a file too if possible."""
        self.info(descriptor.digest)
        return self._file(descriptor) or self.open(descriptor)

    def _file(self, descriptor: Descriptor) -> t.Optional[t.BinaryIO]:
        """Open the daemon's own file if this host has it, so that no byte goes over the socket."""
        root = self._root()
        try:
            path = os.path.join(root, "blobs", descriptor.digest.algorithm, descriptor.digest.hex)
            stream = t.cast(t.BinaryIO, open(path, "rb", buffering=0)) if root else None
        except OSError:
            return None
        if stream is not None and os.fstat(stream.fileno()).st_size != descriptor.size:
            stream.close()
            return None
        return stream

    def _start(self, descriptor: Descriptor) -> bytes:
        """Read the blob in one call; a little more than the descriptor's size if the daemon has more."""
        data = bytearray()
        pieces = self._rpc.stream("content.v1.Content/Read", {"digest": str(descriptor.digest)}, _STALL_SECONDS)
        with contextlib.closing(t.cast("t.Generator[Message, None, None]", pieces)):
            for piece in pieces:
                data += piece["data"]
                if len(data) > descriptor.size:
                    break
        return bytes(data)

    def label(self, digest: Digest, labels: Labels) -> None:
        if not labels:  # without a path the daemon replaces all labels
            self.info(digest)
            return
        info = {"digest": str(digest), "labels": {key: value for key, value in labels.items() if value}}
        mask = {"paths": [f"labels.{key}" for key in labels]}
        self._rpc.call("content.v1.Content/Update", {"info": info, "update_mask": mask})

    def delete(self, digest: Digest) -> None:
        """Delete the blob, and collect at once: until then its file would block a better one."""
        self._rpc.call("content.v1.Content/Delete", {"digest": str(digest)})
        self._collect()

    def writer(self, ref: str, expected: t.Optional[Descriptor] = None) -> IngestProxy:
        ingest = IngestProxy(self, self._rpc, ref, expected)
        ingest.begin()
        return ingest

    def ingests(self) -> t.List[IngestStatus]:
        found = self._rpc.call("content.v1.Content/ListStatuses")["statuses"]
        return [
            IngestStatus(one["ref"], one["offset"], one["total"], one["expected"], seconds(one["updated_at"])) for one in found
        ]

    def ingest_file(self, ref: str) -> str:
        """The daemon names the directories of ingests in a way of its own; each has a file with its ref, after namespace and number."""
        top = os.path.join(self._root() or "/nonexistent", "ingest")
        with contextlib.suppress(OSError):
            for name in os.listdir(top):
                with contextlib.suppress(OSError), open(os.path.join(top, name, "ref"), encoding="utf-8") as stream:
                    namespace, _number, own = (*stream.read().split("/", 2), "", "")[:3]
                    if (namespace, own) == (self._rpc.namespace, ref):
                        return os.path.join(top, name, "data")
        return ""

    def abort(self, ref: str) -> None:
        self._rpc.call("content.v1.Content/Abort", {"ref": ref})


class IngestProxy:
    """A blob being written (engine/api.pyi: Ingest) through one Write call, which holds the daemon's lock on the ref."""

    def __init__(self, content: ContentProxy, rpc: Channel, ref: str, expected: t.Optional[Descriptor]) -> None:
        if expected is not None and expected.digest.algorithm != "sha256":
            raise Unimplemented(f"containerd stores no content under {expected.digest.algorithm} digests: {expected.digest}")
        self._content, self._rpc, self.ref, self._expected = content, rpc, ref, expected
        self._stream: t.Optional[Stream] = None
        self._unanswered = 0
        self.offset = 0

    def __enter__(self) -> IngestProxy:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._end()
        except EngineError:
            if exc[0] is None:
                raise

    def begin(self) -> None:
        """Open the ingest. AlreadyExists when the blob exists (or existed in another namespace, and now also in this one).

        Unavailable when another process has it open for too long.
        """
        deadline, pause = time.monotonic() + lock.DEFAULT_WAIT, 0.01
        self._content.written = True
        while True:
            try:
                self._stat()
                break
            except Unavailable as error:
                if "locked" not in str(error):
                    raise
                if time.monotonic() >= deadline:
                    raise Unavailable(
                        f"the ingest {printable(self.ref, 120)} is written by another process for more than {lock.DEFAULT_WAIT:g} s"
                    ) from error
                time.sleep(pause)
                pause = min(pause * 1.5, 0.25)
        if self._expected and self.offset and self.offset >= self._expected.size:
            self._whole_already(self._expected)

    def _stat(self) -> None:
        """Begin the call. The answer tells the offset to continue from."""
        stream = self._rpc.open("content.v1.Content/Write", _STALL_SECONDS, whole=False)
        expected = self._expected
        request = {"action": _STAT, "ref": self.ref}
        if expected:
            request.update(total=expected.size, expected=str(expected.digest))
        try:
            stream.send(request)
            answer = stream.receive()
        except EngineError:
            stream.close()
            raise
        if answer is None:
            stream.close()
            raise DataLoss("containerd has not answered the beginning of an ingest")
        self._stream, self._unanswered, self.offset = stream, 0, answer["offset"]

    def _whole_already(self, expected: Descriptor) -> None:
        """All bytes are there: another namespace has the blob, or an earlier try was interrupted before its commit."""
        try:
            self.commit(expected.size, expected.digest)
        except FailedPrecondition:
            self._stat()
            return
        raise AlreadyExists(f"content {expected.digest} is there already")

    def write(self, data: bytes) -> None:
        if self._expected and self.offset + len(data) > self._expected.size:
            raise FailedPrecondition(
                f"more than the {self._expected.size} bytes that were announced came for {self._expected.digest}"
            )
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            piece = view[start : start + _PIECE]
            self._send({"action": _WRITE, "offset": self.offset, "data": piece})
            self.offset += len(piece)
            if self._unanswered >= _AHEAD:
                self._answer()

    def _send(self, request: Message, end: bool = False) -> None:
        if self._stream is None:
            self._stat()
        stream = t.cast("Stream", self._stream)
        stream.send(request, end)
        self._unanswered += 1

    def _answer(self) -> None:
        if t.cast("Stream", self._stream).receive() is None:
            raise DataLoss(f"containerd ended the ingest {printable(self.ref, 120)} too early")
        self._unanswered -= 1

    def truncate(self) -> None:
        if self.offset:
            self._forget()

    def _forget(self) -> None:
        self._end()
        with contextlib.suppress(NotFound):
            self._content.abort(self.ref)
        self.offset = 0

    def _end(self) -> None:
        """End the call, so that the daemon has released the ref when this returns. The bytes stay."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with stream:
                stream.finish()
                while stream.receive() is not None:
                    pass

    def commit(self, size: int, digest: Digest, labels: t.Optional[Labels] = None) -> None:
        request = {"action": _COMMIT, "offset": self.offset, "total": size, "expected": str(digest), "labels": dict(labels or {})}
        if digest.algorithm != "sha256":
            raise Unimplemented(f"containerd stores no content under {digest.algorithm} digests: {digest}")
        try:
            self._send(request, end=True)
            stream = t.cast("Stream", self._stream)
            with stream:
                while stream.receive() is not None:
                    pass
            self._stream, self._content.written = None, True
        except AlreadyExists:
            self._drop()
            if labels:
                self._content.label(digest, labels)
            raise
        except (FailedPrecondition, InvalidArgument) as error:
            self._drop()
            raise FailedPrecondition(
                f"content does not match: expected {digest} with {size} bytes, got {self.offset} bytes: {error}"
            ) from error

    def _drop(self) -> None:
        """Drop the call after a failure."""
        self._stream = None
        with contextlib.suppress(NotFound):
            self._content.abort(self.ref)
        self.offset = 0
