# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run of a task over its images: the steps of one plan, and their findings, from which the result is made."""

from __future__ import annotations

import contextlib
import typing as t

from ...engine.models import Image
from ...errors import EngineError
from ...kernel.converge import Facts, Plan, Step
from ...registry.options import RegistryOptions
from .failures import told
from .values import FoundImage, WantedImage

if t.TYPE_CHECKING:
    from ...engine.api import Engine


class WantedImages(t.NamedTuple):
    """The images of a task. problems: by number, why an image is not available, if the task goes on with the others."""

    wants: t.Tuple[WantedImage, ...]
    absent: bool
    registry: RegistryOptions
    on_failure: str
    max_parallel: int
    progress_file: str
    force: bool
    problems: t.Mapping[int, EngineError] = {}

    @property
    def goes_on(self) -> bool:
        """Whether the task goes on with the other images when one fails."""
        return len(self.wants) > 1 and self.on_failure == "continue"


class FoundImages(t.NamedTuple):
    """The found images, in the same order. records: all of the engine, by name."""

    found: t.Tuple[t.Optional[FoundImage], ...]
    records: t.Mapping[str, Image]


class Run:
    """The base of Pulls and Removals. An image is identified by its number in the task."""

    def __init__(self, want: WantedImages, have: FoundImages, engine: Engine) -> None:
        self.want, self.have, self.engine = want, have, engine
        self.changing: t.Set[int] = set()
        self.failed: t.Dict[int, EngineError] = dict(want.problems)
        self.warnings: t.List[str] = []

    def plan(self) -> Plan:
        steps: t.List[Step] = []
        for number, found in enumerate(self.have.found):
            if number in self.failed:
                continue
            with self._alone(number):
                more = self.steps(number, found)
                steps.extend(more)
                self.changing.update([number] if more else [])
        return Plan(steps, self._side(self.before), lambda end: self._side(lambda number: self.after(number, end)), self._facts)

    @contextlib.contextmanager
    def _alone(self, number: int, kind: t.Type[EngineError] = EngineError) -> t.Iterator[None]:
        """A failure in the context is that of one image, if the task goes on with the others."""
        try:
            yield
        except kind as error:
            if not self.want.goes_on:
                raise
            self.failed[number] = error

    def _side(self, of: t.Callable[[int], t.Mapping[str, t.Any]]) -> t.Mapping[str, t.Any]:
        """One side of the diff: the only image, or those of several that change, by name."""
        wants = self.want.wants
        return of(0) if len(wants) == 1 else {wants[number].label: of(number) for number in sorted(self.changing)}

    def _facts(self, end: FoundImages) -> Facts:
        out, failure = self.totals(), ""
        if self.failed:
            failed = {want.label: self.failed[number] for number, want in enumerate(self.want.wants) if number in self.failed}
            failure = told(failed)
            out["error"] = type(next(iter(failed.values()))).__name__
        images = [{**self._head(number), **image} for number, image in enumerate(self.images(end))]
        only = {key: value for key, value in images[0].items() if key not in ("name", "changed", "failed", "msg")}
        return Facts({**out, **(only if len(images) == 1 else {"image": {}}), "images": images}, self.warnings, failure)

    def _head(self, number: int) -> t.Dict[str, t.Any]:
        failed = self.failed.get(number)
        out = {"name": self.want.wants[number].label, "changed": number in self.changing and not failed, "image": {}}
        return {**out, "failed": True, "msg": str(failed)} if failed else out

    # The differences between pulls and removals

    def steps(self, number: int, found: t.Optional[FoundImage]) -> t.List[Step]:
        raise NotImplementedError

    def before(self, number: int) -> t.Mapping[str, t.Any]:
        raise NotImplementedError

    def after(self, number: int, end: FoundImages) -> t.Mapping[str, t.Any]:
        raise NotImplementedError

    def images(self, end: FoundImages) -> t.Iterable[t.Mapping[str, t.Any]]:
        """The part of the result about each image."""
        raise NotImplementedError

    def totals(self) -> t.Dict[str, t.Any]:
        """The part of the result about all images together."""
        return {}
