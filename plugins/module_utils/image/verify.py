# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifying an image: every blob against its digest, every unpacked layer against its blob."""

from __future__ import annotations

import typing as t

from ..errors import NotFound, Unimplemented
from ..layers.verify import verify_snapshot
from .inspect import Damage, ImageView, is_readable

if t.TYPE_CHECKING:
    from ..engine.api import Engine


def verify(engine: Engine, view: ImageView, snapshotter: str = "") -> Damage:
    """Read all of an image. Nothing is changed. See image/inspect.py: Verify."""
    words: t.List[str] = []
    lowest: t.Optional[int] = None
    for number, layer in enumerate(view.layers):
        if not is_readable(engine.content, layer, whole=True):
            words.append(f"the layer {layer.digest[:19]} is not there or damaged")
            continue
        problem = _unpacked(engine, view, number, snapshotter)
        if problem:
            words.append(f"the unpacked layer {layer.digest[:19]} is damaged: {problem}")
            lowest = number if lowest is None else lowest
    return Damage(tuple(words), lowest)


def _unpacked(engine: Engine, view: ImageView, number: int, snapshotter: str) -> str:
    """How the snapshot of a layer differs from it; empty when it does not, or is not there, or cannot be looked at."""
    try:
        engine.snapshotter(snapshotter).stat(view.chain[number])
    except NotFound:
        return ""
    try:
        applied, problem = verify_snapshot(engine, view.layers[number], view.chain[number], snapshotter)
    except NotFound as error:
        return str(error)
    except Unimplemented:
        return ""
    return problem if applied.diff_id == view.image_config.diff_ids[number] else ""
