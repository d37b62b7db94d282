# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of the embedded engine: a bundle, a shim and an OCI runtime for each container."""

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
    STOPPED,
    Container,
    Mount,
    Supervision,
    TaskIO,
    TaskState,
)
from ..engine_host.place import Place
from ..errors import AlreadyExists, EngineError, FailedPrecondition, NotFound, Unavailable, printable
from ..hostfs.atomic import make_dir
from ..hostfs.lock import locked
from ..hostfs.remove import remove_tree, sweep
from ..runtime import remains
from ..runtime.bundle import Bundle
from ..runtime.launch import Launch, start_apart
from ..runtime.memory import check_limit
from ..runtime.processes import Process, arguments_of, began, boot_id, boot_time, frozen, with_argument
from ..runtime.runc import RuntimeProgram, failure, find_binary, last_message
from ..runtime.supervision import mark_asked, results, tell, wake, wanted
from ..runtime.task_record import Ending, TaskRecord
from ..runtime_spec.cgroups import made_by_systemd, remove_parents

if t.TYPE_CHECKING:
    from ..libexec.execution import Execution

_UNKNOWN = 255
#: What the shim records where it could not start a container again.
_NOT_STARTED = 128
_START_SECONDS = 60.0
_RECORD_SECONDS = 10.0
_KILL = 9
_LOOK_SECONDS = 0.02
_NONE = Supervision()
#: What the shim answers, and which of its arguments, from the bundle on, is the log.
_STARTED, _LOG = b"started\n", 3
_ANSWERS = {
    b"failed\n": "the runtime failed silently",
    b"unwritten\n": "the state of the task cannot be written: there is no space below data_root or state_root",
}


