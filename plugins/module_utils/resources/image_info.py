# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_info: images as they are."""

from __future__ import annotations

import typing as t

from ..oci.platform import Platform
from .image_facts import image_facts, used_by
from .image_source import look_at, parse_name

if t.TYPE_CHECKING:
    from ..engine.api import Engine
    from ..engine.models import Image


def image_info(params: t.Mapping[str, t.Any], engine: Engine) -> t.Dict[str, t.Any]:
    """The images asked for, or all, sorted by name; records of one target are one image."""
    platform = Platform.parse(params["platform"]) if params["platform"] else Platform.host()
    wanted = [parse_name({"name": name}, "name") for name in params["name"] or ()]
    users = used_by(engine)
    groups: t.Dict[str, t.List[Image]] = {}
    for record in engine.images.list():
        groups.setdefault(record.target.digest, []).append(record)
    images = []
    for target, records in groups.items():
        names = {record.name for record in records}
        named = any(reference and reference.record in names for reference, _id in wanted)
        ids = {image_id for _reference, image_id in wanted if image_id}
        if wanted and not named and not ids:
            continue
        found = look_at(engine, records[0], platform)
        if wanted and not named:
            own = {target} | ({found.view.manifest.digest, found.view.config.digest} if found.view else set())
            if not ids & own:
                continue
        facts = image_facts(engine, found, records)
        facts["UsedBy"] = sorted({user for name in names for user in users.get(name, ())})
        images.append(facts)
    return {"images": sorted(images, key=lambda image: (image["RepoTags"] or image["RepoDigests"] or [""])[0])}
