# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The differences between a container of this collection and the wishes of a task."""

from __future__ import annotations

import typing as t

from ...errors import EngineError, InvalidArgument
from ...kernel.field import IGNORE, STRICT, Change, Field, compare, ignored
from ..image.pull import ASSUMED, has_to_be_pulled, pull_title
from ..image.values import FoundImage
from .options.network import with_mode
from .options.row import Live
from .options.table import BY_OPTION, ROWS, effective, fields_for, image_defaults, load, there
from .values import FoundContainer, WantedContainer


class Differences(t.NamedTuple):
    """changes: those that need a new container. live: those that do not.

    reset: options that a new container loses because the task no longer gives them.
    """

    changes: t.List[Change]
    live: t.List[Change]
    reset: t.List[Change]


def differences(want: WantedContainer, have: FoundContainer) -> Differences:
    """Compare a container of this collection with the wishes."""
    if have.stored is None:
        return Differences([], [], [])
    stored = have.stored
    before = load(stored["given"])
    made = effective(before, stored["defaults"])
    given = with_mode(want.given, made, want.modes)
    values = effective({**before, **given}, _defaults(want, have, stored))
    also = [row.option for row in ROWS if row.said_by in given and given[row.said_by] == made[row.said_by]]
    options = list(dict.fromkeys([*given, *also]))
    had = there(have.container, made, options) if have.container is not None else made
    gets, fields = {option: values[option] for option in options}, []
    for field in fields_for(want.given, want.modes):
        fit = BY_OPTION[field.option].fit
        if fit and field.option in gets and field.mode != IGNORE:
            gets[field.option] = fit(had[field.option], values, made, field.mode)
            field = field._replace(mode=STRICT)
        fields.append(field)
    found = compare(fields, gets, had)
    live = [change for change in found if _in_place(want, have, change)]
    image = image_change(want, have)
    changes = [change for change in found if change not in live] + ([image] if image else [])
    reset = [one for one in reset_by(want, have) if one.field.option not in given] if changes else []
    return Differences(changes, live, reset)


def _in_place(want: WantedContainer, have: FoundContainer, change: Change) -> bool:
    row = BY_OPTION[change.field.option]
    stays = have.container is None or row.stays(have.container, change.after)
    return want.in_place and row.live is not Live.NEVER and stays


def _defaults(want: WantedContainer, have: FoundContainer, stored: t.Mapping[str, t.Any]) -> t.Any:
    """Those of the image that values are added to. Another image is a difference itself, unless that is ignored."""
    view = have.image.view if have.image and ignored("image", want.modes) and not want.compare_with_own else None
    return image_defaults(view.image_config) if view else stored["defaults"]


def check_labels(want: WantedContainer, have: FoundContainer) -> None:
    """InvalidArgument if the image has labels that the task does not give, and all labels are compared."""
    if want.modes.get("labels", want.modes.get("*")) != STRICT:
        return
    image = have.image if have.image and have.image.view else None
    if image is None and have.stored is None:
        image = coming(want, have)
    if image and image.view:
        labels = image_defaults(image.view.image_config)["labels"]
    else:
        labels = have.stored["defaults"]["labels"] if have.stored else {}
    more = sorted(set(labels) - set(want.given.get("labels", ())))
    if more:
        raise InvalidArgument(f"image_label_mismatch: fail: the image has labels that the task does not give: {', '.join(more)}")


def reset_by(want: WantedContainer, have: FoundContainer) -> t.List[Change]:
    """The options that a new container loses: those that the task no longer gives get the image's defaults."""
    stored = have.stored or {"given": {}, "defaults": {}}
    image = coming(want, have) or have.image
    defaults = image_defaults(image.view.image_config) if image and image.view else stored["defaults"]
    given = load(stored["given"])
    had, gets = effective(given, stored["defaults"]), effective(want.given, defaults)
    return [
        Change(row.field, had[row.option], gets[row.option])
        for row in ROWS
        if row.option in given and row.option not in want.given
    ]


def with_digest(want: WantedContainer, after: t.Mapping[str, t.Any], end: FoundContainer) -> t.Dict[str, t.Any]:
    """One side of a diff, with the digest of the image, which is known only at the end (in check mode from the registry)."""
    image = None if end.stored else coming(want, end) or end.image
    digest = end.stored["image"]["manifest"] if end.stored else image.view.manifest.digest if image and image.view else ""
    return {**after, "image": {"name": want.image.label if want.image else "", "digest": str(digest)}}


def coming(want: WantedContainer, have: FoundContainer) -> t.Optional[FoundImage]:
    """The image that a pull will bring, according to the registry; None without a pull. Raises the errors of the pull."""
    reason = has_to_be_pulled(want.image, have.image) if want.image else ""
    if want.image is None or not reason:
        return None
    from ..image.foreseen import foresee

    try:
        return foresee(want.image.registry(), want.image, have.image)
    except EngineError as error:
        error.details.setdefault("failed_action", pull_title(want.image, have.image, reason))
        raise


def image_change(want: WantedContainer, have: FoundContainer) -> t.Optional[Change]:
    """The change of the image: by digest, and by name if image_name_mismatch says so."""
    if want.image is None or have.stored is None or ignored("image", want.modes):
        return None
    stored = have.stored["image"]
    before = {"name": stored["name"], "digest": stored["manifest"]}
    if want.image.image_id:
        if want.image.image_id in (stored["target"], stored["manifest"], stored["config"]):
            return None
        return Change(Field("image"), before, {"id": str(want.image.image_id)})
    name = str(want.image.reference.record) if want.image.reference else ""
    if want.image.pull == ASSUMED:
        return Change(Field("image"), before, {"name": name, "digest": "unknown"})
    digest = _wanted_digest(want, have, stored)
    same_image = digest in (stored["target"], stored["manifest"], "")
    if same_image and (stored["name"] == name or not want.strict_name):
        return None
    return Change(Field("image"), before, {"name": name, "digest": digest or stored["manifest"]})


def _wanted_digest(want: WantedContainer, have: FoundContainer, stored: t.Mapping[str, t.Any]) -> str:
    """The digest of the image that the container would get now; empty if only the name is known and it is the same.

    It is that of the platform's manifest, so a change for another platform of an index is no change.
    """
    image, found = want.image, have.image
    if not image:
        raise AssertionError("a container that is planned has an image")
    pin = image.reference.digest if image.reference else None
    top = image.remote.digest if image.remote else pin or (found.record.target.digest if found else None)
    if top in (stored["target"], stored["manifest"]):
        return str(top)
    if top is None and image.reference and stored["name"] == image.reference.record:
        return ""
    new = coming(want, have) or found
    return str(new.view.manifest.digest if new and new.view else top)
