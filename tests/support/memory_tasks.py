# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that only pretend to run, for the engine in memory.

What a process does follows from its arguments: true, false and "sh -c 'true; echo WORDS; exit N'" end at once, everything else runs
until a signal ends it or the test calls finish().
"""

from __future__ import annotations

import json
import os
import threading
import time
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import (
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
from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    FailedPrecondition,
    NotFound,
    Unavailable,
)
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.supervision import mark_asked

_KILL = 9
_NONE = Supervision()
_HARMLESS = (0, 17, 18, 23, 28)  # nothing, CHLD, CONT, URG, WINCH


def _played(arguments: t.Sequence[str]) -> t.Tuple[str, t.Optional[int]]:
    """What a command prints, and its exit status; None for one that goes on."""
    program = os.path.basename(arguments[0]) if arguments else ""
    if program in ("true", "false"):
        return "", int(program == "false")
    if program != "sh" or len(arguments) != 3:
        return "", None
    printed = ""
    for command in arguments[2].split("; "):
        word, _space, rest = command.partition(" ")
        if word == "exit" and rest.isdigit():
            return printed, int(rest)
        if word not in ("echo", "true"):
            return printed, None
        printed += f"{rest}\n" * (word == "echo")
    return printed, 0


class MemoryExecution:
    """Execution. Without a status it goes on until it is killed."""

    def __init__(self, printed: str, status: t.Optional[int], stdin: bool) -> None:
        self._status, self.stderr, self.stdin, self.pid = status, -1, -1, 0
        (self.stdout, output), (self.ended, life) = os.pipe(), os.pipe()
        self._fds = [self.stdout, output, self.ended, life]
        os.set_blocking(self.stdout, False)
        os.write(output, printed.encode())
        self._close(output)
        if stdin:
            reader, self.stdin = os.pipe()
            self._fds += [reader, self.stdin]
        if status is not None:
            self._close(life)

    def _close(self, fd: int) -> None:
        if fd in self._fds:
            self._fds.remove(fd)
            os.close(fd)

    def __enter__(self) -> MemoryExecution:
        return self

    def __exit__(self, *exc: object) -> None:
        for fd in list(self._fds):
            self._close(fd)

    def close_stdin(self) -> None:
        self._close(self.stdin)
        self.stdin = -1

    def signal(self, number: int) -> None:
        self._status = 128 + number if self._status is None else self._status

    def kill(self) -> None:
        self.signal(_KILL)

    def status(self) -> int:
        assert self._status is not None
        return self._status


class MemoryTasks:
    """TaskService."""

    def __init__(self) -> None:
        #: The directory of a container, which the engine knows.
        self.directory: t.Callable[[str], str] = lambda container_id: ""
        #: What the supervisor of each container was told, and what health checks have found (for tests to set).
        self.supervised: t.Dict[str, Supervision] = {}
        self.healths: t.Dict[str, t.Dict[str, t.Any]] = {}
        self._tasks: t.Dict[str, TaskState] = {}
        self._changed = threading.Condition(threading.RLock())
        # No process of this machine can have such a number.
        self._next_pid = 1 << 22
        #: For tests: the processes that were run beside the first ones.
        self.executed: t.List[t.Dict[str, t.Any]] = []
        #: For tests: the limits that updates set, and the memory that a container uses, by its id.
        self.limits: t.Dict[str, t.Dict[str, t.Any]] = {}
        self.memory: t.Dict[str, int] = {}

    def start(self, container: Container, rootfs: t.Sequence[Mount], io: TaskIO, supervision: Supervision = _NONE) -> TaskState:
        with self._changed:
            self.supervised[container.id] = supervision
            if container.id in self._tasks:
                raise AlreadyExists(f"the container {container.id[:12]} has a task already")
            self._next_pid += 1
            state = self._set(TaskState(container.id, RUNNING, self._next_pid, 0, time.time(), log_path=io.log_path))
            printed, status = _played(list(container.spec.get("process", {}).get("args", ())))
            self.say(container.id, printed)
            return state if status is None else self.finish(container.id, status)

    def supervise(self, container: Container, io: TaskIO, supervision: Supervision) -> None:
        self.supervised[container.id] = supervision

    def give_up(self, container_id: str) -> None:
        mark_asked(self.directory(container_id))

    def health(self, container_id: str) -> t.Mapping[str, t.Any]:
        return self.healths.get(container_id, {})

    def exec(self, container: Container, process: t.Mapping[str, t.Any], stdin: bool = False) -> MemoryExecution:
        self._in(container.id, RUNNING)
        self.executed.append(dict(process))
        return MemoryExecution(*_played(list(process["args"])), stdin)

    def spawn(self, container: Container, process: t.Mapping[str, t.Any]) -> str:
        self._in(container.id, RUNNING)
        self.executed.append(dict(process))
        return "exec-0123456789abcdef"

    def find_runtime(self, binary: str) -> str:
        return binary

    def _set(self, state: TaskState) -> TaskState:
        with self._changed:
            self._tasks[state.container_id] = state
            self._changed.notify_all()
        return state

    def _in(self, container_id: str, *wanted: str) -> TaskState:
        state = self.state(container_id)
        if state.status not in wanted:
            raise FailedPrecondition(f"the container {container_id[:12]} is {state.status}")
        return state

    def say(self, container_id: str, text: str) -> None:
        """For tests: the process prints something."""
        path = self.state(container_id).log_path
        if text and path:
            with open(path, "a", encoding="utf-8") as log:
                log.writelines(json.dumps({"log": line, "stream": "stdout"}) + "\n" for line in text.splitlines(keepends=True))

    def finish(self, container_id: str, exit_status: int = 0, oom_killed: bool = False) -> TaskState:
        """For tests: the process ends."""
        state = self._in(container_id, CREATED, RUNNING, PAUSED)
        return self._set(
            state._replace(status=STOPPED, pid=0, exit_status=exit_status, exited_at=time.time(), oom_killed=oom_killed)
        )

    def state(self, container_id: str) -> TaskState:
        with self._changed:
            if container_id not in self._tasks:
                raise NotFound(f"the container {container_id[:12]} has no task")
            return self._tasks[container_id]

    def list(self) -> t.List[TaskState]:
        with self._changed:
            return [state for _id, state in sorted(self._tasks.items())]

    def signal(self, container_id: str, signal: int) -> None:
        self._in(container_id, CREATED, RUNNING, PAUSED)
        if signal not in _HARMLESS:
            self.finish(container_id, 128 + signal)

    def wait(self, container_id: str, timeout: t.Optional[float] = None) -> TaskState:
        with self._changed:
            self.state(container_id)
            if not self._changed.wait_for(lambda: self.state(container_id).status == STOPPED, timeout):
                raise Unavailable(f"the container {container_id[:12]} has not ended within {timeout:g} s")
            return self.state(container_id)

    def delete(self, container_id: str, force: bool = False) -> TaskState:
        with self._changed:
            state = self.state(container_id)
            if state.status in (RUNNING, PAUSED):
                if not force:
                    raise FailedPrecondition(f"the container {container_id[:12]} is {state.status}: stop it first")
                state = self.finish(container_id, 128 + _KILL)
            del self._tasks[container_id]
            return state._replace(status=STOPPED)

    def update(self, container: Container, resources: t.Mapping[str, t.Any]) -> None:
        with self._changed:
            self._in(container.id, RUNNING, PAUSED, RESTARTING)
            wanted = (resources.get("memory") or {}).get("limit", -1)
            if 0 < wanted < self.memory.get(container.id, 0):
                raise FailedPrecondition(f"memory: the container uses more than {wanted} bytes")
            mine = self.limits.setdefault(container.id, {})
            for section, values in resources.items():
                mine[section] = {**mine.get(section, {}), **values}

    def pause(self, container_id: str) -> None:
        self._set(self._in(container_id, RUNNING)._replace(status=PAUSED))

    def resume(self, container_id: str) -> None:
        self._set(self._in(container_id, PAUSED)._replace(status=RUNNING))
