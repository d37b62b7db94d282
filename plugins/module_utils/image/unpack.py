# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacking: the layers of an image become snapshots, from the lowest that is missing on, as their blobs arrive."""

from __future__ import annotations

import concurrent.futures
import typing as t

from ..engine.labels import GC_REF_SNAPSHOT, UNCOMPRESSED
from ..errors import (
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
    from ..engine.api import ContentStore, Engine, Snapshotter, Unpacker, Unpacking

Blobs = t.Mapping[Digest, "concurrent.futures.Future[None]"]


def unpack(
    engine: Engine,
    unpacker: Unpacker,
    view: ImageView,
    name: str,
    blobs: t.Optional[Blobs] = None,
    damaged: t.Optional[int] = None,
) -> int:
    """Make the snapshots of an image; how many layers were there already. To be called under a lease. name: for errors.

    blobs: the transfers that are not done: so unpacking overlaps with the transfer of the layers above.
    damaged: the number of a layer whose snapshot is made anew, with those above it; FailedPrecondition while something uses them.
    DataLoss when a layer is not what the image config says. On any failure the unfinished snapshots are removed.
    """
    store = unpacker.snapshotter
    if damaged is not None:
        _remove(store, view, damaged)
    first = _first_missing(store, view)
    if first < len(view.chain):
        with unpacker.begin() as unpacking:
            layers = _Layers(engine.content, unpacking, view, name, blobs or {})
            for number in range(first, len(view.chain)):
                layers.write(number)
            layers.commit()
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
    """The layers of an image that are being written."""

    def __init__(self, content: ContentStore, unpacking: Unpacking, view: ImageView, name: str, blobs: Blobs) -> None:
        self._content, self._unpacking, self._view, self._name, self._blobs = content, unpacking, view, name, blobs
        self._written: t.Dict[int, concurrent.futures.Future[t.Any]] = {}

    def write(self, number: int) -> None:
        """Begin with a layer as soon as its blob is there. Raises what has failed by then."""
        layer, diff_id = self._view.layers[number], self._view.image_config.diff_ids[number]
        blob = self._blobs.get(layer.digest)
        if blob is not None:
            self._wait_for(blob)
        parent = self._view.chain[number - 1] if number else ""
        try:
            self._written[number] = self._unpacking.write(layer, diff_id, self._view.chain[number], parent)
        except EngineError:
            self._check()
            raise

    def commit(self) -> None:
        try:
            self._unpacking.commit()
        except EngineError:
            self._check()
            raise

    def _wait_for(self, blob: concurrent.futures.Future[None]) -> None:
        waiting: t.Set[concurrent.futures.Future[t.Any]] = {blob, *self._written.values()}
        while not blob.done():
            waiting = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED).not_done
            self._check()
        blob.result()

    def _check(self) -> None:
        """Raise why a layer could not be written: the lowest one that has failed, since those above it fail with it."""
        for number, future in self._written.items():
            error = future.exception() if future.done() else None
            if error is not None:
                explained = self._explained(error, number)
                raise explained from (error if explained is not error else error.__cause__)

    def _explained(self, error: BaseException, number: int) -> BaseException:
        layer, diff_id = self._view.layers[number], self._view.image_config.diff_ids[number]
        if isinstance(error, FailedPrecondition) and "diff_id" in error.details:
            found = error.details["diff_id"]
            text = f"the layer {layer.digest} of {self._name} unpacks to {found}, and the image config says {diff_id}: refused"
            return DataLoss(text)
        if isinstance(error, (DataLoss, InvalidArgument, ResourceExhausted, Unavailable)):
            return self._named(error, layer)
        return error

    def _named(self, error: EngineError, layer: Descriptor) -> EngineError:
        """What is wrong with a layer, with its name, and what to do where it came like that."""
        text = f"the layer {layer.digest} of {self._name}"
        said = str(error)
        text += said[len("the layer") :] if said.startswith("the layer ") else f": {said}"
        if isinstance(error, DataLoss):
            text += (
                ": its digest is right, so it was built like this: build the image anew and push it"
                if is_readable(self._content, layer, whole=True)
                else ": what is stored of it is damaged: pull the image again with verify"
            )
        return type(error)(text, **error.details)
