# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the life of a container: how it ends."""

from __future__ import annotations

import typing as t

from ....kernel.field import Field
from ....oci.signals import parse_signal, signal_name
from .init import stop_signal_of
from .row import Base, Live, Row, Value, Values, bad, fixed, nothing

_TERM, _KILL, _SECONDS = 15, 9, 10
#: The options that are used to stop or remove a container.
STOP = ("stop_signal", "stop_timeout")


class Stop(t.NamedTuple):
    """How a task stops a container; None: as the container itself says. kill: the signal that takes the place of signal; 0 for none."""

    signal: t.Optional[int] = None
    timeout: t.Optional[int] = None
    kill: int = 0


def parse_timeout(value: Value, option: str) -> int:
    if value < 0:
        raise bad(option, value, "a number of seconds")
    return int(value)


def kill_of(params: t.Mapping[str, Value]) -> int:
    """The signal of a task that forces the end; 0 for another task. kill_signal is checked in both."""
    signal = _KILL if params["kill_signal"] is None else parse_signal(params["kill_signal"], "kill_signal")
    return signal if params["force_kill"] else 0


def stop_of(values: Values, kill: int = 0) -> Stop:
    """The options of a stop that are given."""
    return Stop(values.get("stop_signal"), values.get("stop_timeout"), kill)


def stopping(how: Stop, values: Values) -> t.Tuple[int, int]:
    """Signal and seconds: those of the task, else those of the container (values)."""
    own = stop_of(values)
    seconds = own.timeout if how.timeout is None else how.timeout
    return how.kill or how.signal or own.signal or _TERM, _SECONDS if seconds is None else seconds


ROWS = (
    Row(
        Field("stop_signal"),
        parse_signal,
        Base(
            lambda defaults, given: (
                stop_signal_of(defaults, given) or parse_signal(defaults["stop_signal"] or _TERM, "stop_signal")
            )
        ),
        nothing,
        Live.RECORD,
        {"Config.StopSignal": lambda seen: signal_name(seen.values.get("stop_signal") or _TERM)},
    ),
    Row(
        Field("stop_timeout"),
        parse_timeout,
        fixed(_SECONDS),
        nothing,
        Live.RECORD,
        {"Config.StopTimeout": lambda seen: seen.values.get("stop_timeout", _SECONDS)},
    ),
)
