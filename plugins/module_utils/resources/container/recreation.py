# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps by which a new container takes the place of an old one, without losing the service. docs/adr/0045.

Only a container that has proved itself gets the name. Until then everything is undone after a failure, and the next run sweeps away
what a kill has left: the old one has the name. With on_recreate_failure=keep_new the new one stays after a failure, too. docs/adr/0052.
"""

from __future__ import annotations

import typing as t

from ...engine import labels as L
from ...kernel.converge import Step
from . import networks, steps
from .plan import REST

if t.TYPE_CHECKING:
    from ...engine.models import Container
    from .plan import Planner


class Recreation:
    """made: gets the new container when it is there. runs: whether the old one does."""

    def __init__(self, planner: Planner, old: Container, made: t.List[Container]) -> None:
        self._planner, self._engine, self._want = planner, planner.engine, planner.want
        self._old, self._made, self._runs = old, made, planner.have.running
        #: Before a start: those that the container depends on.
        self._needs = planner.needs()
        #: What a failure leaves, before the new one has the name.
        self.undone = f"the old container {self._want.name} is back"
        if self._runs or planner.have.to_run:
            self.undone += " and runs"

    def _new(self) -> Container:
        return self._made[0]

    def job(self) -> t.List[Step]:
        """Two runs of a job at the same time could do harm, and what it has done cannot be undone."""
        planner = self._planner
        first = [self._stop("")] if self._runs else []
        start = planner.start(self._new, self._release)
        return [*self._needs, *first, self._swap(), start, *self._remove(), *planner.wait_steps(self._new)]

    def idle(self) -> t.List[Step]:
        """The new one is not to run."""
        return [*([self._stop("")] if self._runs else []), self._swap(), *self._remove()]

    def service(self, conflict: str) -> t.List[Step]:
        """conflict: why the old one, which runs, has to end first; empty if both can run at once."""
        users = self._planner.dependents(self._new)
        swap = self._swap(bool(users))
        if self._runs and not conflict:
            self.undone = f"the old container {self._want.name} still runs"
            beside = self._planner.begin(self._new, lambda: None, " beside the old one", self._want.keep_new)
            return [*self._needs, *beside, swap, self._stop_late(), *self._remove(), *users]
        first = [self._stop(f", as {conflict}")] if self._runs else []
        begin = self._planner.begin(self._new, self._release, "", self._want.keep_new)
        return [*self._needs, *first, *begin, swap, *self._remove(), *users]

    def _stop(self, why: str) -> Step:
        engine, old, how = self._engine, self._old, self._want.stop

        def run() -> None:
            steps.intend(engine, old)
            steps.stop(engine, old, how)

        title = f"stop the old container {self._want.name}{why}"
        return Step(title, run, lambda: steps.start_again(engine, old, how), partial=True)

    def _release(self) -> None:
        """The new one takes its addresses and ports: it may have ended without giving them back."""
        networks.release(self._old)

    def _swap(self, tells: bool = False) -> Step:
        """From here on the new one is in service, and later failures undo nothing. tells: others are started again afterwards."""
        engine, name, old = self._engine, self._want.name, self._old

        def run() -> None:
            if tells:
                steps.rename(engine, self._new(), {L.TELLS: "yes"})
            steps.swap(engine, name, old, self._new())

        return Step(
            f"give the name {name} to the new container",
            run,
            lambda: steps.swap_back(engine, name, old, self._new()),
            partial=True,
            settles=True,
        )

    def _stop_late(self) -> Step:
        title, how = f"stop the old container {self._want.name}", self._want.stop
        return Step(title, lambda: steps.stop(self._engine, self._old, how), spare=self._rest)

    def _remove(self) -> t.List[Step]:
        """If parts of the old one cannot be removed (an immutable log), a later run does it."""
        return self._planner.put_away([self._old], self._rest)

    @property
    def _rest(self) -> str:
        return f"The new container is in service. {REST}"
