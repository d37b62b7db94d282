# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that make the new container of a plan, or take the one that an earlier task has staged. docs/adr/0045."""

from __future__ import annotations

import os
import typing as t

from ...engine import labels as L
from ...errors import InvalidArgument
from ...kernel.converge import Step
from ..image.pull import pull_steps
from . import steps, volumes
from .differences import differences
from .options.network import EXACTLY
from .options.storage import labels_of, named_volumes

if t.TYPE_CHECKING:
    from ...engine.models import Container
    from .plan import Planner


class Making:
    """For one plan."""

    def __init__(self, planner: Planner) -> None:
        self._planner, self._engine, self._want, self._have = planner, planner.engine, planner.want, planner.have

    def _pull(self) -> t.List[Step]:
        want = self._want
        if want.image is None:
            raise InvalidArgument(f"image: needed to create the container {want.name}")
        return pull_steps(want.image, self._have.image, self._engine, self._planner.warnings, want.progress_file)

    def _create_volumes(self) -> t.List[Step]:
        engine, names = self._engine, named_volumes(self._want.given)

        def step(name: str) -> Step:
            return Step(
                f"create volume {name}",
                lambda: volumes.create(engine, name, labels_of(self._want.given, name)),
                lambda: volumes.take_back(engine, name),
                partial=True,
            )

        return [step(name) for name in (volumes.missing(engine, names) if names else [])]

    def steps(self, title: str, made: t.List[Container], old: t.Optional[Container] = None) -> t.List[Step]:
        """The steps that make the new container, which they put into made: a pull and volumes; if one is staged, nothing but to take it."""
        engine, want, container_id = self._engine, self._want, os.urandom(32).hex()
        previous = self._kept()
        ready = next((one for one in self._have.staged if self.fits(one)), None)
        found = [self.unstage(one) for one in self._have.staged if one is not ready]
        if ready:
            title, staged = f"{title}: take the staged one, {ready.id[:12]}", ready

            def take() -> None:
                taken = steps.take_staged(engine, staged, previous)
                made.append(taken)
                if old is None:
                    steps.take_name(engine, want.name, taken)

            return [*found, Step(title, take, lambda: steps.remove_by_id(engine, staged.id), partial=True)]

        def run() -> None:
            made.append(steps.create(engine, want, container_id, old, previous))

        make = Step(title, run, lambda: steps.remove_by_id(engine, container_id), partial=True)
        return [*found, *self._pull(), *self._create_volumes(), make]

    def _kept(self) -> t.Mapping[str, t.Any]:
        """What the new container keeps of the one before it."""
        if self._have.container is None:
            return {}
        from .previous import BACK, kept_by

        return BACK if self._want.previous else kept_by(self._engine, self._have)

    def fits(self, staged: Container) -> bool:
        """Whether a staged container is what would be made."""
        have = self._have._replace(container=staged, task=None, stored=staged.extensions.get(L.DESIRED))
        if have.stored is None or set(have.stored["given"]) != set(self._want.given):
            return False
        differ = differences(self._want._replace(modes=EXACTLY), have)
        return not (differ.changes or differ.live)

    def unstage(self, staged: Container) -> Step:
        return self._planner.remove(staged, f"remove the staged container {staged.id[:12]}")
