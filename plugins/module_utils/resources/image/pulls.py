# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pulls of images that shall be present, and their prediction in check mode."""

from __future__ import annotations

import contextlib
import functools
import typing as t

from ...engine.labels import is_pinned, merged
from ...errors import EngineError, MissingLibrary, ResourceExhausted
from ...kernel.converge import Plan, Step
from ..registry.client import registry_client
from .facts import image_facts, summary
from .failures import no_room
from .foreseen import foresee
from .pull import has_to_be_pulled, pin_labels, pull_job, pull_title, refusals, warnings_of
from .run import FoundImages, Run, WantedImages
from .values import FoundImage

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...image.pull import Job, Puller, PullResult
    from ...registry.client import RegistryClient

_T = t.TypeVar("_T")


def ask_each(
    want: WantedImages, numbers: t.Sequence[int], ask: t.Callable[[RegistryClient, int], _T]
) -> t.Tuple[t.Dict[int, _T], t.Dict[int, EngineError]]:
    """Ask the registries for some images, several at a time. Returns the answers, and the problems if the task goes on."""
    client = registry_client(want.registry)
    answers: t.Dict[int, _T] = {}
    problems: t.Dict[int, EngineError] = {}

    def one(number: int) -> None:
        try:
            answers[number] = ask(client, number)
        except EngineError as error:
            # A library that is missing is missing for all; another interpreter may have it.
            if not want.goes_on or isinstance(error, MissingLibrary):
                raise
            problems[number] = error

    try:
        if len(numbers) == 1:
            one(numbers[0])
        else:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(want.max_parallel) as pool:
                list(pool.map(one, numbers))
    finally:
        client.close()
    return answers, problems


class Pulls(Run):
    """All pulls of a task, so that the next image is transferred while one is unpacked. They end with the steps."""

    def __init__(self, want: WantedImages, have: FoundImages, engine: Engine) -> None:
        super().__init__(want, have, engine)
        self._exit = contextlib.ExitStack()
        self._puller: t.Optional[Puller] = None
        self._to_pull: t.List[int] = []
        self._jobs: t.Dict[int, Job] = {}
        self._pulled: t.Dict[int, PullResult] = {}
        self._foreseen: t.Dict[int, FoundImage] = {}
        #: How many bytes a pull would transfer, if check mode knows.
        self._bytes: t.Dict[int, int] = {}

    def plan(self) -> Plan:
        words = [word for one, found in zip(self.want.wants, self.have.found) for word in warnings_of(one, found)]
        return super().plan()._replace(warnings=words, foresee=self._foresee, around=self._exit)

    def steps(self, number: int, found: t.Optional[FoundImage]) -> t.List[Step]:
        """The steps of one image. A pull also pins the record."""
        want, alone = self.want.wants[number], self.want.goes_on
        reason = has_to_be_pulled(want, found)
        if reason:
            self._to_pull.append(number)
            return [Step(pull_title(want, found, reason), functools.partial(self._pull, number), alone=alone)]
        if found is None or want.pinned in (None, is_pinned(found.record.labels)):
            return []
        record = found.record._replace(labels=dict(pin_labels(want)))
        title = f"{'pin' if want.pinned else 'unpin'} image {want.label}"
        return [Step(title, functools.partial(self.engine.images.put, record), alone=alone)]

    def _pull(self, number: int) -> None:
        try:
            if self._puller is None:
                self._puller = self._begin()
            result = self._puller.pull(self._jobs[number])
            self._pulled[number] = result
            self.warnings.extend(refusals(result))
        except ResourceExhausted as error:
            progress = self._puller.progress() if self._puller else ()
            sizes = {one: found.total for one, found in zip(self._to_pull, progress)}
            self.failed[number] = no_room(self.want.wants[number].label, sizes.get(number, 0), error)
            raise self.failed[number] from error
        except EngineError as error:
            self.failed[number] = error
            raise

    def _begin(self) -> Puller:
        from ...image.pull import Puller

        want = self.want
        client = registry_client(want.registry)
        self._exit.callback(client.close)
        self._jobs = {number: pull_job(want.wants[number], client) for number in self._to_pull}
        puller = Puller(self.engine, list(self._jobs.values()), want.wants[0].snapshotter, want.max_parallel)
        self._exit.enter_context(puller)
        if want.progress_file:
            from ...image.progress import watched

            self._exit.enter_context(watched(puller, want.progress_file))
        return puller

    def _foresee(self) -> t.List[str]:
        """Ask the registries what would be pulled, and check the disk space. Returns warnings."""
        warnings: t.List[str] = []
        if not self._to_pull:
            return warnings
        from .room import Room

        def ask(client: RegistryClient, number: int) -> FoundImage:
            return foresee(client, self.want.wants[number], self.have.found[number])

        self._foreseen, problems = ask_each(self.want, self._to_pull, ask)
        self.failed.update(problems)
        room = Room(self.engine, self.want.wants[0].snapshotter)
        for number, found in sorted(self._foreseen.items()):
            want = self.want.wants[number]
            with self._alone(number, ResourceExhausted):
                size, words = room.take(want.label, found, want.unpack)
                warnings.extend(words)
                if not want.every and len(want.platforms) < 2:
                    self._bytes[number] = size
        return warnings

    def before(self, number: int) -> t.Mapping[str, t.Any]:
        return summary(self.engine, self.have.found[number])

    def after(self, number: int, end: FoundImages) -> t.Mapping[str, t.Any]:
        size = self._pulled[number].fetched if number in self._pulled else self._bytes.get(number)
        return {**summary(self.engine, self._at_the_end(number, end)), **({} if size is None else {"bytes": size})}

    def _at_the_end(self, number: int, end: FoundImages) -> t.Optional[FoundImage]:
        """An image at the end; in check mode as it would be."""
        found = self._foreseen.get(number, end.found[number])
        if found is None or number in self.failed:
            return end.found[number]
        labels = merged(found.record.labels, {**found.record.labels, **dict(pin_labels(self.want.wants[number]))})
        return found._replace(record=found.record._replace(labels=labels))

    def images(self, end: FoundImages) -> t.Iterator[t.Mapping[str, t.Any]]:
        ends = [self._at_the_end(number, end) for number in range(len(self.want.wants))]
        records = {**end.records, **{found.record.name: found.record for found in ends if found}}
        for number, found in enumerate(ends):
            out: t.Dict[str, t.Any] = {}
            remote = self.want.wants[number].remote
            if remote:
                out["digest"] = str(remote.digest)
            if number in self._pulled:
                out["pulled"] = self._pulled[number].facts()
            if found and found.view:
                out["image"] = image_facts(found, records.values())
                out["digest"] = str(found.record.target.digest)
                out["manifest_digest"] = str(found.view.manifest.digest)
                out["config_digest"] = str(found.view.config.digest)
            yield out
