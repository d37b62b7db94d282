# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_logs: what a container has printed, and prints until something happens."""

from __future__ import annotations

import re
import time
import typing as t

from ...engine.models import PAUSED, RESTARTING, RUNNING, TaskState
from ...errors import InvalidArgument, Unavailable, printable
from ...kernel.converge import Facts
from ...kernel.engines import EngineOptions
from ..container.find import task_of, wanted
from .find import log_of
from .follow import Tail
from .formats import Record, joined, parse_moment

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container

#: Characters that a task returns at most. A short line counts more, as it takes more memory than it has characters.
_LIMIT, _SHORT = 16 * 1024 * 1024, 64
#: Nanoseconds by which a line may be older than the one before it: there is a writer for each stream.
_DISORDER = 10**9
#: Seconds between two looks at the log, and at the container; and how long the last output may take to arrive.
_LOOK, _STATE, _LATE = 0.1, 0.5, 2.0


class Wanted(t.NamedTuple):
    """tail: the number of lines (None: all). since, until: nanoseconds since the epoch. timeout: seconds; 0: no limit."""

    tail: t.Optional[int]
    since: t.Optional[int]
    until: t.Optional[int]
    streams: t.Tuple[str, ...]
    timestamps: bool
    pattern: t.Optional[t.Pattern[str]]
    follow: bool
    timeout: float

    def takes(self, record: Record) -> bool:
        if record.stream not in self.streams:
            return False
        if self.since is None and self.until is None:
            return True
        moment = record.nanoseconds
        return (self.since is None or moment >= self.since) and (self.until is None or moment <= self.until)


def container_logs(params: t.Mapping[str, t.Any], engine: Engine) -> Facts:
    container = wanted(engine, EngineOptions.of(params), params["container"])
    task = task_of(engine, container)
    want = _wanted(params, task)
    log = log_of(engine, container, task, params["container"])
    with Tail(log) as tail:
        lines, truncated = _present(tail, want)
        end = _followed(engine, container, want, tail, lines) if want.follow else ""
    matched = bool(want.pattern and any(want.pattern.search(one.text) for one in lines))
    task = task_of(engine, container)
    result = {
        **_told(lines, want),
        "matched": matched,
        "truncated": truncated,
        "timed_out": end == "timeout",
        "running": _runs(task),
        "status": task.status if task else "created",
    }
    return Facts(result, failure=_failure(params, want, matched, end, task))


def _wanted(params: t.Mapping[str, t.Any], task: t.Optional[TaskState]) -> Wanted:
    now, start = time.time_ns(), int((task.started_at if task else 0.0) * 10**9)
    since, until = (parse_moment(params[one], one, now, start) for one in ("since", "until"))
    if params["follow"] and until is not None:
        raise InvalidArgument(f"until: {printable(params['until'], 80)!r} has no meaning with follow=true: give timeout")
    if since is not None and until is not None and since > until:
        raise InvalidArgument(f"until: {printable(params['until'], 80)!r} is before since: {printable(params['since'], 80)!r}")
    timeout = params["timeout"]
    if not 0 <= timeout < float("inf"):
        raise InvalidArgument(f"timeout: {timeout:g} is not a number of seconds")
    try:
        pattern = re.compile(params["pattern"]) if params["pattern"] is not None else None
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidArgument(f"pattern: {printable(params['pattern'], 200)!r} is not a regular expression: {error}") from error
    return Wanted(
        _tail(params["tail"]),
        since,
        until,
        tuple(params["streams"]),
        params["timestamps"],
        pattern,
        params["follow"],
        timeout,
    )


def _tail(text: str) -> t.Optional[int]:
    if text == "all":
        return None
    if not re.fullmatch(r"\d{1,9}", text):
        raise InvalidArgument(f"tail: {printable(text, 80)!r} is neither a number of lines nor all")
    return int(text)


def _present(tail: Tail, want: Wanted) -> t.Tuple[t.List[Record], bool]:
    """The lines that are there, and whether there were too many."""
    found: t.List[Record] = []
    ends = size = 0
    truncated = False
    for record in tail.before() if want.tail != 0 else ():
        if want.since is not None and 0 < record.nanoseconds < want.since - _DISORDER:
            break
        if not want.takes(record):
            continue
        # The first piece of a line comes later here. Two streams may each have one that is not complete.
        if want.tail is not None and ends > want.tail + 1:
            break
        size += max(_SHORT, len(record.text))
        if size > _LIMIT:
            truncated = True
            break
        ends += record.ends
        found.append(record)
    lines = list(joined(reversed(found)))
    return lines[-want.tail :] if want.tail else lines, truncated


def _followed(engine: Engine, container: Container, want: Wanted, tail: Tail, lines: t.List[Record]) -> str:
    """Add lines until one matches, the container ends, or it takes too long: pattern, exit or timeout."""
    matches = want.pattern.search if want.pattern else lambda _text: None
    if any(matches(one.text) for one in lines):
        return "pattern"
    deadline = time.monotonic() + want.timeout if want.timeout else float("inf")
    looked, ended, size = 0.0, False, sum(max(_SHORT, len(one.text)) for one in lines)
    pieces: t.List[Record] = []
    while True:
        now = time.monotonic()
        last = ended
        for record in filter(want.takes, tail.new()):
            pieces.append(record)
            if not record.ends:
                continue
            new = [one for one in pieces if one.stream == record.stream]
            pieces = [one for one in pieces if one.stream != record.stream]
            lines += joined(new)
            size += max(_SHORT, len(lines[-1].text))
            if matches(lines[-1].text):
                return "pattern"
            if size > _LIMIT:
                raise Unavailable(
                    f"container: it has printed more than {_LIMIT} characters meanwhile: give a pattern or a shorter timeout"
                )
        if last:
            lines += joined(pieces)
            return "exit"
        if now > deadline:
            return "timeout"
        if now - looked > _STATE:
            looked, ended = now, not _runs(task_of(engine, container))
            if ended:
                _complete(engine, container)
                continue
        time.sleep(_LOOK)


def _complete(engine: Engine, container: Container) -> None:
    """Wait until the log of a container that has ended has everything."""
    if task_of(engine, container):
        engine.tasks.wait(container.id, _LATE)


def _runs(task: t.Optional[TaskState]) -> bool:
    return bool(task and task.status in (RUNNING, PAUSED, RESTARTING))


def _told(lines: t.Sequence[Record], want: Wanted) -> t.Dict[str, t.Any]:
    def text(chosen: t.Iterable[Record]) -> str:
        return "\n".join(f"{one.time} {one.text}" if want.timestamps else one.text for one in chosen)

    streams = {stream: text(one for one in lines if one.stream == stream) for stream in ("stdout", "stderr")}
    return {**streams, "output": text(lines), "lines": len(lines)}


def _failure(params: t.Mapping[str, t.Any], want: Wanted, matched: bool, end: str, task: t.Optional[TaskState]) -> str:
    """Who waits for a pattern fails without it."""
    if not want.follow or want.pattern is None or matched:
        return ""
    name, pattern = params["container"], printable(params["pattern"], 200)
    if end == "timeout":
        return f"pattern: {pattern!r} was not printed by the container {name} within {want.timeout:g} s (timeout)"
    status = f" with the exit status {task.exit_status}" if task and not _runs(task) and task.started_at else ""
    return f"pattern: the container {name} does not run{status}, and has not printed {pattern!r}"
