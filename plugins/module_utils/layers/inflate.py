# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inflate a layer in a separate thread: the uncompressed stream in blocks, and its digest and size.

zlib and hashlib release the interpreter lock, so inflating, hashing and writing files use two cores.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
import typing as t

from ..errors import DataLoss, EngineError, InvalidArgument, ResourceExhausted, from_os_error
from ..oci.decompress import decompressed
from ..oci.digest import Digest
from ..oci.media_types import compression

_AHEAD = 8


class Inflater:
    """The uncompressed bytes of a layer. A context manager: leaving it ends the thread.

    read() gives the next block, b"" at the end. Then digest and size are those of the complete stream.
    limit: ResourceExhausted for more bytes than this.
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
        last: t.Union[bytes, EngineError] = DataLoss("the layer cannot be unpacked")
        try:
            for block in decompressed(self._stream, "layer", compression(self._media_type) != "none"):
                self._hasher.update(block)
                self.size += len(block)
                if self.size > self._limit:
                    raise ResourceExhausted(
                        f"the layer unpacks to more than {self._limit} bytes, which is the limit for one of its compressed size"
                    )
                self._queue.put(block)
                if self._stop.is_set():
                    return
            last = b""
        except OSError as error:
            last = from_os_error(error, "reading the layer")
        except (ValueError, MemoryError, OverflowError) as error:
            last = InvalidArgument(f"the layer cannot be unpacked: {error}")
        except EngineError as error:
            last = error
        finally:
            # After any error here, the reader must not wait for ever.
            self._queue.put(last)
