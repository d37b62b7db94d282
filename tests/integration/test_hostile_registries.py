# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registries of an attacker: few requests, no hang, little memory, no secret elsewhere or in a message, one clear line."""

from __future__ import annotations

import base64
import pathlib
import re
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.attack import FULL, SECRET, Ground, Outcome, attacked_ground
from ansible_collections.fleet.containerd.tests.support.hostile_registries import CORPUS, Scenario

MEBIBYTES = 256
#: In whatever form a password can be sent or shown.
SECRETS = (SECRET, base64.b64encode(f"user:{SECRET}".encode()).decode(), base64.b64encode(SECRET.encode()).decode())
#: Services that may ask for the password: a realm on loopback, for a registry that is itself spoken to in plain HTTP.
MAY_KNOW = "tokens"


@pytest.fixture
def ground(tmp_path: pathlib.Path) -> t.Iterator[Ground]:
    with attacked_ground(tmp_path) as made:
        yield made


def attack(ground: Ground, one: Scenario) -> Outcome:
    ground.reset()
    one.prepare(ground)
    pull = ground.pull if FULL or one.by_module else ground.pull_here
    return pull(username="user", password=SECRET, **one.options)


def leaks(ground: Ground, found: Outcome, kind: str) -> t.Iterator[str]:
    """Where the password was seen."""
    seen = {
        "what was printed": repr(found.result),
        "the path of a request": repr([path for _m, path, _h in ground.registry.seen]),
    }
    if (ground.base / "result").exists():
        seen["the output"] = ground.printed()
    if kind != MAY_KNOW:
        seen["another origin"] = repr(ground.elsewhere.seen)
        seen["cookies"] = repr(
            ground.registry.sent("Cookie") + ground.elsewhere.sent("Cookie") + ground.elsewhere.sent("Authorization")
        )
    for where, text in seen.items():
        if any(secret in text for secret in SECRETS):
            yield f"the password is in {where}"
    if "Cookie" in seen.get("cookies", ""):
        yield "a cookie was kept"


def problems(ground: Ground, one: Scenario, found: Outcome, kind: str) -> t.Iterator[str]:
    yield from ground.touched()
    yield from leaks(ground, found, kind)
    if found.peak > MEBIBYTES:
        yield f"{found.peak} MiB of memory"
    if found.seconds > one.seconds * (5 if FULL else 2):  # machines of tests are slow at times
        yield f"{found.seconds:.1f} s"
    if found.requests > one.requests:
        yield f"{found.requests} requests"
    if found.disk > 16:
        yield f"{found.disk} MiB on the disk"
    if bool(one.refused) != found.failed:
        yield "it was accepted" if one.refused else f"it was refused: {found.message}"
    elif one.refused:
        if found.unclear() or not re.search(one.refused, found.message):
            yield found.unclear() or f"the message is {found.message!r}"
        if not one.keeps:
            yield from ground.remnants()


@pytest.mark.parametrize("kind", CORPUS)
def test_hostile_registries(ground: Ground, kind: str) -> None:
    wrong = []
    for name, one in CORPUS[kind].items():
        found = attack(ground, one)
        wrong += [f"{name}: {problem}" for problem in problems(ground, one, found, kind)]
    assert not wrong, "\n".join(wrong)
