# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations, read and shown."""

from __future__ import annotations

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.oci.durations import parse_duration, show_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds", "shown"),
    [
        ("30s", 30 * 10**9, "30s"),
        ("1m30s", 90 * 10**9, "1m30s"),
        ("90s", 90 * 10**9, "1m30s"),
        ("1.5h", 5400 * 10**9, "1h30m"),
        ("5h4m3s2ms1us", 18243002001000, "5h4m3s2ms1us"),
        ("0", 0, "0s"),
        (0, 0, "0s"),
        (" 7ns ", 7, "7ns"),
    ],
)
def test_a_duration(text: object, nanoseconds: int, shown: str) -> None:
    assert parse_duration(text, "delay") == nanoseconds
    assert show_duration(nanoseconds) == shown
    assert parse_duration(shown, "delay") == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", "1 m", "1m30", "-1s", "1e3s", "1s junk", "999999999h", "1..5s", None, True])
def test_what_is_none(text: object) -> None:
    with pytest.raises(InvalidArgument, match="delay: .* is not a duration, such as 1m30s or 500ms"):
        parse_duration(text, "delay")


def test_one_that_is_too_short() -> None:
    assert parse_duration("1ms", "delay", 10**6) == 10**6
    with pytest.raises(InvalidArgument, match="delay: '1us' is not a duration of at least 1ms"):
        parse_duration("1us", "delay", 10**6)
