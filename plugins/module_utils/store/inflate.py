# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inflating a layer in a thread of its own: the uncompressed stream in blocks, its digest and size on the way.

zlib and hashlib work without the interpreter lock, so that inflating, hashing and writing files use two cores.
isal (Intel's ISA-L for Python) is used in place of zlib where it is installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
import typing as t
import zlib

from ..errors import DataLoss, EngineError, InvalidArgument, MissingLibrary, ResourceExhausted, from_os_error
from ..oci.digest import Digest
from ..oci.media_types import compression

_READ = 256 * 1024
_BLOCK = 1024 * 1024
_AHEAD = 8
_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def _zlib() -> t.Any:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


def _gzip_blocks(stream: t.BinaryIO) -> t.Iterator[bytes]:
    """All members of a gzip stream."""
    library = _zlib()
    failures: t.Tuple[t.Type[Exception], ...] = (zlib.error, getattr(library, "error", zlib.error))
    try:
        inflater = library.decompressobj(31)
        data = stream.read(_READ)
        fresh = True
        while data:
            block = inflater.decompress(data, _BLOCK)
            fresh = False
            if block:
                yield block
            data = inflater.unconsumed_tail
            if inflater.eof:
                data = inflater.unused_data
                if len(data) < len(_MAGIC["gzip"]):
                    data += stream.read(_READ)
                if data[:2] != _MAGIC["gzip"]:
                    return
                inflater, fresh = library.decompressobj(31), True
            elif not data:
                data = stream.read(_READ)
        if not fresh and not inflater.eof:
            raise DataLoss("the compressed layer ends too early")
    except failures as error:
        raise DataLoss(f"the compressed layer is damaged: {error}") from error


def _zstd_blocks(stream: t.BinaryIO) -> t.Iterator[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise MissingLibrary(
            "zstandard", "to unpack layers that are compressed with zstd", "python3-zstandard", "zstandard"
        ) from error
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=128 * 1024 * 1024).stream_reader(stream, read_across_frames=True)
        yield from iter(lambda: reader.read(_BLOCK), b"")
    except zstandard.ZstdError as error:
        raise DataLoss(f"the compressed layer is damaged: {error}") from error


def _blocks(stream: t.BinaryIO, media_type: str) -> t.Iterator[bytes]:
    """By what the stream is: like containerd, by its first bytes, since media types are often wrong about it."""
    start = stream.read(4)
    stream.seek(0)
    if start[:2] == _MAGIC["gzip"]:
        return _gzip_blocks(stream)
    if start == _MAGIC["zstd"]:
        return _zstd_blocks(stream)
    if compression(media_type) != "none" and not start:
        raise DataLoss("the compressed layer is empty")
    return iter(lambda: stream.read(_BLOCK), b"")


class Inflater:
    """The uncompressed bytes of a layer. A context manager: leaving it ends the thread.

    read() gives the next block, b"" at the end. digest and size are those of the whole stream once it has ended.
    limit (bytes): ResourceExhausted when more comes.
    """

    def __init__(self, stream: t.BinaryIO, media_type: str, limit: int) -> None:
        self._stream, self._media_type, self._limit = stream, media_type, limit
        self._queue: queue.Queue[t.Union[bytes, EngineError]] = queue.Queue(_AHEAD)
        self._stop = threading.Event()
        self._hasher = hashlib.sha256()
        self._thread = threading.Thread(target=self._run, name="inflate", daemon=True)
        self._ended = False
        self.size = 0

    def __enter__(self) -> Inflater:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._queue.get(timeout=0.05)
        self._thread.join()

    @property
    def digest(self) -> Digest:
        return Digest("sha256:" + self._hasher.hexdigest())

    def read(self) -> bytes:
        if self._ended:
            return b""
        found = self._queue.get()
        if isinstance(found, EngineError):
            raise found
        self._ended = not found
        return found

    def _run(self) -> None:
        last: t.Union[bytes, EngineError] = b""
        try:
            for block in _blocks(self._stream, self._media_type):
                self._hasher.update(block)
                self.size += len(block)
                if self.size > self._limit:
                    raise ResourceExhausted(
                        f"the layer unpacks to more than {self._limit} bytes, which is the limit for one of its compressed size"
                    )
                self._queue.put(block)
                if self._stop.is_set():
                    return
        except OSError as error:
            last = from_os_error(error, "reading the layer")
        except (ValueError, MemoryError, OverflowError) as error:
            last = InvalidArgument(f"the layer cannot be unpacked: {error}")
        except EngineError as error:
            last = error
        self._queue.put(last)
