# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a container before its last recreation, kept with the container: state=previous has it again. docs/adr/0045."""

from __future__ import annotations

import typing as t

from ...engine import labels as L
from ...engine.models import RESTARTING, STOPPED, Image
from ...errors import FailedPrecondition
from ...oci.descriptor import Descriptor
from ...oci.reference import Reference
from ..image.pull import wanted_image
from .find import find_container
from .options.inside import DIGESTS
from .options.table import load, parse_given
from .steps import was_stopped

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from .values import FoundContainer, WantedContainer

#: What a container has that state=previous has made: it is what was asked for.
BACK: t.Mapping[str, t.Any] = {"back": True}


def kept_by(engine: Engine, have: FoundContainer) -> t.Mapping[str, t.Any]:
    """What the container that takes the place of this one keeps. If this one was no good, what it has kept itself."""
    old, task = have.container, have.task
    if old is None:
        return {}
    failed = task is None or task.status == RESTARTING or (task.status == STOPPED and task.exit_status)
    image = (have.stored or {}).get("image") or {}
    if have.stored is None or "descriptor" not in image or (failed and not was_stopped(engine, old)):
        return old.extensions.get(L.PREVIOUS) or {}
    return {
        "given": have.stored["given"],
        "image": {"name": image["name"], "descriptor": image["descriptor"], "platform": old.labels.get(L.PLATFORM)},
    }


def wanted_again(params: t.Mapping[str, t.Any], engine: Engine, want: WantedContainer) -> WantedContainer:
    """What a container was before. FailedPrecondition when that is not known."""
    container = find_container(engine, want.name)
    previous = container.extensions.get(L.PREVIOUS) if container else None
    if not previous:
        why = "no task has replaced it by another one" if container else "there is no such container"
        raise FailedPrecondition(f"state: previous: of a container {want.name} before this one nothing is known: {why}")
    if previous == BACK:
        return want._replace(state="started")
    image, given = previous["image"], load(previous["given"])
    own = parse_given(params, [option for option in DIGESTS if given.get(option)])
    for option in DIGESTS:
        if given.get(option) and own.get(option) != given[option]:
            raise FailedPrecondition(f"state: previous: {option}: only digests are kept of those before: give them as they were")
    descriptor = Descriptor.from_json(image["descriptor"], "the image before")
    # If it has to be pulled, a record of its own is made: the tag may be that of another image by now.
    name = f"{Reference.parse(image['name']).name}@{descriptor.digest}"
    wanted = wanted_image({**params, "image": name, "pull": "missing", "platform": image["platform"] or None}, "image")
    kept = Image(image["name"], descriptor)
    return want._replace(state="started", given={**given, **own}, image=wanted._replace(kept=kept), recreate=True, previous=True)
