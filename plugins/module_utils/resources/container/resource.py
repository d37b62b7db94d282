# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container: the wanted container, the found one, and the plan between them."""

from __future__ import annotations

import functools
import math
import os
import typing as t

from ...engine import labels as L
from ...engine.models import STOPPED
from ...errors import FailedPrecondition, InvalidArgument, printable
from ...kernel.converge import Facts, Plan
from ...kernel.engines import EngineOptions
from ...kernel.field import ignored
from ...network.places import Places
from ..image.find import find_image
from ..image.pull import ASSUMED, wanted_image
from ..image.values import progress_file
from .differences import check_labels, with_digest
from .find import elsewhere_or_warning, find_container, heir, is_staged, leftovers, mark_of, named, task_of
from .options.life import STOP, kill_of, stop_of
from .options.limits import changed_by_others
from .options.supervision import goes_by_itself
from .options.table import comparison_modes, known, parse_given
from .steps import was_stopped
from .values import FoundContainer, WantedContainer, check_name

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from .options.ready import Ready
    from .plan import Planner

_OTHER_COMPARED = ("image",)


class ContainerResource:
    """The container of one name."""

    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> WantedContainer:
        name, state, options = check_name(params["name"]), params["state"], EngineOptions.of(params)
        keeps, progress = params["keep_volumes"] and not params["cleanup"], progress_file(params)
        if state == "absent":
            stop = stop_of(parse_given(params, STOP), kill_of(params))
            return WantedContainer(name, state, options, stop, keeps, removal=_removal(params))
        if state == "previous":
            common: t.Dict[str, t.Any] = {
                "keep_volumes": keeps,
                "progress_file": progress,
                "ready": _ready(params),
                **_kept(params),
            }
            return _previous(params, engine, WantedContainer(name, state, options, **common))
        if params["cleanup"] and params["detach"]:
            raise InvalidArgument("cleanup: needs detach=false")
        check_wait(params)
        ready, healthy = _ready(params), state == "healthy"
        check_paused(params)
        given = known(engine, name, parse_given(params))
        return WantedContainer(
            name,
            "started" if healthy else state,
            options,
            stop_of(given, kill_of(params)),
            keeps,
            Places(params["cni_conf_dir"], bin_dirs=tuple(params["cni_bin_dir"])).checked(),
            given,
            _modes(params["comparisons"]),
            wanted_image(params, "image") if params["image"] else None,
            strict_name=params["image_name_mismatch"] == "recreate",
            strict_labels=params["image_label_mismatch"] == "fail",
            compare_with_own=params["image_comparison"] == "current-image",
            in_place=params["update_in_place"],
            ready=ready,
            healthy=healthy,
            cleanup=params["cleanup"] or (goes_by_itself(given) and not params["detach"]),
            removal=_removal(params),
            progress_file=progress,
            **_kept(params),
            **{
                name: params[name] for name in ("detach", "wait_timeout", "output_logs", "recreate", "restart", "adopt", "paused")
            },
        )

    def observe(self, want: WantedContainer, engine: Engine) -> FoundContainer:
        container, kept = find_container(engine, want.name), leftovers(engine, want.name)
        left, staged = tuple(one for one in kept if not is_staged(one)), tuple(filter(is_staged, kept))
        chosen = heir(left) if container is None else None
        if chosen:
            container, left = named(chosen, want.name), tuple(one for one in left if one.id != chosen.id)
        stored = container.extensions.get(L.DESIRED) if container else None
        image = find_image(want.image, engine) if want.image else None
        task = task_of(engine, container)
        goes = want.leaves_nothing or goes_by_itself((stored or {}).get("given", {}))
        if container and stored is not None and task and task.status == STOPPED and goes:
            return FoundContainer(None, None, None, image, (container, *left))
        torn = container is not None and stored is not None and os.path.exists(mark_of(engine, container))
        have = FoundContainer(container, task, stored, image, left, torn, chosen is not None, staged)
        have = have._replace(drift=_drift(want, have))
        return have._replace(to_run=_was_to_run(engine, have))

    def lock(self, want: WantedContainer, engine: Engine) -> t.ContextManager[t.Any]:
        from .jobs import NameLock

        return NameLock(engine, want)

    def plan(self, want: WantedContainer, have: FoundContainer, engine: Engine) -> Plan:
        from .plan import Planner

        if want.strict_labels and want.image:
            check_labels(want, have)
        planner = Planner(engine, want, have)
        if have.container is None:
            elsewhere, warning = elsewhere_or_warning(want.engine, engine, want.name)
            if elsewhere:
                raise FailedPrecondition(elsewhere)
            planner.warnings += [warning] if warning else []
        plan = planner.plan()
        plan = plan._replace(facts=functools.partial(_facts, planner))
        if want.state == "absent" or not plan.steps:
            return plan
        from .check import Outlook

        makes = have.container is None or bool(planner.because)
        plan = plan._replace(foresee=Outlook(planner.host, want, have, makes).foresee)
        if have.container is None and isinstance(plan.after, dict):
            return plan._replace(after=functools.partial(with_digest, want, plan.after))
        return plan


