# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exporting: from image records to what an archive holds.

The archive is an OCI image layout with containerd's annotations for names. Of an image with many platforms the index goes in as
it is, also when not all it lists does (ctr does the same): so the image has the same digest after a load. The docker format has
Docker's manifest.json besides, which refers to the same blobs.
"""

from __future__ import annotations

import contextlib
import json
import typing as t

from ..errors import NotFound, Unimplemented
from ..image.walk import DocumentTree, Selection, is_document, label_of, stored_tree
from ..oci import media_types
from ..oci.descriptor import Descriptor
from ..oci.manifest import Index, Manifest
from ..oci.platform import Platform
from ..oci.reference import Reference
from .layout import DOCKER_FILE, IMAGE_NAME, INDEX_FILE, LAYOUT, LAYOUT_FILE, PLATFORMS, REF_NAME, blob_name
from .write import Pack

if t.TYPE_CHECKING:
    from ..engine.api import ContentStore
    from ..oci.digest import Digest


class ExportedImage(t.NamedTuple):
    """One image to export. name: the reference that it has in the archive; None: it has none there."""

    name: t.Optional[Reference]
    top: Descriptor

    @property
    def label(self) -> str:
        """As a user reads it."""
        return str(self.name) if self.name else str(self.top.digest)


def make_pack(
    content: ContentStore, images: t.Sequence[ExportedImage], selection: Selection, docker: bool, host: Platform
) -> Pack:
    """What the archive of some images holds. The order of images does not matter. host: whose manifest Docker gets.

    NotFound when an image is incomplete; Unimplemented for what Docker's format cannot hold.
    """
    images = [one for _key, one in sorted({(image.label, image.top.digest): image for image in images}.items())]
    trees: t.Dict[Digest, DocumentTree] = {}
    for image in images:
        if image.top.digest not in trees:
            trees[image.top.digest] = stored_tree(content, image.top, selection, image.label)
    blobs = {blob.digest: blob for tree in trees.values() for blob in (*(node.descriptor for node in tree.nodes), *tree.blobs)}
    files = [(LAYOUT_FILE, LAYOUT), (INDEX_FILE, _index(images, trees))]
    if docker:
        files.append((DOCKER_FILE, _docker_manifest(images, trees, host)))
    return Pack(tuple(files), tuple(blobs[digest] for digest in sorted(blobs)))


def _index(images: t.Sequence[ExportedImage], trees: t.Mapping[Digest, DocumentTree]) -> bytes:
    tags = [image.name.tag for image in images if image.name]
    manifests = []
    for image in images:
        annotations = {}
        if image.name:
            annotations[IMAGE_NAME] = image.name.record
            if image.name.tag:
                # Readers of plain layouts know tags only: two images cannot have the same one.
                annotations[REF_NAME] = image.name.tag if tags.count(image.name.tag) == 1 else image.name.record
        platforms = _part(trees[image.top.digest])
        if platforms:
            annotations[PLATFORMS] = ",".join(platforms)
        top = Descriptor(image.top.media_type, image.top.digest, image.top.size, None, annotations)
        manifests.append(top.to_json())
    return _json({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": manifests})


def _part(tree: DocumentTree) -> t.List[str]:
    """The platforms of a tree whose indexes list more than it has; empty when it has all."""
    there = {node.descriptor.digest for node in tree.nodes}
    listed = [child for node in tree.nodes if isinstance(node.document, Index) for child in node.document.manifests]
    if all(child.digest in there for child in listed if is_document(child)):
        return []
    return sorted(label_of(descriptor) for descriptor, _manifest in tree.manifests)


def _docker_manifest(images: t.Sequence[ExportedImage], trees: t.Mapping[Digest, DocumentTree], host: Platform) -> bytes:
    """One entry an image; all names of it."""
    items: t.Dict[Digest, t.Dict[str, t.Any]] = {}
    for image in images:
        descriptor, manifest = _for_docker(trees[image.top.digest], host, image.label)
        item = items.setdefault(
            descriptor.digest,
            {"Config": blob_name(manifest.config), "RepoTags": [], "Layers": [blob_name(layer) for layer in manifest.layers]},
        )
        if image.name and image.name.tag:
            item["RepoTags"].append(image.name._replace(digest=None).familiar)
    return _json(list(items.values()))


def _for_docker(tree: DocumentTree, host: Platform, label: str) -> t.Tuple[Descriptor, Manifest]:
    """Docker's format has one platform an image: the host's, else the first that is an image at all."""
    found = [one for one in tree.manifests if one[1].config.media_type in media_types.CONFIGS]
    top = tree.nodes[0].document
    if isinstance(top, Index):
        with contextlib.suppress(NotFound):
            chosen = top.choose(host).digest
            found = [one for one in found if one[0].digest == chosen] or found
    if not found:
        raise Unimplemented(f"{label} is no image with layers, and Docker's format holds nothing else: choose format=oci")
    for layer in found[0][1].layers:
        if not media_types.is_layer(layer.media_type) or media_types.is_foreign(layer.media_type):
            raise Unimplemented(f"{label} has a layer that Docker's format cannot hold ({layer.media_type}): choose format=oci")
    return found[0]


def _json(value: t.Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
