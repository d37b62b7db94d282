# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals by name and number. Users may write 15, "15", TERM, SIGTERM or RTMIN+3."""

from __future__ import annotations

import signal

from ..errors import InvalidArgument, printable

_RTMIN, _RTMAX = 34, 64
_NAMES = {one.name[3:]: int(one) for one in signal.Signals if one.name.startswith("SIG") and not one.name.startswith("SIGRT")}


def parse_signal(value: object, option: str = "stop_signal") -> int:
    """The number of a signal. InvalidArgument names option and value."""
    text = str(value).strip().upper()
    if len(text) > 16 or not text.isascii():
        text = ""
    if text.isdigit() and 1 <= int(text) <= _RTMAX:
        return int(text)
    name = text[3:] if text.startswith("SIG") else text
    if name in _NAMES:
        return _NAMES[name]
    base, sign, offset = name[:5], name[5:6], name[6:]
    if base in ("RTMIN", "RTMAX") and (not sign or (sign == ("+" if base == "RTMIN" else "-") and offset.isdigit())):
        number = (_RTMIN + int(offset or 0)) if base == "RTMIN" else (_RTMAX - int(offset or 0))
        if _RTMIN <= number <= _RTMAX:
            return number
    raise InvalidArgument(f"{option}: {printable(value, 60)!r} is not a signal (examples: SIGTERM, TERM, 15, RTMIN+3)")


def signal_name(number: int) -> str:
    """SIGTERM for 15; SIGRTMIN+n above 34."""
    if number >= _RTMIN:
        return f"SIGRTMIN+{number - _RTMIN}"
    return "SIG" + next((name for name, value in _NAMES.items() if value == number), str(number))
