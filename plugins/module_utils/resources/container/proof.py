# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that was started proves itself. docs/adr/0045."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import socket
import time
import typing as t

from ...engine.models import RESTARTING, STOPPED, Container, TaskState
from ...errors import EngineError, FailedPrecondition, NotFound, Unavailable, printable
from ...kernel.interrupt import check
from .jobs import failed
from .options.network_seen import kept
from .options.ready import ANSWER
from .talk import Talk

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from .options.ready import Ready

#: The time between two looks, and what a command has at least (seconds).
_LOOK, _LEAST = 0.1, 1.0
#: How much of its output is kept.
_SAID = 4096
_LOOPBACK = ("127.0.0.1", "::1")


class Proof:
    """The proof of one container. name: its name in messages. restarts: how often its supervisor had started it before."""

    def __init__(self, engine: Engine, name: str, container: Container, ready: Ready, restarts: int = 0) -> None:
        self._engine, self._name, self._container, self._ready, self._restarts = engine, name, container, ready, restarts
        self._began = time.monotonic()
        self._deadline = float("inf") if ready.timeout is None else self._began + ready.timeout

    def wait(self) -> None:
        """Return when it is proved. FailedPrecondition has what the container printed last."""
        engine, container, ready = self._engine, self._container, self._ready
        while True:
            check()
            state = self._state()
            problem = self._problem(state)
            if not problem:
                return
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise failed(
                    engine, container, state, f"the container {self._name} is not ready after {ready.timeout:g} s: {problem}"
                )
            with contextlib.suppress(Unavailable, NotFound):
                engine.tasks.wait(container.id, min(_LOOK, left))

    def _state(self) -> TaskState:
        """Of what runs. FailedPrecondition when it has ended."""
        try:
            state = self._engine.tasks.state(self._container.id)
        except NotFound as error:
            raise FailedPrecondition(f"the container {self._name} was removed by somebody else before it was ready") from error
        words = f"the container {self._name} ended before it was ready"
        if state.status == STOPPED:
            raise failed(self._engine, self._container, state, words)
        if state.status == RESTARTING or state.restarts > self._restarts:
            raise failed(self._engine, self._container, state, f"{words}, and was started again")
        return state

    def _problem(self, state: TaskState) -> str:
        """What is not as it should be yet; empty if all is."""
        for look in (self._answers, self._serves, self._runs, self._is_healthy, self._stays):
            problem = look(state)
            if problem:
                return problem
        return ""

    def _answers(self, state: TaskState) -> str:
        if self._ready.tcp is None:
            return ""
        host, port = self._ready.tcp
        return self._asked(state, host, f"tcp {host}{':' if host else ''}{port}", lambda one: _connect(one, port))

    def _serves(self, state: TaskState) -> str:
        http = self._ready.http
        return self._asked(state, "", f"http {http.port}{http.path}", http.problem) if http else ""

    def _stays(self, state: TaskState) -> str:
        up = time.monotonic() - self._began
        return f"it has to run for {self._ready.seconds:g} s" if up < self._ready.seconds else ""

    def _runs(self, state: TaskState) -> str:
        command = self._ready.command
        if not command:
            return ""
        process = {**(self._container.spec.get("process") or {}), "terminal": False, "args": list(command)}
        try:
            status, output = self._ask(process, max(_LEAST, self._deadline - time.monotonic()))
        except FailedPrecondition as error:
            # It has ended: the next look tells how.
            return str(error)
        said = printable(output.decode("utf-8", "replace").strip(), 300)
        ended = f"exit status {status}" if status >= 0 else "it has not ended"
        return f"command {printable(command[0], 100)}: {ended}{f' ({said})' if said and status > 0 else ''}" if status else ""

    def _ask(self, process: t.Mapping[str, t.Any], timeout: float) -> t.Tuple[int, bytes]:
        """The exit status (-1: it has not ended in time) and the beginning of the output. Nothing of it stays in the container."""
        said: t.List[bytes] = []
        with self._engine.tasks.exec(self._container, process) as execution:
            status = Talk(execution, lambda _name, data: said.append(data[:_SAID]) if len(said) < _SAID else None).run(timeout)
            execution.kill()
        return -1 if status is None else status, b"".join(said)[:_SAID]

    def _is_healthy(self, state: TaskState) -> str:
        if not self._ready.health:
            return ""
        found = self._engine.tasks.health(self._container.id)
        status = str(found.get("Status") or "starting")
        if status == "unhealthy":
            log = found.get("Log") or [{}]
            said = printable(str(log[-1].get("Output") or "").strip(), 300)
            words = f"the container {self._name} is unhealthy" + (f" ({said})" if said else "")
            raise failed(self._engine, self._container, state, words)
        return "" if status == "healthy" else f"its health check says {printable(status, 40)}"

    def _asked(self, state: TaskState, host: str, what: str, ask: t.Callable[[str], str]) -> str:
        """Ask the addresses of the container, in its network, until one answers well. The first problem."""
        problems = [_in_network_of(state.pid, functools.partial(ask, one)) for one in ([host] if host else self._addresses())]
        return "" if "" in problems else f"{what}: {problems[0]}"

    def _addresses(self) -> t.Sequence[str]:
        """Its own ones: who listens at 127.0.0.1 only serves nobody else. Without any, the loopback addresses."""
        connected = kept(self._container)
        results = connected.results().values() if connected else ()
        return [str(one.ip) for result in results if result for one in result.addresses] or _LOOPBACK


def _connect(host: str, port: int) -> str:
    socket.create_connection((host, port), ANSWER).close()
    return ""


def _in_network_of(pid: int, ask: t.Callable[[], str]) -> str:
    """What ask() gives in the network namespace of a process, in a child of ours: whatever answers there, or does not, holds up nobody."""
    from ...network import netns

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with netns.entered(f"/proc/{pid}/ns/net"):
                found = ask()
            os.write(writer, f"+{found}".encode())
        except OSError as error:
            os.write(writer, f"+{error.strerror or error}".encode())
        except EngineError as error:
            os.write(writer, f"+{error}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        answered = select.select([reader], [], [], 2 * ANSWER)[0]
        text = os.read(reader, 4096).decode("utf-8", "replace") if answered else ""
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return printable(text[1:], 200) if text else "no answer"
