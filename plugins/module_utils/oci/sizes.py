# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes as people write them: 512, 64k, 10m, 1.5g, 2GiB. Powers of 1024, as in Docker."""

from __future__ import annotations

import re

from ..errors import InvalidArgument, printable

_SIZE = r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?\Z"
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_size(value: object, option: str) -> int:
    """Bytes. InvalidArgument names option and value."""
    found = re.match(_SIZE, str(value).strip(), re.IGNORECASE)
    if not found:
        raise InvalidArgument(f"{option}: {printable(value, 60)!r} is not a size (examples: 512, 64k, 10m, 1.5g)")
    return int(float(found.group(1)) * 1024 ** _POWER[found.group(2).lower()])


def size_text(size: int) -> str:
    """A size in the shortest form that parse_size() reads exactly."""
    for letter in reversed("kmgtp"):
        if size and size % 1024 ** _POWER[letter] == 0:
            return f"{size // 1024 ** _POWER[letter]}{letter}"
    return str(size)
