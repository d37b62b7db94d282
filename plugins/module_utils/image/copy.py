# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copying an image from registry to registry: the bytes go through this process, and nothing is stored."""

from __future__ import annotations

import functools
import typing as t

from ..errors import NotFound, printable
from ..oci.block_reader import buffered
from ..oci.reference import Reference
from .push import Mounts, OpenAt
from .source import document_reader
from .walk import DocumentTree, Selection, label_of, reduced, walk

if t.TYPE_CHECKING:
    from ..oci.descriptor import Descriptor, Resolved
    from .api import ImageSource


def remote_tree(source: ImageSource, top: Resolved, selection: Selection) -> DocumentTree:
    """The documents of an image at its source, with indexes that list what is selected. NotFound for missing platforms."""
    tree = walk(document_reader(source, top), top.descriptor, selection.choose)
    if tree.missing:
        words = printable(", ".join(label_of(one) for one in tree.missing))
        raise NotFound(f"{source.name} is incomplete in its registry, it is missing {words}: choose platforms")
    return reduced(tree)


def remote_blob(source: ImageSource) -> OpenAt:
    """Blobs as they come from their source."""

    def open_at(blob: Descriptor, offset: int) -> t.BinaryIO:
        stream = buffered(blob.size, functools.partial(source.fetch, blob))
        stream.seek(offset)
        return stream

    return open_at


def same_registry(source: Reference, destination: Reference) -> Mounts:
    """A registry can take over what another of its repositories has."""
    paths = [source.path] if source.domain == destination.domain and source.path != destination.path else []
    return lambda _blob: paths
