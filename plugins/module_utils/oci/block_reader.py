# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A blob that comes in blocks, as a file that can be read and seeked: from a registry, a daemon or the middle of an archive."""

from __future__ import annotations

import io
import types
import typing as t


class BlockReader(io.RawIOBase):
    """blocks_from gives the blocks from an offset on. Seeking and closing end what was begun; nothing is asked for before a read."""

    def __init__(self, size: int, blocks_from: t.Callable[[int], t.Iterator[bytes]]) -> None:
        super().__init__()
        self._size, self._blocks_from, self._position = size, blocks_from, 0
        self._blocks: t.Optional[t.Iterator[bytes]] = None
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset != self._position:
            self._stop()
            self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: t.Any) -> int:
        if self._position >= self._size:
            return 0
        if self._blocks is None:
            self._blocks = self._blocks_from(self._position)
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        self._position += count
        return count

    def close(self) -> None:
        self._stop()
        super().close()

    def _stop(self) -> None:
        blocks, self._blocks, self._rest = self._blocks, None, memoryview(b"")
        if isinstance(blocks, types.GeneratorType):
            blocks.close()


def buffered(size: int, blocks_from: t.Callable[[int], t.Iterator[bytes]], buffer: int = io.DEFAULT_BUFFER_SIZE) -> t.BinaryIO:
    """The same with a buffer."""
    return t.cast(t.BinaryIO, io.BufferedReader(BlockReader(size, blocks_from), buffer))
