# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option ready: by what a service that was started proves itself."""

from __future__ import annotations

import math
import re
import typing as t

from ....errors import InvalidArgument
from .log import files_of
from .row import Values, bad
from .supervision import supervision_of

#: The longest that a question may take (seconds).
ANSWER = 5.0
_PORTS = range(1, 65536)


if t.TYPE_CHECKING:
    import http.client


class Http(t.NamedTuple):
    """A request, and the status codes that are right; none: those from 200 to 399."""

    port: int
    path: str
    status: t.Tuple[int, ...]
    scheme: str = "http"

    def _connection(self, host: str) -> http.client.HTTPConnection:
        """With TLS certificates do not matter: those of a service are for its name, and it is asked by an address of the container."""
        import http.client

        if self.scheme == "http":
            return http.client.HTTPConnection(host, self.port, timeout=ANSWER)
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(host, self.port, timeout=ANSWER, context=context)

    def problem(self, host: str) -> str:
        import http.client

        connection = self._connection(host)
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
    """seconds: how long it stays up. tcp: host (empty: its own addresses) and port. log: a regular expression. timeout: seconds, None for
    ever.
    """

    seconds: float = 0.0
    tcp: t.Optional[t.Tuple[str, int]] = None
    http: t.Optional[Http] = None
    command: t.Tuple[str, ...] = ()
    health: bool = False
    timeout: t.Optional[float] = 60.0
    log: str = ""

    @property
    def asks(self) -> bool:
        """Whether anything is to be proved."""
        return bool(self.seconds or self.tcp or self.http or self.command or self.health or self.log)


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
    if not given["health"] and all(given[key] is None for key in ("for", "tcp", "http", "log", "command")):
        raise InvalidArgument("ready: says nothing: give for, tcp, http, log, command or health")
    seconds, timeout = given["for"] or 0.0, given["timeout"]
    if not 0 <= seconds < float("inf"):
        raise InvalidArgument(f"ready.for: {seconds:g} is not a number of seconds")
    if not 0 < timeout < float("inf"):
        raise InvalidArgument(f"ready.timeout: {timeout:g} is not a number of seconds above 0")
    if seconds > timeout:
        raise InvalidArgument(f"ready.for: {seconds:g} seconds are more than ready.timeout, which is {timeout:g}")
    found = Ready(seconds, _tcp(given["tcp"]), _http(given["http"]), _command(given["command"]), bool(given["health"]), timeout)
    found = found._replace(log=_log(given["log"]))
    if not healthy:
        return found
    return found._replace(health=True, timeout=max(limit, timeout) if limit > 0 else None)


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
    return Http(port, path, status, value["scheme"])


def _log(value: t.Optional[str]) -> str:
    if value is None:
        return ""
    try:
        re.compile(value)
    except re.error as error:
        raise bad("ready.log", value, f"a regular expression ({error})") from error
    if not value:
        raise bad("ready.log", value, "a regular expression: it is empty")
    return value


def _command(value: t.Optional[t.Sequence[str]]) -> t.Tuple[str, ...]:
    if value is not None and not (value and value[0]):
        raise InvalidArgument("ready.command: is empty: give the words of a command")
    for word in value or ():
        if "\x00" in word:
            raise bad("ready.command", word, "usable: it holds a NUL character")
    return tuple(value or ())


def only_health(ready: t.Optional[Ready]) -> Ready:
    """For what runs already."""
    return Ready(health=True, timeout=ready.timeout if ready else None)


def check_log(values: Values) -> None:
    """InvalidArgument for a container whose output is not on this host. values: those of all options."""
    if values.get("log_driver") == "none" or not files_of(values)[1]:
        raise InvalidArgument("ready.log: the output is not kept on this host: leave out log_driver=none and cache-disabled")


def check_healthy(values: Values, option: str) -> None:
    """InvalidArgument for a container without a health check. values: those of all options. option: which asks for one."""
    if supervision_of({}, values).health is None:
        raise InvalidArgument(f"{option}: the container has no health check: give healthcheck, or an image that has one")
