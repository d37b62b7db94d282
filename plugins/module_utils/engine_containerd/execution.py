# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a process in a container by the daemon, so that ctr and other clients know of it. docs/adr/0047."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import time
import typing as t

from ..errors import EngineError, NotFound, Unavailable, from_os_error
from ..hostfs.atomic import make_dir, read_file, write_file
from ..hostfs.guard import guarded
from ..hostfs.remove import remove_tree
from ..libexec.ends import watch
from ..libexec.execution import Execution
from ..libexec.health import end_session
from ..rpc.channel import Channel
from ..runtime.processes import Process
from ..runtime.runc import failure

_PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process"
_KILL = 9
#: What the daemon says of a process; unknown also when its shim is slow to answer.
_UNKNOWN, _CREATED, _RUNNING = 0, 1, 2
#: In the directory of a process: the container that it is in.
_CONTAINER = "container"
#: How the name of the directory begins: somebody waits for the process, or it goes on by itself.
_AWAITED, _DETACHED = "fleet", "fleet.detached"
_SECONDS = 60.0
_READER_MILLISECONDS = 1
_TRIES, _PATIENCE, _PAUSE = 10, 0.5, 0.05
_NAMES = ("stdin", "stdout", "stderr")


class DaemonExecution(Execution):
    """parent: for a directory with its FIFOs, whose name is that of the process for the daemon."""

    def __init__(self, rpc: Channel, container_id: str, process: t.Mapping[str, t.Any], parent: str, stdin: bool) -> None:
        super().__init__(container_id, bool(process.get("terminal")))
        self._rpc, self._resources, self._stdin_kept = rpc, contextlib.ExitStack(), False
        self._directory = _new(parent, container_id, _AWAITED)
        self._names = {"container_id": container_id, "exec_id": os.path.basename(self._directory)}
        done = False
        try:
            self._resources.enter_context(guarded(self._last_will))
            uris = self._make_fifos(stdin)
            self._start(process, uris)
            done = True
        finally:
            if not done:
                self.close()

    def _make_fifos(self, stdin: bool) -> t.Dict[str, str]:
        uris = {}
        for name in _NAMES:
            if (name == "stdin" and not stdin) or (name == "stderr" and self._terminal):
                continue
            uris[name] = os.path.join(self._directory, name)
            os.mkfifo(uris[name], 0o600)
            if name != "stdin":
                setattr(self, name, os.open(uris[name], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        return uris

    def _start(self, process: t.Mapping[str, t.Any], uris: t.Mapping[str, str]) -> None:
        self._rpc.call("tasks.v1.Tasks/Exec", {**self._names, **uris, "terminal": self._terminal, "spec": _spec(process)})
        # That would end a terminal, too.
        self._stdin_kept = "stdin" in uris and not self._terminal
        self._started(_start(self._rpc, self._names))
        try:
            self.ended = watch(self.pid)
        except ProcessLookupError:
            # It has ended.
            self.ended, writer = os.pipe()
            os.close(writer)
        if "stdin" in uris:
            self.stdin = open_writer(uris["stdin"], self.ended)

    def close_stdin(self) -> None:
        super().close_stdin()
        # The shim has it open, too, so that a client may come back.
        if self._stdin_kept:
            self._stdin_kept = False
            with contextlib.suppress(NotFound):
                self._rpc.call("tasks.v1.Tasks/CloseIO", {**self._names, "stdin": True})

    def status(self) -> int:
        if self._status < 0:
            poller = select.poll()
            poller.register(self.ended, select.POLLIN)
            poller.poll()
            # A shim that has missed the end of it would not tell the status, ever.
            self._status = self._rpc.call("tasks.v1.Tasks/Wait", self._names, _SECONDS)["exit_status"]
        return self._status

    def close(self) -> None:
        with self._resources:
            if not self.pid:
                # We were ended before the answer to its start: it may run.
                _end(self._rpc, self._names)
            elif self._status < 0:
                self.kill()
                with contextlib.suppress(EngineError):
                    self._rpc.call("tasks.v1.Tasks/Wait", self._names)
            self._close_streams()
            if self.ended >= 0:
                os.close(self.ended)
                self.ended = -1
            _delete(self._rpc, self._names)
            remove_tree(self._directory)

    def _last_will(self) -> None:
        """In the guard, after we were killed."""
        forget(Channel(self._rpc.address, self._rpc.namespace), self._container_id, self._directory)


def open_writer(path: str, ended: int) -> int:
    """Our end of a FIFO that a shim reads; -1 if the process has ended (ended is readable) and nobody reads. Unavailable.

    A shim opens it some time after it has told that the process runs. What was written and closed before that would be lost, and the
    process would wait for its input for ever.
    """
    poller, deadline = select.poll(), time.monotonic() + _SECONDS
    poller.register(ended, select.POLLIN)
    while True:
        over = bool(poller.poll(0))
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise from_os_error(error, f"opening {path}") from error
        if over:
            return -1
        if time.monotonic() > deadline:
            raise Unavailable(f"the shim has not opened the input of the process within {_SECONDS:g} s")
        poller.poll(_READER_MILLISECONDS)


def spawn(rpc: Channel, container_id: str, process: t.Mapping[str, t.Any], parent: str) -> str:
    """Start a process that nobody waits for. The daemon's name for it."""
    directory = _new(parent, container_id, _DETACHED)
    names, done = {"container_id": container_id, "exec_id": os.path.basename(directory)}, False
    try:
        rpc.call("tasks.v1.Tasks/Exec", {**names, "spec": _spec(process)})
        _start(rpc, names)
        done = True
    finally:
        if not done:
            forget(rpc, container_id, directory)
    return names["exec_id"]


def sweep(rpc: Channel, parent: str) -> None:
    """Forget the processes that nobody waits for any more: the daemon keeps what it knows of them until it is told."""
    try:
        names = os.listdir(parent)
    except FileNotFoundError:
        return
    for name in names:
        directory = os.path.join(parent, name)
        kind, pid, started, _random = name.split("-")
        # One that is being started does not run yet.
        if Process(int(pid), int(started)).alive:
            continue
        container_id = (read_file(os.path.join(directory, _CONTAINER)) or b"").decode()
        if kind == _DETACHED and _runs(rpc, container_id, name):
            continue
        forget(rpc, container_id, directory)


def _new(parent: str, container_id: str, kind: str) -> str:
    """A directory for a process, with a name that tells who starts it."""
    owner = Process.of(os.getpid())
    directory = os.path.join(parent, f"{kind}-{owner.pid}-{owner.started}-{os.urandom(8).hex()}")
    make_dir(directory)
    write_file(os.path.join(directory, _CONTAINER), container_id.encode(), durable=False)
    return directory


def _spec(process: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    return {"type_url": _PROCESS, "value": json.dumps(process).encode()}


def _start(rpc: Channel, names: t.Mapping[str, t.Any]) -> int:
    """The process id."""
    try:
        return int(rpc.call("tasks.v1.Tasks/Start", names, _SECONDS)["pid"])
    except EngineError as error:
        if type(error) not in (EngineError, NotFound) or "runtime" not in str(error):
            raise
        raise failure("run a process in", str(error)) from error


def _runs(rpc: Channel, container_id: str, exec_id: str) -> bool:
    try:
        return bool(
            rpc.call("tasks.v1.Tasks/Get", {"container_id": container_id, "exec_id": exec_id})["process"]["status"] == _RUNNING
        )
    except EngineError:
        return False


def forget(rpc: Channel, container_id: str, directory: str) -> None:
    """End a process that nobody waits for any more, and remove what the daemon and we know of it."""
    names = {"container_id": container_id, "exec_id": os.path.basename(directory)}
    _end(rpc, names)
    _delete(rpc, names)
    remove_tree(directory)


def _end(rpc: Channel, names: t.Mapping[str, t.Any]) -> None:
    """End a process by what the daemon knows of it. A shim may be starting it still, for somebody who does not wait any more."""
    with contextlib.suppress(EngineError):
        for _try in range(_TRIES):
            process = rpc.call("tasks.v1.Tasks/Get", names)["process"]
            if process["pid"] or process["status"] not in (_UNKNOWN, _CREATED):
                break
            time.sleep(_PAUSE)
        if process["pid"]:
            with contextlib.suppress(EngineError):
                rpc.call("tasks.v1.Tasks/Kill", {**names, "signal": _KILL})
            end_session(process["pid"], names["container_id"])
            with contextlib.suppress(EngineError):
                rpc.call("tasks.v1.Tasks/Wait", names)


def _delete(rpc: Channel, names: t.Mapping[str, t.Any]) -> None:
    """Have the daemon forget a process that has ended. If something in the background still has its output, a shim waits for that, for 2 or
    10 seconds, unless our patience ends before.
    """
    for _try in range(_TRIES):
        try:
            rpc.call("tasks.v1.Tasks/DeleteProcess", names, _PATIENCE)
        except Unavailable:
            continue
        except EngineError:
            # It is not there, or never was.
            pass
        return
