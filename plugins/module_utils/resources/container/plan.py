# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for one container: the steps from the present container to the wanted one."""

from __future__ import annotations

import secrets
import typing as t

from ...engine import labels as L
from ...engine.models import STOPPED, Container
from ...errors import FailedPrecondition, InvalidArgument
from ...kernel.converge import Plan, Step
from ...kernel.field import render
from ..image.pull import pull_steps, warnings_of
from . import joined, networks, steps, volumes
from .differences import differences
from .jobs import Job, start_service
from .options.row import Host
from .options.storage import named_volumes
from .options.table import look_at, shown
from .values import FoundContainer, WantedContainer

if t.TYPE_CHECKING:
    from ...engine.api import Engine

#: The advice when something could not be removed.
_REST = "Remove what prevents it (lsattr shows immutable files); the next run of this task removes the rest"


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
        self.host = Host(engine, want.state == "started", self.warnings, [])

    def plan(self) -> Plan:
        want, have = self.want, self.have
        sweep = [self._sweep(left) for left in have.leftovers]
        if want.state == "absent":
            if have.container is None:
                return Plan(sweep)
            found = [self._remove(have.container, f"remove container {want.name}", stop=True)]
            self._warn_users("has none then")
            before = {"exists": True, "state": _state(have)}
            return Plan(found + sweep, before, {"exists": False}, warnings=self.warnings)
        if have.container is None:
            made = self._create()
        elif want.recreate or self.differ.changes or self._adopts():
            made = self._recreate(have.container)
        else:
            made = self._change(have.container)
        self._look(have.container is None or bool(self.because))
        return made._replace(steps=[*sweep, *made.steps], warnings=self.warnings)

    def _look(self, makes: bool) -> None:
        """Warnings about the registry, and about the host when a container is made."""
        if self.want.image:
            self.warnings.extend(warnings_of(self.want.image, self.have.image))
        if makes:
            look_at(self.host, self.want.given)
        else:
            look_at(self.host, self.want.given, [change.field.option for change in self.differ.live])
        self._look_at_networks(makes)

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
        if starts or (want.state == "started" and want.restart) or (have.running and makes and want.state != "stopped"):
            self._warn_users("is to be started again")
        elif have.running and want.state == "stopped":
            self._warn_users("has none then")

    def _warn_users(self, what: str) -> None:
        for name, kinds in joined.users(self.engine, self.want.name):
            self.warnings.append(f"the container {name} uses namespaces of {self.want.name} ({', '.join(kinds)}), and {what}")

    def _pull(self) -> t.List[Step]:
        if self.want.image is None:
            raise InvalidArgument(f"image: needed to create the container {self.want.name}")
        return pull_steps(self.want.image, self.have.image, self.engine, self.warnings)

    def _create_volumes(self) -> t.List[Step]:
        engine, names = self.engine, named_volumes(self.want.given)

        def step(name: str) -> Step:
            return Step(
                f"create volume {name}",
                lambda: volumes.create(engine, name),
                lambda: volumes.take_back(engine, name),
                partial=True,
            )

        return [step(name) for name in (volumes.missing(engine, names) if names else [])]

    def _make(self, title: str, made: t.List[Container], old: t.Optional[Container] = None) -> Step:
        """The step that makes the new container, which it puts into made."""
        engine, want, container_id = self.engine, self.want, secrets.token_hex(32)

        def run() -> None:
            made.append(steps.create(engine, want, container_id, old))

        return Step(title, run, lambda: steps.remove_by_id(engine, container_id), partial=True)

    def _start(self, get: t.Callable[[], Container]) -> Step:
        """The start settles: later failures do not undo it or the steps before."""
        engine, name, job = self.engine, self.want.name, self.job
        title = f"start container {name}"
        if self.want.detach:
            return Step(
                title,
                lambda: start_service(engine, name, get()),
                lambda: steps.halt(engine, get()),
                partial=True,
                settles=True,
            )
        return Step(
            title,
            lambda: job.begin(get()),
            lambda: job.take_back(get()),
            partial=True,
            settles=True,
            abandon=lambda: job.abandon(get()),
        )

    def _wait_steps(self, get: t.Callable[[], Container]) -> t.List[Step]:
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
            found.append(Step(f"remove container {name}", lambda: steps.remove(self.engine, get()), spare=_REST))
        return found

    def _run_steps(self, get: t.Callable[[], Container]) -> t.List[Step]:
        return [self._start(get), *([] if self.want.detach else self._wait_steps(get))]

    def _create(self) -> Plan:
        want = self.want
        made: t.List[Container] = []
        found = [*self._pull(), *self._create_volumes()]
        found.append(self._make(f"create container {want.name}", made))
        if want.state == "started":
            found += self._run_steps(lambda: made[0])
        after = {"exists": not want.cleanup, "state": _wanted_state(want, self.have), **_shown(want)}
        return Plan(found, {"exists": False}, after)

    def _recreate(self, old: Container) -> Plan:
        """Make the new one beside the old one, swap the names, and remove the old one when the new one runs."""
        want, engine = self.want, self.engine
        because = sorted(change.field.option for change in self.differ.changes)
        self.because = because or ["recreate" if want.recreate else "adopt"]
        made: t.List[Container] = []
        was_running = self.have.running
        found = [*self._pull(), *self._create_volumes()]
        title = f"create container {want.name} anew ({', '.join(self.because)}{' changed' if self.differ.changes else ''})"
        if self.differ.reset:
            names = sorted(change.field.option for change in self.differ.reset)
            title += f"; not asked for any more and reset to the image's default: {', '.join(names)}"
        found.append(self._make(title, made, old))
        if was_running:
            found.append(
                Step(
                    f"stop the old container {want.name}",
                    lambda: steps.stop(engine, old, want.stop),
                    lambda: steps.start_again(engine, old, want.stop),
                    partial=True,
                )
            )
        found.append(
            Step(
                f"give the name {want.name} to the new container",
                lambda: steps.swap(engine, want.name, old, made[0]),
                lambda: steps.swap(engine, want.name, made[0], old),
                partial=True,
            )
        )
        if want.state == "started" or (want.state == "present" and was_running):
            found.append(self._start(lambda: made[0]))
        # The new one is in service. If parts of the old one cannot be removed (an immutable log), a later run does it.
        found.append(
            Step(
                f"remove the old container {old.id[:12]}",
                lambda: steps.remove(engine, old, want.keep_volumes),
                spare=f"The new container is in service. {_REST}",
            )
        )
        if want.job:
            found += self._wait_steps(lambda: made[0])
        before, after = render(self.differ.changes + self.differ.live + self.differ.reset)
        return Plan(
            found,
            {"state": _state(self.have), **before},
            {"state": _wanted_state(want, self.have), **after},
            undone=f"the old container {want.name} is back" + (" and runs" if was_running else ""),
        )

    def _change(self, container: Container) -> Plan:
        """Live updates and the run state of a container that stays."""
        want, engine, have = self.want, self.engine, self.have
        found: t.List[Step] = []
        if self.differ.live or have.torn:
            from .live import Update

            update = Update(engine, container, want, self.differ.live)
            update.check()
            options = ", ".join(sorted(change.field.option for change in self.differ.live))
            again = f"complete the interrupted update of container {want.name}"
            found.append(Step(f"update {options} of container {want.name}" if options else again, update.run))
        if have.task and have.task.alone and want.state != "stopped" and not want.restart:
            # Whoever killed its supervisor has not asked for its end.
            title = f"supervise container {want.name} again"
            found.append(Step(title, lambda: steps.supervise(engine, engine.containers.get(container.id))))
        changed = self._state_steps(container)
        found += changed
        before, after = render(self.differ.live)
        if changed:
            before, after = {**before, "state": _state(have)}, {**after, "state": _wanted_state(want, have)}
        return Plan(found, before, after)

    def _state_steps(self, container: Container) -> t.List[Step]:
        want, engine, have = self.want, self.engine, self.have
        stop = Step(
            f"stop container {want.name}" + (f", as {self.astray}" if self.astray else ""),
            lambda: steps.stop(engine, container, want.stop),
        )
        if want.state == "stopped":
            return [stop] if have.running else []
        if want.state != "started":
            return []
        if want.restart or self.astray:
            return ([stop] if have.running else []) + self._run_steps(lambda: container)
        if have.running:
            if want.detach:
                return []
            return self._wait_steps(lambda: container)
        if not want.detach and self._is_done(container):
            return []
        return self._run_steps(lambda: container)

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

    def _sweep(self, container: Container) -> Step:
        """Remove a leftover. A failure does not stop the other steps, unless the task asks for the removal."""
        absent = self.want.state == "absent"
        step = self._remove(container, f"remove container {_name(container)}, left by an interrupted run")
        return step._replace(alone=absent, spare="" if absent else _REST)

    def _remove(self, container: Container, title: str, stop: bool = False) -> Step:
        def run() -> None:
            if stop:
                steps.stop(self.engine, container, self.want.stop)
            steps.remove(self.engine, container, self.want.keep_volumes)

        return Step(title, run)


def _name(container: Container) -> str:
    return container.labels.get(L.NAME) or container.id[:12]


def _state(have: FoundContainer) -> str:
    return have.task.status if have.task else "created"


def _wanted_state(want: WantedContainer, have: FoundContainer) -> str:
    if want.state == "present":
        return "running" if have.running else "created"
    if want.cleanup:
        return "ended and removed"
    return {"started": "running" if want.detach else "stopped", "stopped": "stopped"}[want.state]


def _shown(want: WantedContainer) -> t.Dict[str, t.Any]:
    image = {"image": want.image.label} if want.image else {}
    return {**image, **shown(want.given)}
