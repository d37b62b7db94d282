# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a module says clearly what is wrong with its options."""

from __future__ import annotations

import typing as t

from .direct import Direct


def unclear(
    kind: str,
    rows: t.Iterable[t.Tuple[str, t.Mapping[str, t.Any]]],
    defaults: t.Optional[t.Mapping[str, t.Any]] = None,
    hidden: str = "MODULE FAILURE",
) -> t.List[str]:
    """What is wrong with the failures of a module, a line each.

    rows: words that the message must have, in one line, and the options. hidden: what it must not have.
    """
    direct, found = Direct(defaults or {}), []
    for words, options in rows:
        result = direct.result(kind, **options)
        message = str(result.get("msg"))
        if not result.get("failed") or words not in message or "\n" in message or hidden in message:
            found.append(f"{options} gives {message!r}, and not {words!r}")
    return found
