# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every task that changes something."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.fleet.containerd.tests.support import trees
from ansible_collections.fleet.containerd.tests.support.ansible import Play, Task, TaskResult

#: ansible.play, or memory_site.play, which takes the same words.
Player = t.Callable[..., Play]


def converge(play: Player, one: Task, base: pathlib.Path) -> TaskResult:
    """In check mode (which touches nothing below base), for real, and again. The result of the real run."""
    before = _files(base)
    predicted = play([one], check=True, diff=True).last
    trees.assert_same(before, _files(base))
    real, again = play([one, one], diff=True).results
    assert predicted.actions == real.actions
    assert predicted.get("diff") == real.get("diff")
    assert real.changed
    assert (again.changed, again.actions) == (False, [])
    return real


def _files(base: pathlib.Path) -> trees.Tree:
    return trees.snapshot(base) if base.exists() else {}
