# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions that tags tell: 1.27.3, v2.0.0-rc.1, release-7, 1.27-alpine. Which of two is newer, as semver says where it can."""

from __future__ import annotations

import re
import typing as t

_TAG = re.compile(
    r"(?P<prefix>(?:[A-Za-z][A-Za-z]*[._-])*)[vV]?(?P<numbers>[0-9]+(?:[._][0-9]+)*)(?P<rest>(?:[-_+.][A-Za-z0-9_.+-]*)?)\Z"
)
#: What comes before a release, and is older than it.
_EARLY = re.compile(
    r"[-_.](alpha|beta|a|b|c|rc|cr|pre|preview|dev|snapshot|nightly|m|milestone|ea)[._-]?([0-9]*(?:[._-][0-9]+)*)\Z", re.I
)
_ORDER = {"dev": 0, "snapshot": 0, "nightly": 0, "ea": 1, "a": 1, "alpha": 1, "b": 2, "beta": 2, "m": 3, "milestone": 3}
_LAST = 4


class VersionTag(t.NamedTuple):
    """line: what has versions of its own, by the words around the numbers (1.27 and 1.27-alpine are two lines). order: to compare."""

    line: str
    order: t.Tuple[t.Any, ...]

    @classmethod
    def parse(cls, tag: str) -> t.Optional[VersionTag]:
        """None for a tag without a version, such as latest or a commit."""
        found = _TAG.match(tag)
        if not found:
            return None
        numbers, rest = [int(one) for one in re.split(r"[._]", found["numbers"])], found["rest"]
        early = _EARLY.match(rest)
        if early:
            stage = _ORDER.get(early[1].lower(), _LAST)
            return cls(found["prefix"], (_trimmed(numbers), 0, stage, _numbers(early[2])))
        more = re.match(r"[-_]([0-9]+(?:[._-][0-9]+)*)", rest)
        if more:
            # A date, or the number of a build.
            rest = rest[more.end() :]
        return cls(found["prefix"] + rest, (_trimmed(numbers), 1, 0, _numbers(more[1] if more else "")))


def _trimmed(numbers: t.Sequence[int]) -> t.Tuple[int, ...]:
    """1.27 and 1.27.0 are the same version."""
    kept = list(numbers)
    while len(kept) > 1 and not kept[-1]:
        kept.pop()
    return tuple(kept)


def _numbers(text: str) -> t.Tuple[int, ...]:
    return tuple(int(one) for one in re.split(r"[._-]", text) if one)
