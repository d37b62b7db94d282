# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image that a task names: what is asked for, what is there, and the step that pulls it. Shared by images and containers."""

from __future__ import annotations

import functools
import re
import typing as t

from ...engine.labels import PINNED, PINNED_VALUE
from ...engine.models import Image
from ...errors import EngineError, InvalidArgument, NotFound, Unavailable, printable
from ...kernel.converge import Step
from ...oci.descriptor import Descriptor
from ...oci.digest import Digest
from ...oci.platform import Platform
from ...oci.reference import Reference
from ..registry.options import check_registry_options, registry_client

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...image.asked import Asked
    from ...image.inspect import ImageView
    from ...image.pull import Job, PullResult
    from ...registry.client import RegistryClient

_IMAGE_ID = re.compile(r"sha256:[a-f0-9]{64}\Z")


class Wanted(t.NamedTuple):
    """reference, or image_id where an id was given. remote: what the registry says now, where pull asks it.

    platforms: for which the image has to be there (none: the target's); every: for all that it has.
    problem: why the registry could not be asked (pull: newer goes on with what is there). registry: gives whom to ask and to pull from.
    """

    reference: t.Optional[Reference]
    image_id: t.Optional[Digest]
    platforms: t.Tuple[Platform, ...]
    pull: str
    params: t.Mapping[str, t.Any]
    every: bool = False
    remote: t.Optional[Descriptor] = None
    problem: t.Optional[EngineError] = None
    registry: t.Optional[t.Callable[[], Asked]] = None

    @property
    def platform(self) -> Platform:
        """The one that is shown, and that containers run."""
        return self.platforms[0] if self.platforms else Platform.host()

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
    tag = params.get("tag") or "latest"
    reference = Reference.parse(text, option, tag)
    if tag != "latest":
        # As Docker and Podman have it, a tag may be a digest, or carry one.
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
    return reference, None


def parse_platforms(value: t.Union[str, t.Sequence[str], None]) -> t.Tuple[t.Tuple[Platform, ...], bool]:
    """The platforms that an option names, and whether it asks for all."""
    texts = [value] if isinstance(value, str) else list(value or ())
    if "all" in texts:
        if len(texts) > 1:
            raise InvalidArgument(f"platform: all stands alone, and here are {printable(', '.join(map(str, texts)), 200)}")
        return (), True
    return tuple(dict.fromkeys(Platform.parse(text) for text in texts)), False


def wanted_image(params: t.Mapping[str, t.Any], option: str) -> Wanted:
    """What a task asks for; with pull always or newer the registry is asked (HEAD) here, so that check mode knows too."""
    check_registry_options(params)
    registry = functools.lru_cache(maxsize=None)(lambda: _registry(params))
    want = parse_wanted(params, option)._replace(registry=registry)
    if want.pull not in ("always", "newer") or want.reference is None:
        return want
    return ask_registry(registry(), want)


def _registry(params: t.Mapping[str, t.Any]) -> Asked:
    from ...image.asked import Asked

    return Asked(registry_client(params))


def parse_wanted(params: t.Mapping[str, t.Any], option: str) -> Wanted:
    reference, image_id = parse_name(params, option)
    platforms, every = parse_platforms(params.get("platform"))
    return Wanted(reference, image_id, platforms, params["pull"], params, every)


def ask_registry(client: t.Union[RegistryClient, Asked], want: Wanted) -> Wanted:
    """What the registry has now. With pull newer a registry that does not answer is no error yet."""
    if want.reference is None:
        return want
    try:
        return want._replace(remote=client.resolve(want.reference).descriptor)
    except EngineError as error:
        if want.pull == "always" or isinstance(error, InvalidArgument):
            raise
        return want._replace(problem=error)


def find_image(want: Wanted, engine: Engine, records: t.Optional[t.Mapping[str, Image]] = None) -> t.Optional[Found]:
    """The record and how whole it is; None when there is no record. records: all of the engine by name, where they are known."""
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


def _look(engine: Engine, record: Image, want: Wanted) -> Found:
    """How whole an image is, for all that is wanted of it."""
    from ...image.inspect import inspect, platform_problem

    params = want.params
    snapshotter, unpacked = params.get("snapshotter") or "", params.get("unpack") is not False
    views: t.List[t.Optional[ImageView]] = []
    missing: t.List[str] = []
    for platform in want.platforms or (want.platform,):
        found = inspect(engine, record, platform, snapshotter, unpacked)
        views.append(found.view)
        missing.extend(word if len(want.platforms) < 2 else f"for {platform}: {word}" for word in found.missing)
        if found.view and want.platforms:
            missing.extend(platform_problem(record.target, found.view, platform))
        if found.view and params.get("verify"):
            from ...image.verify import verify

            missing.extend(verify(engine, found.view, snapshotter).words)
    if want.every and not missing:
        missing.extend(_lacking(engine, record))
    return Found(record, None if missing else views[0], tuple(missing))


