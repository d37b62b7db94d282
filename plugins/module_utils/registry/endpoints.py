# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of one registry: which host is asked next, when all are asked again, and why each one failed."""

from __future__ import annotations

import copy
import secrets
import socket
import time
import typing as t

from ..errors import EngineError, FailedPrecondition, PermissionDenied, RegistryError, Unauthenticated, Unavailable
from .hosts import hosts_for
from .options import PUSH, Host, RegistryOptions
from .sessions import causes
from .transport import Transport

_LONGEST_WAIT = 60.0
T = t.TypeVar("T")


class Failures:
    """The reasons why the hosts failed."""

    def __init__(self, domain: str, hosts: t.Sequence[Transport]) -> None:
        self._domain, self._hosts = domain, hosts
        self._errors: t.List[t.Tuple[Transport, EngineError]] = []

    def add(self, transport: Transport, error: EngineError, scope: str = "") -> None:
        if isinstance(error, (Unauthenticated, PermissionDenied)) and scope:
            transport.trouble[scope] = error
        if isinstance(error, Unavailable) and any(isinstance(one, (TimeoutError, socket.timeout)) for one in causes(error)):
            transport.stalled = True
        self._errors.append((transport, error))

    @property
    def passing(self) -> bool:
        """True when asking again may help. A host that cannot be reached counts only if no other host has answered."""
        hopes = [
            error
            for transport, error in self._errors
            if isinstance(error, Unavailable) and error is not transport.trouble.get("")
        ]
        return bool(hopes) or all(isinstance(error, Unavailable) for _transport, error in self._errors)

    @property
    def retry_after(self) -> t.Optional[float]:
        """The shortest wait in seconds that the hosts asked for; None when some host may be asked sooner."""
        found = [error.details.get("retry_after") for _transport, error in self._errors if isinstance(error, Unavailable)]
        shortest = min((one for one in found if one is not None), default=None)
        return None if shortest is not None and shortest > _LONGEST_WAIT and None in found else shortest

    def error(self) -> EngineError:
        """The last host's error (mostly the registry itself). With several hosts it has the reasons of all."""
        found = [(one, error) for one in self._hosts for transport, error in self._errors if transport is one]
        last = found[-1][1]
        if len(found) == 1:
            return last
        tried = [{"url": transport.url, "reason": str(error)} for transport, error in found]
        reasons = "; ".join(f"{one['url']}: {one['reason']}" for one in tried)
        text = f"none of the {len(tried)} hosts for {self._domain} can be used: {reasons}"
        if isinstance(last, RegistryError):
            error: EngineError = RegistryError(text, last.method, last.url, last.status, last.errors)
        else:
            error = type(last)(text)
        error.details["tried"] = tried
        return error


class Endpoints:
    """The transports to a registry's hosts (or the given ones), in the order of hosts.toml. Threads may share it; close() it.

    given_up: all tries of a request have failed, and no answer has come since. Then other requests are not tried again: a
    registry that stalls holds a task for the tries of one request, not of each.
    """

    def __init__(self, domain: str, options: RegistryOptions, hosts: t.Sequence[Host] = ()) -> None:
        self._domain, self._options = domain, options
        self.given_up = False
        self.transports = [Transport(host, domain, options) for host in hosts or hosts_for(domain, options)]

    def close(self) -> None:
        for transport in self.transports:
            transport.close()

    def able(self, *needs: str) -> t.List[Transport]:
        """The transports to hosts that have all capabilities; for pushes only the first one. FailedPrecondition without any."""
        found = [one for one in self.transports if set(needs) <= set(one.host.capabilities)]
        if not found:
            raise FailedPrecondition(
                f"no host for {self._domain} has the capability {' and '.join(needs)}: see its hosts.toml in registry_config_dir"
            )
        return found[:1] if PUSH in needs else found

    def round(self, scope: str, *needs: str) -> t.Tuple[t.List[Transport], Failures]:
        """The hosts to ask now, and the reasons against the others. A host in trouble is asked again only when all are in trouble.

        A host that has stalled comes last, so that it does not cost the time limit in each request.
        """
        found = self.able(*needs)
        failures = Failures(self._domain, found)
        troubles = [(one, one.trouble.get("") or one.trouble.get(scope)) for one in found]
        if all(trouble for _one, trouble in troubles):
            return _stalled_last(found), failures
        for one, trouble in troubles:
            if trouble:
                failures.add(one, trouble)
        return _stalled_last([one for one, trouble in troubles if not trouble]), failures

    def attempt(self, scope: str, needs: t.Sequence[str], action: t.Callable[[Transport], T]) -> T:
        """The result of action for the first host where it succeeds. Rounds are repeated while that may help."""
        number = 0
        while True:
            transports, failures = self.round(scope, *needs)
            for transport in transports:
                try:
                    found = action(transport)
                except EngineError as error:
                    failures.add(transport, error, scope)
                else:
                    self.given_up = transport.stalled = False
                    return found
            number += 1
            self.before_retry(number, failures)

    def before_retry(self, attempt: int, failures: Failures) -> None:
        """Wait, or raise the error when no try is left, or none could help."""
        retries = 0 if self.given_up else self._options.retries
        if attempt > retries or not failures.passing:
            self.given_up = failures.passing
            raise _told_tries(failures.error(), attempt)
        self.pause(attempt, failures.error(), failures.retry_after)

    def pause(self, attempt: int, error: EngineError, retry_after: t.Optional[float] = None) -> None:
        """wait_before_retry with the delay of the options."""
        wait_before_retry(self._options.retry_delay, attempt, error, retry_after)


def _stalled_last(transports: t.Sequence[Transport]) -> t.List[Transport]:
    return sorted(transports, key=lambda one: one.stalled)


def _told_tries(error: EngineError, tries: int) -> EngineError:
    """The error, with the number of tries that it took."""
    if tries < 2:
        return error
    # A copy: hosts remember their own error.
    told = copy.copy(error)
    told.args = (f"{error} (tried {tries} times, see retries)",)
    return told


def wait_before_retry(delay: float, attempt: int, error: EngineError, retry_after: t.Optional[float] = None) -> None:
    """Wait: exponential with jitter, or as the server asked. Unavailable when it asks for too much. error: why we try again."""
    if retry_after is not None and retry_after > _LONGEST_WAIT:
        raise Unavailable(f"{error}: it asks to wait for {_words(retry_after)}: run the task again after that")
    jitter = 0.5 + secrets.SystemRandom().random()
    time.sleep(retry_after if retry_after is not None else min(_LONGEST_WAIT, delay * 2 ** (attempt - 1) * jitter))


def _words(seconds: float) -> str:
    """A time in words."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
