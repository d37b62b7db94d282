# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacking: from stored layers to committed snapshots, bottom to top, durable before they are committed."""

from __future__ import annotations

import contextlib
import secrets
import typing as t

from ..engine.labels import GC_REF_SNAPSHOT, SNAPSHOT_REF, UNCOMPRESSED
from ..engine.models import Mount
from ..errors import AlreadyExists, DataLoss, FailedPrecondition, NotFound
from ..oci.descriptor import Descriptor
from .inspect import ImageView

if t.TYPE_CHECKING:
    from ..engine.api import Engine, Snapshotter

Ready = t.Callable[[Descriptor], t.Any]


class _Pending(t.NamedTuple):
    """A layer that is written and not committed yet."""

    key: str
    chain_id: str
    parent: str


def unpack(
    engine: Engine,
    view: ImageView,
    snapshotter: str = "",
    ready: Ready = lambda layer: None,
    damaged: t.Optional[int] = None,
) -> int:
    """Make the snapshots of an image; how many layers were there already. To be called under a lease.

    ready(layer) returns when the layer's blob is stored: so unpacking overlaps with the transfer of the layers above.
    damaged: the number of a layer whose snapshot is made anew, with those above it; FailedPrecondition while something uses them.
    DataLoss when a layer is not what the image config says. On any failure the unfinished snapshots are removed.
    """
    store = engine.snapshotter(snapshotter)
    if damaged is not None:
        _remove(store, view, damaged)
    first = _first_missing(store, view)
    pending: t.List[_Pending] = []
    try:
        lowers: t.Tuple[str, ...] = ()
        for number in range(first, len(view.chain)):
            ready(view.layers[number])
            lowers = _layer(engine, store, view, number, lowers, pending)
            if not store.rebases:
                engine.sync(store.name)
                _commit(store, pending)
        if pending:
            engine.sync(store.name)
            _commit(store, pending)
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


def _layer(
    engine: Engine, store: Snapshotter, view: ImageView, number: int, lowers: t.Tuple[str, ...], pending: t.List[_Pending]
) -> t.Tuple[str, ...]:
    """Write one layer; returns the directories that the next one has below it (only where the snapshotter rebases)."""
    chain_id = view.chain[number]
    parent = view.chain[number - 1] if number else ""
    key = f"extract-{secrets.token_hex(8)} {chain_id}"
    alone = bool(pending) and store.rebases
    mounts = store.prepare(key, "" if alone else parent, {SNAPSHOT_REF: chain_id})
    pending.append(_Pending(key, chain_id, parent))
    if alone:
        mounts = [Mount("overlay", "overlay", (f"upperdir={mounts[0].source}", "lowerdir=" + ":".join(lowers)))]
    layer = view.layers[number]
    applied = engine.apply(layer, mounts)
    if applied.digest != view.image_config.diff_ids[number]:
        raise DataLoss(
            f"the layer {layer.digest} unpacks to {applied.digest}, and the image config says {view.image_config.diff_ids[number]}: refused"
        )
    return _directories(mounts) if store.rebases else ()


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