class EmbeddedTasks:
    """TaskService (engine/api.pyi) for one namespace."""

    def __init__(self, namespace: str, data_root: str, state_root: str, place: Place) -> None:
        self._data_root, self._place, self._state_root = data_root, place, state_root
        self._state = os.path.join(state_root, namespace)
        self._runtime_root = os.path.join(state_root, "runc", namespace)

    def _bundle(self, container_id: str) -> Bundle:
        return Bundle(os.path.join(self._state, container_id))

    def _files(self, container_id: str) -> t.Tuple[str, str]:
        """The places where the shim writes its state: in the bundle on a full disk, else where it survives a reboot."""
        return f"{self._bundle(container_id).path}/state.json", f"{self._place.container_path(container_id)}/state.json"

    def _runtime(self, record: TaskRecord) -> RuntimeProgram:
        return RuntimeProgram(record.runtime, self._runtime_root, record.systemd)

    # Starting

    def start(self, container: Container, rootfs: t.Sequence[Mount], io: TaskIO, supervision: Supervision = _NONE) -> TaskState:
        with contextlib.suppress(NotFound):
            if not supervision.restarts:
                status = self.state(container.id).status
                raise AlreadyExists(f"the container {container.id[:12]} has a task already, it is {status}")
        runtime = RuntimeProgram(container.runtime.binary, self._runtime_root, made_by_systemd(container.spec))
        sweep(self._state)
        self._clean(container.id)
        self._tell(container, supervision, runtime)
        try:
            make_dir(self._state)
            # Nobody may remove the parent control groups meanwhile.
            with locked(self._state, "the state directory", shared=True):
                self._run(container, runtime, rootfs, io, supervision)
            return self.state(container.id)
        except EngineError:
            self._clean(container.id)
            raise

    def _run(
        self, container: Container, runtime: RuntimeProgram, rootfs: t.Sequence[Mount], io: TaskIO, asked: Supervision
    ) -> None:
        """Make the bundle, and have a shim start the container; wait until that is done."""
        from ..libexec.install import command

        bundle, how = self._bundle(container.id), "terminal" if io.terminal else "stdin" if io.stdin else ""
        log = [io.log_path, str(io.log_max_size), str(io.log_max_files)]
        counters = str(asked.restarts), str(asked.waited)
        arguments = [bundle.path, self._place.container_path(container.id), container.id, *log, how, *counters, *runtime.command]
        with Launch(container.id, command(self._data_root, "shim"), arguments) as launch:
            make_dir(self._runtime_root)
            bundle.make(container.spec, rootfs, runtime.binary)
            answer = launch.go(_START_SECONDS)
        if answer != _STARTED:
            message = last_message(os.path.join(bundle.path, "runtime.log"))
            if message:
                raise failure("start", message)
            raise Unavailable(_ANSWERS.get(answer, "the shim ended before the container was made"))

    # Supervising

    def _results(self, container_id: str) -> str:
        """The file with what the health check has found: in memory, since it is written often."""
        return os.path.join(self._bundle(container_id).path, "health.json")

    def _tell(self, container: Container, asked: Supervision, runtime: RuntimeProgram) -> None:
        directory = self._place.container_dir(container.id)
        more = {"state-root": self._state_root}
        if asked.wanted:
            from ..libexec.starter import command

            more["again"] = "\t".join(command(self._data_root, "again", directory))
            if asked.remove:
                more["remove"] = "\t".join(command(self._data_root, "remove", directory))
        tell(directory, asked, runtime.command, self._results(container.id), more)

    def supervise(self, container: Container, io: TaskIO, supervision: Supervision) -> None:
        runtime = RuntimeProgram(container.runtime.binary, self._runtime_root, made_by_systemd(container.spec))
        self._tell(container, supervision, runtime)
        with contextlib.suppress(NotFound):
            if self.state(container.id).alone:
                self._watch(container.id)
                return
        self._wake(container.id)

    def _watch(self, container_id: str) -> None:
        """Have a supervisor for a container whose shim was killed."""
        from ..libexec.install import command

        init, (spare, path), bundle = self._record(container_id).init, self._files(container_id), self._bundle(container_id).path
        place = [
            self._place.container_path(container_id),
            container_id,
            path,
            spare,
            str(init.pid),
            str(init.started),
            bundle,
            "",
        ]
        words = [*command(self._data_root, "watch"), *place]
        start_apart(f"fleet-watch-{container_id}", f"Supervisor of the container {container_id}", words)

    def give_up(self, container_id: str) -> None:
        mark_asked(self._place.container_path(container_id))
        self._wake(container_id)

    def _wake(self, container_id: str) -> None:
        record = TaskRecord.read(*self._files(container_id))
        if record and record.boot == boot_id():
            wake(record.shim)

    def health(self, container_id: str) -> t.Mapping[str, t.Any]:
        return results(self._results(container_id))

    def exec(self, container: Container, process: t.Mapping[str, t.Any], stdin: bool = False) -> Execution:
        from ..libexec.execution import RuntimeExecution

        init, runtime = self._entered(container)
        return RuntimeExecution(runtime.command, container.id, init, process, self._bundle(container.id).path, stdin)

    def spawn(self, container: Container, process: t.Mapping[str, t.Any]) -> str:
        from ..libexec.execution import spawn

        runtime = self._entered(container)[1]
        return spawn(runtime.command, container.id, process, self._bundle(container.id).path)

    def _entered(self, container: Container) -> t.Tuple[int, RuntimeProgram]:
        """The first process and the runtime of a container that runs."""
        state = self.state(container.id)
        if state.status != RUNNING:
            raise FailedPrecondition(f"the container {container.id[:12]} is {state.status}")
        return state.pid, RuntimeProgram(container.runtime.binary, self._runtime_root, made_by_systemd(container.spec))

    # Looking

    def find_runtime(self, binary: str) -> str:
        return find_binary(binary)

    def _known(self, container_id: str) -> t.Optional[TaskRecord]:
        """The shim's record, or what can be found out if it is damaged; None without a task."""
        paths = self._files(container_id)
        return TaskRecord.read(*paths) or (self._found_out(container_id) if any(map(os.path.lexists, paths)) else None)

    def _found_out(self, container_id: str) -> TaskRecord:
        bundle, init = self._bundle(container_id), remains.find_init(container_id)
        shim, words = next(_shims(bundle.path), (Process(0, 0), []))
        waits = os.path.exists(os.path.join(self._runtime_root, container_id, "exec.fifo"))
        return TaskRecord(
            boot_id() if init.alive else "",
            init,
            shim,
            bundle.runtime,
            "--systemd-cgroup" in words,
            words[_LOG] if words else "",
            0.0 if waits else began(init.pid),
        )

    def _record(self, container_id: str) -> TaskRecord:
        record = self._known(container_id)
        if record is None:
            raise NotFound(f"the container {printable(container_id, 80)} has no task")
        return record

    def state(self, container_id: str) -> TaskState:
        record = self._record(container_id)
        if record.ending is None and record.boot == boot_id():
            if record.init.alive:
                status = CREATED if not record.started_at else PAUSED if frozen(record.init.pid) else RUNNING
                alone = wanted(self._place.container_path(container_id)) and not record.shim.alive
                known = (record.started_at, 0.0, False, record.log, record.restarts, "", alone)
                return TaskState(container_id, status, record.init.pid, 0, *known)
            # It has just ended, and the shim is about to record how.
            record, before = self._later(container_id, record), record
            if record.ending is None and record != before:
                return self.state(container_id)
        # The shim removes the runtime's log before each start.
        failed = record.restarts and record.ending and record.ending.exit_status == _NOT_STARTED
        message = last_message(os.path.join(self._bundle(container_id).path, "runtime.log")) if failed else ""
        return _ended(container_id, record, str(failure("start", message)) if message else "")

    def _later(self, container_id: str, record: TaskRecord) -> TaskRecord:
        """The record that follows this one; the same one if none comes."""
        deadline = time.monotonic() + _RECORD_SECONDS
        while True:
            gone = record.shim.wait(_LOOK_SECONDS)
            found = self._known(container_id) or record
            if gone or found != record or time.monotonic() >= deadline:
                return found

    def list(self) -> t.List[TaskState]:
        try:
            names = sorted(os.listdir(self._state))
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            if not name.startswith("."):
                with contextlib.suppress(NotFound):
                    found.append(self.state(name))
        return found

    def wait(self, container_id: str, timeout: t.Optional[float] = None) -> TaskState:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            state = self.state(container_id)
            if state.status == STOPPED:
                return state
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise Unavailable(f"the container {container_id[:12]} has not ended within {timeout:g} s")
            if state.status == RESTARTING:
                time.sleep(_LOOK_SECONDS)
            else:
                self._record(container_id).init.wait(left)

    # Changing

    def signal(self, container_id: str, signal: int) -> None:
        record, state = self._record(container_id), self.state(container_id)
        if state.status in (STOPPED, RESTARTING):
            raise FailedPrecondition(f"the container {container_id[:12]} does not run")
        if not record.init.signal(signal):
            raise FailedPrecondition(f"the container {container_id[:12]} does not run")

    def pause(self, container_id: str) -> None:
        self._freeze(container_id, "pause", RUNNING)

    def resume(self, container_id: str) -> None:
        self._freeze(container_id, "resume", PAUSED)

    def _freeze(self, container_id: str, verb: str, wanted: str) -> None:
        record, state = self._record(container_id), self.state(container_id)
        if state.status != wanted:
            raise FailedPrecondition(f"the container {container_id[:12]} cannot {verb}: it is {state.status}")
        self._runtime(record).run(verb, container_id)

    def update(self, container: Container, resources: t.Mapping[str, t.Any]) -> None:
        record, state = self._record(container.id), self.state(container.id)
        if state.status == STOPPED:
            raise FailedPrecondition(f"the container {container.id[:12]} does not run")
        if state.pid:
            check_limit(state.pid, resources)
        # Its supervisor may start it again at any moment.
        self._bundle(container.id).configure(container.spec)
        if state.pid:
            # crun reads no standard input by the name of -.
            words = ("update", "--resources", "/dev/stdin", container.id)
            self._runtime(record).run(*words, input=json.dumps(resources).encode())

    def delete(self, container_id: str, force: bool = False) -> TaskState:
        try:
            state = self.state(container_id)
        except NotFound:
            if force:
                self._clean(container_id)
            raise
        if state.status in (RUNNING, PAUSED, RESTARTING) and not force:
            raise FailedPrecondition(f"the container {container_id[:12]} is {state.status}: stop it first")
        self._clean(container_id)
        return state._replace(status=STOPPED)

    def _clean(self, container_id: str) -> None:
        """Remove everything of a task: processes, the runtime's state, the mount, the bundle, the record."""
        bundle, state = self._bundle(container_id), os.path.join(self._runtime_root, container_id)
        if os.path.lexists(bundle.path) or os.path.lexists(state):
            self._end(container_id, bundle, state)
            bundle.remove()
            self._remove_groups()
        for path in self._files(container_id):
            remove_tree(path)

    def _remove_groups(self) -> None:
        """Remove the control groups of the namespace with its last bundle, unless one is being made."""
        if os.path.isdir(self._state):
            with contextlib.suppress(EngineError, OSError), locked(self._state, "the state directory", wait=0):
                if not os.listdir(self._state):
                    remove_parents(os.path.basename(self._state))

    def _end(self, container_id: str, bundle: Bundle, state: str) -> None:
        """End the processes, by ourselves if the runtime does not (it may be missing, or its state damaged)."""
        files, config = self._files(container_id), os.path.join(bundle.path, "config.json")
        record = TaskRecord.read(*files)
        bundle.give_up()
        if record and record.boot == boot_id() and not record.init.alive and bundle.path in arguments_of(record.shim.pid):
            # Perhaps its supervisor is about to start it again.
            wake(record.shim)
            record.shim.wait(_RECORD_SECONDS)
            record = TaskRecord.read(*files)
        if record is None:
            shims = _end_makers(bundle)
        else:
            shims = [record.shim] if bundle.path in arguments_of(record.shim.pid) else []
            if record.boot == boot_id() and remains.belongs(record.init.pid, container_id) and record.init.signal(_KILL):
                # Faster than <runtime> delete --force, which checks only every 100 ms.
                if frozen(record.init.pid):
                    remains.thaw(record.init.pid)
                record.init.wait(_RECORD_SECONDS)
        if os.path.isdir(state):
            with contextlib.suppress(EngineError):
                runtime = RuntimeProgram(bundle.runtime or "runc", self._runtime_root, record is not None and record.systemd)
                runtime.delete(container_id, force=True)
        if record is None or os.path.lexists(state) or remains.has_groups(container_id, config):
            remains.end(container_id, config)
            remove_tree(state)
        for shim in shims:
            if not shim.wait(_RECORD_SECONDS):
                shim.signal(_KILL)

    def sweep(self) -> bool:
        """Remove the bundles that killed runs left. False when some could not be removed."""
        return sweep(self._state)


