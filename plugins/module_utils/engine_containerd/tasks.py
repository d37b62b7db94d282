# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TaskService over containerd's task service. Output goes to a json-file log through our log writer (libexec/log.py).

The log writer's state.json is beside the log, in the container's directory. It tells how the task began and ended, which the daemon
forgets when it is restarted.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import typing as t

from ..engine.models import (
    CREATED,
    PAUSED,
    RESTARTING,
    RUNNING,
    START_ERROR,
    STOPPED,
    Container,
    Mount,
    Supervision,
    TaskIO,
    TaskState,
)
from ..engine_host.place import Place
from ..errors import AlreadyExists, EngineError, FailedPrecondition, NotFound, Unavailable, printable
from ..hostfs.atomic import read_file
from ..runtime.memory import check_limit
from ..runtime.processes import Process, boot_id, boot_time
from ..runtime.runc import failure
from ..runtime.supervision import mark_asked, results, wake
from ..runtime.task_record import TaskRecord
from .supervisors import Supervisors
from .unfinished import Mark, settle
from .values import Message, mount_messages, seconds

if t.TYPE_CHECKING:
    from ..libexec.execution import Execution
    from ..rpc.channel import Channel
    from .stdio import Stdio

# containerd.v1.types.Status
_STATUS = {1: CREATED, 2: RUNNING, 3: STOPPED, 4: PAUSED, 5: PAUSED}
_RESOURCES = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
_UNKNOWN = 255
_KILL = 9
_NONE = Supervision()
#: Temporary errors of Create, and for how long they are retried: the daemon still removes the bundle of an interrupted call; the
#: runtime had a container with that id (the host was reset), and the try itself removed it.
_CLEARING = {"file exists": 15.0, "failed to start shim": 2.0, "already exists": 2.0, "container with id exists": 2.0}
#: The tolerance for rounding in state.json.
_SAME = 0.001
_CREATE_SECONDS = 120.0
_KILL_SECONDS = 30.0
_HALF_SECONDS = 15.0
_LOG_SECONDS = 5.0
_LOOK_SECONDS = 0.05
#: How long after a change of its labels the monitor may still begin to start a container, and how long a start may take.
_SETTLE_SECONDS, _START_SECONDS = 1.0, 10.0
_STATE_SECONDS = 20.0


