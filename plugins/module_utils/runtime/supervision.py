# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell a supervisor what is asked for, in a file that it reads without a parser (libexec/keep.py). Read what it has found."""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from ..engine.models import ASKED, Supervision
from ..errors import EngineError, InvalidArgument, from_os_error, printable
from ..hostfs.atomic import read_file, write_file
from .processes import Process

#: In the directory of a container: what is asked for, and the process of its health check.
FILE, _PROCESS = "supervision", "health-process.json"
_HANGUP = 1


def tell(directory: str, asked: Supervision, runtime: t.Sequence[str], results: str, more: t.Mapping[str, str]) -> None:
    """Write what is asked for. runtime: the command of the OCI runtime, up to the verb. results: the file for those of the health check.

    more: further lines. Nothing is left where nothing is asked for.
    """
    path, process = os.path.join(directory, FILE), os.path.join(directory, _PROCESS)
    if not asked.wanted:
        try:
            for name in (path, process):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)
        except OSError as error:
            raise from_os_error(error, f"removing {path}") from error
        return
    lines: t.Dict[str, t.Any] = {**more, "policy": asked.policy, "retries": asked.retries}
    if asked.name:
        lines["name"] = asked.name
    if asked.needs:
        lines["needs"] = " ".join(f"{name}:{condition}" for name, condition in asked.needs)
    if asked.delay:
        lines["delay"] = asked.delay
    if asked.max_delay:
        lines["max-delay"] = asked.max_delay
    if asked.health:
        health = asked.health
        write_file(process, json.dumps(health.process).encode(), durable=False)
        lines.update({"exec": "\t".join(runtime), "process": process, "health": results, "on-failure": health.on_failure})
        lines.update({"interval": health.interval, "timeout": health.timeout, "health-retries": health.retries})
        lines.update({"start-period": health.start_period, "start-interval": health.start_interval})
        lines.update({"stop-signal": asked.stop_signal, "stop-timeout": asked.stop_timeout})
    text = "".join(f"{name} {value}\n" for name, value in lines.items())
    if text.count("\n") != len(lines):
        raise InvalidArgument(f"the path {printable(directory, 200)} has a line break, so no supervisor can be told of it")
    write_file(path, os.fsencode(text))


def wake(supervisor: Process) -> None:
    """Have a supervisor read what has changed."""
    supervisor.signal(_HANGUP)


def wanted(directory: str) -> bool:
    """Whether anything is asked for."""
    return os.path.exists(os.path.join(directory, FILE))


def mark_asked(directory: str) -> None:
    """Note that somebody wants the end of a container. A full disk must not prevent it."""
    with contextlib.suppress(OSError):
        os.close(os.open(os.path.join(directory, ASKED), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def results(path: str) -> t.Dict[str, t.Any]:
    """What a health check has found, as docker has it; empty without one, or when it is damaged."""
    try:
        found = json.loads(read_file(path) or b"null")
    except (EngineError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
