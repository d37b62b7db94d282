# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copying an image from registry to registry: the bytes go through this process, and nothing is stored."""

from __future__ import annotations

import io
import typing as t

from ..errors import NotFound, printable
from ..oci.reference import Reference
from .push import Mounts, OpenAt
from .source import document_reader
from .walk import Selection, Tree, label_of, reduced, walk

if t.TYPE_CHECKING:
    from ..oci.descriptor import Resolved
    from .source import ImageSource


def remote_tree(source: ImageSource, top: Resolved, selection: Selection) -> Tree:
    """The documents of an image at its source, with indexes that list what is selected. NotFound for missing platforms."""
    tree = walk(document_reader(source, top), top.descriptor, selection.choose)
    if tree.missing:
        words = printable(", ".join(label_of(one) for one in tree.missing))
        raise NotFound(f"{source.name} is not whole in its registry, it lacks {words}: choose platforms")
    return reduced(tree)


def remote_blob(source: ImageSource) -> OpenAt:
    """Blobs as they come from their source."""
    return lambda blob, offset: t.cast(t.BinaryIO, io.BufferedReader(_Stream(source.fetch(blob, offset))))


def same_registry(source: Reference, destination: Reference) -> Mounts:
    """A registry can take over what another of its repositories has."""
    paths = [source.path] if source.domain == destination.domain and source.path != destination.path else []
    return lambda _blob: paths


class _Stream(io.RawIOBase):
    """Blocks as a stream; closing it ends the transfer."""

    def __init__(self, blocks: t.Iterator[bytes]) -> None:
        super().__init__()
        self._blocks, self._rest = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        t.cast(t.Generator[bytes, None, None], self._blocks).close()
        super().close()
