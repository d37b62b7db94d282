# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check whether the images to pull fit on the target's disks.

The manifest tells the exact sizes of missing blobs. It does not tell the size of unpacked layers: three times their compressed
size (gzip, zstd) is assumed.
"""

from __future__ import annotations

import os
import typing as t

from ...errors import NotFound, ResourceExhausted
from ...image.inspect import is_stored
from ...image.walk import ingest_ref
from ...oci import media_types
from ...oci.descriptor import Descriptor
from .failures import no_room

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...oci.digest import Digest
    from .values import FoundImage

_UNPACKED = 3


class Room:
    """The free space on the disks of an engine. Images take it one after another."""

    def __init__(self, engine: Engine, snapshotter: str = "") -> None:
        self._content, self._store = engine.content, engine.snapshotter(snapshotter)
        self._blobs, self._layers = engine.places(snapshotter)
        self._ingests = {one.ref: one.offset for one in engine.content.ingests()}
        self._counted: t.Set[Digest] = set()
        self._taken: t.Dict[int, int] = {}

    def take(self, label: str, image: FoundImage, unpack: bool = True) -> t.Tuple[int, t.List[str]]:
        """The bytes to fetch, and a warning if the space may not be enough. ResourceExhausted if they do not fit."""
        view = image.view
        if view is None:
            return 0, []
        blobs = {blob.digest: blob for blob in (image.record.target, view.manifest, view.config, *view.layers)}
        fetched = sum(map(self._to_fetch, blobs.values()))
        unpacked = sum(map(self._unpacked, view.layers, view.chain)) if unpack else 0
        self._counted.update((*blobs, *view.chain))
        if self._take(self._blobs, fetched) < 0:
            raise no_room(label, fetched, ResourceExhausted(f"{self._blobs} has {_free(self._blobs)[1]} bytes free"))
        if self._take(self._layers, unpacked) < 0:
            return fetched, [
                f"{label} may find no room: {fetched} bytes are to be transferred, its layers take some {unpacked} bytes unpacked "
                f"({_UNPACKED} times their compressed size), and {self._layers} has {_free(self._layers)[1]} bytes free"
            ]
        return fetched, []

    def _to_fetch(self, blob: Descriptor) -> int:
        if blob.digest in self._counted or is_stored(self._content, blob.digest):
            return 0
        return max(0, blob.size - self._ingests.get(ingest_ref(blob), 0))

    def _unpacked(self, layer: Descriptor, name: Digest) -> int:
        if name in self._counted:
            return 0
        try:
            self._store.stat(name)
        except NotFound:
            return layer.size * (1 if media_types.compression(layer.media_type) == "none" else _UNPACKED)
        return 0

    def _take(self, path: str, size: int) -> int:
        """The space that is left then; a size that is too large is not taken. A place on another host has enough space."""
        if not path:
            return 0
        device, free = _free(path)
        left = free - self._taken.get(device, 0) - size
        if left >= 0:
            self._taken[device] = self._taken.get(device, 0) + size
        return left


def _free(path: str) -> t.Tuple[int, int]:
    """The disk of a directory (existing or not), and its free bytes."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    status = os.statvfs(path)
    blocks = status.f_bavail if os.geteuid() else status.f_bfree
    return os.stat(path).st_dev, blocks * status.f_frsize
