# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that tell how far a task is."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.plugin_utils.progress import lasting, sized, told


def file(count: int, total: int, rate: int, *states: str) -> str:
    images = [{"name": f"r/app:{number}", "state": state} for number, state in enumerate(states)]
    return json.dumps({"bytes": count, "total": total, "rate": rate, "images": images})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("{}", ""),
        ("[1]", ""),
        ('{"bytes": 1, "total": 2, "rate": 1, "images": 3}', ""),
        (file(0, 0, 0, "waiting"), "r/app:0: waiting"),
        (file(5, 5, 1, "done", "failed"), ""),
        (
            file(1 << 20, 3 << 20, 1 << 20, "done", "transferring", "waiting"),
            "r/app:1 and 1 more: 1.0 MiB of 3.0 MiB (33 %), 1.0 MiB/s, 2 s left",
        ),
        (file(2 << 30, 8 << 30, 0, "transferring"), "r/app:0: 2.0 GiB of 8.0 GiB (25 %), nothing comes"),
        (file(7, 7, 3, "done", "unpacking"), "r/app:1: unpacking, all 0.0 KiB are there"),
        (file(0, 0, 0, "waiting").replace("app", "\\u001b[1m"), "r/\\x1b[1m:0: waiting"),
    ],
)
def test_a_line(text: str, line: str) -> None:
    assert told(text) == line


@pytest.mark.parametrize(
    ("tell", "value", "text"),
    [
        (sized, 999 * 1024, "999.0 KiB"),
        (sized, 1000 * 1024, "1.0 MiB"),
        (sized, 5000 * 1024**4, "5000.0 TiB"),
        (lasting, 0.1, "1 s"),
        (lasting, 89.4, "89 s"),
        (lasting, 90, "2 min"),
        (lasting, 5399, "90 min"),
        (lasting, 5400, "1.5 h"),
    ],
)
def test_sizes_and_times(tell: t.Callable[[float], str], value: float, text: str) -> None:
    assert tell(value) == text
