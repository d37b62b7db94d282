# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image: images that are present or absent, one or many in a task."""

from __future__ import annotations

import contextlib
import functools
import typing as t

from ...engine.labels import is_pinned, merged
from ...engine.models import Image
from ...errors import EngineError, InvalidArgument, MissingLibrary, NotFound, ResourceExhausted, printable
from ...hostfs.atomic import check_parent
from ...kernel.converge import Facts, Plan, Step
from ..registry.options import check_registry_options, registry_client
from .facts import familiar, image_facts, summary
from .failures import no_room, told
from .find import find_image
from .foreseen import foresee
from .pull import ask_registry, has_to_be_pulled, parse_wanted, pin_labels, pull_job, pull_title, refusals, warnings_of
from .removal import Removal, check_unused, plan_removal
from .values import FoundImage, WantedImage, parse_name

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...image.pull import Job, Puller
    from ...oci.digest import Digest
    from ...registry.client import RegistryClient

_T = t.TypeVar("_T")


class FoundImages(t.NamedTuple):
    """What was found of each image, in the same order. records: all that the engine has, by name."""

    found: t.Tuple[t.Optional[FoundImage], ...]
    records: t.Mapping[str, Image]


class WantedImages(t.NamedTuple):
    """The images of a task. problems: by number, why one cannot be had, where the others can all the same."""

    wants: t.Tuple[WantedImage, ...]
    params: t.Mapping[str, t.Any]
    problems: t.Mapping[int, EngineError] = {}

    @property
    def absent(self) -> bool:
        return bool(self.params["state"] == "absent")

    @property
    def goes_on(self) -> bool:
        """Whether an image that fails leaves the others alone."""
        return len(self.wants) > 1 and self.params["on_failure"] == "continue"