def _shims(bundle: str) -> t.Iterator[t.Tuple[Process, t.List[str]]]:
    """The shim of a bundle, and its arguments from the bundle on (libexec/shim.py)."""
    from ..libexec.install import COMMAND

    return ((one, words[words.index(bundle) :]) for one, words in with_argument(bundle) if COMMAND in words and "shim" in words)


def _end_makers(bundle: Bundle) -> t.List[Process]:
    """End the processes of a run that was killed while it started the task. Wait for the runtime: it cleans up after itself, or
    has made a container that can be deleted. Returns the shims that hold a container, and end with it.
    """
    while not _runtimes(bundle) and not os.path.exists(os.path.join(bundle.path, "init.pid")):
        # The shim is about to start the runtime. The process that it forks for this looks like a shim until it executes the runtime.
        shims = [shim for shim, _words in _shims(bundle.path) if shim.signal(_KILL)]
        if not shims or not all(shim.wait(_RECORD_SECONDS) for shim in shims):
            break
    for process in _runtimes(bundle):
        process.wait(_START_SECONDS)
    return [shim for shim, _words in _shims(bundle.path)]


def _runtimes(bundle: Bundle) -> t.List[Process]:
    return [process for process, words in with_argument(bundle.path) if "--pid-file" in words]


def _ended(container_id: str, record: TaskRecord, error: str) -> TaskState:
    """The state of a task that does not run. An end that no process saw (a killed shim, a reboot) has the status 255, as in containerd."""
    ended = record.ending
    if ended is None:
        rebooted = record.boot not in ("", boot_id())
        ended = Ending(_UNKNOWN, max(record.started_at, boot_time()) if rebooted else 0.0, False)
    again = record.restarting and record.boot == boot_id() and record.shim.alive
    known = (record.started_at, ended.exited_at, ended.oom_killed, record.log, record.restarts)
    return TaskState(container_id, RESTARTING if again else STOPPED, 0, ended.exit_status, *known, error)
