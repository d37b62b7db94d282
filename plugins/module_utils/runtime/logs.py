# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a container's json-file log back, over its rotated files."""

from __future__ import annotations

import json
import os
import typing as t

from ..errors import from_os_error

_LIMIT = 16 * 1024 * 1024


def read(path: str, streams: t.Collection[str] = ("stdout", "stderr"), limit: int = _LIMIT) -> bytes:
    """What a container printed, oldest first; of more than limit bytes the last ones. Empty without a log."""
    parts: t.List[bytes] = []
    total = 0
    number = 1
    files = [path]
    while path and os.path.exists(f"{path}.{number}"):
        files.append(f"{path}.{number}")
        number += 1
    for name in files:
        found = b"".join(_lines(name, streams))
        parts.append(found)
        total += len(found)
        if total > limit:
            break
    return b"".join(reversed(parts))[-limit:]


def _lines(path: str, streams: t.Collection[str]) -> t.Iterator[bytes]:
    try:
        with open(path, "rb") as stream:
            for line in stream:
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if isinstance(entry, dict) and entry.get("stream") in streams:
                    yield str(entry.get("log", "")).encode("utf-8", "surrogatepass")
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
