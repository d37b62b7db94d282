# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of versions in tags."""

from __future__ import annotations

import random

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.oci.version_tag import VersionTag

#: One line each, oldest first.
LINES = [
    [
        "1.9",
        "1.10",
        "1.10.1",
        "v1.11",
        "2.0.0-alpha",
        "2.0.0-alpha.2",
        "2.0.0-beta.1",
        "2.0.0-rc.2",
        "2.0.0-rc.10",
        "2.0",
        "2.0.1",
    ],
    ["1", "1.0.1", "1.27.2", "1.27.10"],
    ["1.26-alpine", "1.27-alpine", "1.27.1-alpine"],
    ["22.04-20240101", "22.04-20240601", "24.04-20230101"],
    ["2026-01-31", "2026-02-01", "2026-11-28"],
    ["20260131", "20261128"],
    ["release-7", "release-8.1", "release-10"],
    ["3.0.0-dev", "3.0.0-m1", "3.0.0-rc1", "3.0.0"],
    ["1.2_3", "1.2_10"],
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
def test_the_newest_is_last(line: list[str]) -> None:
    found = {tag: VersionTag.parse(tag) for tag in line}
    assert len({one.line for one in found.values() if one}) == 1
    mixed = random.Random(1).sample(line, len(line))
    assert sorted(mixed, key=lambda tag: found[tag].order) == line  # type: ignore[union-attr]  # all of them are versions


def test_the_same_version_is_written_in_many_ways() -> None:
    assert len({VersionTag.parse(tag) for tag in ("1.27", "v1.27", "1.27.0", "V1.27.0.0")}) == 1


def test_other_words_are_another_line() -> None:
    assert len({VersionTag.parse(tag).line for tag in ("1.27", "1.27-alpine", "1.27-slim", "app-1.27")}) == 4  # type: ignore[union-attr]  # versions


@pytest.mark.parametrize("tag", ["latest", "stable", "a1b2c3d", "7f3a2c1", "v", "main", "alpine", "sha-7f3a2c1"])
def test_what_is_no_version(tag: str) -> None:
    assert VersionTag.parse(tag) is None
