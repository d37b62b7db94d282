# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of a volume."""

from __future__ import annotations

import re
import typing as t

from ..errors import InvalidArgument, printable

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}\Z"
_ANONYMOUS = r"([0-9a-f]{64})-([0-9]{1,4})\Z"


def check_name(name: str, what: str) -> str:
    """The name, by Docker's rule. InvalidArgument, which begins with what."""
    if not re.match(_NAME, name):
        raise InvalidArgument(
            f"{what}: {printable(name, 100)!r} is not the name of a volume: letters, digits, hyphen, dot and underscore, a letter or "
            "digit first, at most 200 characters"
        )
    return name


def anonymous_name(container_id: str, number: str) -> str:
    """The name of a volume that was made for one container."""
    return f"{container_id}-{number}"


def anonymous(name: str) -> t.Optional[t.Tuple[str, str]]:
    """The container and the number of such a volume, by its name; None for another name."""
    found = re.match(_ANONYMOUS, name)
    return (found[1], found[2]) if found else None
