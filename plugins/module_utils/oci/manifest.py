# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests and indexes (OCI image-spec manifest.md, image-index.md; Docker schema 2), read strictly."""

from __future__ import annotations

import typing as t

from ..errors import InvalidArgument, NotFound, printable
from . import media_types
from .descriptor import Descriptor
from .documents import Reader, load_object
from .platform import Platform

LAYER_LIMIT = 512


class Manifest(t.NamedTuple):
    """One image for one platform."""

    media_type: str
    config: Descriptor
    layers: t.Tuple[Descriptor, ...]
    annotations: t.Mapping[str, str]


class Index(t.NamedTuple):
    """The manifests of an image, one for each platform."""

    media_type: str
    manifests: t.Tuple[Descriptor, ...]
    annotations: t.Mapping[str, str]

    def choose(self, platform: Platform) -> Descriptor:
        """The manifest that fits the platform best. NotFound lists the platforms that the index has."""
        plain = [m for m in self.manifests if m.media_type in media_types.MANIFESTS + media_types.INDEXES]
        for wanted in platform.candidates():
            for found in plain:
                if found.platform == wanted:
                    return found
        if len(plain) == 1 and not (plain[0].platform and plain[0].platform.architecture):
            return plain[0]
        there = sorted({str(m.platform) for m in plain if m.platform and m.platform.os != "unknown"})
        raise NotFound(f"no manifest for platform {platform} in the index; it has {printable(', '.join(there)) or 'none'}")


Document = t.Union[Manifest, Index]


def parse(data: bytes, media_type: str, what: str = "manifest") -> Document:
    """Read a document that was announced as media_type. Raises InvalidArgument when it is anything else.

    A document that could be read as both kinds is refused (CVE-2021-41190).
    """
    body = load_object(data, what)
    read = Reader(body, what)
    if read.has("schemaVersion") and read.size("schemaVersion") == 1:
        raise InvalidArgument(f"{what} is a Docker schema 1 manifest, which is no longer supported: push the image anew")
    if read.size("schemaVersion") != 2:
        raise InvalidArgument(f"schemaVersion of {what} is not 2")
    said = read.text("mediaType", "")
    if said and said != media_type:
        raise InvalidArgument(f"{what} was announced as {printable(media_type, 100)} and says it is {printable(said, 100)}")
    if "manifests" in body and ("layers" in body or "config" in body):
        raise InvalidArgument(f"{what} has manifests and layers: it is neither an index nor a manifest")
    if media_type in media_types.INDEXES:
        return _index(read, media_type, what)
    if media_type in media_types.MANIFESTS:
        return _manifest(read, media_type, what)
    raise InvalidArgument(
        f"{what} has the media type {printable(media_type, 100)!r}, which is not that of an image manifest or index"
    )


def _index(read: Reader, media_type: str, what: str) -> Index:
    # Only the document's length limits their number: 4 MiB hold 20,000 manifests, which take 20 MB of memory.
    found = tuple(Descriptor.from_json(m, f"manifest {i} of {what}") for i, m in enumerate(read.items("manifests")))
    return Index(media_type, found, read.text_map("annotations"))


def _manifest(read: Reader, media_type: str, what: str) -> Manifest:
    items = read.items("layers")
    if len(items) > LAYER_LIMIT:
        raise InvalidArgument(f"{what} has {len(items)} layers; the limit is {LAYER_LIMIT}")
    config = Descriptor.from_json(read.child("config").raw(), f"config of {what}")
    layers = tuple(Descriptor.from_json(m, f"layer {i} of {what}") for i, m in enumerate(items))
    return Manifest(media_type, config, layers, read.text_map("annotations"))
