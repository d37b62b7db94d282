# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulling: from where an image comes from to its record with everything it needs, on either engine.

What containerd's client does (core/images, core/remotes): all under a lease, children's labels on every parent, the image
record last. Ingest names are those of the Go client, so that a pull by ctr or the kubelet and ours share and resume.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
import time
import typing as t

from ..engine.models import Image
from ..errors import EngineError, NotFound, Unavailable
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.platform import Platform
from .inspect import ImageView, Verify, find_manifest, platform_problem
from .transfer import Transfer
from .unpack import Blobs, unpack
from .walk import Selection, blobs_of

if t.TYPE_CHECKING:
    from ..engine.api import Engine
    from .api import ImageSource


class Job(t.NamedTuple):
    """One image to pull. platforms: for which; the first one is that of the result. every: for all others too.

    unpack: for the platforms (not for every other one) make the snapshots too. verify: reads what is there already, so that what is
    damaged is replaced; None: nothing is read. labels: what the record gets, as pairs; an empty value takes one away. exact: the
    platforms were asked for, so that an image without an index has to be for them. partial, with every: what the source has is enough.
    """

    source: ImageSource
    platforms: t.Tuple[Platform, ...]
    every: bool = False
    unpack: bool = True
    verify: t.Optional[Verify] = None
    labels: t.Tuple[t.Tuple[str, str], ...] = ()
    exact: bool = False
    partial: bool = False

    @property
    def selection(self) -> Selection:
        return Selection(None if self.every else self.platforms, self.partial)


class PullResult(t.NamedTuple):
    """What a pull did. fetched: bytes transferred; reused: layers that were unpacked already. view: of the first platform.

    served_by: the URL of the host that gave a document or a blob, by digest. refused: blobs, and hosts that sent something else.
    """

    image: Image
    view: t.Optional[ImageView]
    fetched: int
    layers: int
    reused: int
    seconds: float
    served_by: t.Mapping[Digest, str]
    refused: t.Tuple[t.Tuple[Digest, str], ...]

    def facts(self) -> t.Dict[str, t.Any]:
        return {
            "bytes": self.fetched,
            "layers": self.layers,
            "layers_reused": self.reused,
            "seconds": round(self.seconds, 3),
            "served_by": {str(digest): host for digest, host in sorted(self.served_by.items())},
            "refused": [{"digest": str(digest), "host": host} for digest, host in self.refused],
        }


class Progress(t.NamedTuple):
    """How far the pull of an image is. state: waiting, transferring, unpacking, done, failed.

    bytes: how many of its blobs' are on the target; total: how many that will be, 0 as long as it is not known.
    """

    name: str
    state: str
    bytes: int = 0
    total: int = 0


class _Documents(t.NamedTuple):
    """What the documents of an image say, all stored. views: by platform; blobs: futures by digest; total: bytes of the blobs.

    layers: how many the image has; digests: of all that belongs to it.
    """

    top: Descriptor
    views: t.Mapping[Platform, ImageView]
    blobs: t.Mapping[Digest, concurrent.futures.Future[None]]
    total: int
    layers: int
    digests: t.FrozenSet[Digest]


