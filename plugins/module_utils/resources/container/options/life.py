# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the life of a container: how it ends."""

from __future__ import annotations

import typing as t

from ....kernel.field import Field
from ....oci.signals import parse_signal, signal_name
from .init import stop_signal_of
from .row import Base, Live, Row, Value, Values, bad, fixed, nothing

_TERM, _SECONDS = 15, 10
#: The options that are used to stop or remove a container.
STOP = ("stop_signal", "stop_timeout")


class Stop(t.NamedTuple):
    """How a task stops a container; None: as the container itself says. kill: SIGKILL at once."""

    signal: t.Optional[int] = None
    timeout: t.Optional[int] = None
    kill: bool = False


def parse_timeout(value: Value, option: str) -> int:
    if value < 0:
        raise bad(option, value, "a number of seconds")
    return int(value)


def stop_of(values: Values, kill: bool = False) -> Stop:
    """The options of a stop that are given."""
    return Stop(values.get("stop_signal"), values.get("stop_timeout"), kill)


def stopping(how: Stop, values: Values) -> t.Tuple[int, int]:
    """Signal and seconds: those of the task, else those of the container (values)."""
    own = stop_of(values)
    seconds = own.timeout if how.timeout is None else how.timeout
    return how.signal or own.signal or _TERM, _SECONDS if seconds is None else seconds


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
