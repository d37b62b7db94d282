# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The walk from a top document over indexes and manifests to configs and layers, for pulls, archives, pushes and copies.

The idea is that of containerd's core/images handlers: one traversal, and callers that say what a document's bytes are
and which children they want.
"""

from __future__ import annotations

import json
import typing as t

from ..engine.labels import GC_REF_CONTENT
from ..errors import InvalidArgument, NotFound, printable
from ..oci import media_types
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.documents import MANIFEST_LIMIT
from ..oci.image_config import ImageConfig
from ..oci.manifest import Document, Index, Manifest, parse
from ..oci.platform import Platform
from .inspect import CONFIG_LIMIT, INDEX_DEPTH, is_stored, read_blob

if t.TYPE_CHECKING:
    from ..engine.api import ContentStore

#: All documents of an image together: they are held in memory.
_DOCUMENTS_LIMIT = 8 * MANIFEST_LIMIT

Read = t.Callable[[Descriptor], bytes]
Choose = t.Callable[[Index], t.Sequence[Descriptor]]


class Node(t.NamedTuple):
    """One document: an index or a manifest."""

    descriptor: Descriptor
    document: Document
    body: bytes


class DocumentTree(t.NamedTuple):
    """An image as far as it was walked. nodes: its documents, parents first; missing: documents that could not be read."""

    nodes: t.Tuple[Node, ...]
    missing: t.Tuple[Descriptor, ...] = ()

    @property
    def top(self) -> Descriptor:
        return self.nodes[0].descriptor

    @property
    def manifests(self) -> t.List[t.Tuple[Descriptor, Manifest]]:
        return [(node.descriptor, node.document) for node in self.nodes if isinstance(node.document, Manifest)]

    @property
    def blobs(self) -> t.List[Descriptor]:
        """Configs and layers, each once; not the layers that may not be distributed."""
        found = {blob.digest: blob for _descriptor, manifest in self.manifests for blob in blobs_of(manifest)}
        return list(found.values())


class Selection(t.NamedTuple):
    """Which platforms of an image. None: all that it has; then partial says whether those that are complete are enough.

    exact: an image without an index must be for them.
    """

    platforms: t.Optional[t.Tuple[Platform, ...]] = None
    partial: bool = False
    exact: bool = True

    def choose(self, index: Index) -> t.Sequence[Descriptor]:
        """The children of an index that are selected. NotFound when it has nothing for a platform."""
        if self.platforms is None:
            return [child for child in index.manifests if is_document(child)]
        chosen = [index.choose(platform) for platform in self.platforms]
        return list({child.digest: child for child in chosen}.values())


def is_document(descriptor: Descriptor) -> bool:
    """True for indexes and manifests."""
    return descriptor.media_type in media_types.INDEXES + media_types.MANIFESTS


def blobs_of(manifest: Manifest) -> t.List[Descriptor]:
    """Config and layers, without those that may not be distributed."""
    return [manifest.config, *(layer for layer in manifest.layers if not media_types.is_foreign(layer.media_type))]


def label_of(descriptor: Descriptor) -> str:
    """What a user reads of a manifest: its platform, else its digest."""
    platform = descriptor.platform
    return str(platform) if platform and platform.architecture else str(descriptor.digest)


def children_labels(document: Document) -> t.Dict[str, str]:
    """Garbage collection labels: what the document refers to, also what was not fetched (containerd does the same)."""
    if isinstance(document, Index):
        return {f"{GC_REF_CONTENT}m.{number}": str(child.digest) for number, child in enumerate(document.manifests)}
    labels = {GC_REF_CONTENT + "config": str(document.config.digest)}
    return {**labels, **{f"{GC_REF_CONTENT}l.{number}": str(layer.digest) for number, layer in enumerate(document.layers)}}


def ingest_ref(descriptor: Descriptor) -> str:
    """The name of a blob's ingest, as containerd's Go client has it: so that its transfers and ours share and resume."""
    return f"{media_types.kind(descriptor.media_type)}-{descriptor.digest}"


def walk(read: Read, top: Descriptor, choose: Choose) -> DocumentTree:
    """All documents below top that choose selects. read raises NotFound for what is not there: only the top must be.

    InvalidArgument for documents that are no such, too large, or nested too deep.
    """
    nodes: t.List[Node] = []
    missing: t.List[Descriptor] = []
    total = 0
    todo, seen = [(top, 0)], {top.digest}
    while todo:
        descriptor, depth = todo.pop(0)
        if depth > INDEX_DEPTH:
            raise InvalidArgument(f"the index {top.digest} has indexes in indexes, deeper than {INDEX_DEPTH}")
        if descriptor.size > MANIFEST_LIMIT:
            raise InvalidArgument(f"the document {descriptor.digest} has {descriptor.size} bytes; the limit is {MANIFEST_LIMIT}")
        try:
            body = read(descriptor)
        except NotFound:
            if not nodes:
                raise
            missing.append(descriptor)
            continue
        total += len(body)
        if total > _DOCUMENTS_LIMIT:
            raise InvalidArgument(f"the documents of {top.digest} come to more than {_DOCUMENTS_LIMIT} bytes")
        node = Node(descriptor, parse(body, descriptor.media_type, f"the document {descriptor.digest}"), body)
        nodes.append(node)
        if isinstance(node.document, Index):
            fresh = [child for child in choose(node.document) if child.digest not in seen]
            seen.update(child.digest for child in fresh)
            todo.extend((child, depth + 1) for child in fresh)
    return DocumentTree(tuple(nodes), tuple(missing))


def stored_tree(content: ContentStore, top: Descriptor, selection: Selection, name: str) -> DocumentTree:
    """The selected platforms of a stored image, if they are complete. NotFound names the missing ones; name is the image's."""
    tree = walk(lambda descriptor: read_blob(content, descriptor), top, selection.choose)
    if selection.platforms and selection.exact:
        _check_platform(content, tree.nodes[0], selection.platforms, name)
    incomplete = {node.descriptor.digest for node in tree.nodes if not is_complete(content, node.document)}
    gone = [node.descriptor for node in tree.nodes if node.descriptor.digest in incomplete] + list(tree.missing)
    # An attestation belongs to another manifest and is no platform: a pull does not bring it.
    words = [label_of(one) for one in gone if not (one.platform and one.platform.os == "unknown")]
    complete = [node for node in tree.nodes if node.descriptor.digest not in incomplete]
    if words and not selection.partial:
        raise NotFound(
            f"the image {name} is incomplete here, it is missing {printable(', '.join(sorted(words)))}: pull it for that platform"
        )
    if not any(isinstance(node.document, Manifest) for node in complete):
        raise NotFound(f"the image {name} is here for none of its platforms: pull it")
    return DocumentTree(tuple(complete), tuple(gone))


