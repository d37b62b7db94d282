# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container: what is asked for, what is there, and the plan between them."""

from __future__ import annotations

import functools
import typing as t

from ...engine import labels as L
from ...engine.models import CREATED, STOPPED, Container, TaskState
from ...errors import EngineError, FailedPrecondition, InvalidArgument, NotFound, printable
from ...kernel.converge import Plan
from ...kernel.engines import EngineOptions, kept_by_embedded
from ...kernel.field import IGNORE, Change, Field, compare
from ..image.find import find_image
from ..image.pull import has_to_be_pulled, pull_title, wanted_image
from ..image.values import FoundImage, WantedImage
from .options import ROWS, comparison_modes, effective, fields_for, image_defaults, parse_given

if t.TYPE_CHECKING:
    from ...engine.api import Engine

_NAME_LIMIT = 76
_OTHER_COMPARED = ("image",)


class Want(t.NamedTuple):
    """given: canonical values of the options that the task gives. image: None when the task names none."""

    name: str
    state: str
    given: t.Dict[str, t.Any]
    modes: t.Dict[str, str]
    image: t.Optional[WantedImage]
    params: t.Mapping[str, t.Any]


class Have(t.NamedTuple):
    """container is None when there is none. stored is what it was made with (None: not made by us).

    image is what the store has for the wanted image. leftovers are containers that an interrupted recreation left.
    """

    container: t.Optional[Container]
    task: t.Optional[TaskState]
    stored: t.Optional[t.Mapping[str, t.Any]]
    image: t.Optional[FoundImage]
    leftovers: t.Tuple[Container, ...] = ()

    @property
    def running(self) -> bool:
        return self.task is not None and self.task.status not in (STOPPED, CREATED)


def check_name(name: str) -> str:
    """A container name as nerdctl takes it: [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 76 characters."""
    plain = name.replace("_", "a").replace(".", "a").replace("-", "a")
    if not (plain.isalnum() and plain.isascii() and name[0].isalnum() and len(name) <= _NAME_LIMIT):
        raise InvalidArgument(
            f"name: {printable(name, 100)!r} is not a container name: letters, digits, hyphen, dot and underscore, "
            f"a letter or digit first, at most {_NAME_LIMIT} characters"
        )
    return name


def find_container(engine: Engine, name: str) -> t.Optional[Container]:
    """The container of that human name (also one that nerdctl made), else the one whose id it is."""
    found = engine.containers.list({L.NAME: name})
    if found:
        return found[0]
    try:
        return engine.containers.get(name)
    except NotFound:
        return None


def elsewhere_or_warning(params: t.Mapping[str, t.Any], engine: Engine, name: str) -> t.Tuple[str, str]:
    """Why a container that is not here is not simply absent, and what prevents to tell; each empty where there is nothing to say."""
    try:
        return kept_by_embedded(EngineOptions.of(params), engine.kind, name), ""
    except EngineError as error:
        return "", f"it cannot be told whether the embedded engine has a container {name}: {error}"


def task_of(engine: Engine, container: t.Optional[Container]) -> t.Optional[TaskState]:
    try:
        return engine.tasks.state(container.id) if container else None
    except NotFound:
        return None


class ContainerResource:
    """One container name."""

    def __init__(self) -> None:
        self._done: t.Dict[str, t.Any] = {}

    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> Want:
        name = check_name(params["name"])
        if params["state"] == "absent":
            return Want(name, "absent", {}, {}, None, params)
        if params["cleanup"] and params["detach"]:
            raise InvalidArgument("cleanup: needs detach=false")
        check_wait(params)
        given = parse_given(params)
        image = wanted_image(params, "image") if params["image"] else None
        return Want(name, params["state"], given, comparison_modes(params, _OTHER_COMPARED), image, params)

    def observe(self, want: Want, engine: Engine) -> Have:
        container = find_container(engine, want.name)
        stored = container.extensions.get(L.DESIRED) if container else None
        image = find_image(want.image, engine) if want.image else None
        task, leftovers = task_of(engine, container), _leftovers(engine, want.name)
        if container and stored is not None and task and task.status == STOPPED and leaves_nothing(want):
            return Have(None, None, None, image, (container, *leftovers))
        return Have(container, task, stored, image, leftovers)

    def lock(self, want: Want, engine: Engine) -> t.ContextManager[t.Any]:
        from .jobs import NameLock

        return NameLock(engine, want)

    def plan(self, want: Want, have: Have, engine: Engine) -> Plan:
        from .plan import Planner

        self._done = {}
        planner = Planner(engine, want, have, self._done)
        if have.container is None:
            elsewhere, warning = elsewhere_or_warning(want.params, engine, want.name)
            if elsewhere:
                raise FailedPrecondition(elsewhere)
            planner.warnings += [warning] if warning else []
        plan = planner.plan()
        if want.state == "absent" or not plan.steps:
            return plan
        from .check import Outlook

        makes = have.container is None or "recreated_because" in plan.result
        plan = plan._replace(foresee=Outlook(engine, want, have, makes).foresee)
        if have.container is None and isinstance(plan.after, dict):
            return plan._replace(after=functools.partial(with_digest, want, plan.after))
        return plan

    def facts(self, want: Want, have: Have, engine: Engine) -> t.Dict[str, t.Any]:
        from .facts import container_facts

        out: t.Dict[str, t.Any] = {"container": {}}
        if "container" in self._done:
            out.update(self._done)
        elif have.container and want.state != "absent":
            out["container"] = container_facts(engine, have.container, have.task)
            if not want.params["detach"] and want.state == "started" and have.task and have.task.status == STOPPED:
                from .jobs import output_of

                out.update(status=have.task.exit_status)
                out["container"]["Output"] = output_of(engine, have.container)
        return out


