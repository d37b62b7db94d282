# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image that a task names, as values: the wanted one and the found one."""

from __future__ import annotations

import os
import re
import typing as t

from ...engine.models import Image
from ...errors import EngineError, InvalidArgument, Unavailable, printable
from ...oci.descriptor import Descriptor
from ...oci.digest import Digest
from ...oci.platform import Platform
from ...oci.reference import Reference

if t.TYPE_CHECKING:
    from ...image.api import Registry
    from ...image.inspect import ImageView, Verify

_IMAGE_ID = re.compile(r"sha256:[a-f0-9]{64}\Z")


def _nobody() -> Registry:
    raise Unavailable("there is no registry to ask")


def progress_file(params: t.Mapping[str, t.Any]) -> str:
    """Where a task tells how far it is; empty for nowhere. InvalidArgument."""
    path = params["progress_file"] or ""
    if path and not os.path.isabs(path):
        raise InvalidArgument(f"progress_file: {printable(path, 200)!r} is not an absolute path")
    if params["progress_after"] < 0:
        raise InvalidArgument(f"progress_after: {params['progress_after']} is negative; 0 shows no lines")
    return path


class WantedImage(t.NamedTuple):
    """reference, or image_id where an id was given. remote: what the registry says now, where pull asks it.

    platforms: for which the image has to be there (none: the target's); every: for all that it has. pinned: None leaves it as it is.
    kept: an image that somebody else than a record keeps, for whom it is enough that it is complete.
    problem: why the registry could not be asked (pull: newer goes on with what is there). registry: gives whom to ask and to pull from.
    verify: reads all of an image, where that is wanted (image/verify.py, which only the tasks that want it are sent).
    """

    reference: t.Optional[Reference]
    image_id: t.Optional[Digest]
    platforms: t.Tuple[Platform, ...] = ()
    every: bool = False
    pull: str = "never"
    snapshotter: str = ""
    unpack: bool = True
    pinned: t.Optional[bool] = None
    verify: t.Optional[Verify] = None
    remote: t.Optional[Descriptor] = None
    problem: t.Optional[EngineError] = None
    registry: t.Callable[[], Registry] = _nobody
    kept: t.Optional[Image] = None

    @property
    def platform(self) -> Platform:
        """The platform that is shown, and that containers run."""
        return self.platforms[0] if self.platforms else Platform.host()

    @property
    def label(self) -> str:
        """As a user reads it."""
        return str(self.reference or self.image_id)


class FoundImage(t.NamedTuple):
    """An image record, and its view for the wanted platform (None: incomplete). missing: the missing parts, in words."""

    record: Image
    view: t.Optional[ImageView]
    missing: t.Tuple[str, ...] = ()


def parse_name(params: t.Mapping[str, t.Any], option: str) -> t.Tuple[t.Optional[Reference], t.Optional[Digest]]:
    """The reference or the image id that an option names, completed by the options tag and digest."""
    text = params[option]
    if isinstance(text, str) and _IMAGE_ID.match(text):
        return None, Digest(text)
    tag = params.get("tag") or "latest"
    reference = Reference.parse(text, option, tag)
    if tag != "latest":
        # As in Docker and Podman, a tag may be a digest, or have one.
        tagged = Reference.parse(f"{reference.name}{'@' if _IMAGE_ID.match(tag) else ':'}{tag}", "tag")
        if reference.tag == tag:
            reference = tagged
    if params.get("digest"):
        try:
            digest = Digest.parse(params["digest"])
        except InvalidArgument as error:
            raise InvalidArgument(f"digest: {error}") from error
        if reference.digest and reference.digest != digest:
            raise InvalidArgument(f"digest: {digest} contradicts {option}, which has {reference.digest}")
        reference = reference._replace(digest=digest)
    if params.get("release") and not reference.digest:
        raise InvalidArgument(
            f"release: {printable(params['release'], 200)} is read on the controller by the action plugin of this module, which has "
            f"given {reference} no digest: the task has to be run by ansible-core as it is"
        )
    return reference, None


def parse_platforms(value: t.Union[str, t.Sequence[str], None]) -> t.Tuple[t.Tuple[Platform, ...], bool]:
    """The platforms that an option names, and whether it asks for all."""
    texts = [value] if isinstance(value, str) else list(value or ())
    if "all" in texts:
        if len(texts) > 1:
            raise InvalidArgument(f"platform: all stands alone, and here are {printable(', '.join(map(str, texts)), 200)}")
        return (), True
    return tuple(dict.fromkeys(Platform.parse(text) for text in texts)), False
