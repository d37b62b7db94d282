# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacking: from stored layers to committed snapshots, durable before they are committed.

Where the snapshotter gives a snapshot its parent only when it is committed, the layers are written at the same time; else bottom
to top, one after another.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import secrets
import typing as t

from ..engine.labels import GC_REF_SNAPSHOT, SNAPSHOT_REF, UNCOMPRESSED
from ..engine.models import Applied, Mount
from ..errors import (
    AlreadyExists,
    DataLoss,
    EngineError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from .inspect import ImageView, is_readable

if t.TYPE_CHECKING:
    from ..engine.api import Engine, Snapshotter

Blobs = t.Mapping[Digest, "concurrent.futures.Future[None]"]
#: So long a layer waits for each one below it to be written.
_BELOW_SECONDS = 3600.0
#: So often what is written goes to the disk while more is written, so that little is left to wait for at the end.
_WRITE_BACK_SECONDS = 0.15


class _Pending(t.NamedTuple):
    """A layer that is being written, or is and is not committed yet."""

    key: str
    chain_id: str
    parent: str
    mounts: t.Sequence[Mount]
    applied: concurrent.futures.Future[Applied]


def unpack(
    engine: Engine,
    view: ImageView,
    name: str,
    snapshotter: str = "",
    blobs: t.Optional[Blobs] = None,
    damaged: t.Optional[int] = None,
) -> int:
    """Make the snapshots of an image; how many layers were there already. To be called under a lease. name: for errors.

    blobs: the transfers that are not done: so unpacking overlaps with the transfer of the layers above.
    damaged: the number of a layer whose snapshot is made anew, with those above it; FailedPrecondition while something uses them.
    DataLoss when a layer is not what the image config says. On any failure the unfinished snapshots are removed.
    """
    store = engine.snapshotter(snapshotter)
    if damaged is not None:
        _remove(store, view, damaged)
    first = _first_missing(store, view)
    pending: t.List[_Pending] = []
    try:
        with _Layers(engine, store, view, name, blobs or {}, pending) as layers:
            for number in range(first, len(view.chain)):
                layers.write(number)
                if not store.rebases:
                    layers.finish()
            layers.finish()
    finally:
        for left in pending:
            with contextlib.suppress(NotFound):
                store.remove(left.key)
    for number in range(first, len(view.chain)):
        engine.content.label(view.layers[number].digest, {UNCOMPRESSED: view.image_config.diff_ids[number]})
    if view.chain:
        engine.content.label(view.config.digest, {GC_REF_SNAPSHOT + store.name: view.chain_id})
    return first


def _remove(store: Snapshotter, view: ImageView, damaged: int) -> None:
    for number in range(len(view.chain) - 1, damaged - 1, -1):
        try:
            store.remove(view.chain[number])
        except NotFound:
            continue
        except FailedPrecondition as error:
            users = sorted(info.name for info in store.walk() if info.parent == view.chain[number])
            raise FailedPrecondition(
                f"the unpacked layer {view.layers[number].digest[:19]} is damaged and cannot be replaced while it is used by "
                f"{', '.join(name[:24] for name in users)}: remove those containers and images first"
            ) from error


def _first_missing(store: Snapshotter, view: ImageView) -> int:
    """The number of the lowest layer that has to be made: all below it are there."""
    for number in range(len(view.chain), 0, -1):
        try:
            store.stat(view.chain[number - 1])
            return number
        except NotFound:
            continue
    return 0


class _Layers:
    """The layers of an image that are being written. A context manager: leaving it waits for what still runs."""

    def __init__(
        self, engine: Engine, store: Snapshotter, view: ImageView, name: str, blobs: Blobs, pending: t.List[_Pending]
    ) -> None:
        self._engine, self._store, self._view, self._name = engine, store, view, name
        self._blobs, self._pending = blobs, pending
        self._lowers: t.Tuple[str, ...] = ()
        # A thread a writer, and both are taken in the order of the layers: so those that are waited for have theirs.
        self._pool = concurrent.futures.ThreadPoolExecutor(engine.writers.size, "layer")

    def __enter__(self) -> _Layers:
        return self

    def __exit__(self, *exc: object) -> None:
        for one in self._pending:
            one.applied.cancel()
        self._pool.shutdown()

    def write(self, number: int) -> None:
        """Begin with a layer as soon as its blob is there. Raises what has failed by then."""
        chain_id, layer = self._view.chain[number], self._view.layers[number]
        parent = self._view.chain[number - 1] if number else ""
        blob = self._blobs.get(layer.digest)
        if blob is not None:
            self._wait_for(blob)
        key = f"extract-{secrets.token_hex(8)} {chain_id}"
        alone = bool(self._pending)
        mounts = self._store.prepare(key, "" if alone else parent, {SNAPSHOT_REF: chain_id})
        if alone:
            mounts = [Mount("overlay", "overlay", (f"upperdir={mounts[0].source}", "lowerdir=" + ":".join(self._lowers)))]
        if self._store.rebases:
            self._lowers = _directories(mounts)
        applied = self._pool.submit(self._apply, number, mounts, tuple(one.applied for one in self._pending))
        self._pending.append(_Pending(key, chain_id, parent, mounts, applied))

    def _wait_for(self, blob: concurrent.futures.Future[None]) -> None:
        waiting: t.Set[concurrent.futures.Future[t.Any]] = {blob, *(one.applied for one in self._pending)}
        while not blob.done():
            done, waiting = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done - {blob}:
                future.result()
        blob.result()

    def _apply(self, number: int, mounts: t.Sequence[Mount], earlier: t.Sequence[concurrent.futures.Future[Applied]]) -> Applied:
        failed: t.List[EngineError] = []

        def below() -> None:
            try:
                for future in earlier:
                    future.result(_BELOW_SECONDS)
            except EngineError as error:
                failed.append(error)
                raise
            except concurrent.futures.TimeoutError as error:
                raise Unavailable(f"the layers below it were not written within {_BELOW_SECONDS:g} s") from error

        layer, diff_id = self._view.layers[number], self._view.image_config.diff_ids[number]
        try:
            applied = self._engine.apply(layer, mounts, below if earlier else None)
        except (DataLoss, InvalidArgument, ResourceExhausted, Unavailable) as error:
            if failed:
                raise
            raise self._named(error, layer) from error
        if applied.diff_id != diff_id:
            raise DataLoss(
                f"the layer {layer.digest} of {self._name} unpacks to {applied.diff_id}, and the image config says {diff_id}: refused"
            )
        return applied

    def _named(self, error: EngineError, layer: Descriptor) -> EngineError:
        """What is wrong with a layer, with its name, and what to do where it came like that."""
        text = f"the layer {layer.digest} of {self._name}"
        said = str(error)
        text += said[len("the layer") :] if said.startswith("the layer ") else f": {said}"
        if isinstance(error, DataLoss):
            text += (
                ": its digest is right, so it was built like this: build the image anew and push it"
                if is_readable(self._engine.content, layer, whole=True)
                else ": what is stored of it is damaged: pull the image again with verify"
            )
        return type(error)(text, **error.details)

    def finish(self) -> None:
        """Commit what was begun, when all of it is written and durable."""
        running = [one.applied for one in self._pending]
        while concurrent.futures.wait(running, _WRITE_BACK_SECONDS).not_done:
            self._engine.sync(self._store.name)
        for one in self._pending:
            if not one.applied.result().root:
                self._engine.writers.keep_root(one.mounts)
        if self._pending:
            self._engine.sync(self._store.name)
            _commit(self._store, self._pending)


def _directories(mounts: t.Sequence[Mount]) -> t.Tuple[str, ...]:
    """The directories of an active snapshot, its own first."""
    if mounts[0].type == "bind":
        return (mounts[0].source,)
    options = dict(option.partition("=")[::2] for option in mounts[0].options)
    return (options["upperdir"], *options["lowerdir"].split(":"))


def _commit(store: Snapshotter, pending: t.List[_Pending]) -> None:
    while pending:
        done = pending[0]
        labels = {SNAPSHOT_REF: done.chain_id}
        try:
            if store.rebases:
                store.commit(done.chain_id, done.key, labels, done.parent)
            else:
                store.commit(done.chain_id, done.key, labels)
        except AlreadyExists:
            with contextlib.suppress(NotFound):
                store.remove(done.key)
        pending.pop(0)
