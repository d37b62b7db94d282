# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What images an archive has: by the index of an OCI image layout, else by Docker's manifest.json, old style and new.

An archive that lies on the controller is read by the part of it that was sent (parts.py).
For Docker's format a manifest is made from the config and the layers, the same one, byte for byte, that containerd makes.
"""

from __future__ import annotations

import json
import re
import typing as t

from ..errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound, printable
from ..image.inspect import CONFIG_LIMIT
from ..image.walk import is_document
from ..oci import media_types
from ..oci.decompress import compression_of
from ..oci.descriptor import Descriptor, Resolved
from ..oci.digest import Digest
from ..oci.documents import MANIFEST_LIMIT, Reader, load_object
from ..oci.image_config import ImageConfig
from ..oci.manifest import LAYER_LIMIT, Index, parse
from ..oci.reference import Reference
from .layout import BLOBS, DOCKER_FILE, IMAGE_NAME, INDEX_FILE, PART_FILE, PLATFORMS, REF_NAME, blob_name

if t.TYPE_CHECKING:
    from .api import Archive

#: Under this name the details of an error list the digests that the controller has to send.
UNSENT = "unsent"
_IMAGES_LIMIT = 4096
_BLOCK = 1024 * 1024
_NAMED_BY_DIGEST = re.compile(rf"(?:{BLOBS}/sha256/)?([a-f0-9]{{64}})(?:\.json)?\Z")
_LAYERS = {"none": media_types.DOCKER_LAYER, "gzip": media_types.DOCKER_LAYER_GZIP, "zstd": media_types.DOCKER_LAYER_ZSTD}


class PackedImage(t.NamedTuple):
    """One image of an archive. names: its record names there; tag: all that is told of its name where there are none.

    platforms: those that are in the archive, where it says so.
    """

    names: t.Tuple[str, ...]
    tag: str
    top: Descriptor
    platforms: t.Tuple[str, ...] = ()


class Part(t.NamedTuple):
    """How a part was made. documents: whether it has all of the archive's; absent: blobs that the archive does not have."""

    documents: bool
    absent: t.FrozenSet[str]

    def is_unsent(self, descriptor: Descriptor) -> bool:
        """Whether something that is not in the part can be sent."""
        return not self.documents if is_document(descriptor) else descriptor.digest not in self.absent


class Missing(t.NamedTuple):
    """What cannot be read from an archive. absent: the archive does not have it. unsent: it has to be sent first."""

    absent: t.List[Descriptor]
    unsent: t.List[Descriptor]