class ImageResource:
    """The images of a task."""

    def __init__(self) -> None:
        self._exit = contextlib.ExitStack()
        self._puller: t.Optional[Puller] = None
        self._pulling: t.List[int] = []
        self._jobs: t.Dict[int, Job] = {}
        self._changing: t.Set[int] = set()
        self._pulled: t.Dict[int, t.Dict[str, t.Any]] = {}
        self._failed: t.Dict[int, EngineError] = {}
        self._removals: t.Dict[int, Removal] = {}
        self._kept: t.Set[str] = set()
        self._freed: t.Dict[str, t.Any] = {}
        self._foreseen: t.Dict[int, FoundImage] = {}
        self._bytes: t.Dict[int, int] = {}
        self._refused: t.List[str] = []

    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> WantedImages:
        if params["max_parallel"] < 1:
            raise InvalidArgument(f"max_parallel: {params['max_parallel']} is not a positive number")
        if params["progress_file"]:
            check_parent(params["progress_file"], "progress_file")
        check_registry_options(params)
        if params["state"] == "absent":
            wants = [WantedImage(*parse_name(row, "name"), (), "never", row) for row in _rows(params)]
            return WantedImages(_different(wants), params)
        task = WantedImages(_different([_wanted(row) for row in _rows(params)]), params)
        return _asked(task) if params["pull"] in ("always", "newer") else task

    def observe(self, want: WantedImages, engine: Engine) -> FoundImages:
        records = {record.name: record for record in engine.images.list()}
        return FoundImages(tuple(find_image(one, engine, records) for one in want.wants), records)

    @contextlib.contextmanager
    def lock(self, want: WantedImages, engine: Engine) -> t.Iterator[None]:
        """The images in the order of their names, so that two tasks never wait for each other."""
        names = sorted({str(one.reference.record if one.reference else one.image_id) for one in want.wants})
        with contextlib.ExitStack() as self._exit:
            for name in names:
                self._exit.enter_context(engine.lock(f"image {name}"))
            if want.absent:
                self._exit.callback(self._collect, engine, {info.digest: info.size for info in engine.content.walk()})
            yield

    def plan(self, want: WantedImages, have: FoundImages, engine: Engine) -> Plan:
        self._changing, self._pulling, self._failed, self._removals = set(), [], dict(want.problems), {}
        steps: t.List[Step] = []
        left = dict(have.records)
        for number, found in enumerate(have.found):
            if number in self._failed:
                continue
            try:
                removed = self._removal_steps(number, want, found, left, engine) if want.absent else None
                more = self._pulls(number, want, found, engine) if removed is None else removed
            except EngineError as error:
                if not want.goes_on:
                    raise
                self._failed[number] = error
                continue
            steps.extend(more)
            self._changing.update([number] if more else [])
        words = [word for one, found in zip(want.wants, have.found) for word in warnings_of(one, found)]
        self._refused = []
        before = {number: self._before(number, have.found[number], engine) for number in self._shown(want)}

        def after(end: FoundImages) -> t.Mapping[str, t.Any]:
            return _side(want, {number: self._after(number, want, end, engine) for number in self._shown(want)})

        failures = list(self._failed.values())
        look = functools.partial(self._foresee, want, have, engine)
        facts = functools.partial(self._told, want)
        return Plan(steps, _side(want, before), after, facts, warnings=words, failures=failures, foresee=look)

    def _shown(self, task: WantedImages) -> t.List[int]:
        """The images of the diff: one what it is, of many those that change."""
        return [0] if len(task.wants) == 1 else sorted(self._changing)

    def _before(self, number: int, found: t.Optional[FoundImage], engine: Engine) -> t.Mapping[str, t.Any]:
        return self._removals[number].before if number in self._removals else summary(engine, found)

    def _after(self, number: int, task: WantedImages, end: FoundImages, engine: Engine) -> t.Mapping[str, t.Any]:
        if number in self._removals:
            return self._removals[number].after
        size = self._pulled.get(number, {}).get("bytes", self._bytes.get(number))
        return {**summary(engine, self._at_the_end(number, task, end)), **({} if size is None else {"bytes": size})}

    def _at_the_end(self, number: int, task: WantedImages, have: FoundImages) -> t.Optional[FoundImage]:
        """An image as it is; where check mode has left a step away, as it would be."""
        found = self._foreseen.get(number, have.found[number])
        if found is None or number in self._failed:
            return have.found[number]
        labels = merged(found.record.labels, {**found.record.labels, **dict(pin_labels(task.wants[number]))})
        return found._replace(record=found.record._replace(labels=labels))

    def _foresee(self, task: WantedImages, have: FoundImages, engine: Engine) -> t.List[str]:
        """What would be pulled, as the registries tell, and whether there is room for it. Warnings."""
        warnings: t.List[str] = []
        if not self._pulling:
            return warnings
        from .room import Room

        def ask(client: RegistryClient, number: int) -> FoundImage:
            return foresee(client, task.wants[number], have.found[number])

        self._foreseen, problems = _each(task, self._pulling, ask)
        self._failed.update(problems)
        room = Room(engine, task.params.get("snapshotter") or "")
        for number, found in sorted(self._foreseen.items()):
            want = task.wants[number]
            try:
                size, words = room.take(want.label, found, task.params["unpack"])
            except ResourceExhausted as error:
                if not task.goes_on:
                    raise
                self._failed[number] = error
                continue
            warnings.extend(words)
            if not want.every and len(want.platforms) < 2:
                self._bytes[number] = size
        return warnings

    def _pulls(self, number: int, task: WantedImages, have: t.Optional[FoundImage], engine: Engine) -> t.List[Step]:
        want = task.wants[number]
        reason = has_to_be_pulled(want, have)
        if not reason:
            return self._pins(number, task, have, engine)
        self._pulling.append(number)
        return [Step(pull_title(want, have, reason), functools.partial(self._pull, number, task, engine), alone=task.goes_on)]

    def _pins(self, number: int, task: WantedImages, have: t.Optional[FoundImage], engine: Engine) -> t.List[Step]:
        """The step that pins an image, or the opposite. Where one is pulled its record is written so at once."""
        want = task.wants[number]
        if have is None or want.params["pinned"] in (None, is_pinned(have.record.labels)):
            return []
        record = have.record._replace(labels=dict(pin_labels(want)))
        title = f"{'pin' if want.params['pinned'] else 'unpin'} image {want.label}"
        return [Step(title, functools.partial(engine.images.put, record), alone=task.goes_on)]

    def _pull(self, number: int, task: WantedImages, engine: Engine) -> None:
        try:
            if self._puller is None:
                self._puller = self._begin(task, engine)
            result = self._puller.pull(self._jobs[number])
            self._pulled[number] = result.facts()
            self._refused.extend(refusals(result))
        except ResourceExhausted as error:
            progress = self._puller.progress() if self._puller else ()
            sizes = {one: found.total for one, found in zip(self._pulling, progress)}
            self._failed[number] = no_room(task.wants[number].label, sizes.get(number, 0), error)
            raise self._failed[number] from error
        except EngineError as error:
            self._failed[number] = error
            raise

    def _begin(self, task: WantedImages, engine: Engine) -> Puller:
        """All pulls of the task, so that the next image is transferred while one is unpacked; they end with the lock."""
        from ...image.pull import Puller

        client = registry_client(task.params)
        self._exit.callback(client.close)
        snapshotter, progress_file = task.params.get("snapshotter") or "", task.params["progress_file"]
        self._jobs = {number: pull_job(task.wants[number], client) for number in self._pulling}
        puller = Puller(engine, list(self._jobs.values()), snapshotter, task.params["max_parallel"])
        self._exit.enter_context(puller)
        if progress_file:
            from ...image.progress import reported

            self._exit.enter_context(reported(puller, progress_file))
        return puller

    def _removal_steps(
        self, number: int, task: WantedImages, have: t.Optional[FoundImage], left: t.Dict[str, Image], engine: Engine
    ) -> t.List[Step]:
        """left: the records that are there when this image's turn comes; what goes is taken out."""
        want = task.wants[number]
        if have and want.reference and have.record.name not in left:
            have = None  # it goes with an image that was named before it in another way
        removal = plan_removal(want, have, left, engine)
        if not task.params["force"]:
            check_unused(removal.records, engine)
        self._removals[number] = removal
        for name in removal.names:
            left.pop(name)
        return [
            Step(f"remove image {record.name}", functools.partial(self._remove, number, record, engine), alone=task.goes_on)
            for record in removal.records
        ]

    def _remove(self, number: int, record: Image, engine: Engine) -> None:
        try:
            # Some records of the kubelet's go with another one.
            with contextlib.suppress(NotFound):
                engine.images.delete(record.name, record.target.digest, collect=False)
        except EngineError as error:
            self._failed[number] = error
            self._kept.add(record.name)
            raise

    def _collect(self, engine: Engine, before: t.Dict[Digest, int]) -> None:
        """Once for all images of the task."""
        engine.collect()
        freed = before.keys() - {info.digest for info in engine.content.walk()}
        self._freed = {"deleted_blobs": sorted(map(str, freed)), "bytes": sum(before[digest] for digest in freed)}

    def _told(self, want: WantedImages, have: FoundImages) -> Facts:
        ends = {number: self._at_the_end(number, want, have) for number in range(len(want.wants))}
        records = {**have.records, **{found.record.name: found.record for found in ends.values() if found}}
        images = [self._facts(number, want, found, records) for number, found in ends.items()]
        out = self._gone() if want.absent else {}
        failure = ""
        if self._failed:
            failed = {
                task_image.label: self._failed[number] for number, task_image in enumerate(want.wants) if number in self._failed
            }
            failure = told(failed)
            out["error"] = type(next(iter(failed.values()))).__name__
        if len(images) > 1:
            return Facts({**out, "image": {}, "images": images}, self._refused, failure)
        only = {key: value for key, value in images[0].items() if key not in ("name", "changed", "failed", "msg")}
        return Facts({**out, **only, "images": images}, self._refused, failure)

    def _gone(self) -> t.Dict[str, t.Any]:
        """What of the images was taken away, or would be. The bytes that this frees are known only after it."""
        names = [name for one in self._removals.values() for name in one.names if name not in self._kept]
        ids = {one.deleted for number, one in self._removals.items() if one.deleted and number not in self._failed}
        freed = self._freed if self._changing else {"deleted_blobs": [], "bytes": 0}
        return {"untagged": list(map(familiar, names)), "deleted": sorted(ids), **freed}

    def _facts(
        self, number: int, task: WantedImages, found: t.Optional[FoundImage], records: t.Mapping[str, Image]
    ) -> t.Dict[str, t.Any]:
        """One image of the result."""
        want, failed = task.wants[number], self._failed.get(number)
        out: t.Dict[str, t.Any] = {"name": want.label, "changed": number in self._changing and not failed, "image": {}}
        if failed:
            out.update(failed=True, msg=str(failed))
        if task.absent:
            removal = self._removals.get(number)
            return {**out, "image": dict(removal.image)} if removal else out
        if want.remote:
            out["digest"] = str(want.remote.digest)
        if number in self._pulled:
            out["pulled"] = self._pulled[number]
        if found and found.view:
            out["image"] = image_facts(found, records.values())
            out["digest"] = str(found.record.target.digest)
            out["manifest_digest"] = str(found.view.manifest.digest)
            out["config_digest"] = str(found.view.config.digest)
        return out