class Puller:
    """The pulls of one task, under one lease. A context manager; pull() the jobs in their order.

    What is there already is used; an interrupted pull goes on where it stopped. Blobs that images share are transferred once,
    and while one image is unpacked the next ones are transferred, max_parallel blobs at a time.
    """

    def __init__(self, engine: Engine, jobs: t.Sequence[Job], snapshotter: str = "", max_parallel: int = 3) -> None:
        self._engine, self._jobs, self._snapshotter = engine, jobs, snapshotter
        self._parallel = max(1, max_parallel)
        self._unpacker = engine.unpacker(snapshotter)
        self._lock = threading.Lock()
        self._futures: t.Dict[Digest, concurrent.futures.Future[None]] = {}
        self._transfers = {job: Transfer(engine, job.source, job.verify is not None) for job in jobs}
        self._ended: t.Dict[Job, str] = {}

    def __enter__(self) -> Puller:
        with contextlib.ExitStack() as stack:
            if any(job.unpack for job in self._jobs):
                stack.enter_context(self._unpacker)
            stack.enter_context(self._engine.lease())
            pool = concurrent.futures.ThreadPoolExecutor
            self._blobs = stack.enter_context(pool(self._parallel, "fetch"))
            documents = stack.enter_context(pool(max(1, min(self._parallel, len(self._jobs))), "documents"))
            self._documents = {job: documents.submit(self._look_up, job) for job in self._transfers}
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *exc: t.Any) -> None:
        for transfer in self._transfers.values():
            transfer.stop()
        for documents in self._documents.values():
            documents.cancel()
        with self._lock:
            for future in self._futures.values():
                future.cancel()
        self._exit.__exit__(*exc)

    def _look_up(self, job: Job) -> _Documents:
        """Fetch the documents and begin with the blobs."""
        transfer = self._transfers[job]
        top = job.source.document()
        tree = transfer.documents(top, job.selection)
        views: t.Dict[Platform, ImageView] = {}
        for platform in job.platforms:
            try:
                found = find_manifest(self._engine.content, top.descriptor, platform)
            except NotFound:
                if not job.partial:
                    raise
            else:
                views[platform] = transfer.view(*found, job.unpack)
        for platform, view in views.items() if job.exact else ():
            for problem in platform_problem(top.descriptor, view, platform):
                raise NotFound(f"{job.source.name}: {problem}")
        # The layers that are unpacked first, and bottom first, are those that are waited for.
        wanted = {layer.digest: layer for view in views.values() for layer in view.layers}
        wanted.update((blob.digest, blob) for _descriptor, manifest in tree.manifests for blob in blobs_of(manifest))
        blobs = {digest: self._submit(transfer, blob) for digest, blob in wanted.items()}
        digests = frozenset(wanted) | {node.descriptor.digest for node in tree.nodes}
        total, layers = sum(blob.size for blob in wanted.values()), sum(len(one.layers) for _descriptor, one in tree.manifests)
        return _Documents(top.descriptor, views, blobs, total, layers, digests)

    def _submit(self, transfer: Transfer, blob: Descriptor) -> concurrent.futures.Future[None]:
        """Transfer a blob, after another image's transfer of the same one, which leaves nothing to do but a label."""
        with self._lock:
            earlier = self._futures.get(blob.digest)

            def run() -> None:
                if earlier is not None:
                    # It was submitted before this, so it runs or has ended. Where it failed, this is another try.
                    concurrent.futures.wait([earlier])
                transfer.blob(blob)

            self._futures[blob.digest] = future = self._blobs.submit(run)
            return future

    def progress(self) -> t.List[Progress]:
        """Of each image, in their order."""
        return [self._progress(job) for job in self._jobs]

    @property
    def fetched(self) -> int:
        """How many bytes have come so far, of all images."""
        return sum(transfer.fetched for transfer in list(self._transfers.values()))

    def _progress(self, job: Job) -> Progress:
        name, documents = job.source.name.record, self._documents[job]
        if not documents.done() or documents.cancelled() or documents.exception():
            return Progress(name, self._ended.get(job, "waiting"))
        total, blobs = documents.result().total, documents.result().blobs
        stored = dict(self._transfers[job].stored)
        count = sum(stored.get(digest, 0) for digest in blobs)
        return Progress(name, self._ended.get(job) or ("transferring" if count < total else "unpacking"), count, total)

    def pull(self, job: Job) -> PullResult:
        """Fetch, unpack and record one image."""
        started = time.monotonic()
        try:
            result = self._fetch(job)
            image = self._engine.images.put(result.image)
        except EngineError:
            self._ended[job] = "failed"
            raise
        self._ended[job] = "done"
        return result._replace(image=image, seconds=time.monotonic() - started)

    def fetch_all(self) -> t.List[PullResult]:
        """Fetch and unpack all images: all but their records. When one fails, what was begun of the others is not kept for another try."""
        try:
            return [self._fetch(job) for job in self._jobs]
        except EngineError:
            for transfer in self._transfers.values():
                transfer.stop(forget=True)
            raise

    def _fetch(self, job: Job) -> PullResult:
        transfer = self._transfers[job]
        layers = reused = 0
        try:
            documents = self._documents[job].result()
            for view in documents.views.values() if job.unpack else ():
                layers += len(view.layers)
                reused += self._unpack(job, view, documents.blobs)
            if not documents.views:
                layers = documents.layers
            for future in documents.blobs.values():
                future.result()
        except EngineError as error:
            # What a source could not send is worth keeping for another try; what is refused is not.
            transfer.stop(forget=not isinstance(error, Unavailable))
            raise
        image = Image(job.source.name.record, documents.top, dict(job.labels))
        served = {digest: host for digest, host in dict(job.source.served).items() if digest in documents.digests}
        refused = tuple(one for one in sorted(job.source.refused) if one[0] in documents.digests)
        shown = documents.views.get(job.platforms[0])
        return PullResult(image, shown, transfer.fetched, layers, reused, 0.0, served, refused)

    def _unpack(self, job: Job, view: ImageView, blobs: Blobs) -> int:
        """How many layers were unpacked already, and well."""
        damaged = None
        if job.verify:
            for layer in view.layers:
                blobs[layer.digest].result()
            damaged = job.verify(self._engine, view, self._snapshotter).layer
        return unpack(self._engine, self._unpacker, view, job.source.name.record, blobs, damaged)
