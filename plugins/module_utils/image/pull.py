# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulling: from a reference to an image record with everything it needs, on either engine.

What containerd's client does (core/images, core/remotes): all under a lease, children's labels on every parent, the image
record last. Ingest names are those of the Go client, so that a pull by ctr or the kubelet and ours share and resume.
"""

from __future__ import annotations

import concurrent.futures
import threading
import time
import typing as t

from ..engine.labels import SOURCE
from ..engine.models import Image
from ..errors import AlreadyExists, FailedPrecondition, InvalidArgument, Unavailable, Unimplemented
from ..oci import media_types
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.documents import MANIFEST_LIMIT
from ..oci.manifest import Index, Manifest, parse
from ..oci.platform import Platform
from ..oci.reference import Reference
from .inspect import CONFIG_LIMIT, INDEX_DEPTH, ImageView, make_view, read_blob
from .unpack import unpack
from .walk import children_labels, ingest_ref

if t.TYPE_CHECKING:
    from ..engine.api import Engine, Fetcher, Resolved


class Client(t.Protocol):
    """What a pull needs of a registry client."""

    def document(self, reference: Reference) -> Resolved: ...

    def fetch(self, reference: Reference, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]: ...

    @property
    def served(self) -> t.Mapping[Digest, str]: ...


class PullResult(t.NamedTuple):
    """What a pull did. fetched: bytes transferred; reused: layers that were unpacked already.

    served_by: the URL of the host that gave a document or a blob, by digest.
    """

    image: Image
    view: ImageView
    fetched: int
    reused: int
    seconds: float
    served_by: t.Mapping[Digest, str]

    def facts(self) -> t.Dict[str, t.Any]:
        return {
            "bytes": self.fetched,
            "layers": len(self.view.layers),
            "layers_reused": self.reused,
            "seconds": round(self.seconds, 3),
            "served_by": {str(digest): host for digest, host in sorted(self.served_by.items())},
        }


def pull(
    engine: Engine, client: Client, reference: Reference, platform: Platform, snapshotter: str = "", max_parallel: int = 3
) -> PullResult:
    """Fetch, unpack and record an image. What is there already is used; an interrupted pull goes on where it stopped."""
    started = time.monotonic()
    with engine.lease():
        work = Transfer(engine, client, reference, {source_label(reference.domain): reference.path})
        top = client.document(reference)
        manifest_descriptor, manifest = work.manifest(top, platform)
        work.blob(manifest.config, CONFIG_LIMIT)
        view = make_view(manifest_descriptor, manifest, read_blob(engine.content, manifest.config, CONFIG_LIMIT))
        reused = work.layers(view, snapshotter, max_parallel)
        image = engine.images.put(Image(reference.record, top.descriptor))
    return PullResult(image, view, work.fetched, reused, time.monotonic() - started, dict(client.served))


def source_label(domain: str) -> str:
    """The label that names the repositories of a registry that have a blob (the registry without its port, as containerd has it)."""
    host, colon, _port = domain.rpartition(":")
    return SOURCE + (host if colon and not domain.endswith("]") else domain)


class Transfer:
    """Documents and blobs of one reference into the store. labels: what each of them gets besides."""

    def __init__(self, engine: Engine, client: Fetcher, reference: Reference, labels: t.Mapping[str, str]) -> None:
        self._engine, self._client, self._reference, self._source = engine, client, reference, labels
        self._lock, self._stop = threading.Lock(), threading.Event()
        self.fetched = 0

    def manifest(self, top: Resolved, platform: Platform) -> t.Tuple[Descriptor, Manifest]:
        """Store the top document, and what leads from it to the platform's manifest."""
        descriptor, body = top.descriptor, top.body
        for _depth in range(INDEX_DEPTH + 1):
            document = parse(body, descriptor.media_type, f"the document {descriptor.digest}")
            self.store(descriptor, body, children_labels(document))
            if not isinstance(document, Index):
                return descriptor, document
            descriptor = document.choose(platform)
            if descriptor.size > MANIFEST_LIMIT:
                raise InvalidArgument(
                    f"the manifest {descriptor.digest} has {descriptor.size} bytes; the limit is {MANIFEST_LIMIT}"
                )
            body = b"".join(self._client.fetch(self._reference, descriptor))
        raise InvalidArgument(f"the index {top.descriptor.digest} has indexes in indexes, deeper than {INDEX_DEPTH}")

    def store(self, descriptor: Descriptor, body: bytes, labels: t.Mapping[str, str]) -> None:
        """Store a document."""
        labels = {**labels, **self._source}
        try:
            with self._engine.content.writer(ingest_ref(descriptor), descriptor) as ingest:
                ingest.truncate()
                ingest.write(body)
                ingest.commit(descriptor.size, descriptor.digest, labels)
            self.fetched += len(body)
        except AlreadyExists:
            self._engine.content.label(descriptor.digest, labels)

    def blob(self, descriptor: Descriptor, limit: int = 0) -> None:
        """Store one blob; what an earlier try has fetched is used."""
        if limit and descriptor.size > limit:
            raise InvalidArgument(f"the blob {descriptor.digest} has {descriptor.size} bytes; the limit is {limit}")
        try:
            with self._engine.content.writer(ingest_ref(descriptor), descriptor) as ingest:
                resumed = ingest.offset > 0
                try:
                    self._transfer(ingest, descriptor)
                except FailedPrecondition:
                    ingest.truncate()
                    if not resumed:
                        raise
                    # What an earlier try left may be the reason.
                    self._transfer(ingest, descriptor)
        except AlreadyExists:
            self._engine.content.label(descriptor.digest, self._source)

    def _transfer(self, ingest: t.Any, descriptor: Descriptor) -> None:
        if ingest.offset < descriptor.size:
            for block in self._client.fetch(self._reference, descriptor, ingest.offset):
                ingest.write(block)
                with self._lock:
                    self.fetched += len(block)
                if self._stop.is_set():
                    raise Unavailable("the transfer was given up because another one failed")
        ingest.commit(descriptor.size, descriptor.digest, self._source)

    def layers(self, view: ImageView, snapshotter: str, max_parallel: int) -> int:
        """Transfer the layers in parallel and unpack each as soon as it and those below it are there."""
        for layer in view.layers:
            if media_types.is_foreign(layer.media_type):
                raise Unimplemented(f"the layer {layer.digest} may not be distributed by registries ({layer.media_type})")
            if not media_types.is_layer(layer.media_type):
                raise Unimplemented(f"the layer {layer.digest} is no file system layer, its media type is {layer.media_type}")
        with concurrent.futures.ThreadPoolExecutor(max(1, max_parallel), "fetch") as pool:
            layers = {layer.digest: layer for layer in view.layers}
            futures = {digest: pool.submit(self.blob, layer) for digest, layer in layers.items()}
            try:
                reused = unpack(self._engine, view, snapshotter, lambda layer: futures[layer.digest].result())
                for future in futures.values():
                    future.result()
            finally:
                self._stop.set()
                for future in futures.values():
                    future.cancel()
        if reused == len(view.layers):
            self._engine.sync(snapshotter)
        return reused
