# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that were replaced and stay, stopped, to be looked at: keep_old. docs/adr/0052."""

from __future__ import annotations

import typing as t

from ...engine import labels as L
from ...errors import InvalidArgument
from ...kernel.converge import Step
from . import steps
from .find import task_of
from .values import NAME_LIMIT

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container
    from .options.life import Stop
    from .values import WantedContainer

_MIDDLE, _DIGITS = "-old-", 12


def check_name_of_old(name: str, count: int) -> None:
    """InvalidArgument when there is no room for what is added to a name."""
    most = NAME_LIMIT - len(_MIDDLE) - _DIGITS
    if len(name) > most:
        raise InvalidArgument(
            f"keep_old: {count} needs a name of at most {most} characters, and {name} has {len(name)}: "
            f"what is kept is called NAME{_MIDDLE}ID"
        )


def kept(engine: Engine, name: str) -> t.List[Container]:
    """Those of this name that do not run, the youngest first."""
    found = [one for one in engine.containers.list({L.OLD: name}) if not _runs(engine, one)]
    return sorted(found, key=lambda one: one.created_at, reverse=True)


def _runs(engine: Engine, container: Container) -> bool:
    """Whether somebody has started it: then it is in use, and stays."""
    task = task_of(engine, container)
    return bool(task and task.pid)


def keep(engine: Engine, name: str, old: Container, how: Stop, rest: str) -> Step:
    """Keep a container that has been replaced. how: it is stopped, if a killed run has not done that. rest: see Step.spare."""
    new = f"{name}{_MIDDLE}{old.id[:_DIGITS]}"

    def run() -> None:
        steps.stop(engine, old, how)
        steps.rename(engine, old, {L.NAME: new, L.OLD: name}, L.STAGE, L.ROLE, L.TO_RUN)

    return Step(f"keep the old container as {new}", run, spare=rest)


def put_away(engine: Engine, want: WantedContainer, replaced: t.Sequence[Container], rest: str) -> t.List[Step]:
    """The steps for containers that others have taken the place of, the youngest first: some are kept, the others go, and with them those
    that were kept before and are too many by now.
    """
    before, left = kept(engine, want.name), want.keep_old if want.state != "absent" else 0
    found = [keep(engine, want.name, one, want.stop, rest) for one in replaced[:left]]

    def gone(one: Container) -> Step:
        title = f"remove the old container {one.id[:12]}"
        return Step(title, lambda: steps.remove(engine, one, want.keep_volumes), spare=rest)

    return found + [gone(one) for one in [*replaced[left:], *before[max(0, left - len(replaced)) :]]]
