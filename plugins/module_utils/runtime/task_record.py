# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the record of a task. It is checked strictly, since a power cut, a full disk or a user may have damaged it."""

from __future__ import annotations

import json
import typing as t

from ..errors import EngineError, ResourceExhausted
from ..hostfs.atomic import read_file
from .processes import Process

#: The largest time or process number that we write.
_LIMIT = 1e11


class Ending(t.NamedTuple):
    """How a task ended."""

    exit_status: int
    exited_at: float
    oom_killed: bool


class TaskRecord(t.NamedTuple):
    """A task: its boot, processes, OCI runtime, log, start time and end. Unknown values are empty.

    systemd: the runtime asks systemd for the control groups. shim: the process that supervises it, with either engine. restarts: how
    often that has started it. restarting: it has ended, and is about to be started again.
    """

    boot: str = ""
    init: Process = Process(0, 0)
    shim: Process = Process(0, 0)
    runtime: str = ""
    systemd: bool = False
    log: str = ""
    started_at: float = 0.0
    ending: t.Optional[Ending] = None
    restarts: int = 0
    restarting: bool = False

    @classmethod
    def read(cls, *paths: str) -> t.Optional[TaskRecord]:
        """Read the first of these files that exists and is complete; None without one. ResourceExhausted: too many open files."""
        return next(filter(None, map(cls._of, map(_object, paths))), None)

    @classmethod
    def _of(cls, found: t.Optional[t.Dict[str, t.Any]]) -> t.Optional[TaskRecord]:
        if found is None:
            return None
        processes = [_process(found.get(name, [0, 0])) for name in ("init", "shim")]
        texts = [found.get(name, "") for name in ("boot", "runtime", "log")]
        started = found.get("started_at", 0.0)
        if None in processes or not all(isinstance(text, str) for text in texts) or not _is_number(started):
            return None
        init, shim = t.cast(t.List[Process], processes)
        restarts: t.Any = found.get("restarts", 0)
        return cls(
            texts[0],
            init,
            shim,
            texts[1],
            found.get("systemd") is True,
            texts[2],
            float(started),
            _ending(found),
            int(restarts) if _is_number(restarts) else 0,
            found.get("restarting") is True,
        )


def _ending(found: t.Mapping[str, t.Any]) -> t.Optional[Ending]:
    status: t.Any = found.get("exit_status")
    exited_at: t.Any = found.get("exited_at")
    if not isinstance(status, int) or not 0 <= status < 256:
        return None
    return Ending(int(status), float(exited_at) if _is_number(exited_at) else 0.0, found.get("oom_killed") is True)


def _object(path: str) -> t.Optional[t.Dict[str, t.Any]]:
    try:
        found = json.loads(read_file(path) or b"null")
    except ResourceExhausted:
        raise  # this says nothing about the file
    except (EngineError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < _LIMIT


def _process(value: object) -> t.Optional[Process]:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(one, int) and 0 <= one < _LIMIT for one in value):
        return Process(int(value[0]), int(value[1]))
    return None