class TaskProxy:
    """Tasks of one namespace. tidy: called after a task was made, to remove what killed runs left."""

    def __init__(
        self, rpc: Channel, place: Place, data_root: str, state_root: str, tidy: t.Callable[[], t.Any] = lambda: None
    ) -> None:
        self._rpc, self._place, self._data_root, self._tidy = rpc, place, data_root, tidy
        self._directory, self._spare = place.container_path, os.path.join(state_root, "exits")
        self._executions = os.path.join(state_root, "exec", place.part)
        self._supervisors = Supervisors(rpc, place, data_root, state_root, self._files, self.find_runtime)

    def _call(self, method: str, container_id: str, timeout: t.Optional[float] = 60.0, **request: t.Any) -> Message:
        return self._rpc.call(f"tasks.v1.Tasks/{method}", {"container_id": container_id, **request}, timeout)

    # Making and starting

    def expect(self, container: Container, io: TaskIO) -> None:
        """The daemon's shim cannot be started earlier."""

    def start(self, container: Container, rootfs: t.Sequence[Mount], io: TaskIO, supervision: Supervision = _NONE) -> TaskState:
        self._place.container_dir(container.id)
        if supervision.restarts:
            # What is known of the last run is told until this one has begun.
            self._delete_half(container.id)
            self._settle(container.id)
        else:
            with contextlib.suppress(NotFound):
                status = self.state(container.id).status
                raise AlreadyExists(f"the container {container.id[:12]} has a task already, it is {status}")
            self._settle(container.id)
            self._forget(container.id)
        self._supervisors.begin(container, io, supervision)
        started = time.monotonic()
        while True:
            try:
                self._create(container.id, rootfs, io, supervision)
                break
            except EngineError as error:
                patience = next((seconds for words, seconds in _CLEARING.items() if words in str(error)), 0.0)
                if isinstance(error, AlreadyExists):
                    patience = _HALF_SECONDS
                    self._delete_half(container.id)
                if time.monotonic() - started >= patience:
                    self._forget(container.id)
                    raise _explained("create", error) from error
                time.sleep(0.1)
                self._settle(container.id)
        self._tidy()
        try:
            self._call("Start", container.id, _CREATE_SECONDS)
        except EngineError as error:
            with contextlib.suppress(EngineError):
                self.delete(container.id, force=True)
            raise _explained("start", error) from error
        self._supervisors.begun(container.id, io, supervision)
        return self.state(container.id)

    def _create(self, container_id: str, rootfs: t.Sequence[Mount], io: TaskIO, supervision: Supervision) -> None:
        with self._supervisors.stdio(container_id, io, supervision) as stdio:
            mounts, mark = mount_messages(rootfs), self._mark(container_id)
            mark.set()
            made = self._call("Create", container_id, _CREATE_SECONDS, rootfs=mounts, terminal=io.terminal, **stdio.uris)
            mark.clear()
            self._attach(stdio, container_id, made["pid"])

    def _attach(self, stdio: Stdio, container_id: str, pid: int) -> None:
        try:
            stdio.attach(container_id, pid)
        except EngineError:
            with contextlib.suppress(EngineError):
                self._call("Delete", container_id)
            raise

    def _mark(self, container_id: str) -> Mark:
        return Mark(os.path.join(self._directory(container_id), "making"))

    def _settle(self, container_id: str) -> None:
        """End what is left of a call of Create that was interrupted. Call it when the daemon knows no task."""
        mark = self._mark(container_id)
        if mark and settle(self._rpc.address, self._rpc.namespace, container_id, lambda: self._delete_half(container_id)):
            mark.clear()

    def find_runtime(self, binary: str) -> str:
        from .program import find_program

        return find_program(self._rpc.address, binary)

    # Supervising

    def supervise(self, container: Container, io: TaskIO, supervision: Supervision) -> None:
        state: t.Optional[TaskState] = None
        with contextlib.suppress(NotFound):
            state = self.state(container.id)
        runs = state is not None and state.status in (RUNNING, PAUSED, RESTARTING)
        self._place.container_dir(container.id)
        self._supervisors.change(container, io, supervision, runs)
        if state and runs and not self._known_supervisor(container.id).alive and self._supervisors.ours(container.id):
            self._supervisors.watch(container.id, state.pid)
        else:
            wake(self._known_supervisor(container.id))

    def give_up(self, container_id: str) -> None:
        mark_asked(self._directory(container_id))
        self._leave(container_id)
        wake(self._known_supervisor(container_id))

    def _known_supervisor(self, container_id: str) -> Process:
        record = TaskRecord.read(*self._files(container_id))
        return record.shim if record and record.boot == boot_id() else Process(0, 0)

    def _leave(self, container_id: str) -> None:
        """Have the monitor forget a container that ends, or has ended. If it is starting it at this moment, wait until it has: a
        task that is killed between the two calls of a start would stay for ever as one that was never started.
        """
        if not self._supervisors.monitor.leave(container_id):
            return
        began, status = time.monotonic(), STOPPED
        while time.monotonic() - began < (_START_SECONDS if status == CREATED else _SETTLE_SECONDS):
            with contextlib.suppress(NotFound):
                status = _STATUS.get(self._call("Get", container_id)["process"]["status"], status)
            if status in (RUNNING, PAUSED):
                return
            time.sleep(_LOOK_SECONDS)

    def health(self, container_id: str) -> t.Mapping[str, t.Any]:
        return results(self._supervisors.results(container_id))

    def exec(self, container: Container, process: t.Mapping[str, t.Any], stdin: bool = False) -> Execution:
        from .execution import DaemonExecution, sweep

        self._in(container.id, RUNNING)
        sweep(self._rpc, self._executions)
        return DaemonExecution(self._rpc, container.id, process, self._executions, stdin)

    def spawn(self, container: Container, process: t.Mapping[str, t.Any]) -> str:
        from .execution import spawn, sweep

        self._in(container.id, RUNNING)
        sweep(self._rpc, self._executions)
        return spawn(self._rpc, container.id, process, self._executions)

    # Our own records

    def _files(self, container_id: str) -> t.Tuple[str, str]:
        """The places where the log writer writes its state: in memory on a full disk, else beside the log."""
        return os.path.join(self._spare, f"{container_id}.json"), os.path.join(self._directory(container_id), "state.json")

    def _known(self, container_id: str) -> t.Optional[TaskRecord]:
        """The record; an empty one if it is damaged, None if there is none."""
        paths = self._files(container_id)
        return TaskRecord.read(*paths) or (TaskRecord() if any(map(os.path.lexists, paths)) else None)

    def _forget(self, container_id: str) -> None:
        directory = self._directory(container_id)
        for path in (
            *self._files(container_id),
            self._supervisors.results(container_id),
            *(os.path.join(directory, name) for name in ("stdin", "stdout", "stderr", START_ERROR)),
        ):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    # Looking

    def state(self, container_id: str) -> TaskState:
        """Unavailable when the daemon does not know the state: a shim on a busy host may not answer it within two seconds."""
        deadline = time.monotonic() + _STATE_SECONDS
        while True:
            try:
                process = self._call("Get", container_id)["process"]
            except NotFound:
                return self._remembered(container_id)
            if process["status"] in _STATUS:
                return self._of(process)
            if time.monotonic() >= deadline:
                raise Unavailable(f"the shim of the container {container_id[:12]} does not tell containerd its state")
            time.sleep(0.1)

    def _remembered(self, container_id: str) -> TaskState:
        """The state of a task that the daemon forgot at a restart, of itself or of the host. Else NotFound."""
        record = self._known(container_id)
        if record is None:
            raise NotFound(f"the container {printable(container_id, 80)} has no task")
        state = TaskState(container_id, STOPPED, 0, _UNKNOWN)
        if record.ending is None and record.boot not in ("", boot_id()):
            # Nothing outlives a reboot.
            state = state._replace(exited_at=max(record.started_at, boot_time()))
        return self._supervised(_merged(state, record), record)

    def _supervised(self, state: TaskState, record: TaskRecord) -> TaskState:
        """The state of what does not run, with what its supervisor makes of it. The monitor, too, starts in two steps."""
        found = read_file(os.path.join(self._directory(state.container_id), START_ERROR))
        if found:
            # The program said it that should have started it again (resources/container/boot.py).
            state = state._replace(error=printable(found.decode("utf-8", "replace"), 1000))
        coming = record.restarting or (state.status == CREATED and record.restarts > 0)
        ours = coming and record.boot == boot_id() and record.shim.alive
        if ours or self._supervisors.monitor.will_start(state.container_id, state.exit_status, state.status == CREATED):
            return state._replace(status=RESTARTING, pid=0)
        return state

    def _of(self, process: Message) -> TaskState:
        container_id = process["container_id"] or process["id"]
        status = _STATUS[process["status"]]
        state = TaskState(
            container_id,
            status,
            0 if status == STOPPED else process["pid"],
            process["exit_status"] if status == STOPPED else 0,
            exited_at=seconds(process["exited_at"]) if status == STOPPED else 0.0,
        )
        record = self._known(container_id) or TaskRecord()
        if status == STOPPED and record.ending is None and record.shim.alive:
            # The log writer is about to tell how it ended, and what follows.
            self._wait_for_log(container_id)
            record = self._known(container_id) or record
        state = _merged(state, record)
        if status in (STOPPED, CREATED):
            return self._supervised(state, record)
        return state._replace(alone=self._supervisors.ours(container_id) and not record.shim.alive)

    def list(self) -> t.List[TaskState]:
        found = self._rpc.call("tasks.v1.Tasks/List")["tasks"]
        return [self._of(one) if one["status"] in _STATUS else self.state(one["container_id"] or one["id"]) for one in found]

    def wait(self, container_id: str, timeout: t.Optional[float] = None) -> TaskState:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            state = self.state(container_id)
            if state.status == STOPPED:
                self._wait_for_log(container_id)
                return self.state(container_id)
            left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
            try:
                if state.status == RESTARTING:
                    self._look_later(left)
                else:
                    self._call("Wait", container_id, left)
            except NotFound:
                continue
            except Unavailable as error:
                if deadline is None or time.monotonic() < deadline:
                    raise
                raise Unavailable(f"the container {container_id[:12]} has not ended within {timeout:g} s") from error

    def _look_later(self, left: t.Optional[float]) -> None:
        if left is not None and left <= _LOOK_SECONDS:
            time.sleep(left)
            raise Unavailable("it is still being started again")
        time.sleep(_LOOK_SECONDS)

    def _wait_for_log(self, container_id: str) -> None:
        """Wait until the log writer has written the last line; not for ever, since a remaining process may hold the output."""
        deadline = time.monotonic() + _LOG_SECONDS
        while time.monotonic() < deadline:
            record = self._known(container_id)
            if not record or record.ending:
                return
            time.sleep(0.005)

    # Changing

    def _in(self, container_id: str, *wanted: str) -> TaskState:
        state = self.state(container_id)
        if state.status not in wanted:
            raise FailedPrecondition(f"the container {container_id[:12]} is {state.status}")
        return state

    def signal(self, container_id: str, signal: int) -> None:
        self._in(container_id, CREATED, RUNNING, PAUSED)
        try:
            self._call("Kill", container_id, signal=signal)
        except NotFound as error:
            raise FailedPrecondition(f"the container {container_id[:12]} does not run") from error

    def pause(self, container_id: str) -> None:
        self._in(container_id, RUNNING)
        self._call("Pause", container_id)

    def resume(self, container_id: str) -> None:
        self._in(container_id, PAUSED)
        self._call("Resume", container_id)

    def update(self, container: Container, resources: t.Mapping[str, t.Any]) -> None:
        """Who starts it again makes a new bundle from the container's record."""
        state = self._in(container.id, CREATED, RUNNING, PAUSED, RESTARTING)
        if state.status == RESTARTING:
            return
        check_limit(state.pid, resources)
        try:
            self._call("Update", container.id, resources={"type_url": _RESOURCES, "value": json.dumps(resources).encode()})
        except EngineError as error:
            raise _explained("update", error) from error

    def delete(self, container_id: str, force: bool = False) -> TaskState:
        try:
            state = self.state(container_id)
        except NotFound:
            if force:
                self._delete_half(container_id)
                self._settle(container_id)
            raise
        if state.status in (RUNNING, PAUSED, RESTARTING) and not force:
            raise FailedPrecondition(f"the container {container_id[:12]} is {state.status}: stop it first")
        if force:
            self._leave(container_id)
            state = self.state(container_id)
        if state.status in (RUNNING, PAUSED):
            self._kill(container_id, state.status)
            state = self.state(container_id)
        with contextlib.suppress(NotFound):
            self._call("Delete", container_id)
        self._settle(container_id)
        self._forget(container_id)
        return state._replace(status=STOPPED)

    def _delete_half(self, container_id: str) -> None:
        """Delete the remains in a daemon that was killed while it made a task: a shim without a container. 1.6 answers that it is
        not found, both before the removal and when it removes it."""
        with contextlib.suppress(EngineError):
            self._call("Delete", container_id)

    def _kill(self, container_id: str, status: str) -> None:
        with contextlib.suppress(NotFound):
            self._call("Kill", container_id, signal=_KILL, all=True)
            if status == PAUSED:
                # A frozen process dies only after it is resumed.
                with contextlib.suppress(EngineError):
                    self._call("Resume", container_id)
            self._call("Wait", container_id, _KILL_SECONDS)


def _merged(state: TaskState, record: TaskRecord) -> TaskState:
    """Merge the daemon's state with the record. The recorded end may be that of an earlier run: the restart monitor has started
    the container again, and the log writer has not recorded the new end yet."""
    state, ended = state._replace(log_path=record.log, started_at=record.started_at, restarts=record.restarts), record.ending
    if state.status not in (STOPPED, RESTARTING) or ended is None or ended.exited_at + _SAME < state.exited_at:
        return state
    return state._replace(
        exit_status=ended.exit_status,
        exited_at=ended.exited_at or state.exited_at,
        oom_killed=ended.oom_killed,
    )


def _explained(verb: str, error: EngineError) -> EngineError:
    """Errors of a runtime come without a status, so they are explained as in the embedded engine."""
    if type(error) not in (EngineError, NotFound) or "runtime" not in str(error):
        return error
    return failure(verb, str(error))