class Contents:
    """The images of an archive, and their documents and blobs. InvalidArgument for what is no image archive."""

    def __init__(self, archive: Archive, part: t.Optional[Part] = None) -> None:
        self._archive, self._part = archive, part
        self._made: t.Dict[Digest, bytes] = {}
        self._members: t.Dict[Digest, str] = {}
        self.where = printable(archive.where, 300)
        try:
            index = archive.read(INDEX_FILE, MANIFEST_LIMIT)
        except NotFound:
            self.images = self._docker_images()
        else:
            self.images = _merged(self._oci_images(index))
        if not self.images:
            raise InvalidArgument(f"there is no image in {self.where}")

    # Documents and blobs

    def has(self, descriptor: Descriptor) -> bool:
        """Whether a document or blob can be read."""
        return descriptor.digest in self._made or self._archive.has(self._member(descriptor))

    def has_document(self, descriptor: Descriptor) -> bool:
        """Whether an index or manifest is in the archive. FailedPrecondition while that is not known."""
        missing = self.missing([descriptor])
        self.check_sent(missing.unsent)
        return not missing.absent

    def missing(self, descriptors: t.Iterable[Descriptor]) -> Missing:
        """Which documents and blobs cannot be read, and whether they could be sent."""
        found = Missing([], [])
        for one in descriptors:
            if not self.has(one):
                (found.unsent if self._part and self._part.is_unsent(one) else found.absent).append(one)
        return found

    def check_sent(self, unsent: t.Iterable[Descriptor]) -> None:
        """FailedPrecondition that the action plugin acts on, where something has to be sent first."""
        digests = [str(one.digest) for one in unsent]
        if digests:
            raise FailedPrecondition(f"{digests[0]} of {self.where} has to be sent to the target first", **{UNSENT: digests})

    def _member(self, descriptor: Descriptor) -> str:
        return self._members.get(descriptor.digest) or blob_name(descriptor)

    def document(self, descriptor: Descriptor) -> bytes:
        """An index or manifest. NotFound; DataLoss when it is not what its digest says. FailedPrecondition when it was not sent."""
        self.check_sent(self.missing([descriptor]).unsent)
        if descriptor.digest in self._made:
            return self._made[descriptor.digest]
        data = self._archive.read(self._member(descriptor), MANIFEST_LIMIT)
        _check(data, descriptor.digest, f"{self._member(descriptor)} in {self.where}")
        return data

    def size(self, descriptor: Descriptor) -> int:
        """The length of a blob as it is in the archive, bytes. NotFound."""
        return self._archive.size(self._member(descriptor))

    def open(self, descriptor: Descriptor) -> t.BinaryIO:
        """A blob, not verified. NotFound. FailedPrecondition when it was not sent: the store had it before, and no longer has."""
        missing = self.missing([descriptor])
        self.check_sent(missing.unsent)
        if missing.absent:
            raise NotFound(f"{self.where} is incomplete: {descriptor.digest} is missing")
        return self._archive.open(self._member(descriptor))

    # Image layouts

    def _oci_images(self, data: bytes) -> t.Iterator[PackedImage]:
        what = f"{INDEX_FILE} in {self.where}"
        document = parse(data, media_types.OCI_INDEX, what)
        for entry in document.manifests if isinstance(document, Index) else ():
            if not is_document(entry):
                continue
            full, ref = entry.annotations.get(IMAGE_NAME, ""), entry.annotations.get(REF_NAME, "")
            if not full and ("/" in ref or ":" in ref):
                full = ref
            names = (Reference.parse(full, f"a name in {what}").record,) if full else ()
            platforms = entry.annotations.get(PLATFORMS, "")
            top = Descriptor(entry.media_type, entry.digest, entry.size)
            yield PackedImage(names, ref, top, tuple(platforms.split(",")) if platforms else ())

    # Docker's format

    def _docker_images(self) -> t.List[PackedImage]:
        what = f"{DOCKER_FILE} in {self.where}"
        try:
            data = self._archive.read(DOCKER_FILE, MANIFEST_LIMIT)
        except NotFound as error:
            raise InvalidArgument(
                f"{self.where} is no image archive: it has neither {INDEX_FILE} nor {DOCKER_FILE}"
                + (", it is of a Docker before 1.10" if self._archive.has("repositories") else "")
            ) from error
        items = Reader(load_object(b'{"items":' + data + b"}", what, MANIFEST_LIMIT + 16), what).items("items")
        if len(items) > _IMAGES_LIMIT:
            raise InvalidArgument(f"{what} lists {len(items)} images; the limit is {_IMAGES_LIMIT}")
        return [self._docker_image(Reader(item, f"image {number} of {what}")) for number, item in enumerate(items)]

    def _docker_image(self, item: Reader) -> PackedImage:
        config_name, layer_names = item.text("Config"), item.texts("Layers")
        data = self._archive.read(config_name, CONFIG_LIMIT)
        config = ImageConfig.parse(data, f"{printable(config_name, 200)} in {self.where}")
        named = _NAMED_BY_DIGEST.match(config_name)
        if named:
            _check(data, Digest("sha256:" + named.group(1)), f"{config_name} in {self.where}")
        if len(config.diff_ids) != len(layer_names) or len(layer_names) > LAYER_LIMIT:
            raise InvalidArgument(
                f"{DOCKER_FILE} in {self.where} lists {len(layer_names)} layers, and the config {len(config.diff_ids)}"
            )
        digest = Digest.of(data)
        self._members[digest] = config_name
        layers = [self._docker_layer(name, diff_id) for name, diff_id in zip(layer_names, config.diff_ids)]
        body = {
            "schemaVersion": 2,
            "mediaType": media_types.DOCKER_MANIFEST,
            "config": Descriptor(media_types.DOCKER_CONFIG, digest, len(data)).to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
        manifest = json.dumps(body, separators=(",", ":")).encode()
        top = Descriptor(media_types.DOCKER_MANIFEST, Digest.of(manifest), len(manifest))
        self._made[top.digest] = manifest
        names = tuple(Reference.parse(tag, f"a name in {DOCKER_FILE} in {self.where}").record for tag in item.texts("RepoTags"))
        return PackedImage(tuple(dict.fromkeys(names)), "", top)

    def _docker_layer(self, name: str, diff_id: Digest) -> Descriptor:
        """A layer's digest is in its name, or its diff id where it is not compressed; else it has to be read."""
        with self._archive.open(name) as stream:
            compression = compression_of(stream.read(4))
            named = _NAMED_BY_DIGEST.match(name) if name.startswith(BLOBS) else None
            if named:
                digest = Digest("sha256:" + named.group(1))
            elif compression == "none":
                digest = diff_id
            else:
                stream.seek(0)
                digest = _digest_of(stream)
        self._members[digest] = name
        return Descriptor(_LAYERS[compression], digest, self._archive.size(name))


class ArchiveSource:
    """An image of an archive, and the name that its record gets (image/api.pyi: ImageSource)."""

    labels: t.Mapping[str, str] = {}
    served: t.Mapping[Digest, str] = {}
    refused: t.Collection[t.Tuple[Digest, str]] = ()

    def __init__(self, contents: Contents, name: Reference, image: PackedImage) -> None:
        self.contents, self.name, self.image, self.where = contents, name, image, contents.where

    def document(self) -> Resolved:
        return Resolved(self.image.top, self.contents.document(self.image.top))

    def fetch(self, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
        """A byte more than the descriptor says tells that the blob is another one."""
        if is_document(descriptor):
            yield self.contents.document(descriptor)[offset:]
            return
        with self.contents.open(descriptor) as stream:
            stream.seek(offset)
            left = descriptor.size + 1 - offset
            while left > 0:
                block = stream.read(min(_BLOCK, left))
                if not block:
                    return
                left -= len(block)
                yield block

    def refuse(self, descriptor: Descriptor) -> bool:
        """There is one archive."""
        return False


def open_part(archive: Archive) -> Contents:
    """The contents of an archive on the controller, as far as they were sent (parts.py)."""
    try:
        data = archive.read(PART_FILE, MANIFEST_LIMIT)
    except NotFound as error:
        raise InvalidArgument("source: controller is only possible through this module's action plugin") from error
    about = Reader(load_object(data, PART_FILE), PART_FILE)
    archive.where = about.text("where")
    return Contents(archive, Part(about.flag("documents"), frozenset(about.texts("absent"))))


def _check(data: bytes, digest: Digest, what: str) -> None:
    hasher = digest.hasher()
    hasher.update(data)
    if hasher.hexdigest() != digest.hex:
        raise DataLoss(f"{printable(what, 400)} is not what its name says: refused")


def _digest_of(stream: t.BinaryIO) -> Digest:
    hasher = Digest("sha256:").hasher()
    for block in iter(lambda: stream.read(_BLOCK), b""):
        hasher.update(block)
    return Digest("sha256:" + hasher.hexdigest())


def _merged(images: t.Iterable[PackedImage]) -> t.List[PackedImage]:
    """Entries of the same digest are one image with several names; an entry without a name then tells nothing."""
    found: t.Dict[t.Tuple[Digest, str], PackedImage] = {}
    for one in images:
        key = (one.top.digest, "" if one.names else one.tag)
        known = found.get(key)
        found[key] = known._replace(names=tuple(dict.fromkeys(known.names + one.names))) if known else one
    named = {one.top.digest for one in found.values() if one.names}
    return [one for one in found.values() if one.names or one.top.digest not in named]
