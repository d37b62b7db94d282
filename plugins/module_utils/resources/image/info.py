# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_info: images as they are."""

from __future__ import annotations

import typing as t

from ...kernel.converge import Facts
from ...oci.platform import Platform
from .facts import image_facts, namesakes, used_by
from .find import find_image, look_at, pin_problem
from .values import WantedImage, parse_name

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from .values import FoundImage


def image_info(params: t.Mapping[str, t.Any], engine: Engine) -> Facts:
    """The images asked for, one for each name, in their order; or all, sorted by name: records of one target are one image then."""
    platform = Platform.parse(params["platform"]) if params["platform"] else Platform.host()
    records = {record.name: record for record in engine.images.list()}
    users = used_by(engine)

    def facts(found: FoundImage) -> t.Dict[str, t.Any]:
        own = namesakes(records.values(), found.record.target.digest)
        used = sorted({user for record in own for user in users.get(record.name, ())})
        return {**image_facts(found, own), "UsedBy": used}

    if not params["name"]:
        first = {record.target.digest: record for record in reversed(list(records.values()))}
        images = [facts(look_at(engine, record, platform)) for record in first.values()]
        return Facts({"images": sorted(images, key=lambda image: (image["RepoTags"] or image["RepoDigests"] or [""])[0])})
    platforms = (platform,) if params["platform"] else ()
    wanted = [WantedImage(*parse_name({"name": name}, "name"), platforms) for name in params["name"]]
    found = [(one, find_image(one, engine, records)) for one in wanted]
    return Facts({"images": [facts(image) for one, image in found if image and not pin_problem(one, image)]})