def leaves_nothing(want: Want) -> bool:
    """With cleanup a job leaves no container behind: one that has ended is of a run that was interrupted before that."""
    return bool(want.state == "started" and want.params["cleanup"] and want.image)


def check_wait(params: t.Mapping[str, t.Any]) -> None:
    limit = params["wait_timeout"]
    if limit is not None and params["detach"]:
        raise InvalidArgument(f"wait_timeout: {limit:g} seconds need detach=false")
    if limit is not None and not 0 < limit < float("inf"):
        raise InvalidArgument(f"wait_timeout: {limit:g} is not a number of seconds above 0")


def _leftovers(engine: Engine, name: str) -> t.Tuple[Container, ...]:
    return tuple(engine.containers.list({L.STAGE: name}))


class Differences(t.NamedTuple):
    """changes: what makes a new container necessary; live: what does not.

    reset: what a new container loses because the task does not give it any more.
    """

    changes: t.List[Change]
    live: t.List[Change]
    reset: t.List[Change]


def differences(want: Want, have: Have) -> Differences:
    """What differs between a container that was made by us and what is asked for."""
    if have.stored is None:
        return Differences([], [], [])
    stored = have.stored
    had = effective(stored["given"], stored["defaults"])
    if have.container is not None and want.given.get("labels") is not None:
        had["labels"] = {k: v for k, v in have.container.labels.items() if not k.startswith(L.RESERVED)}
    wanted_all = effective(want.given, stored["defaults"])
    wanted = {option: wanted_all[option] for option in want.given}
    found = compare(fields_for(want.given, want.modes), wanted, had)
    image = image_change(want, have)
    changes = [change for change in found if not change.field.live] + ([image] if image else [])
    return Differences(changes, [change for change in found if change.field.live], reset_by(want, have) if changes else [])


def reset_by(want: Want, have: Have) -> t.List[Change]:
    """What a container that is made anew loses: options that the task does not give any more become those of the image."""
    stored = have.stored or {"given": {}, "defaults": {}}
    image = coming(want, have) or have.image
    defaults = image_defaults(image.view.image_config) if image and image.view else stored["defaults"]
    had, gets = effective(stored["given"], stored["defaults"]), effective(want.given, defaults)
    return [
        Change(row.field, had[row.field.option], gets[row.field.option])
        for row in ROWS
        if row.field.option in stored["given"] and row.field.option not in want.given
    ]


def with_digest(want: Want, after: t.Mapping[str, t.Any], end: Have) -> t.Dict[str, t.Any]:
    """One side of a diff, with the digest of the image, which is known only in the end (or by the registry, in check mode)."""
    image = None if end.stored else coming(want, end) or end.image
    digest = end.stored["image"]["manifest"] if end.stored else image.view.manifest.digest if image and image.view else ""
    return {**after, "image": {"name": want.image.label if want.image else "", "digest": str(digest)}}


def coming(want: Want, have: Have) -> t.Optional[FoundImage]:
    """The image that a pull will bring, as the registry tells; None where nothing is to be pulled. Raises what the pull would."""
    reason = has_to_be_pulled(want.image, have.image) if want.image else ""
    if want.image is None or want.image.registry is None or not reason:
        return None
    from ..image.foreseen import foresee

    try:
        return foresee(want.image.registry(), want.image, have.image)
    except EngineError as error:
        error.details.setdefault("failed_action", pull_title(want.image, have.image, reason))
        raise


def image_change(want: Want, have: Have) -> t.Optional[Change]:
    """The image as a difference: by digest, and by name where image_name_mismatch says so."""
    if want.image is None or have.stored is None or want.modes.get("image", want.modes.get("*")) == IGNORE:
        return None
    stored = have.stored["image"]
    before = {"name": stored["name"], "digest": stored["manifest"]}
    if want.image.image_id:
        if want.image.image_id in (stored["target"], stored["manifest"], stored["config"]):
            return None
        return Change(Field("image"), before, {"id": str(want.image.image_id)})
    name = str(want.image.reference.record) if want.image.reference else ""
    digest = _wanted_digest(want, have, stored)
    same_image = digest in (stored["target"], stored["manifest"], "")
    if same_image and (stored["name"] == name or want.params["image_name_mismatch"] == "ignore"):
        return None
    return Change(Field("image"), before, {"name": name, "digest": digest or stored["manifest"]})


def _wanted_digest(want: Want, have: Have, stored: t.Mapping[str, t.Any]) -> str:
    """The digest of what the container would run now; empty when only the name can tell and it is the same.

    That of the manifest for the platform: where an index has others for other platforms, nothing has changed.
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
