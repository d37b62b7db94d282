# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for one container: the steps from the present container to the wanted one."""

from __future__ import annotations

import typing as t

from ...engine import labels as L
from ...engine.models import PAUSED, STOPPED, Container
from ...errors import FailedPrecondition
from ...kernel.converge import Plan, Step
from ...kernel.field import render
from ..image.pull import warnings_of
from . import joined, networks, steps, volumes
from .differences import coming, differences
from .gone import check_gone
from .jobs import Job, start_service
from .options.depends_on import needs_of
from .options.row import Host
from .options.supervision import goes_by_itself
from .options.table import effective, image_defaults, load, look_at, shown, values_of
from .values import FoundContainer, WantedContainer

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from .making import Making

#: The advice when something could not be removed.
REST = "Remove what prevents it (lsattr shows immutable files); the next run of this task removes the rest"


def _nothing() -> None:
    """Before a start that needs nothing else."""


class Planner:
    """Makes the plan for one container."""

    def __init__(self, engine: Engine, want: WantedContainer, have: FoundContainer) -> None:
        self.engine, self.want, self.have = engine, want, have
        self.job = Job(engine, want)
        self.differ = differences(want, have)
        #: Why what runs has to be started again; empty if it has not.
        self.astray = joined.astray(engine, want, have)
        self.warnings: t.List[str] = []
        #: Why a new container is needed; empty if it is not.
        self.because: t.List[str] = []
        self.starts = False
        self.host = Host(engine, want.state == "started", self.warnings, [])

    def plan(self) -> Plan:
        want, have = self.want, self.have
        sweep = self._sweep_all()
        if have.nameless and have.container and want.state != "absent":
            sweep.insert(0, self._take_name(have.container))
        if want.state == "absent":
            if have.container is None:
                return Plan([*sweep, *self.put_away([]), *(self._making().unstage(one) for one in have.staged)])
            found = [self.remove(have.container, f"remove container {want.name}", stop=True), *self.put_away([])]
            sweep += [self._making().unstage(one) for one in have.staged]
            self._warn_users("has none then")
            before = {"exists": True, "state": _state(have)}
            return Plan(found + sweep, before, {"exists": False}, warnings=self.warnings)
        if want.state == "staged":
            made = self._stage()
        elif have.container is None:
            made = self._create()
        elif want.recreate or self.differ.changes or self._adopts() or self._damage():
            made = self._recreate(have.container)
        else:
            made = self._change(have.container)
        self._look(have.container is None or bool(self.because))
        if want.ready and (want.ready.health or want.ready.log) and want.state == "started":
            self._check_ready(have.container is None or bool(self.because))
        return made._replace(steps=[*sweep, *made.steps], warnings=self.warnings)

    def _look(self, makes: bool) -> None:
        """Warnings about the registry, and about the host when a container is made."""
        if self.want.image:
            self.warnings.extend(warnings_of(self.want.image, self.have.image))
        if makes:
            look_at(self.host, self.want.given)
        else:
            look_at(self.host, self.want.given, [change.field.option for change in self.differ.live])
            if self.have.container and self.want.state == "started" and (self.want.restart or not self.have.running):
                volumes.check_parts(self.engine, self.have.container)
        self._look_at_networks(makes)

    def _check_ready(self, makes: bool) -> None:
        """That there is a health check which can prove it, and a log."""
        from .options.ready import check_healthy, check_log

        want, have = self.want, self.have
        image = (coming(want, have) or have.image) if makes else None
        stored = have.stored or {"given": {}, "defaults": None}
        defaults = image_defaults(image.view.image_config) if image and image.view else stored["defaults"]
        if defaults is not None:
            given = want.given if makes else {**load(stored["given"]), **want.given}
            values = effective(given, defaults)
            if want.ready and want.ready.health:
                check_healthy(values, "state: healthy" if want.healthy else "ready.health")
            if want.ready and want.ready.log:
                check_log(values)

    def _look_at_networks(self, makes: bool) -> None:
        """What they ask of the host; and who shares those of a container that ends."""
        want, have = self.want, self.have
        live = self.differ.live if networks.changes(self.differ.live) else []
        starts = want.state == "started" and not have.running
        stays = have.container if have.stored is not None and (live or starts or self.astray) else None
        if makes or stays:
            from .networks_look import Look

            look = Look(self.host, want, have, want.state == "started" or (want.state == "present" and have.running))
            if makes or stays is None:
                look.at_new()
            else:
                look.at_old(stays, live)
        anew = have.running and makes and want.state not in ("stopped", "staged")
        if starts or (want.state == "started" and want.restart) or anew:
            self._warn_users("is to be started again")
        elif have.running and want.state == "stopped":
            self._warn_users("has none then")

    def _warn_users(self, what: str) -> None:
        for name, kinds in joined.users(self.engine, self.want.name):
            self.warnings.append(f"the container {name} uses namespaces of {self.want.name} ({', '.join(kinds)}), and {what}")

    def _stage(self) -> Plan:
        """Make the container that a later task is to start, if that would need a new one."""
        want, have, made = self.want, self.have, t.cast(t.List[Container], [])
        if have.container and not (want.recreate or self.differ.changes or self._adopts()):
            return Plan([], {"staged": bool(have.staged)}, {"staged": bool(have.staged)})
        self._because()
        before, after = render(self.differ.changes + self.differ.live + self.differ.reset)
        if any(map(self._making().fits, have.staged)):
            return Plan([], {"staged": True, **before}, {"staged": True, **after})
        found = self._making().steps(f"stage container {want.name}{self._reason()}", made, have.container)
        return Plan(
            found, {"staged": bool(have.staged), **before}, {"staged": True, **after, **({} if have.container else _shown(want))}
        )

    def _making(self) -> Making:
        from .making import Making

        return Making(self)

    def start(self, get: t.Callable[[], Container], first: t.Callable[[], None] = _nothing) -> Step:
        """The start of a job settles: later failures do not undo it or the steps before. first: called right before it."""
        job = self.job

        def run() -> None:
            first()
            job.begin(get())

        return Step(
            f"start container {self.want.name}",
            run,
            lambda: job.take_back(get()),
            partial=True,
            settles=True,
            abandon=lambda: job.abandon(get()),
        )

    def begin(
        self, get: t.Callable[[], Container], first: t.Callable[[], None] = _nothing, where: str = "", stays: bool = False
    ) -> t.List[Step]:
        """The start of a service, which has to prove itself. where: the rest of the title. stays: also when it fails, and as it is then."""
        engine, name, ready = self.engine, self.want.name, self.want.ready
        begun: t.List[bool] = []

        def run() -> None:
            first()
            start_service(engine, name, get(), ready is None)
            begun.append(True)

        def prove() -> None:
            if begun and ready:
                from .proof import Proof

                Proof(engine, name, get(), ready).wait()

        undo = None if stays else lambda: steps.halt(engine, get())
        found = [Step(f"start container {name}{where}", run, undo, partial=True, alone=stays)]
        self.starts = True
        if ready and ready.asks:
            proves = "healthy" if self.want.healthy else "ready"
            found.append(Step(f"wait until container {name} is {proves}", prove, alone=stays))
        if self.want.paused:
            found.append(Step(f"pause container {name}", lambda: engine.tasks.pause(get().id), alone=stays))
        return found

    def unhealthy(self, end: FoundContainer) -> str:
        """Why the container is not healthy that the task has not started, if it has to be. It waits for that."""
        if not (self.want.healthy and end.container and end.running) or self.starts:
            return ""
        from .options.ready import only_health
        from .proof import Proof

        restarts = end.task.restarts if end.task else 0
        try:
            Proof(self.engine, self.want.name, end.container, only_health(self.want.ready), restarts).wait()
        except FailedPrecondition as error:
            return str(error)
        return ""

    def wait_steps(self, get: t.Callable[[], Container]) -> t.List[Step]:
        """The steps of detach=false: wait and clean up."""
        name, job = self.want.name, self.job
        found = [
            Step(
                f"wait for container {name} to end",
                lambda: job.end(get()),
                wait=lambda: job.wait(get()),
                abandon=lambda: job.abandon(get()),
            )
        ]
        if self.want.cleanup:
            found.append(Step(f"remove container {name}", lambda: steps.remove(self.engine, get()), spare=REST))
        return found

    def _run_steps(self, get: t.Callable[[], Container]) -> t.List[Step]:
        return self.begin(get) if self.want.detach else [self.start(get), *self.wait_steps(get)]

    def needs(self) -> t.List[Step]:
        """The steps for the containers that this one, which is about to be started, depends on."""
        stored, given = values_of(self.have.container) if self.have.container else {}, self.want.given
        values = {**stored, **given} if not self.because else given
        if not needs_of(values):
            return []
        from .needs import before

        return before(self.engine, self.want.name, values)

    def dependents(self, get: t.Callable[[], Container]) -> t.List[Step]:
        from .needs import dependents

        return dependents(self.engine, self.want.name, get)

    def _create(self) -> Plan:
        want = self.want
        made: t.List[Container] = []
        found = self._making().steps(f"create container {want.name}", made)
        if want.state == "started":
            found += [*self.needs(), *self._run_steps(lambda: made[0])]
        after = {"exists": not want.cleanup, "state": _wanted_state(want, self.have), **_shown(want)}
        return Plan(found, {"exists": False}, after)

    def _recreate(self, old: Container) -> Plan:
        """Make the new one beside the old one, swap the names, and remove the old one when the new one runs."""
        from . import beside
        from .recreation import Recreation

        want = self.want
        self._because()
        made: t.List[Container] = []
        was_running = self.have.running or self.have.to_run
        found = self._making().steps(f"create container {want.name} anew{self._reason()}", made, old)
        if self.have.to_run:
            found[-1] = self._starting_again(found[-1], old)
        recreation = Recreation(self, old, made)
        if want.job:
            found += recreation.job()
        elif want.state == "started" or (want.state == "present" and was_running):
            found += recreation.service(beside.conflict(want, old, self.have.stored))
        else:
            found += recreation.idle()
        before, after = render(self.differ.changes + self.differ.live + self.differ.reset)
        return Plan(
            found,
            {"state": _state(self.have), **before},
            {"state": _wanted_state(want, self.have), **after},
            undone=recreation.undone,
        )

    def _starting_again(self, make: Step, old: Container) -> Step:
        """An interrupted task has stopped the old one: it runs again when there is no new one."""

        def undo() -> None:
            if make.undo:
                make.undo()
            steps.start(self.engine, old)

        return make._replace(undo=undo)

    def _because(self) -> None:
        changes = sorted(change.field.option for change in self.differ.changes)
        self.because = [] if self.have.container is None else ["previous"] if self.want.previous else changes
        if self.have.container and not self.because:
            self.because = ["recreate" if self.want.recreate else "adopt" if self.have.stored is None else "damaged"]

    def _reason(self) -> str:
        """Why there is a new container, and what is lost by it, for a title."""
        if not self.because:
            return ""
        changed = " changed" if self.differ.changes and not self.want.previous else ""
        title = f" ({', '.join(self.because)}{changed})"
        if self.differ.reset and not self.want.previous:
            names = sorted(change.field.option for change in self.differ.reset)
            title += f"; not asked for any more and reset to the image's default: {', '.join(names)}"
        return title

    def _change(self, container: Container) -> Plan:
        """Live updates and the run state of a container that stays."""
        want, engine, have = self.want, self.engine, self.have
        found: t.List[Step] = []
        if self.differ.live or have.torn or have.drift:
            from .live import Update

            update = Update(engine, container, want, self.differ.live, bool(have.drift))
            update.check()
            options = ", ".join(sorted(change.field.option for change in self.differ.live))
            again = f"complete the interrupted update of container {want.name}"
            if have.drift and not have.torn:
                again = f"set {', '.join(have.drift)} of container {want.name} again, which something else has changed"
            found.append(Step(f"update {options} of container {want.name}" if options else again, update.run))
        if have.task and have.task.alone and want.state != "stopped" and not want.restart:
            # Whoever killed its supervisor has not asked for its end.
            title = f"supervise container {want.name} again"
            found.append(Step(title, lambda: steps.supervise(engine, engine.containers.get(container.id))))
        changed = self._state_steps(container)
        found += changed
        if L.TELLS in container.labels and want.state in ("started", "present"):
            found += self.dependents(lambda: container)
        before, after = render(self.differ.live)
        if changed:
            before, after = {**before, "state": _state(have)}, {**after, "state": _wanted_state(want, have)}
        return Plan(found, before, after)

    def _state_steps(self, container: Container) -> t.List[Step]:
        want, engine, have = self.want, self.engine, self.have
        stop = Step(
            f"stop container {want.name}" + (f", as {self.astray}" if self.astray else ""),
            lambda: steps.stop_for_good(engine, container, want.stop),
        )
        if want.state == "stopped":
            return [stop] if have.running else [self._forget(container)] if have.to_run else []
        if want.state == "present" and have.to_run:
            return [*self.needs(), *self.begin(lambda: container, where=", which an interrupted task has stopped")]
        if want.state != "started":
            return self._pause_steps(container) if have.running else []
        if want.restart or self.astray:
            return [*self.needs(), *([stop] if have.running else []), *self._run_steps(lambda: container)]
        if have.running:
            return self._pause_steps(container) if want.detach else self.wait_steps(lambda: container)
        if not want.detach and self._is_done(container):
            return []
        return [*self.needs(), *self._run_steps(lambda: container)]

    def _pause_steps(self, container: Container) -> t.List[Step]:
        """Those for a container that runs."""
        name, tasks, status = self.want.name, self.engine.tasks, self.have.task.status if self.have.task else ""
        if self.want.paused and status != PAUSED:
            return [Step(f"pause container {name}", lambda: tasks.pause(container.id))]
        if self.want.paused is False and status == PAUSED:
            return [Step(f"resume container {name}", lambda: tasks.resume(container.id))]
        return []

    def _forget(self, container: Container) -> Step:
        title = f"leave container {self.want.name} stopped, as an interrupted task has"
        return Step(title, lambda: steps.forget_intent(self.engine, container))

    def _is_done(self, container: Container) -> bool:
        task = self.have.task
        return bool(task and task.status == STOPPED and task.exit_status == 0 and not steps.was_stopped(self.engine, container))

    def _adopts(self) -> bool:
        """True when another tool's container may be replaced. Raises an error when it must not be changed."""
        removes = self.want.state == "started" and self.want.cleanup
        if self.have.stored is not None or not (self.want.given or removes):
            return False
        if not self.want.adopt:
            options = f"{', '.join(sorted(self.want.given))} cannot be compared" if self.want.given else "cleanup cannot be done"
            raise FailedPrecondition(
                f"the container {self.want.name} was not made by this collection, so {options}: "
                "name it without further options, or set adopt to make it anew"
            )
        return True

    def _damage(self) -> bool:
        """Whether a container that is about to be started cannot be: what it is made of has been removed by others."""
        have, container = self.have, self.have.container
        if container is None or have.running or self.want.state != "started" or have.stored is None or self.want.image is None:
            return False
        if not self.want.detach and self._is_done(container):
            return False
        return steps.is_damaged(self.engine, container)

    def put_away(self, replaced: t.Sequence[Container], rest: str = REST) -> t.List[Step]:
        """The steps for containers that others have taken the place of, the youngest first: some are kept, the others go."""
        from .kept_old import put_away

        return put_away(self.engine, self.want, replaced, rest)

    def _sweep_all(self) -> t.List[Step]:
        """What interrupted runs left goes, and what a failed one has not put away any more."""
        want, left = self.want, self.have.leftovers
        replaced = [one for one in left if one.labels.get(L.ROLE) == L.FORMER] if want.keep_old else []
        kept = self.put_away(replaced) if replaced else []
        return [*kept, *(self._sweep(one) for one in left if one not in replaced)]

    def _sweep(self, container: Container) -> Step:
        """Remove a leftover. A failure does not stop the other steps, unless the task asks for the removal."""
        absent = self.want.state == "absent"
        goes = goes_by_itself(values_of(container)) and L.NAME in container.labels
        why = "which has ended" if goes else "left by an interrupted run"
        step = self.remove(container, f"remove container {_name(container)}, {why}")
        return step._replace(alone=absent, spare="" if absent else REST)

    def _take_name(self, container: Container) -> Step:
        """Complete a swap of names, after which the new container is in service."""
        name = self.want.name
        return Step(
            f"give the name {name} to the container {container.id[:12]}, as an interrupted task was about to",
            lambda: steps.take_name(self.engine, name, container),
        )

    def remove(self, container: Container, title: str, stop: bool = False) -> Step:
        def run() -> None:
            if stop:
                steps.stop(self.engine, container, self.want.stop)
            steps.remove(self.engine, container, self.want.keep_volumes)
            if self.want.removal is not None:
                check_gone(self.engine, container, self.want.removal)

        return Step(title, run)


def _name(container: Container) -> str:
    return container.labels.get(L.NAME) or container.id[:12]


def _state(have: FoundContainer) -> str:
    return have.task.status if have.task else "created"


def _wanted_state(want: WantedContainer, have: FoundContainer) -> str:
    if want.paused and (want.state == "started" or have.running):
        return "paused"
    if want.state == "present":
        return "running" if have.running or have.to_run else "created"
    if want.cleanup:
        return "ended and removed"
    return {"started": "running" if want.detach else "stopped", "stopped": "stopped"}[want.state]


def _shown(want: WantedContainer) -> t.Dict[str, t.Any]:
    image = {"image": want.image.label} if want.image else {}
    return {**image, **shown(want.given)}
