# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ready: by what a service that was started proves itself, and the proof. docs/adr/0045."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import select
import signal
import socket
import time
import typing as t

from ...engine.models import RESTARTING, STOPPED, Container, TaskState
from ...errors import EngineError, FailedPrecondition, InvalidArgument, NotFound, Unavailable, printable
from ...kernel.interrupt import check
from .jobs import failed
from .options.network_seen import kept
from .options.row import Values, bad
from .options.supervision import supervision_of

if t.TYPE_CHECKING:
    from ...engine.api import Engine

#: The time between two looks, the longest that a question may take, and what a command has at least (seconds).
_LOOK, _ANSWER, _LEAST = 0.1, 5.0, 1.0
_PORTS = range(1, 65536)
_LOOPBACK = ("127.0.0.1", "::1")


class Http(t.NamedTuple):
    """A request, and the status codes that are right; none: those from 200 to 399."""

    port: int
    path: str
    status: t.Tuple[int, ...]

    def problem(self, host: str) -> str:
        import http.client

        connection = http.client.HTTPConnection(host, self.port, timeout=_ANSWER)
        try:
            connection.request("GET", self.path, headers={"Host": "localhost", "Connection": "close"})
            status = connection.getresponse().status
        except http.client.HTTPException as error:
            return f"the answer is no HTTP ({type(error).__name__})"
        finally:
            connection.close()
        good = status in self.status if self.status else 200 <= status < 400
        return "" if good else f"the status is {status}"


class Ready(t.NamedTuple):
    """seconds: how long it stays up. tcp: host (empty: its own addresses) and port. timeout: seconds, None for ever."""

    seconds: float = 0.0
    tcp: t.Optional[t.Tuple[str, int]] = None
    http: t.Optional[Http] = None
    command: t.Tuple[str, ...] = ()
    health: bool = False
    timeout: t.Optional[float] = 60.0

    @property
    def asks(self) -> bool:
        """Whether anything is to be proved."""
        return bool(self.seconds or self.tcp or self.http or self.command or self.health)


def ready_of(params: t.Mapping[str, t.Any]) -> t.Optional[Ready]:
    """What proves the state that a task asks for. InvalidArgument."""
    given, healthy = params["ready"], params["state"] == "healthy"
    if (given is not None or healthy) and not params["detach"]:
        raise InvalidArgument(f"{'state: healthy' if healthy else 'ready'}: needs detach=true: with detach=false the end counts")
    limit = params["healthy_wait_timeout"]
    if math.isnan(limit):
        raise bad("healthy_wait_timeout", limit, "a number of seconds")
    if given is None:
        return Ready(health=True, timeout=limit if limit > 0 else None) if healthy else None
    if not given["health"] and all(given[key] is None for key in ("for", "tcp", "http", "command")):
        raise InvalidArgument("ready: says nothing: give for, tcp, http, command or health")
    seconds, timeout = given["for"] or 0.0, given["timeout"]
    if not 0 <= seconds < float("inf"):
        raise InvalidArgument(f"ready.for: {seconds:g} is not a number of seconds")
    if not 0 < timeout < float("inf"):
        raise InvalidArgument(f"ready.timeout: {timeout:g} is not a number of seconds above 0")
    if seconds > timeout:
        raise InvalidArgument(f"ready.for: {seconds:g} seconds are more than ready.timeout, which is {timeout:g}")
    found = Ready(seconds, _tcp(given["tcp"]), _http(given["http"]), _command(given["command"]), bool(given["health"]), timeout)
    if not healthy:
        return found
    return found._replace(health=True, timeout=max(limit, timeout) if limit > 0 else None)


def only_health(ready: t.Optional[Ready]) -> Ready:
    """For what runs already."""
    return Ready(health=True, timeout=ready.timeout if ready else None)


def check_healthy(values: Values, option: str) -> None:
    """InvalidArgument for a container without a health check. values: those of all options. option: which asks for one."""
    if supervision_of({}, values).health is None:
        raise InvalidArgument(f"{option}: the container has no health check: give healthcheck, or an image that has one")


def _tcp(value: t.Optional[str]) -> t.Optional[t.Tuple[str, int]]:
    if value is None:
        return None
    host, _colon, port = value.rpartition(":")
    if not port.isdigit() or len(port) > 5 or int(port) not in _PORTS or (":" in value and not host):
        raise bad("ready.tcp", value, "PORT or HOST:PORT")
    return host.strip("[]"), int(port)


def _http(value: t.Optional[t.Mapping[str, t.Any]]) -> t.Optional[Http]:
    if value is None:
        return None
    port, path, status = value["port"], value["path"], tuple(value["status"] or ())
    if port not in _PORTS:
        raise bad("ready.http.port", port, "a port")
    if not path.startswith("/") or not path.isascii() or any(one.isspace() or not one.isprintable() for one in path):
        raise bad("ready.http.path", path, "the path of a URL, which begins with /")
    for one in status:
        if not 100 <= one < 600:
            raise bad("ready.http.status", one, "a status of HTTP")
    return Http(port, path, status)


def _command(value: t.Optional[t.Sequence[str]]) -> t.Tuple[str, ...]:
    if value is not None and not (value and value[0]):
        raise InvalidArgument("ready.command: is empty: give the words of a command")
    for word in value or ():
        if "\x00" in word:
            raise bad("ready.command", word, "usable: it holds a NUL character")
    return tuple(value or ())


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
            status, output = self._engine.tasks.exec(self._container, process, max(_LEAST, self._deadline - time.monotonic()))
        except FailedPrecondition as error:
            # It has ended: the next look tells how.
            return str(error)
        said = printable(output.decode("utf-8", "replace").strip(), 300)
        ended = f"exit status {status}" if status >= 0 else "it has not ended"
        return f"command {printable(command[0], 100)}: {ended}{f' ({said})' if said and status > 0 else ''}" if status else ""

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
    socket.create_connection((host, port), _ANSWER).close()
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
        answered = select.select([reader], [], [], 2 * _ANSWER)[0]
        text = os.read(reader, 4096).decode("utf-8", "replace") if answered else ""
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return printable(text[1:], 200) if text else "no answer"