def is_complete(content: ContentStore, document: Document) -> bool:
    """True when the blobs of a manifest are stored."""
    return not isinstance(document, Manifest) or all(is_stored(content, blob.digest) for blob in blobs_of(document))


def _check_platform(content: ContentStore, node: Node, platforms: t.Sequence[Platform], name: str) -> None:
    """An image without an index must be for the one platform that is asked for."""
    if not isinstance(node.document, Manifest):
        return
    found = ImageConfig.parse(read_blob(content, node.document.config, CONFIG_LIMIT)).platform
    for platform in platforms:
        if found not in platform.candidates():
            raise NotFound(f"the image {name} is for {found} only, not for {platform}")


def reduced(tree: DocumentTree) -> DocumentTree:
    """The same image with indexes that list only what is in the tree; itself when nothing is missing.

    Registries refuse an index that lists what they have not.
    """
    known = {node.descriptor.digest: node for node in tree.nodes}
    for node in reversed(tree.nodes):
        if isinstance(node.document, Index):
            known[node.descriptor.digest] = _reduced_index(node, known)
    return DocumentTree(tuple(known[node.descriptor.digest] for node in tree.nodes), tree.missing)


def _reduced_index(node: Node, known: t.Mapping[Digest, Node]) -> Node:
    body = json.loads(node.body)
    kept = []
    for child in body["manifests"]:
        found = known.get(child["digest"])
        if found and not (isinstance(found.document, Index) and not found.document.manifests):
            kept.append({**child, "digest": str(found.descriptor.digest), "size": found.descriptor.size})
    if kept == body["manifests"]:
        return node
    data = json.dumps({**body, "manifests": kept}, separators=(",", ":"), ensure_ascii=False).encode()
    descriptor = node.descriptor._replace(digest=Digest.of(data), size=len(data))
    return Node(descriptor, parse(data, descriptor.media_type, "the reduced index"), data)
