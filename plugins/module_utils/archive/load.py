# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading: from the images of an archive to image records, on either engine. The archive takes the place of a registry.

As in a pull, what is stored already is used, all happens under a lease, and the records come last: all of them or none.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
import typing as t

from ..engine.models import Image
from ..errors import EngineError, NotFound
from ..image.inspect import find_manifest, inspect, read_blob
from ..image.transfer import Transfer
from ..image.unpack import unpack
from ..image.walk import Tree, children_labels, ingest_ref, is_document, is_whole, label_of, walk
from ..oci.descriptor import Descriptor, Resolved
from ..oci.digest import Digest
from ..oci.manifest import Index, Manifest
from ..oci.platform import Platform
from ..oci.reference import Reference
from .images import Contents, Packed

if t.TYPE_CHECKING:
    from ..engine.api import Engine, Unpacker

_BLOCK = 1024 * 1024


class Target(t.NamedTuple):
    """An image of the archive, and a name that its record gets."""

    name: Reference
    packed: Packed


class Wish(t.NamedTuple):
    """platform: which one (None: all that the archive has; the host's is unpacked)."""

    platform: t.Optional[Platform]
    snapshotter: str = ""
    max_parallel: int = 3
    labels: t.Mapping[str, str] = {}


class Loaded(t.NamedTuple):
    """What a load did. stored: bytes that were not there yet; reused: layers that were unpacked already."""

    stored: int
    layers: int
    reused: int
    seconds: float

    def facts(self) -> t.Dict[str, t.Any]:
        return {"bytes": self.stored, "layers": self.layers, "layers_reused": self.reused, "seconds": round(self.seconds, 3)}


def reason_to_load(engine: Engine, contents: Contents, target: Target, wish: Wish) -> str:
    """Why an image has to be loaded; empty when it is here as the archive has it. Reads no layers."""
    top = target.packed.top
    try:
        record = engine.images.get(target.name.record)
    except NotFound:
        return "it is not there"
    if record.target.digest != top.digest:
        return f"here is {record.target.digest[:19]}"
    if wish.platform:
        missing = inspect(engine, record, wish.platform, wish.snapshotter).missing
        return f"it is not whole: {missing[0]}" if missing else ""
    platforms = target.packed.platforms
    lacks = lacking(engine, record, wish, lambda child: not platforms or label_of(child) in platforms)
    if lacks:
        lacks = lacking(engine, record, wish, contents.has)
    return f"it is not whole: {lacks[0]}" if lacks else ""


def check_loadable(engine: Engine, contents: Contents, target: Target, wish: Wish) -> None:
    """NotFound when the archive and the store together have not all that is wanted; other errors for documents that are none."""
    tree = wanted_tree(contents, target, wish)
    for blob in tree.blobs if not tree.missing else ():
        if not contents.has(blob):
            try:
                engine.content.info(blob.digest)
            except NotFound as error:
                raise NotFound(f"{contents.where} is not whole: {blob.digest} of {target.name} is missing in it") from error
    if tree.missing:
        raise NotFound(f"{contents.where} has {target.name} not for {label_of(tree.missing[0])}, although its index lists that")


def wanted_tree(contents: Contents, target: Target, wish: Wish) -> Tree:
    """What of an image of the archive is wanted."""

    def choose(index: Index) -> t.List[Descriptor]:
        return [index.choose(wish.platform)] if wish.platform else _some(index, contents.has)

    return walk(contents.document, target.packed.top, choose)


def lacking(engine: Engine, record: Image, wish: Wish, expected: t.Callable[[Descriptor], bool]) -> t.List[str]:
    """What of all platforms that are expected is not here, in words. expected: tells it of an index's child."""
    content = engine.content
    try:
        tree = walk(lambda descriptor: read_blob(content, descriptor), record.target, lambda index: _some(index, expected))
    except EngineError as error:
        return [str(error)]
    found = [label_of(one) for one in tree.missing]
    found += [label_of(node.descriptor) for node in tree.nodes if not is_whole(content, node.document)]
    try:
        find_manifest(content, record.target, Platform.host())
    except EngineError:
        return found
    return found + list(inspect(engine, record, Platform.host(), wish.snapshotter).missing)


