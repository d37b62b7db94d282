# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs (detach: false): wait for a container's end, and report it. docs/adr/0021."""

from __future__ import annotations

import contextlib
import time
import typing as t

from ...engine.models import RESTARTING, STOPPED, Container, TaskState
from ...errors import EngineError, FailedPrecondition, NotFound, Unavailable, printable
from ...hostfs.guard import guarded
from ...kernel.converge import Facts
from ...kernel.interrupt import Interrupted, check
from . import networks, steps
from .options.streams import log_path

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from .values import WantedContainer

#: How often we check whether anybody still waits for the result.
_LOOK_SECONDS = 1.0
#: How long a started container is watched: long enough to see a wrong option, a missing file or a port in use.
_GRACE_SECONDS = 0.2
#: How long an interrupted task waits for other tasks that change its container.
_INTERRUPTED_SECONDS = 2.0
_TAIL_LINES, _TAIL_CHARACTERS = 20, 2000


class NameLock:
    """The lock on a container's name. A job also holds a second lock to its end, so that it runs only once at a time. It releases the
    first lock while it waits, so that other tasks can stop and remove the container."""

    def __init__(self, engine: Engine, want: WantedContainer) -> None:
        self._engine, self._name = engine, want.name
        self._job = want.job
        self._whole, self._held = contextlib.ExitStack(), contextlib.ExitStack()

    def _take(self, wait: t.Optional[float] = None) -> None:
        self._held.enter_context(container_lock(self._engine, self._name, wait))

    def __enter__(self) -> NameLock:
        with contextlib.ExitStack() as stack:
            if self._job:
                stack.enter_context(self._engine.lock(f"job {self._name}"))
            self._take()
            self._whole = stack.pop_all()
        return self

    def __exit__(self, *exc: t.Any) -> None:
        try:
            self._held.__exit__(*exc)
        finally:
            self._whole.__exit__(*exc)

    @contextlib.contextmanager
    def released(self) -> t.Iterator[None]:
        self._held.close()
        try:
            yield
        except Interrupted:
            # An interrupted task has to end now, even if another task holds the lock.
            with contextlib.suppress(Unavailable):
                self._take(_INTERRUPTED_SECONDS)
            raise
        except EngineError:
            self._take()
            raise
        self._take()


def container_lock(engine: Engine, name: str, wait: t.Optional[float] = None) -> t.ContextManager[None]:
    return engine.lock(f"container {name}", wait)


