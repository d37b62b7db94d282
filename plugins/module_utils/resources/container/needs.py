# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container depends on is started before it, and who depends on one that was made anew is started again. docs/adr/0053."""

from __future__ import annotations

import functools
import typing as t

from ...engine import labels as L
from ...engine.models import CREATED, PAUSED, RUNNING, STOPPED
from ...errors import FailedPrecondition, NotFound, printable
from ...kernel.converge import Step
from . import steps
from .find import find_container, task_of
from .jobs import container_lock, start_service
from .options.depends_on import HEALTHY, needs_of
from .options.life import Stop
from .options.ready import Ready
from .options.table import values_of

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container
    from .options.row import Values

#: How long a task waits for others that change the other container, and for its health (seconds).
_LOCK_SECONDS, _HEALTH_SECONDS = 60.0, 300.0


def before(engine: Engine, name: str, values: Values) -> t.List[Step]:
    """The steps before a start: what it depends on runs, and what that depends on. name, values: those of the container."""
    found: t.Dict[str, t.List[Step]] = {}
    _collect(engine, (name,), values, found)
    return [step for one in found.values() for step in one]


def _collect(engine: Engine, way: t.Tuple[str, ...], values: Values, found: t.Dict[str, t.List[Step]]) -> None:
    """found: the steps by container, in order. way: who depends on whom."""
    for need, condition in needs_of(values):
        other, user = find_container(engine, need), way[-1]
        if other is None:
            whose = "" if len(way) == 1 else f", on which {user} depends"
            raise NotFound(f"depends_on: there is no container {printable(need, 100)}{whose}: make it first")
        if need in way:
            continue
        if need not in found:
            own: t.List[Step] = []
            if not _runs(engine, other):
                _collect(engine, (*way, need), values_of(other), found)
                start, undo = functools.partial(_start, engine, need), functools.partial(_stop, engine, need)
                own.append(Step(f"start container {need}, on which {user} depends", start, undo, partial=True))
            found[need] = own
        title = f"wait until container {need} is healthy"
        waits = condition == HEALTHY and (found[need] or not is_healthy(engine, other))
        if waits and title not in [step.title for step in found[need]]:
            found[need].append(Step(title, functools.partial(_wait, engine, need)))


def _runs(engine: Engine, container: Container) -> bool:
    task = task_of(engine, container)
    return task is not None and task.status not in (STOPPED, CREATED)


def is_healthy(engine: Engine, container: Container) -> bool:
    return engine.tasks.health(container.id).get("Status") == "healthy"


def _there(engine: Engine, name: str) -> Container:
    container = find_container(engine, name)
    if container is None:
        raise FailedPrecondition(f"the container {name} was removed by somebody else")
    return container


def _start(engine: Engine, name: str) -> None:
    with container_lock(engine, name, _LOCK_SECONDS):
        container = _there(engine, name)
        if not _runs(engine, container):
            start_service(engine, name, container)


def _stop(engine: Engine, name: str) -> None:
    with container_lock(engine, name, _LOCK_SECONDS):
        steps.stop(engine, _there(engine, name), Stop())


def _wait(engine: Engine, name: str) -> None:
    from .proof import Proof

    container = _there(engine, name)
    task = task_of(engine, container)
    Proof(engine, name, container, Ready(health=True, timeout=_HEALTH_SECONDS), task.restarts if task else 0).wait()


def dependents(engine: Engine, name: str, get: t.Callable[[], Container]) -> t.List[Step]:
    """The steps after a recreation: those that depend on it and run are started again. get: the new container, which has a label until
    that is done (TELLS): after a kill the next run does it.
    """
    left: t.Set[str] = set()
    found: t.Dict[str, Step] = {}
    for one in engine.containers.list({L.NEEDS + name: ""}):
        task, own = task_of(engine, one), one.labels.get(L.NAME)
        if own and task and task.status in (RUNNING, PAUSED):
            left.add(own)
            found[own] = Step(
                f"start container {own} again, as it depends on {name}",
                functools.partial(_restart, engine, own, left, get),
                alone=True,
            )
    return [found[own] for own in sorted(found)]


def _restart(engine: Engine, name: str, left: t.Set[str], get: t.Callable[[], Container]) -> None:
    with container_lock(engine, name, _LOCK_SECONDS):
        container = _there(engine, name)
        steps.stop(engine, container, Stop())
        start_service(engine, name, container)
    left.discard(name)
    if not left:
        steps.rename(engine, get(), {}, L.TELLS)