def _rows(params: t.Mapping[str, t.Any]) -> t.List[t.Dict[str, t.Any]]:
    """The parameters of each image: those of the task, and its own."""
    names, images = params.get("name") or [], params.get("images") or []
    if params.get("digest") and len(names) != 1:
        pinned = printable(params["digest"], 100)
        raise InvalidArgument(f"digest: {pinned} pins one image, and here are {len(names)}: give images, each with its digest")
    if not names and not images:
        raise InvalidArgument("name: no image is named")
    rows = [{**params, "name": name} for name in names]
    for number, image in enumerate(images):
        given = {key: value for key, value in image.items() if value is not None}
        if not given.get("name"):
            raise InvalidArgument(f"images: item {number} has no name: {printable(image, 100)}")
        rows.append({**params, "digest": None, **given})
    return rows


def _wanted(row: t.Mapping[str, t.Any]) -> WantedImage:
    from ...image.verify import verify

    return parse_wanted(row, "name")._replace(verify=verify if row.get("verify") else None)


def _different(wants: t.Sequence[WantedImage]) -> t.Tuple[WantedImage, ...]:
    """Each image once. InvalidArgument where one name is asked for in two ways."""
    found: t.Dict[str, WantedImage] = {}
    for want in wants:
        name = want.reference.record if want.reference else want.label
        other = found.setdefault(name, want)
        if other[:3] != want[:3]:
            raise InvalidArgument(f"images: {name} is listed twice, with different digests or platforms")
    return tuple(found.values())


