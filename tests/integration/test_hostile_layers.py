# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers of an attacker, pulled from a registry into both snapshotters: nothing outside is touched, and what comes is exact or nothing."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.attack import FULL, Ground, Image, Outcome, attacked_ground, listing
from ansible_collections.fleet.containerd.tests.support.hostile_layers import BOMBS, CANARY, CORPUS, Attack

MEBIBYTES = 256
SNAPSHOTTERS = ("overlayfs", "native")
TABLE = [(kind, snapshotter) for kind in CORPUS for snapshotter in SNAPSHOTTERS]
#: On every day, by the module itself; what is not comes to the same code in this process, which takes a tenth of the time.
BY_MODULE = [("escapes", "overlayfs"), ("whiteouts", "native")]
BOMB_TABLE = [(name, "overlayfs") for name in BOMBS] + [(name, "native") for name in BOMBS if FULL or "mark" in name]


@pytest.fixture
def ground(tmp_path: pathlib.Path) -> t.Iterator[Ground]:
    with attacked_ground(tmp_path) as made:
        yield made


def attack(ground: Ground, one: Attack, snapshotter: str, by_module: bool = True) -> Outcome:
    ground.reset()
    Image(*one.made(str(ground.canary))).publish(ground.registry)
    pull = ground.pull if by_module else ground.pull_here
    return pull(snapshotter=snapshotter, retries=0, progress_timeout=30.0)


def problems(ground: Ground, one: Attack, found: Outcome, snapshotter: str) -> t.Iterator[str]:
    """What did not go as it should."""
    yield from ground.touched()
    if found.peak > MEBIBYTES:
        yield f"{found.peak} MiB of memory"
    if found.seconds > (600 if FULL else 60):
        yield f"{found.seconds:.0f} s"
    if one.refused:
        if not found.failed:
            yield "it was accepted"
            return
        if found.unclear() or not re.search(one.refused, found.message):
            yield found.unclear() or f"the message is {found.message!r}"
        yield from ground.remnants()
        return
    if found.failed:
        yield f"it was refused: {found.message}"
        return
    if one.tree is None:
        return
    tree = listing(ground.tree(snapshotter))
    wanted = {name: what.replace(CANARY, str(ground.canary)) for name, what in one.tree.items()}
    if tree != wanted:
        yield f"the tree is {dict(sorted(tree.items() - wanted.items()))}, not {dict(sorted(wanted.items() - tree.items()))}"


@pytest.mark.parametrize(("kind", "snapshotter"), TABLE)
def test_hostile_layers(ground: Ground, kind: str, snapshotter: str) -> None:
    wrong = []
    for name, one in CORPUS[kind].items():
        found = attack(ground, one, snapshotter, FULL or (kind, snapshotter) in BY_MODULE)
        wrong += [f"{name}: {problem}" for problem in problems(ground, one, found, snapshotter)]
        if found.disk > 64:
            wrong.append(f"{name}: {found.disk} MiB on the disk")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("name", "snapshotter"), BOMB_TABLE)
def test_bombs(ground: Ground, name: str, snapshotter: str) -> None:
    one = BOMBS[name](50 if FULL else 1)
    found = attack(ground, one, snapshotter)
    print(f"{name}, {snapshotter}: {found.seconds:.1f} s, {found.peak} MiB of memory, {found.disk} MiB on the disk")
    wrong = list(problems(ground, one, found, snapshotter))
    assert not wrong, "\n".join(wrong)
    assert found.disk <= MEBIBYTES
