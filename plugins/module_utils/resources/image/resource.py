# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image: images that are present or absent, one or many in a task."""

from __future__ import annotations

import contextlib
import typing as t

from ...errors import InvalidArgument, printable
from ...kernel.converge import Plan
from ..registry.options import registry_options
from .find import find_image
from .pull import ask_registry, parse_wanted
from .pulls import Pulls, ask_each
from .removal import Removals
from .run import FoundImages, WantedImages
from .values import WantedImage, progress_file

if t.TYPE_CHECKING:
    from ...engine.api import Engine


class ImageResource:
    """The images of a task."""

    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> WantedImages:
        if params["max_parallel"] < 1:
            raise InvalidArgument(f"max_parallel: {params['max_parallel']} is not a positive number")
        options, absent = registry_options(params), params["state"] == "absent"
        want = WantedImages(
            _different([(_to_remove if absent else _wanted)(row) for row in _rows(params)]),
            absent,
            options,
            params["on_failure"],
            params["max_parallel"],
            progress_file(params),
            params["force"],
        )
        return _asked(want) if not absent and params["pull"] in ("always", "newer") else want

    def observe(self, want: WantedImages, engine: Engine) -> FoundImages:
        records = {record.name: record for record in engine.images.list()}
        return FoundImages(tuple(find_image(one, engine, records) for one in want.wants), records)

    @contextlib.contextmanager
    def lock(self, want: WantedImages, engine: Engine) -> t.Iterator[None]:
        """Lock the images in the order of their names, so that two tasks never wait for each other."""
        names = sorted({str(one.reference.record if one.reference else one.image_id) for one in want.wants})
        with contextlib.ExitStack() as stack:
            for name in names:
                stack.enter_context(engine.lock(f"image {name}"))
            yield

    def plan(self, want: WantedImages, have: FoundImages, engine: Engine) -> Plan:
        return (Removals if want.absent else Pulls)(want, have, engine).plan()


def _to_remove(row: t.Mapping[str, t.Any]) -> WantedImage:
    """The image to remove, for any platform."""
    return parse_wanted({**row, "platform": None, "release": None}, "name")._replace(pull="never")


def _rows(params: t.Mapping[str, t.Any]) -> t.List[t.Dict[str, t.Any]]:
    """The parameters of each image: those of the task, and its own."""
    names, images = params.get("name") or [], params.get("images") or []
    if params.get("digest") and len(names) != 1:
        pinned = printable(params["digest"], 100)
        raise InvalidArgument(f"digest: {pinned} pins one image, and here are {len(names)}: give images, each with its digest")
    if not names and not images:
        raise InvalidArgument("name: no image is named")
    rows = [{**params, "name": name} for name in names]
    for number, image in enumerate(images):
        given = {key: value for key, value in image.items() if value is not None}
        if not given.get("name"):
            raise InvalidArgument(f"images: item {number} has no name: {printable(image, 100)}")
        rows.append({**params, "digest": None, **given})
    return rows


def _wanted(row: t.Mapping[str, t.Any]) -> WantedImage:
    from ...image.verify import verify

    return parse_wanted(row, "name")._replace(verify=verify if row.get("verify") else None)


def _different(wants: t.Sequence[WantedImage]) -> t.Tuple[WantedImage, ...]:
    """Each image once. InvalidArgument when one name is listed with different options."""
    found: t.Dict[str, WantedImage] = {}
    for want in wants:
        name = want.reference.record if want.reference else want.label
        other = found.setdefault(name, want)
        if other[:3] != want[:3]:
            raise InvalidArgument(f"images: {name} is listed twice, with different digests or platforms")
    return tuple(found.values())


def _asked(want: WantedImages) -> WantedImages:
    """Ask the registries for the present digests."""
    found, problems = ask_each(want, range(len(want.wants)), lambda client, number: ask_registry(client, want.wants[number]))
    return want._replace(wants=tuple(found.get(number, one) for number, one in enumerate(want.wants)), problems=problems)
