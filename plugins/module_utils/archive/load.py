# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading: which images of an archive have to be, whether they can be, and the pull that does it."""

from __future__ import annotations

import time
import typing as t

from ..engine.models import Image
from ..errors import EngineError, NotFound
from ..image.inspect import find_manifest, inspect, is_readable, read_blob
from ..image.pull import Job, Puller
from ..image.source import document_reader
from ..image.walk import DocumentTree, is_complete, is_document, label_of, walk
from ..oci.descriptor import Descriptor
from ..oci.manifest import Index
from ..oci.platform import Platform

if t.TYPE_CHECKING:
    from ..engine.api import Engine
    from .images import ArchiveSource, Contents


class LoadOptions(t.NamedTuple):
    """platform: which one (None: all that the archive has; the host's is unpacked). labels: what the records get.

    progress_file: where it is told how far it is; empty for nowhere.
    """

    platform: t.Optional[Platform]
    snapshotter: str = ""
    max_parallel: int = 3
    labels: t.Mapping[str, str] = {}
    progress_file: str = ""


class LoadResult(t.NamedTuple):
    """What a load did. stored: bytes that were not there yet; reused: layers that were unpacked already."""

    stored: int
    layers: int
    reused: int
    seconds: float

    def facts(self) -> t.Dict[str, t.Any]:
        return {"bytes": self.stored, "layers": self.layers, "layers_reused": self.reused, "seconds": round(self.seconds, 3)}


def reason_to_load(engine: Engine, source: ArchiveSource, options: LoadOptions) -> str:
    """Why an image has to be loaded; empty when it is here as the archive has it. Reads no layers."""
    try:
        record = engine.images.get(source.name.record)
    except NotFound:
        return "it is not there"
    if record.target.digest != source.image.top.digest:
        return f"here is {record.target.digest[:19]}"
    if options.platform:
        missing = inspect(engine, record, options.platform, options.snapshotter).missing
        return f"it is incomplete: {missing[0]}" if missing else ""
    platforms = source.image.platforms
    words = missing_platforms(engine, record, options, lambda child: not platforms or label_of(child) in platforms)
    if words:
        words = missing_platforms(engine, record, options, source.contents.has_document)
    return f"it is incomplete: {words[0]}" if words else ""


def check_loadable(engine: Engine, source: ArchiveSource, options: LoadOptions) -> None:
    """NotFound when something wanted is neither in the archive nor in the store; other errors for documents that are none."""
    tree, where = _wanted_tree(source, options), source.where
    if options.platform and tree.missing:
        raise NotFound(f"{where} has {source.name} not for {label_of(tree.missing[0])}, although its index lists that")
    for blob in source.contents.missing(tree.blobs).absent:
        if not is_readable(engine.content, blob):
            raise NotFound(f"{where} is incomplete: {blob.digest} of {source.name} is missing")


def check_sent(engine: Engine, contents: Contents, sources: t.Iterable[ArchiveSource], options: LoadOptions) -> None:
    """FailedPrecondition with all that the controller has to send first: what is neither stored nor sent."""
    blobs = {blob.digest: blob for source in sources for blob in _wanted_tree(source, options).blobs}
    contents.check_sent(blob for blob in contents.missing(blobs.values()).unsent if not is_readable(engine.content, blob))


def _wanted_tree(source: ArchiveSource, options: LoadOptions) -> DocumentTree:
    """The wanted documents of an image."""
    top = source.document()
    return walk(document_reader(source, top), top.descriptor, _job(source, options).selection.choose)


def missing_platforms(
    engine: Engine, record: Image, options: LoadOptions, expected: t.Callable[[Descriptor], bool]
) -> t.List[str]:
    """Which of the expected platforms are incomplete here, in words. expected: whether a child of an index is one."""
    content = engine.content

    def choose(index: Index) -> t.List[Descriptor]:
        return [child for child in index.manifests if is_document(child) and expected(child)]

    try:
        tree = walk(lambda descriptor: read_blob(content, descriptor), record.target, choose)
    except EngineError as error:
        return [str(error)]
    found = [label_of(one) for one in tree.missing]
    found += [label_of(node.descriptor) for node in tree.nodes if not is_complete(content, node.document)]
    try:
        find_manifest(content, record.target, Platform.host())
    except EngineError:
        return found
    return found + list(inspect(engine, record, Platform.host(), options.snapshotter).missing)


def load(engine: Engine, sources: t.Sequence[ArchiveSource], options: LoadOptions) -> LoadResult:
    """Pull images out of their archive; their records come last, all of them or none.

    DataLoss or FailedPrecondition when the archive is not what it says.
    """
    from ..image.progress import watched

    started = time.monotonic()
    jobs = [_job(source, options) for source in {source.image.top.digest: source for source in sources}.values()]
    with Puller(engine, jobs, options.snapshotter, options.max_parallel) as puller, watched(puller, options.progress_file):
        done = puller.fetch_all()
        for source in sources:
            engine.images.put(Image(source.name.record, source.image.top, options.labels))
    stored, layers, reused = (sum(getattr(one, what) for one in done) for what in ("fetched", "layers", "reused"))
    return LoadResult(stored, layers, reused, time.monotonic() - started)


def _job(source: ArchiveSource, options: LoadOptions) -> Job:
    every = options.platform is None
    return Job(source, (options.platform or Platform.host(),), every, partial=every)