class Job:
    """One run of a container that a task waits for. told: the facts of the run, after its end.

    If this process is killed, a guard ends the job: from before its start until the wait is over, or the job is abandoned.
    """

    def __init__(self, engine: Engine, want: WantedContainer) -> None:
        self._engine, self._want = engine, want
        self.told: t.Optional[Facts] = None
        #: The process of the run; 0 after its end, None if it is not known yet.
        self._pid: t.Optional[int] = None
        self._guard = contextlib.ExitStack()

    def begin(self, container: Container) -> None:
        """Start the job, if anybody still waits for the result."""
        check(reader=True)
        self._watch(container)
        steps.start(self._engine, container)
        self._look(container)

    def take_back(self, container: Container) -> None:
        """Undo a failed start."""
        try:
            steps.halt(self._engine, container)
        finally:
            self._guard.close()

    def wait(self, container: Container) -> None:
        """Wait until the job has ended, is removed, or wait_timeout is over."""
        if self._pid is None:
            self._look(container)
        # Use another guard, which knows the process.
        self._watch(container)
        try:
            self._await(container)
        except EngineError:
            self._guard.close()
            raise
        self._guard.close()

    def _look(self, container: Container) -> None:
        self._pid = 0
        with contextlib.suppress(NotFound):
            self._pid = self._engine.tasks.state(container.id).pid

    def _watch(self, container: Container) -> None:
        """Start a guard, which replaces the one before."""
        from ...kernel.engines import open_engine

        # Open the engine here, since the files of a killed module may be gone. It connects only when it is used.
        other = open_engine(self._want.engine._replace(engine=self._engine.kind, snapshotter=""))
        before, self._guard = self._guard, contextlib.ExitStack()
        with before:
            self._guard.enter_context(guarded(lambda: self._will(other, container)))

    def _await(self, container: Container) -> None:
        limit = self._want.wait_timeout
        deadline = time.monotonic() + limit if limit is not None else float("inf")
        while True:
            began = time.monotonic()
            seconds = max(0.0, min(_LOOK_SECONDS, deadline - began))
            try:
                self._engine.tasks.wait(container.id, seconds)
                return
            except NotFound:
                return
            except Unavailable:
                if time.monotonic() - began < seconds:
                    raise
            check(reader=True)
            if time.monotonic() >= deadline:
                return

    def abandon(self, container: Container) -> None:
        """The task is interrupted: end the job."""
        try:
            self._stop(self._engine, container)
        finally:
            self._guard.close()

    def _stop(self, engine: Engine, container: Container) -> None:
        """Stop the job, unless another task has started a new run."""
        with contextlib.suppress(NotFound):
            state = engine.tasks.state(container.id)
            if state.status != STOPPED and self._pid not in (None, state.pid):
                return
        steps.stop(engine, container, self._want.stop)
        if self._want.cleanup:
            steps.remove(engine, container)

    def _will(self, engine: Engine, container: Container) -> None:
        with container_lock(engine, self._want.name):
            self._stop(engine, container)
            try:
                engine.tasks.state(container.id)
            except NotFound:
                # A half-started job would still begin.
                with contextlib.suppress(NotFound):
                    engine.tasks.delete(container.id, force=True)

    def end(self, container: Container) -> None:
        """Check the outcome, and stop the job if it still runs."""
        from .facts import container_facts

        engine, name = self._engine, self._want.name
        late = False
        try:
            engine.containers.get(container.id)
            state = engine.tasks.state(container.id)
            if state.status != STOPPED and state.pid != self._pid:
                raise FailedPrecondition(
                    f"the container {name} was started again by somebody else while this task waited for its end"
                )
            if state.status != STOPPED:
                late = True
                steps.stop(engine, container, self._want.stop)
                state = engine.tasks.state(container.id)
        except NotFound as error:
            raise FailedPrecondition(
                f"the container {name} was removed by somebody else while this task waited for its end"
            ) from error
        networks.release(container)
        facts = container_facts(engine, container, state)
        facts["Output"] = output_of(engine, container)
        self.told = Facts({"container": facts, "status": state.exit_status})
        if late:
            limit = self._want.wait_timeout
            ended = f"has not ended within {limit:g} s (wait_timeout), so it was stopped"
        elif steps.was_stopped(engine, container):
            ended = "was stopped by somebody else while this task waited for its end"
        elif state.exit_status:
            ended = "ended"
        else:
            return
        failure = f"the container {name} {ended}: {_ended(state)}{last_words(facts['Output'])}"
        self.told = self.told._replace(failure=failure)


def start_service(engine: Engine, name: str, container: Container, watched: bool = True) -> None:
    """Start a service. FailedPrecondition when it ends at once with an exit status other than 0, or is started again by then. watched:
    whether anybody looks.
    """
    steps.start(engine, container)
    if not watched:
        return
    ended = "ended as soon as it was started"
    try:
        state = engine.tasks.wait(container.id, _GRACE_SECONDS)
    except Unavailable:
        state = engine.tasks.state(container.id)
        if state.status != RESTARTING and not state.restarts:
            return
        ended += ", and was started again"
    if state.exit_status or state.status != STOPPED:
        raise failed(engine, container, state, f"the container {name} {ended}")


def failed(engine: Engine, container: Container, state: TaskState, words: str) -> FailedPrecondition:
    """The error for a service that is not as it should be: with its exit status, if it has one, and what it printed last."""
    from .facts import container_facts

    facts = container_facts(engine, container, state)
    facts["Output"] = output_of(engine, container)
    over = state.status in (STOPPED, RESTARTING)
    message = f"{words}{f': {_ended(state)}' if over else ''}{last_words(facts['Output'])}"
    return FailedPrecondition(message, container=facts, **({"status": state.exit_status} if over else {}))


def _ended(state: TaskState) -> str:
    return f"exit status {state.exit_status}" + (" (out of memory)" if state.oom_killed else "")


def last_words(output: str) -> str:
    """The last output of a container, for the end of a message."""
    lines = output.replace("\r", "").rstrip("\n").split("\n")[-_TAIL_LINES:]
    text = "\n".join(printable(line, _TAIL_CHARACTERS) for line in lines)[-_TAIL_CHARACTERS:]
    if not text.strip():
        return "; it printed nothing"
    return f"\nThe last that it printed:\n{text}"


def output_of(engine: Engine, container: Container) -> str:
    """The output of the container."""
    from ...runtime.logs import read

    return read(log_path(engine.container_dir(container.id), container.id)).decode("utf-8", "replace")