def in_check_mode(params: t.Mapping[str, t.Any]) -> t.Mapping[str, t.Any]:
    """There, pull_check_mode_behavior decides what asking for a newer image means."""
    pull = {"image_not_present": "missing", "always": ASSUMED}.get(params["pull_check_mode_behavior"])
    return {**params, "pull": pull} if pull and params["pull"] in ("always", "newer", True) else params


def _previous(params: t.Mapping[str, t.Any], engine: Engine, want: WantedContainer) -> WantedContainer:
    from .previous import wanted_again

    places = Places(params["cni_conf_dir"], bin_dirs=tuple(params["cni_bin_dir"])).checked()
    stop = stop_of(parse_given(params, STOP), params["force_kill"])
    return wanted_again(params, engine, want._replace(stop=stop, places=places))


def _drift(want: WantedContainer, have: FoundContainer) -> t.Tuple[str, ...]:
    """The limits that something else has changed, unless the task does not want them compared."""
    if not (have.container and have.stored and have.task and have.task.pid and have.running and want.in_place):
        return ()
    found = changed_by_others(have.task.pid, have.container.spec, have.stored["given"])
    return tuple(option for option in found if not ignored(option, want.modes))


def _was_to_run(engine: Engine, have: FoundContainer) -> bool:
    """The label alone does not tell it: a task may have been killed before it stopped the container."""
    container = have.container
    return bool(container and L.TO_RUN in container.labels and not have.running and was_stopped(engine, container))


def _ready(params: t.Mapping[str, t.Any]) -> t.Optional[Ready]:
    if params["ready"] is None and params["state"] != "healthy" and not math.isnan(params["healthy_wait_timeout"]):
        return None
    from .options.ready import ready_of

    return ready_of(params)


def _modes(given: t.Optional[t.Mapping[str, t.Any]]) -> t.Dict[str, str]:
    """The option comparisons, without aliases."""
    if not given:
        return {}
    from ...argument_specs.containerd_container import SPEC

    options: t.Any = SPEC["argument_spec"]
    aliases = {alias: name for name, option in options.items() for alias in option.get("aliases", ())}
    found = {aliases.get(name, name): mode for name, mode in given.items()}
    if len(found) < len(given):
        raise InvalidArgument(f"comparisons: {', '.join(sorted(given))}: two of these are names of one option")
    return comparison_modes(found, _OTHER_COMPARED)


def _facts(planner: Planner, end: FoundContainer) -> Facts:
    from .facts import container_facts

    because = {"recreated_because": planner.because} if planner.because else {}
    want, engine, told = planner.want, planner.engine, planner.job.told
    if told:
        warnings = [_printed(want.name, told.result["container"]["Output"])] if want.output_logs else []
        return told._replace(result={**because, **told.result}, warnings=warnings)
    out: t.Dict[str, t.Any] = {**because, "container": {}}
    if want.state == "staged" and end.staged:
        out["staged"] = container_facts(engine, end.staged[0], None)
    if end.container and want.state != "absent":
        out["container"] = container_facts(engine, end.container, end.task)
        if want.job and end.task and end.task.status == STOPPED:
            from .jobs import output_of

            out.update(status=end.task.exit_status)
            out["container"]["Output"] = output_of(engine, end.container)
    return Facts(out, failure=planner.unhealthy(end))


def check_paused(params: t.Mapping[str, t.Any]) -> None:
    if params["paused"] and not (params["state"] in ("started", "present", "healthy") and params["detach"]):
        raise InvalidArgument(f"paused: true needs a container that runs: state={params['state']}, detach={params['detach']}")


def _removal(params: t.Mapping[str, t.Any]) -> t.Optional[float]:
    limit: t.Optional[float] = params["removal_wait_timeout"]
    if limit is not None and not 0 <= limit < float("inf"):
        raise InvalidArgument(f"removal_wait_timeout: {limit:g} is not a number of seconds")
    return limit


def _kept(params: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """What stays of a recreation."""
    count = params["keep_old"]
    if count < 0:
        raise InvalidArgument(f"keep_old: {count} is not a number of containers")
    if count:
        from .kept_old import check_name_of_old

        check_name_of_old(params["name"], count)
    return {"keep_new": params["on_recreate_failure"] == "keep_new", "keep_old": count}


def _printed(name: str, output: str) -> str:
    """What a job has printed, for people who look at the play."""
    lines = output.replace("\r", "").rstrip("\n").split("\n")
    text = "\n".join(printable(line, len(line)) for line in lines)
    return f"the container {name} printed:\n{text}" if text.strip() else f"the container {name} printed nothing"


def check_wait(params: t.Mapping[str, t.Any]) -> None:
    limit = params["wait_timeout"]
    if limit is not None and params["detach"]:
        raise InvalidArgument(f"wait_timeout: {limit:g} seconds need detach=false")
    if limit is not None and not 0 < limit < float("inf"):
        raise InvalidArgument(f"wait_timeout: {limit:g} is not a number of seconds above 0")