def _asked(task: WantedImages) -> WantedImages:
    """What the registries have now."""
    found, problems = _each(task, range(len(task.wants)), lambda client, number: ask_registry(client, task.wants[number]))
    return task._replace(wants=tuple(found.get(number, one) for number, one in enumerate(task.wants)), problems=problems)


def _each(
    task: WantedImages, numbers: t.Sequence[int], ask: t.Callable[[RegistryClient, int], _T]
) -> t.Tuple[t.Dict[int, _T], t.Dict[int, EngineError]]:
    """Ask the registries for some images, several at a time: the answers, and where the task goes on the problems."""
    client = registry_client(task.params)
    answers: t.Dict[int, _T] = {}
    problems: t.Dict[int, EngineError] = {}

    def one(number: int) -> None:
        try:
            answers[number] = ask(client, number)
        except EngineError as error:
            # A library that lacks, lacks for all; another interpreter may have it.
            if not task.goes_on or isinstance(error, MissingLibrary):
                raise
            problems[number] = error

    try:
        if len(numbers) == 1:
            one(numbers[0])
        else:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(task.params["max_parallel"]) as pool:
                list(pool.map(one, numbers))
    finally:
        client.close()
    return answers, problems


def _side(task: WantedImages, sides: t.Mapping[int, t.Mapping[str, t.Any]]) -> t.Mapping[str, t.Any]:
    """One side of the diff: that of one image, or of many by name."""
    return sides[0] if len(task.wants) == 1 else {task.wants[number].label: side for number, side in sides.items()}
