# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Missing or outdated images: the reason for a pull, and the step that does it. Shared by images and containers."""

from __future__ import annotations

import functools
import typing as t

from ...engine.labels import PINNED, PINNED_VALUE
from ...errors import EngineError, InvalidArgument, NotFound, Unavailable
from ...kernel.converge import Step
from ..registry.client import registry_client
from ..registry.options import registry_options
from .find import pin_problem
from .values import FoundImage, WantedImage, parse_name, parse_platforms

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...image.api import Registry
    from ...image.pull import Job, PullResult
    from ...registry.options import RegistryOptions


#: What pull is in a check that takes it that the registry has another image.
ASSUMED = "assumed"
_DOCKERS_WORDS: t.Mapping[t.Any, str] = {True: "always", False: "missing"}


def wanted_image(params: t.Mapping[str, t.Any], option: str) -> WantedImage:
    """The wanted image. With pull always or newer the registry is asked (HEAD) here, so that check mode knows the answer too."""
    options = registry_options(params)
    want = parse_wanted(params, option)._replace(registry=functools.lru_cache(maxsize=None)(lambda: _registry(options)))
    return ask_registry(want.registry(), want) if want.pull in ("always", "newer") and want.reference else want


def _registry(options: RegistryOptions) -> Registry:
    from ...image.asked import Asked

    return Asked(registry_client(options))


def parse_wanted(params: t.Mapping[str, t.Any], option: str) -> WantedImage:
    return WantedImage(
        *parse_name(params, option),
        *parse_platforms(params.get("platform")),
        _DOCKERS_WORDS.get(params["pull"], params["pull"]),
        params.get("snapshotter") or "",
        params.get("unpack") is not False,
        params.get("pinned"),
    )


def ask_registry(registry: Registry, want: WantedImage) -> WantedImage:
    """Ask the registry for the present digest. With pull newer, a registry that does not answer is not an error yet."""
    if want.reference is None:
        return want
    try:
        return want._replace(remote=registry.resolve(want.reference).descriptor)
    except EngineError as error:
        if want.pull == "always" or isinstance(error, InvalidArgument):
            raise
        return want._replace(problem=error)


def pull_reason(want: WantedImage, have: t.Optional[FoundImage]) -> str:
    """Why the image has to be pulled; empty if the present one is as wanted."""
    if have is None:
        return "it is not there"
    if want.pull == ASSUMED:
        return "the registry is not asked, and may have another one"
    if want.remote and want.remote.digest != have.record.target.digest:
        return f"the registry has {want.remote.digest[:19]}, here is {have.record.target.digest[:19]}"
    return pin_problem(want, have) or (f"damaged or incomplete: {have.missing[0]}" if have.missing else "")


def has_to_be_pulled(want: WantedImage, have: t.Optional[FoundImage]) -> str:
    """pull_reason, if a pull is possible and allowed; else raises an error that tells why the image is not available."""
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


def pull_title(want: WantedImage, have: t.Optional[FoundImage], reason: str) -> str:
    """The title of the pull, for users."""
    platforms = "all platforms" if want.every else ", ".join(map(str, want.platforms))
    return f"pull image {want.label}" + (f" for {platforms}" if platforms else "") + (f" ({reason})" if have else "")


def pull_job(want: WantedImage, registry: Registry) -> Job:
    """The job for the Puller."""
    from ...image.pull import Job
    from ...image.source import RegistrySource

    if want.reference is None:
        raise Unavailable("an image id cannot be pulled")
    return Job(
        RegistrySource(registry, want.reference),
        want.platforms or (want.platform,),
        want.every,
        want.unpack,
        want.verify,
        pin_labels(want),
        bool(want.platforms),
    )


def pin_labels(want: WantedImage) -> t.Tuple[t.Tuple[str, str], ...]:
    """The changes of the record's labels by the option pinned; none if it is not given."""
    return () if want.pinned is None else ((PINNED, PINNED_VALUE if want.pinned else ""),)


def pull_steps(
    want: WantedImage, have: t.Optional[FoundImage], engine: Engine, warnings: t.List[str], progress_file: str
) -> t.List[Step]:
    """The step that makes the image present, if one is needed. Warnings about the pull are added to warnings."""
    reason = has_to_be_pulled(want, have)

    def pull() -> None:
        warnings.extend(refusals(_pull(want, engine, progress_file)))

    return [Step(pull_title(want, have, reason), pull)] if reason else []


def warnings_of(want: WantedImage, have: t.Optional[FoundImage]) -> t.List[str]:
    """The warnings of a task that succeeds."""
    if want.problem and have:
        return [f"the registry could not be asked for a newer {want.label}: {want.problem}"]
    return []


def refusals(result: PullResult) -> t.List[str]:
    """Warnings about hosts that sent wrong content, although others had the right one."""
    return [
        f"{host} sent something else for the blob {digest} of {result.image.name}, which came from {result.served_by[digest]}"
        for digest, host in result.refused
        if digest in result.served_by
    ]


def _pull(want: WantedImage, engine: Engine, progress_file: str) -> PullResult:
    from ...image.progress import watched
    from ...image.pull import Puller

    client = want.registry()
    job = pull_job(want, client)
    try:
        with Puller(engine, [job], want.snapshotter) as puller, watched(puller, progress_file):
            return puller.pull(job)
    finally:
        client.close()
