# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushing an image, from the store or from anywhere else: blobs first, then manifests, then the index, the tag last.

So a registry never has a tag whose content is incomplete. What it has already is left; what another of its repositories has is
mounted; the rest is sent, several blobs at a time.
"""

from __future__ import annotations

import concurrent.futures
import time
import typing as t

from ..errors import DataLoss, NotFound, RegistryError
from ..oci.descriptor import Descriptor
from ..oci.reference import Reference
from .source import source_label
from .walk import DocumentTree

if t.TYPE_CHECKING:
    from ..engine.api import ContentStore
    from .api import Pusher

#: A blob from an offset on.
OpenAt = t.Callable[[Descriptor, int], t.BinaryIO]
#: The repositories of the registry that a blob may be taken from.
Mounts = t.Callable[[Descriptor], t.Sequence[str]]
_MOST_MOUNTS = 3


class PushResult(t.NamedTuple):
    """What a push did: the blobs that were sent and mounted, the number of those that were there, bytes that were sent."""

    uploaded: t.Tuple[Descriptor, ...]
    mounted: t.Tuple[Descriptor, ...]
    existing: int
    seconds: float

    def facts(self) -> t.Dict[str, t.Any]:
        return {
            "blobs": sorted(str(blob.digest) for blob in self.uploaded),
            "mounted": sorted(str(blob.digest) for blob in self.mounted),
            "existing": self.existing,
            "bytes": sum(blob.size for blob in self.uploaded),
            "seconds": round(self.seconds, 3),
        }


def push(
    pusher: Pusher,
    reference: Reference,
    tree: DocumentTree,
    open_at: OpenAt,
    mounts: Mounts,
    max_parallel: int = 3,
    chunk: int = 0,
) -> PushResult:
    """Make a registry have a tree under a reference. chunk: bytes a request; 0 for a blob in one."""
    started = time.monotonic()
    blobs = tree.blobs

    def bring(blob: Descriptor) -> str:
        if pusher.exists(reference, blob):
            return "existing"
        if any(pusher.mount(reference, blob, path) for path in list(mounts(blob))[:_MOST_MOUNTS]):
            return "mounted"
        try:
            pusher.upload(reference, blob, lambda offset: open_at(blob, offset), chunk)
        except RegistryError as error:
            if any(code == "DIGEST_INVALID" for code, _words in error.errors):
                raise DataLoss(
                    f"the blob {blob.digest} is damaged where it comes from, the registry refuses it: {error}"
                ) from error
            raise
        return "uploaded"

    with concurrent.futures.ThreadPoolExecutor(max(1, max_parallel), "push") as pool:
        futures = [pool.submit(bring, blob) for blob in blobs]
        try:
            done = [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
    for node in reversed(tree.nodes):
        if node is tree.nodes[0]:
            pusher.put_manifest(reference, node.descriptor, node.body)
        else:
            own = reference._replace(tag="", digest=node.descriptor.digest)
            if not pusher.exists(own, node.descriptor):
                pusher.put_manifest(own, node.descriptor, node.body)
    uploaded, mounted = (tuple(blob for blob, how in zip(blobs, done) if how == what) for what in ("uploaded", "mounted"))
    return PushResult(uploaded, mounted, done.count("existing"), time.monotonic() - started)


def is_pushed(pusher: Pusher, reference: Reference, *tops: Descriptor) -> bool:
    """Whether the reference is one of these at the registry."""
    return any(pusher.exists(reference, top) for top in {top.digest: top for top in tops}.values())


def stored_blob(content: ContentStore) -> OpenAt:
    """Blobs of the store."""

    def open_at(blob: Descriptor, offset: int) -> t.BinaryIO:
        stream = content.open(blob)
        stream.seek(offset)
        return stream

    return open_at


def known_sources(content: ContentStore, reference: Reference) -> Mounts:
    """The repositories of the same registry that a stored blob came from, by the label that pulls leave on it."""
    key = source_label(reference.domain)

    def mounts(blob: Descriptor) -> t.Sequence[str]:
        try:
            paths = content.info(blob.digest).labels.get(key, "").split(",")
        except NotFound:
            return []
        return [path for path in paths if path and path != reference.path]

    return mounts
