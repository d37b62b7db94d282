# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of an archive that lies on the controller: what is sent of it to a target, and how the target reads that.

A part is an image layout in a tar, with the names of all images, all their documents and those blobs that were asked for. A file
of ours says of which archive it is a part. What the target lacks besides it says in the details of an error: see UNSENT.
"""

from __future__ import annotations

import functools
import io
import json
import typing as t

from ..errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound, from_os_error
from ..image.inspect import is_readable
from ..image.walk import is_document, walk
from ..oci import media_types
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.documents import MANIFEST_LIMIT, Reader, load_object
from .export import IMAGE_NAME, PLATFORMS, REF_NAME
from .images import Contents
from .load import Target, Wish, wanted_tree
from .read import CompressedArchive
from .write import INDEX_FILE, LAYOUT, LAYOUT_FILE, Pack, archive_blocks

if t.TYPE_CHECKING:
    from ..engine.api import Engine
    from .images import Packed
    from .read import Archive

PART_FILE = "part.json"
#: Under this name the details of an error list the digests that have to be sent.
UNSENT = "unsent"


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
        listed.absent.extend(digest for digest, blob in listed.blobs.items() if not contents.has(blob))
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


def _index(images: t.Iterable[Packed]) -> bytes:
    """The same images under the same names, also for an archive that has no index."""
    entries = []
    for packed in images:
        platforms = {PLATFORMS: ",".join(packed.platforms)} if packed.platforms else {}
        named = [{IMAGE_NAME: name} for name in packed.names] or [{REF_NAME: packed.tag} if packed.tag else {}]
        entries += [packed.top._replace(annotations={**name, **platforms}).to_json() for name in named]
    return _json({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries})


class Part(Contents):
    """The target's side: the contents of the archive on the controller, of which not all was sent."""

    def __init__(self, archive: Archive) -> None:
        try:
            data = archive.read(PART_FILE, MANIFEST_LIMIT)
        except NotFound as error:
            raise InvalidArgument("source: controller is only possible through this module's action plugin") from error
        about = Reader(load_object(data, PART_FILE), PART_FILE)
        archive.where = about.text("where")
        self._documents, self._absent = about.flag("documents"), frozenset(about.texts("absent"))
        super().__init__(archive)

    def was_sent(self, descriptor: Descriptor) -> bool:
        return super().has(descriptor)

    def has(self, descriptor: Descriptor) -> bool:
        """Whether it is in the archive on the controller. FailedPrecondition while that is not known."""
        if not is_document(descriptor):
            return descriptor.digest not in self._absent
        self._need_documents(descriptor)
        return super().has(descriptor)

    def document(self, descriptor: Descriptor) -> bytes:
        self._need_documents(descriptor)
        return super().document(descriptor)

    def _need_documents(self, descriptor: Descriptor) -> None:
        if not self._documents:
            raise self.unsent([descriptor])

    def open(self, descriptor: Descriptor) -> t.BinaryIO:
        """FailedPrecondition for what was not sent: it was in the store when that was looked at, and is no longer."""
        if not self.was_sent(descriptor):
            raise self.unsent([descriptor])
        return super().open(descriptor)

    def unsent(self, lacking: t.Sequence[Descriptor]) -> FailedPrecondition:
        """What the action plugin acts on."""
        digests = [str(one.digest) for one in lacking]
        return FailedPrecondition(f"{digests[0]} of {self.where} has to be sent to the target first", **{UNSENT: digests})


def check_sent(engine: Engine, part: Contents, targets: t.Iterable[Target], wish: Wish) -> None:
    """FailedPrecondition with all that is neither stored nor sent."""
    if not isinstance(part, Part):
        raise InvalidArgument("this archive is no part of another")
    blobs = {blob.digest: blob for target in targets for blob in wanted_tree(part, target, wish).blobs}
    lacking = [blob for blob in blobs.values() if not part.was_sent(blob) and not is_readable(engine.content, blob)]
    if lacking:
        raise part.unsent(lacking)
