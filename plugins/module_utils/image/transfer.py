# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers into the content store: missing and damaged documents and blobs, from the image's source."""

from __future__ import annotations

import contextlib
import threading
import typing as t

from ..errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unavailable, Unimplemented
from ..oci import media_types
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.manifest import Manifest
from .inspect import CONFIG_LIMIT, ImageView, is_readable, make_view, read_blob
from .source import document_reader
from .walk import DocumentTree, Selection, children_labels, ingest_ref, walk

if t.TYPE_CHECKING:
    from ..engine.api import Engine, Ingest
    from ..oci.descriptor import Resolved
    from .api import ImageSource


class Transfer:
    """Documents and blobs of one image into the store.

    verify: what is stored already is compared with its digest. Threads may share it; fetched counts bytes, and
    stored tells of each blob how many are there.
    """

    def __init__(self, engine: Engine, source: ImageSource, verify: bool = False) -> None:
        self._engine, self._source, self._verify = engine, source, verify
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._forget = False
        self.fetched = 0
        self.stored: t.Dict[Digest, int] = {}

    def stop(self, forget: bool = False) -> None:
        """Transfers that run end with Unavailable. forget: they throw away what they have fetched so far."""
        self._forget = self._forget or forget
        self._stop.set()

    def documents(self, top: Resolved, selection: Selection) -> DocumentTree:
        """Store the top document and those below it that are selected; of a partial selection those that the source has."""
        tree = walk(document_reader(self._source, top), top.descriptor, selection.choose)
        if tree.missing and not selection.partial:
            raise NotFound(f"{self._source.where} has no {tree.missing[0].digest}, which the index {top.descriptor.digest} names")
        for node in tree.nodes:
            self.store(node.descriptor, node.body, children_labels(node.document))
        return tree

    def store(self, descriptor: Descriptor, body: bytes, labels: t.Mapping[str, str]) -> None:
        """Store a document."""

        def write(ingest: Ingest) -> None:
            ingest.truncate()
            ingest.write(body)
            ingest.commit(descriptor.size, descriptor.digest, {**labels, **self._source.labels})
            self.fetched += len(body)

        self._put(descriptor, {**labels, **self._source.labels}, write)

    def blob(self, descriptor: Descriptor, limit: int = 0) -> None:
        """Store one blob; what an earlier try has fetched is used."""
        if limit and descriptor.size > limit:
            raise InvalidArgument(f"the blob {descriptor.digest} has {descriptor.size} bytes; the limit is {limit}")

        def write(ingest: Ingest) -> None:
            again = True
            while True:
                whole = not ingest.offset
                try:
                    self._transfer(ingest, descriptor)
                    return
                except FailedPrecondition:
                    ingest.truncate()
                    if whole and self._source.refuse(descriptor):
                        continue
                    # What an earlier try left may be the reason, or something on the way.
                    if not again:
                        raise
                    again = False

        self._put(descriptor, self._source.labels, write)
        self.stored[descriptor.digest] = descriptor.size

    def _put(self, descriptor: Descriptor, labels: t.Mapping[str, str], write: t.Callable[[Ingest], None]) -> None:
        """Write a blob unless it is there; one that is there and cannot be read is replaced."""
        content = self._engine.content
        try:
            with content.writer(ingest_ref(descriptor), descriptor) as ingest:
                write(ingest)
            return
        except AlreadyExists:
            if is_readable(content, descriptor, self._verify):
                content.label(descriptor.digest, labels)
                return
        with contextlib.suppress(NotFound):
            content.delete(descriptor.digest)
        with content.writer(ingest_ref(descriptor), descriptor) as ingest:
            write(ingest)

    def _transfer(self, ingest: Ingest, descriptor: Descriptor) -> None:
        if ingest.offset < descriptor.size:
            self.stored[descriptor.digest] = ingest.offset
            for block in self._source.fetch(descriptor, ingest.offset):
                ingest.write(block)
                with self._lock:
                    self.fetched += len(block)
                    self.stored[descriptor.digest] += len(block)
                if self._stop.is_set():
                    if self._forget:
                        # Now, while nobody else can write it: others may go on with these bytes as soon as this has ended.
                        ingest.truncate()
                    raise Unavailable("the transfer was given up because another one failed")
        ingest.commit(descriptor.size, descriptor.digest, self._source.labels)

    def view(self, descriptor: Descriptor, manifest: Manifest, unpacked: bool = True) -> ImageView:
        """The image of a manifest, its config fetched; what cannot be stored is refused, and (unpacked) what cannot be unpacked.

        InvalidArgument, Unimplemented.
        """
        self.blob(manifest.config, CONFIG_LIMIT)
        view = make_view(descriptor, manifest, read_blob(self._engine.content, manifest.config, CONFIG_LIMIT))
        for layer in view.layers:
            if media_types.is_foreign(layer.media_type):
                raise Unimplemented(f"the layer {layer.digest} may not be distributed by registries ({layer.media_type})")
            if not media_types.is_layer(layer.media_type):
                raise Unimplemented(f"the layer {layer.digest} is no file system layer, its media type is {layer.media_type}")
            if unpacked and media_types.is_encrypted(layer.media_type):
                raise Unimplemented(
                    f"the layer {layer.digest} of {self._source.name} is encrypted ({layer.media_type}), and there is no key to unpack it "
                    "with: take an image that is not encrypted, or store this one with unpack=false for a daemon that has the key"
                )
        return view
