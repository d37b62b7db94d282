# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image: images that are present or absent."""

from __future__ import annotations

import functools
import typing as t

from ..errors import FailedPrecondition, InvalidArgument, NotFound
from ..kernel.converge import Plan, Step
from .image_facts import image_facts, summary
from .image_source import Found, Wanted, find_image, parse_name, pull_steps, wanted_image, warnings_of

if t.TYPE_CHECKING:
    from ..engine.api import Engine
    from ..engine.models import Image


class ImageResource:
    """One image name. H is the list of what was found: one image, or for an id all that have it."""

    def __init__(self) -> None:
        self._pulled: t.Dict[str, t.Any] = {}
        self._deleted: t.List[str] = []

    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> Wanted:
        if params["max_parallel"] < 1:
            raise InvalidArgument(f"max_parallel: {params['max_parallel']} is not a positive number")
        if params["state"] == "present":
            return wanted_image(params, "name")
        reference, image_id = parse_name(params, "name")
        return Wanted(reference, image_id, None, "never", params)

    def observe(self, want: Wanted, engine: Engine) -> t.Optional[Found]:
        return find_image(want, engine)

    def lock(self, want: Wanted, engine: Engine) -> t.ContextManager[t.Any]:
        return engine.lock(f"image {want.reference.record if want.reference else want.image_id}")

    def plan(self, want: Wanted, have: t.Optional[Found], engine: Engine) -> Plan:
        if want.params["state"] == "absent":
            return self._plan_absent(want, have, engine)
        self._pulled = {}
        steps = pull_steps(want, have, engine, self._pulled)
        after = {"exists": True, "name": want.label}
        if want.remote:
            after["digest"] = str(want.remote.digest)
        return Plan(steps, summary(have), after, {"warnings": warnings_of(want, have)})

    def _plan_absent(self, want: Wanted, have: t.Optional[Found], engine: Engine) -> Plan:
        records = _records(want, have, engine)
        result = {"deleted": self._deleted, "untagged": [record.name for record in records]}
        if not records:
            return Plan(result=result)
        for record in records:
            _check_unused(record, want, engine)
        steps = [Step(f"remove image {record.name}", functools.partial(self._remove, record, engine)) for record in records]
        return Plan(steps, summary(have), {"exists": False}, result)

    def _remove(self, record: Image, engine: Engine) -> None:
        before = {info.digest for info in engine.content.walk()}
        engine.images.delete(record.name, record.target.digest)
        after = {info.digest for info in engine.content.walk()}
        self._deleted.extend(sorted(before - after))

    def facts(self, want: Wanted, have: t.Optional[Found], engine: Engine) -> t.Dict[str, t.Any]:
        out: t.Dict[str, t.Any] = {"image": {}}
        if want.params["state"] == "absent":
            return out
        if want.remote:
            out["digest"] = str(want.remote.digest)
        if self._pulled:
            out["pulled"] = self._pulled
        if have and have.view:
            out["image"] = image_facts(engine, have)
            out["digest"] = str(have.record.target.digest)
            out["manifest_digest"] = str(have.view.manifest.digest)
            out["config_digest"] = str(have.view.config.digest)
        return out


def _records(want: Wanted, have: t.Optional[Found], engine: Engine) -> t.List[Image]:
    """The records to remove: the one that is named (and that a pin agrees with), or all that have the id."""
    if have is None:
        return []
    if want.reference is None:
        return [record for record in engine.images.list() if record.target.digest == have.record.target.digest]
    pin = want.reference.digest
    if pin and pin != have.record.target.digest:
        return []
    return [have.record]


def _check_unused(record: Image, want: Wanted, engine: Engine) -> None:
    if want.params["force"]:
        return
    from ..engine.labels import NAME

    try:
        users = [c.labels.get(NAME) or c.id[:12] for c in engine.containers.list() if c.image == record.name]
    except NotFound:
        users = []
    if users:
        raise FailedPrecondition(
            f"the image {record.name} is used by the containers {', '.join(sorted(users))}: remove them first, or set force"
        )
