# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at an image in a store: its manifest and config for a platform, and what of it is missing."""

from __future__ import annotations

import typing as t

from ..errors import DataLoss, EngineError, InvalidArgument, NotFound
from ..oci.chain_id import chain_ids
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.documents import MANIFEST_LIMIT
from ..oci.image_config import ImageConfig
from ..oci.manifest import Index, Manifest, parse
from ..oci.platform import Platform

if t.TYPE_CHECKING:
    from ..engine.api import ContentStore, Engine
    from ..engine.models import Image

INDEX_DEPTH = 2
_BLOCK = 1024 * 1024
CONFIG_LIMIT = 8 * 1024 * 1024


class ImageView(t.NamedTuple):
    """An image for one platform. chain: the chain ids, bottom first. size: bytes of config and layers as stored."""

    manifest: Descriptor
    config: Descriptor
    layers: t.Tuple[Descriptor, ...]
    image_config: ImageConfig
    chain: t.Tuple[Digest, ...]

    @property
    def size(self) -> int:
        return self.config.size + sum(layer.size for layer in self.layers)

    @property
    def chain_id(self) -> str:
        """The snapshot that a container starts from; empty for an image without layers."""
        return self.chain[-1] if self.chain else ""


class Damage(t.NamedTuple):
    """words: what is damaged. layer: the number of the lowest layer whose snapshot has to be made anew, None for none."""

    words: t.Tuple[str, ...] = ()
    layer: t.Optional[int] = None


#: Compares all of an image, in this snapshotter, with what it should be.
Verify = t.Callable[["Engine", ImageView, str], Damage]


class Inspection(t.NamedTuple):
    """view is None when manifest or config are missing. missing: what is missing, in words."""

    view: t.Optional[ImageView]
    missing: t.Tuple[str, ...]


def read_blob(content: ContentStore, descriptor: Descriptor, limit: int = MANIFEST_LIMIT) -> bytes:
    """A small blob. DataLoss when it is not what its digest says."""
    if descriptor.size > limit:
        raise InvalidArgument(f"{descriptor.digest} has {descriptor.size} bytes; the limit is {limit}")
    with content.open(descriptor) as stream:
        data = stream.read(descriptor.size + 1)
    hasher = descriptor.digest.hasher()
    hasher.update(data)
    if hasher.hexdigest() != descriptor.digest.hex:
        raise DataLoss(f"the blob {descriptor.digest} is damaged on disk: pull the image again")
    return data


def is_readable(content: ContentStore, descriptor: Descriptor, whole: bool = False) -> bool:
    """Whether a stored blob is complete. A small one is compared with its digest, others only if whole."""
    try:
        if descriptor.size <= MANIFEST_LIMIT:
            read_blob(content, descriptor)
            return True
        with content.open(descriptor) as stream:
            if whole:
                hasher = descriptor.digest.hasher()
                for block in iter(lambda: stream.read(_BLOCK), b""):
                    hasher.update(block)
                return bool(hasher.hexdigest() == descriptor.digest.hex)
            stream.seek(descriptor.size - 1)
            return bool(stream.read(1))
    except (NotFound, DataLoss):
        return False


def make_view(manifest_descriptor: Descriptor, manifest: Manifest, config: bytes) -> ImageView:
    """InvalidArgument when config and manifest do not fit together."""
    image_config = ImageConfig.parse(config, f"the image config {manifest.config.digest}")
    if len(image_config.diff_ids) != len(manifest.layers):
        raise InvalidArgument(
            f"the manifest {manifest_descriptor.digest} has {len(manifest.layers)} layers, its config {len(image_config.diff_ids)}"
        )
    chain = tuple(chain_ids(image_config.diff_ids))
    return ImageView(manifest_descriptor, manifest.config, manifest.layers, image_config, chain)


def find_manifest(content: ContentStore, top: Descriptor, platform: Platform) -> t.Tuple[Descriptor, Manifest]:
    """The manifest for a platform, from what is stored."""
    return choose_manifest(lambda descriptor: read_blob(content, descriptor), top, platform)


def choose_manifest(read: t.Callable[[Descriptor], bytes], top: Descriptor, platform: Platform) -> t.Tuple[Descriptor, Manifest]:
    """The manifest for a platform, from documents wherever they are. NotFound where the image has none."""
    descriptor = top
    for _depth in range(INDEX_DEPTH + 1):
        document = parse(read(descriptor), descriptor.media_type, f"the document {descriptor.digest}")
        if not isinstance(document, Index):
            return descriptor, document
        descriptor = document.choose(platform)
    raise InvalidArgument(f"the index {top.digest} has indexes in indexes, deeper than {INDEX_DEPTH}")


def platform_problem(top: Descriptor, view: ImageView, platform: Platform) -> t.List[str]:
    """In words, that an image of one platform, which has no index, is for another one; nothing where it is for this one."""
    own = view.image_config.platform
    if view.manifest.digest != top.digest or own in platform.candidates():
        return []
    return [f"it is an image for {own} only, not for {platform}"]


def is_stored(content: ContentStore, digest: Digest) -> bool:
    """Whether a blob is there."""
    try:
        content.info(digest)
    except NotFound:
        return False
    return True


def inspect(engine: Engine, record: Image, platform: Platform, snapshotter: str = "", unpacked: bool = True) -> Inspection:
    """What there is of an image; cheap enough for every run of a task. unpacked: it has to be."""
    try:
        descriptor, manifest = find_manifest(engine.content, record.target, platform)
        view = make_view(descriptor, manifest, read_blob(engine.content, manifest.config, CONFIG_LIMIT))
    except (NotFound, DataLoss) as error:
        return Inspection(None, (str(error),))
    missing: t.List[str] = []
    for layer in view.layers:
        if not is_stored(engine.content, layer.digest):
            missing.append(f"the layer {layer.digest[:19]} is not there or damaged")
    if view.chain and unpacked:
        try:
            engine.snapshotter(snapshotter).stat(view.chain_id)
        except EngineError:
            missing.append("it is not unpacked")
    return Inspection(view, tuple(missing))
