# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as docker writes them: 1m30s, 500ms, 1.5h."""

from __future__ import annotations

import re
import typing as t

from ..errors import InvalidArgument, printable

#: In nanoseconds.
_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h)"
_LONGEST = 100 * 365 * 86400 * 10**9
SECOND = _UNITS["s"]


def parse_duration(value: t.Any, option: str, least: int = 0) -> int:
    """Nanoseconds. least: the smallest value that is allowed. InvalidArgument names the option."""
    text = str(value).strip()
    total, at = 0.0, 0
    for part in re.finditer(_PART, text):
        if part.start() != at:
            break
        total, at = total + float(part.group(1)) * _UNITS[part.group(2)], part.end()
    if text == "0":
        at = 1
    if not text or at != len(text) or not least <= total <= _LONGEST:
        floor = f" of at least {show_duration(least)}" if least else ""
        raise InvalidArgument(f"{option}: {printable(value, 80)!r} is not a duration{floor}, such as 1m30s or 500ms")
    return round(total)


def show_duration(value: int) -> str:
    """The text of nanoseconds, in the largest units: 1m30s."""
    text, left = "", value
    for unit in ("h", "m", "s", "ms", "us", "ns"):
        count, left = divmod(left, _UNITS[unit])
        text += f"{count}{unit}" if count else ""
    return text or "0s"
