# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpack layers to snapshots, which are durable before they are committed, for both engines.

If the snapshotter can give a snapshot its parent at the commit (it rebases), the layers of an image are written at the same time,
each without a parent. Otherwise each layer is written after the commit of the one below.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
import typing as t

from ..engine.labels import SNAPSHOT_REF
from ..engine.models import Labels, LayerTarget
from ..errors import AlreadyExists, FailedPrecondition, NotFound, Unavailable, Unimplemented, from_os_error
from ..hostfs.copy_tree import copy_root
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from .diff_apply import Applied, size_limit
from .writers import Below, LayerWriters

if t.TYPE_CHECKING:
    from ..engine.api import Snapshotter

    class LayerStore(Snapshotter, t.Protocol):
        """Additional methods of our engines' snapshotters, only for layers."""

        @property
        def rebases(self) -> bool: ...

        def prepare_layer(self, key: str, parent: str, labels: Labels) -> t.Optional[LayerTarget]:
            """Prepare an active snapshot. Returns the directories for the layer; None if only the daemon can write it."""

        def commit(self, name: str, key: str, labels: t.Optional[Labels] = None, parent: t.Optional[str] = None) -> None:
            """parent (if it rebases): the new parent of the snapshot, which was prepared without one."""


#: How long a layer waits for each layer below.
_BELOW_SECONDS = 3600.0
#: How often written data are flushed to the disk meanwhile, so that little is left for the end.
_WRITE_BACK_SECONDS = 0.15

Futures = t.Sequence["concurrent.futures.Future[Applied]"]


class _Pending(t.NamedTuple):
    """A layer that is being written, or is written but not committed yet."""

    key: str
    name: str
    parent: str
    target: t.Optional[LayerTarget]
    applied: concurrent.futures.Future[Applied]


class Unpacker:
    """See engine/api.pyi. choose returns the snapshotter, open_layer opens a stored layer, sync makes everything that was written
    durable, apply_there lets the daemon write a layer to the active snapshot with that key.
    """

    def __init__(
        self,
        choose: t.Callable[[], LayerStore],
        open_layer: t.Callable[[Descriptor], t.BinaryIO],
        sync: t.Callable[[LayerStore], None],
        apply_there: t.Optional[t.Callable[[LayerStore, Descriptor, str], Applied]] = None,
    ) -> None:
        self._choose, self._open_layer, self._sync, self._apply_there = choose, open_layer, sync, apply_there
        self.writers = LayerWriters()

    @functools.cached_property
    def snapshotter(self) -> LayerStore:
        return self._choose()

    def __enter__(self) -> Unpacker:
        self.writers.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.writers.__exit__(*exc)

    def begin(self) -> Unpacking:
        return Unpacking(self)

    def apply(self, layer: Descriptor, key: str, target: t.Optional[LayerTarget], below: Below) -> Applied:
        """Write a stored layer."""
        if target is None:
            if self._apply_there is None:
                raise Unimplemented(f"{self.snapshotter.name} has a layer in no directory of this host")
            return self._apply_there(self.snapshotter, layer, key)
        with self._open_layer(layer) as stream:
            return self.writers.apply(stream, layer.media_type, target, size_limit(layer.size), below)

    def sync(self) -> None:
        self._sync(self.snapshotter)


class Unpacking:
    """The layers of one image. See engine/api.pyi."""

    def __init__(self, unpacker: Unpacker) -> None:
        self._unpacker, self._store = unpacker, unpacker.snapshotter
        self._pending: t.List[_Pending] = []
        self._lowers: t.Tuple[str, ...] = ()
        # One thread for each writer. Both are taken in the order of the layers, so a layer that others wait for has one.
        self._pool = concurrent.futures.ThreadPoolExecutor(unpacker.writers.size, "layer")

    def __enter__(self) -> Unpacking:
        return self

    def __exit__(self, *exc: object) -> None:
        for one in self._pending:
            one.applied.cancel()
        self._pool.shutdown()
        for one in self._pending:
            with contextlib.suppress(NotFound):
                self._store.remove(one.key)

    def write(self, layer: Descriptor, diff_id: Digest, name: str, parent: str) -> concurrent.futures.Future[t.Any]:
        if not self._store.rebases or (self._pending and not self._pending[-1].target):
            self.commit()
        key = f"extract-{os.urandom(8).hex()} {name}"
        alone = bool(self._pending)
        target = self._store.prepare_layer(key, "" if alone else parent, {SNAPSHOT_REF: name})
        if alone and target:
            target = LayerTarget(target.root, self._lowers, True)
        if target:
            self._lowers = (target.root, *target.lowers)
        earlier = tuple(one.applied for one in self._pending)
        applied = self._pool.submit(self._write, layer, diff_id, key, target, earlier)
        self._pending.append(_Pending(key, name, parent, target, applied))
        return applied

    def _write(self, layer: Descriptor, diff_id: Digest, key: str, target: t.Optional[LayerTarget], earlier: Futures) -> Applied:
        def below() -> None:
            try:
                for future in earlier:
                    future.result(_BELOW_SECONDS)
            except concurrent.futures.TimeoutError as error:
                raise Unavailable(f"the layers below it were not written within {_BELOW_SECONDS:g} s") from error

        applied = self._unpacker.apply(layer, key, target, below if earlier else None)
        if applied.diff_id != diff_id:
            found = str(applied.diff_id)
            raise FailedPrecondition(f"the layer {layer.digest} unpacks to {found}, not to {diff_id}", diff_id=found)
        return applied

    def commit(self) -> None:
        running = [one.applied for one in self._pending]
        while concurrent.futures.wait(running, _WRITE_BACK_SECONDS).not_done:
            self._unpacker.sync()
        for one in self._pending:
            if not one.applied.result().root and one.target and one.target.overlay and one.target.lowers:
                _copy_root(one.target.lowers[0], one.target.root)
        if self._pending:
            self._unpacker.sync()
        while self._pending:
            self._commit(self._pending[0])
            self._pending.pop(0)

    def _commit(self, done: _Pending) -> None:
        try:
            self._store.commit(done.name, done.key, {SNAPSHOT_REF: done.name}, done.parent if self._store.rebases else None)
        except AlreadyExists:
            # Another process was faster.
            with contextlib.suppress(NotFound):
                self._store.remove(done.key)


def _copy_root(source: str, target: str) -> None:
    """The root directory of a layer without an entry for it is as in the layer below, which is complete by now."""
    try:
        copy_root(source, target)
    except OSError as error:
        raise from_os_error(error, f"copying the attributes of {source}") from error
