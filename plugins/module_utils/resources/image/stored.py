# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image that must be present already, for the modules that tag, export and push."""

from __future__ import annotations

import typing as t

from ...engine.models import Image
from ...errors import FailedPrecondition, NotFound
from ...oci.reference import Reference
from .find import find_image
from .values import WantedImage, parse_name

if t.TYPE_CHECKING:
    from ...engine.api import Engine


class StoredImage(t.NamedTuple):
    """reference: the name in the task; None if that was an id."""

    reference: t.Optional[Reference]
    record: Image

    @property
    def label(self) -> str:
        """As a user reads it."""
        return str(self.reference) if self.reference else str(self.record.target.digest)


def stored_image(engine: Engine, text: object, option: str, tag: str = "latest") -> StoredImage:
    """The record that an option names. InvalidArgument; NotFound; FailedPrecondition when it is not the pinned one."""
    reference, image_id = parse_name({option: text, "tag": tag}, option)
    if reference is None:
        found = find_image(WantedImage(None, image_id), engine)
        record = found.record if found else None
    else:
        try:
            record = engine.images.get(reference.record)
        except NotFound:
            record = None
    if record is None:
        raise NotFound(f"{option}: the image {reference or image_id} is not there: pull or load it first")
    if reference and reference.digest and reference.digest != record.target.digest:
        raise FailedPrecondition(f"{option}: {reference} is pinned, and the image {record.name} is {record.target.digest}")
    return StoredImage(reference, record)
