# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image that a task names: what is asked for, what is there, and the step that pulls it. Shared by images and containers."""

from __future__ import annotations

import re
import typing as t

from ..engine.models import Image
from ..errors import EngineError, InvalidArgument, NotFound, Unavailable
from ..kernel.converge import Step
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.platform import Platform
from ..oci.reference import Reference
from .registry_options import check_registry_options, registry_client

if t.TYPE_CHECKING:
    from ..engine.api import Engine
    from ..image.inspect import ImageView

_IMAGE_ID = re.compile(r"sha256:[a-f0-9]{64}\Z")


class Wanted(t.NamedTuple):
    """reference, or image_id where an id was given. remote: what the registry says now, where pull asks it.

    problem: why the registry could not be asked (pull: newer goes on with what is there).
    """

    reference: t.Optional[Reference]
    image_id: t.Optional[Digest]
    platform: t.Optional[Platform]
    pull: str
    params: t.Mapping[str, t.Any]
    remote: t.Optional[Descriptor] = None
    problem: t.Optional[EngineError] = None

    @property
    def label(self) -> str:
        """As a user reads it."""
        return str(self.reference or self.image_id)


class Found(t.NamedTuple):
    """An image record, and for the wanted platform its view (None: not whole). missing says what lacks, in words."""

    record: Image
    view: t.Optional[ImageView]
    missing: t.Tuple[str, ...] = ()


def parse_name(params: t.Mapping[str, t.Any], option: str) -> t.Tuple[t.Optional[Reference], t.Optional[Digest]]:
    """The reference or the image id that an option names; the options tag and digest are taken in."""
    text = params[option]
    if isinstance(text, str) and _IMAGE_ID.match(text):
        return None, Digest(text)
    reference = Reference.parse(text, option, params.get("tag") or "latest")
    if params.get("tag") not in (None, "latest"):
        Reference.parse(f"{reference.name}:{params['tag']}", "tag")
    if params.get("digest"):
        try:
            digest = Digest.parse(params["digest"])
        except InvalidArgument as error:
            raise InvalidArgument(f"digest: {error}") from error
        if reference.digest and reference.digest != digest:
            raise InvalidArgument(f"digest: {digest} contradicts {option}, which has {reference.digest}")
        reference = reference._replace(digest=digest)
    return reference, None


def wanted_image(params: t.Mapping[str, t.Any], option: str) -> Wanted:
    """What a task asks for; with pull always or newer the registry is asked (HEAD) here, so that check mode knows too."""
    check_registry_options(params)
    reference, image_id = parse_name(params, option)
    platform = Platform.parse(params["platform"]) if params.get("platform") else None
    want = Wanted(reference, image_id, platform, params["pull"], params)
    if want.pull not in ("always", "newer") or reference is None:
        return want
    try:
        client = registry_client(params)
        try:
            return want._replace(remote=client.resolve(reference).descriptor)
        finally:
            client.close()
    except EngineError as error:
        if want.pull == "always" or isinstance(error, InvalidArgument):
            raise
        return want._replace(problem=error)


def find_image(want: Wanted, engine: Engine) -> t.Optional[Found]:
    """The record and how whole it is; None when there is no record."""
    try:
        record = engine.images.get(want.reference.record) if want.reference else _by_id(want, engine)
    except NotFound:
        return None
    return look_at(engine, record, want.platform, want.params.get("snapshotter") or "")


def look_at(engine: Engine, record: Image, platform: t.Optional[Platform], snapshotter: str = "") -> Found:
    """How whole an image is."""
    from ..image.inspect import inspect

    found = inspect(engine, record, platform or Platform.host(), snapshotter)
    return Found(record, None if found.missing else found.view, found.missing)


def _by_id(want: Wanted, engine: Engine) -> Image:
    for record in engine.images.list():
        if want.image_id == record.target.digest:
            return record
    for record in engine.images.list():
        found = look_at(engine, record, want.platform)
        if found.view and want.image_id in (found.view.manifest.digest, found.view.config.digest):
            return record
    raise NotFound(f"no image has the id {want.image_id}")


def pull_reason(want: Wanted, have: t.Optional[Found]) -> str:
    """Why the image has to be pulled; empty when what is there is as asked for."""
    if have is None:
        return "it is not there"
    if want.remote and want.remote.digest != have.record.target.digest:
        return f"the registry has {want.remote.digest[:19]}, here is {have.record.target.digest[:19]}"
    pin = want.reference.digest if want.reference else None
    if pin and pin != have.record.target.digest and not (have.view and pin == have.view.manifest.digest):
        return f"pinned to {pin[:19]}, here is {have.record.target.digest[:19]}"
    return f"damaged or not whole: {have.missing[0]}" if have.missing else ""


def pull_steps(want: Wanted, have: t.Optional[Found], engine: Engine, done: t.Dict[str, t.Any]) -> t.List[Step]:
    """The step that makes the image present, or none. What the pull did is put into done."""
    reason = pull_reason(want, have)
    if not reason:
        return []
    if want.reference is None:
        raise NotFound(f"the image {want.label} is not there, and an image id cannot be pulled: give its name")
    if want.pull == "never":
        raise NotFound(f"the image {want.label} cannot be used ({reason}), and pull is never")
    if want.problem:
        if have is None or have.missing:
            raise want.problem
        return []
    title = f"pull image {want.label}" + (f" for {want.platform}" if want.platform else "")
    return [Step(title + (f" ({reason})" if have else ""), lambda: _pull(want, engine, done))]


def warnings_of(want: Wanted, have: t.Optional[Found]) -> t.List[str]:
    """What a user should know although the task succeeds."""
    if want.problem and have:
        return [f"the registry could not be asked for a newer {want.label}: {want.problem}"]
    return []


def _pull(want: Wanted, engine: Engine, done: t.Dict[str, t.Any]) -> None:
    from ..image.pull import pull

    if want.reference is None:
        raise Unavailable("an image id cannot be pulled")
    client = registry_client(want.params)
    try:
        result = pull(
            engine,
            client,
            want.reference,
            want.platform or Platform.host(),
            snapshotter=want.params.get("snapshotter") or "",
            max_parallel=want.params.get("max_parallel") or 3,
        )
    finally:
        client.close()
    done.update(result.facts())
