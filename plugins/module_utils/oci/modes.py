# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modes of files as text: octal, or symbolic as in chmod."""

from __future__ import annotations

import re
import stat
import typing as t

from ..errors import InvalidArgument, printable

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)\Z")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_SPECIAL = {"u": stat.S_ISUID, "g": stat.S_ISGID, "o": stat.S_ISVTX}

#: From a mode, and whether it is a directory's, to the wanted mode.
Change = t.Callable[[int, bool], int]


def parse_mode(value: t.Any, option: str) -> Change:
    """Octal digits, the number that YAML makes of 0755, or symbolic (u=rw,g=r,o=). InvalidArgument names option and value."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o7777:
        return lambda _mode, _directory: int(value)
    text = str(value)
    if re.fullmatch(r"0?[0-7]{1,4}", text) and not isinstance(value, int):
        return lambda _mode, _directory: int(text, 8)
    clauses = [_CLAUSE.match(one) for one in text.split(",")]
    if isinstance(value, (int, float)) or None in clauses:
        raise InvalidArgument(
            f"{option}: {printable(value, 80)!r} is not a mode: expected octal digits such as '0644', or symbols such as u=rw,g=r,o="
        )
    parts = [(one[1] or "a", re.findall(r"([-+=])([ugo]|[rwxXst]*)", one[2])) for one in clauses if one]

    def changed(mode: int, directory: bool) -> int:
        for who, actions in parts:
            for sign, what in actions:
                mode = _applied(mode, directory, "ugo" if "a" in who else who, sign, what)
        return mode

    return changed


def _applied(mode: int, directory: bool, who: str, sign: str, what: str) -> int:
    bits, cleared = 0, 0
    source = mode >> _SHIFT[what] & 7 if what and what in "ugo" else -1
    for one in who:
        granted = sum({"r": 4, "w": 2, "x": 1}.get(letter, 0) for letter in set(what)) if source < 0 else source
        if "X" in what and (directory or mode & 0o111):
            granted |= 1
        bits |= granted << _SHIFT[one]
        cleared |= 7 << _SHIFT[one] | _SPECIAL[one]
        if "s" in what and one != "o":
            bits |= _SPECIAL[one]
    if "t" in what:
        bits |= stat.S_ISVTX
    if sign == "=":
        return mode & ~cleared | bits
    return mode | bits if sign == "+" else mode & ~bits
