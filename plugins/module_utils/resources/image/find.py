# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the image that a task names, and check whether it is complete."""

from __future__ import annotations

import typing as t

from ...engine.models import Image
from ...errors import InvalidArgument, NotFound
from ...oci.platform import Platform
from .values import FoundImage, WantedImage

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...image.inspect import ImageView


def find_image(want: WantedImage, engine: Engine, records: t.Optional[t.Mapping[str, Image]] = None) -> t.Optional[FoundImage]:
    """The record, and what is missing; None without a record. records: all of the engine by name, if they are known."""
    if want.kept:
        found = _look(engine, want.kept, want)
        if found.view:
            return found
    try:
        if want.reference is None:
            record = _by_id(want, engine, engine.images.list() if records is None else list(records.values()))
        elif records is not None:
            record = records[want.reference.record]
        else:
            record = engine.images.get(want.reference.record)
    except (NotFound, KeyError):
        return None
    return _look(engine, record, want)


def _look(engine: Engine, record: Image, want: WantedImage) -> FoundImage:
    """What is missing of an image for everything that the task wants."""
    from ...image.inspect import inspect, platform_problem

    views: t.List[t.Optional[ImageView]] = []
    missing: t.List[str] = []
    for platform in want.platforms or (want.platform,):
        found = inspect(engine, record, platform, want.snapshotter, want.unpack)
        views.append(found.view)
        missing.extend(word if len(want.platforms) < 2 else f"for {platform}: {word}" for word in found.missing)
        if found.view and want.platforms:
            missing.extend(platform_problem(record.target, found.view, platform))
        if found.view and want.verify:
            missing.extend(want.verify(engine, found.view, want.snapshotter).words)
    if want.every and not missing:
        missing.extend(_missing(engine, record))
    return FoundImage(record, None if missing else views[0], tuple(missing))


def _missing(engine: Engine, record: Image) -> t.List[str]:
    """What is missing of the platforms in the image's index."""
    from ...image.walk import Selection, stored_tree

    try:
        stored_tree(engine.content, record.target, Selection(None), record.name)
    except NotFound as error:
        return [str(error)]
    return []


def look_at(engine: Engine, record: Image, platform: t.Optional[Platform], snapshotter: str = "") -> FoundImage:
    """What is missing of an image for one platform."""
    from ...image.inspect import inspect

    found = inspect(engine, record, platform or Platform.host(), snapshotter)
    return FoundImage(record, None if found.missing else found.view, found.missing)


def _by_id(want: WantedImage, engine: Engine, records: t.Sequence[Image]) -> Image:
    for record in records:
        if want.image_id == record.target.digest:
            return record
    for record in records:
        try:
            found = look_at(engine, record, want.platform)
        except InvalidArgument:
            continue  # an artifact that is not an image
        if found.view and want.image_id in (found.view.manifest.digest, found.view.config.digest):
            return record
    raise NotFound(f"no image has the id {want.image_id}")


def pin_problem(want: WantedImage, have: FoundImage) -> str:
    """Why an image is not the pinned one; empty if it is, or if none is pinned."""
    pin = want.reference.digest if want.reference else None
    if pin and pin != have.record.target.digest and not (have.view and pin == have.view.manifest.digest):
        return f"pinned to {pin[:19]}, here is {have.record.target.digest[:19]}"
    return ""