def _lacking(engine: Engine, record: Image) -> t.List[str]:
    """What lacks of any platform that the image's index names."""
    from ...image.walk import Selection, stored_tree

    try:
        stored_tree(engine.content, record.target, Selection(None), record.name)
    except NotFound as error:
        return [str(error)]
    return []


def look_at(engine: Engine, record: Image, platform: t.Optional[Platform], snapshotter: str = "") -> Found:
    """How whole an image is for one platform."""
    from ...image.inspect import inspect

    found = inspect(engine, record, platform or Platform.host(), snapshotter)
    return Found(record, None if found.missing else found.view, found.missing)


def _by_id(want: Wanted, engine: Engine, records: t.Sequence[Image]) -> Image:
    for record in records:
        if want.image_id == record.target.digest:
            return record
    for record in records:
        try:
            found = look_at(engine, record, want.platform)
        except InvalidArgument:
            continue  # an artifact that is no image
        if found.view and want.image_id in (found.view.manifest.digest, found.view.config.digest):
            return record
    raise NotFound(f"no image has the id {want.image_id}")


def pull_reason(want: Wanted, have: t.Optional[Found]) -> str:
    """Why the image has to be pulled; empty when what is there is as asked for."""
    if have is None:
        return "it is not there"
    if want.remote and want.remote.digest != have.record.target.digest:
        return f"the registry has {want.remote.digest[:19]}, here is {have.record.target.digest[:19]}"
    return pin_problem(want, have) or (f"damaged or not whole: {have.missing[0]}" if have.missing else "")


def pin_problem(want: Wanted, have: Found) -> str:
    """Why an image is not the pinned one; empty when it is, or when none is."""
    pin = want.reference.digest if want.reference else None
    if pin and pin != have.record.target.digest and not (have.view and pin == have.view.manifest.digest):
        return f"pinned to {pin[:19]}, here is {have.record.target.digest[:19]}"
    return ""


def has_to_be_pulled(want: Wanted, have: t.Optional[Found]) -> str:
    """pull_reason, where a pull is possible and allowed; else the error that says why the image cannot be had."""
    reason = pull_reason(want, have)
    if not reason:
        return ""
    if want.reference is None:
        raise NotFound(f"the image {want.label} is not there, and an image id cannot be pulled: give its name")
    if want.pull == "never":
        raise NotFound(f"the image {want.label} cannot be used ({reason}), and pull is never")
    if want.problem:
        if have is None or have.missing:
            raise want.problem
        return ""
    return reason


def pull_title(want: Wanted, have: t.Optional[Found], reason: str) -> str:
    """The pull as a user reads it."""
    platforms = "all platforms" if want.every else ", ".join(map(str, want.platforms))
    return f"pull image {want.label}" + (f" for {platforms}" if platforms else "") + (f" ({reason})" if have else "")


def pull_job(want: Wanted) -> Job:
    """What the pull is told."""
    from ...image.pull import Job

    if want.reference is None:
        raise Unavailable("an image id cannot be pulled")
    params = want.params
    return Job(
        want.reference,
        want.platforms or (want.platform,),
        want.every,
        params.get("unpack") is not False,
        bool(params.get("verify")),
        pin_labels(want),
        bool(want.platforms),
    )


def pin_labels(want: Wanted) -> t.Tuple[t.Tuple[str, str], ...]:
    """What the option pinned makes of the record's labels; nothing where it is not given."""
    pinned = want.params.get("pinned")
    return () if pinned is None else ((PINNED, PINNED_VALUE if pinned else ""),)


def pull_steps(want: Wanted, have: t.Optional[Found], engine: Engine, warnings: t.List[str]) -> t.List[Step]:
    """The step that makes the image present, or none. What a user should know of the pull is added to warnings."""
    reason = has_to_be_pulled(want, have)
    return [Step(pull_title(want, have, reason), lambda: _pull(want, engine, warnings))] if reason else []


def warnings_of(want: Wanted, have: t.Optional[Found]) -> t.List[str]:
    """What a user should know although the task succeeds."""
    if want.problem and have:
        return [f"the registry could not be asked for a newer {want.label}: {want.problem}"]
    return []


def refusals(result: PullResult) -> t.List[str]:
    """About hosts whose content was wrong, although others had the right one."""
    return [
        f"{host} sent something else for the blob {digest} of {result.image.name}, which came from {result.served_by[digest]}"
        for digest, host in result.refused
        if digest in result.served_by
    ]


def _pull(want: Wanted, engine: Engine, warnings: t.List[str]) -> None:
    from ...image.pull import Puller

    client, job = want.registry() if want.registry else registry_client(want.params), pull_job(want)
    try:
        with Puller(engine, client, [job], want.params.get("snapshotter") or "", want.params.get("max_parallel") or 3) as puller:
            warnings.extend(refusals(puller.pull(job)))
    finally:
        client.close()
