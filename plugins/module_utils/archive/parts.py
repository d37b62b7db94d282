# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of an archive that lies on the controller, which are sent to a target. The target reads them by images.py: open_part.

A part is an image layout in a tar, with the names of all images, all their documents and those blobs that were asked for. A file
of ours names the archive. The target lists what it still needs in the details of an error (images.py: UNSENT).
"""

from __future__ import annotations

import functools
import io
import json
import typing as t

from ..errors import DataLoss, from_os_error
from ..image.walk import is_document, walk
from ..oci import media_types
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from .images import Contents
from .layout import IMAGE_NAME, INDEX_FILE, LAYOUT, LAYOUT_FILE, PART_FILE, PLATFORMS, REF_NAME
from .read import CompressedArchive
from .write import Pack, archive_blocks

if t.TYPE_CHECKING:
    from .api import Archive
    from .images import PackedImage


class _Listed(t.NamedTuple):
    """documents: indexes and manifests, with their bytes; blobs: what they refer to and is in the archive; absent: and is not."""

    documents: t.Dict[Digest, t.Tuple[Descriptor, bytes]]
    blobs: t.Dict[Digest, Descriptor]
    absent: t.List[Digest]


class Sender:
    """The controller's side. InvalidArgument for what is no image archive, DataLoss for documents that are damaged."""

    def __init__(self, archive: Archive) -> None:
        self._contents = Contents(archive)
        self._compressed = isinstance(archive, CompressedArchive)
        self._quick = not isinstance(archive, CompressedArchive) or archive.is_decompressed

    @functools.cached_property
    def _listed(self) -> _Listed:
        contents = self._contents
        listed = _Listed({}, {}, [])
        for top in {packed.top.digest: packed.top for packed in contents.images}.values():
            if not contents.has(top):
                continue
            tree = walk(contents.document, top, lambda index: list(filter(is_document, index.manifests)))
            for node in tree.nodes:
                listed.documents[node.descriptor.digest] = (node.descriptor._replace(size=len(node.body)), node.body)
            listed.blobs.update((blob.digest, blob) for blob in tree.blobs)
        listed.absent.extend(blob.digest for blob in contents.missing(listed.blobs.values()).absent)
        for digest in listed.absent:
            del listed.blobs[digest]
        return listed

    def offers(self, digests: t.Iterable[str]) -> t.Set[str]:
        """Those of some digests that a part may have."""
        return {one for one in digests if one in self._listed.documents or one in self._listed.blobs}

    def write(self, path: str, asked: t.Collection[str]) -> int:
        """Make the part with the documents and blobs that were asked for, by their digests; its length, bytes.

        The first part has no documents where the whole archive would have to be decompressed for them.
        DataLoss for blobs that are damaged.
        """
        whole = bool(asked) or self._quick
        about = {"where": self._contents.where, "documents": whole}
        blobs: t.List[Descriptor] = []
        if whole:
            about["absent"] = [str(digest) for digest in self._listed.absent]
            blobs += [descriptor for descriptor, _body in self._listed.documents.values()]
            blobs += [blob for digest, blob in self._listed.blobs.items() if digest in asked]
        files = ((PART_FILE, _json(about)), (LAYOUT_FILE, LAYOUT), (INDEX_FILE, _index(self._contents.images)))
        pack = Pack(files, tuple(blobs), self._contents.where)
        plain = any(
            media_types.is_layer(blob.media_type) and media_types.compression(blob.media_type) == "none" for blob in blobs
        )
        try:
            with open(path, "wb") as stream:
                for block in archive_blocks(pack, self._open, "gzip" if self._compressed and plain else "none"):
                    stream.write(block)
                return stream.tell()
        except OSError as error:
            raise from_os_error(error, f"writing a part of {self._contents.where}") from error

    def _open(self, descriptor: Descriptor) -> t.BinaryIO:
        if descriptor.digest in self._listed.documents:
            return io.BytesIO(self._listed.documents[descriptor.digest][1])
        if self._contents.size(descriptor) != descriptor.size:
            raise DataLoss(f"the blob {descriptor.digest} is damaged in {self._contents.where}")
        return self._contents.open(descriptor)


def _json(value: t.Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _index(images: t.Iterable[PackedImage]) -> bytes:
    """The same images under the same names, also for an archive that has no index."""
    entries = []
    for packed in images:
        platforms = {PLATFORMS: ",".join(packed.platforms)} if packed.platforms else {}
        named = [{IMAGE_NAME: name} for name in packed.names] or [{REF_NAME: packed.tag} if packed.tag else {}]
        entries += [packed.top._replace(annotations={**name, **platforms}).to_json() for name in named]
    return _json({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries})