def _some(index: Index, expected: t.Callable[[Descriptor], bool]) -> t.List[Descriptor]:
    return [child for child in index.manifests if is_document(child) and expected(child)]


def load(engine: Engine, contents: Contents, targets: t.Sequence[Target], wish: Wish) -> Loaded:
    """Store, unpack and record images. DataLoss or FailedPrecondition when the archive is not what it says."""
    started = time.monotonic()
    stored = layers = reused = 0
    with engine.unpacker(wish.snapshotter) as unpacker, engine.lease():
        for name, packed in {target.packed.top.digest: target for target in targets}.values():
            one = _Load(engine, unpacker, contents, name, packed, wish)
            count, unpacked = one.run()
            stored, layers, reused = stored + one.stored, layers + count, reused + unpacked
        for target in targets:
            engine.images.put(Image(target.name.record, target.packed.top, wish.labels))
    return Loaded(stored, layers, reused, time.monotonic() - started)


class _Load:
    """One image."""

    def __init__(
        self, engine: Engine, unpacker: Unpacker, contents: Contents, name: Reference, packed: Packed, wish: Wish
    ) -> None:
        self._engine, self._unpacker, self._contents = engine, unpacker, contents
        self._name, self._packed, self._wish = name, packed, wish
        self.name, self.where = name, contents.where
        self.labels: t.Dict[str, str] = {}
        self.served: t.Dict[Digest, str] = {}
        self.refused: t.Set[t.Tuple[Digest, str]] = set()
        self._transfer = Transfer(engine, self)
        self._asked: t.List[Descriptor] = []

    def document(self) -> Resolved:
        return Resolved(self._packed.top, self._contents.document(self._packed.top))

    def fetch(self, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
        """image/source.py: ImageSource."""
        self._asked.append(descriptor)
        with self._contents.open(descriptor) as stream:
            stream.seek(offset)
            yield from iter(lambda: stream.read(_BLOCK), b"")

    def refuse(self, descriptor: Descriptor) -> bool:
        """There is one archive."""
        return False

    @property
    def stored(self) -> int:
        """Bytes that were not there yet."""
        return self._transfer.fetched

    def run(self) -> t.Tuple[int, int]:
        """The number of layers, and of those that were unpacked already."""
        try:
            return self._one(self._wish.platform) if self._wish.platform else self._all()
        except EngineError:
            for descriptor in self._asked:
                with contextlib.suppress(EngineError):
                    self._engine.content.abort(ingest_ref(descriptor))
            raise

    def _one(self, platform: Platform) -> t.Tuple[int, int]:
        descriptor, manifest = self._transfer.manifest(self.document(), platform)
        return self._unpack(descriptor, manifest)

    def _unpack(self, descriptor: Descriptor, manifest: Manifest) -> t.Tuple[int, int]:
        view = self._transfer.view(descriptor, manifest)
        with concurrent.futures.ThreadPoolExecutor(max(1, self._wish.max_parallel), "load") as pool:
            blobs = {layer.digest: pool.submit(self._transfer.blob, layer) for layer in view.layers}
            try:
                reused = unpack(self._engine, self._unpacker, view, str(self._name), blobs)
                for blob in blobs.values():
                    blob.result()
            finally:
                self._transfer.stop()
                for blob in blobs.values():
                    blob.cancel()
        return len(view.layers), reused

    def _all(self) -> t.Tuple[int, int]:
        tree = walk(self._contents.document, self._packed.top, lambda index: _some(index, self._contents.has))
        for node in tree.nodes:
            self._transfer.store(node.descriptor, node.body, children_labels(node.document))
        for blob in tree.blobs:
            self._transfer.blob(blob)
        try:
            descriptor, manifest = find_manifest(self._engine.content, self._packed.top, Platform.host())
        except NotFound:
            return sum(len(manifest.layers) for _descriptor, manifest in tree.manifests), 0
        return self._unpack(descriptor, manifest)
