# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image: images that are present or absent, one or many in a task."""

from __future__ import annotations

import contextlib
import functools
import typing as t

from ..engine.labels import is_pinned
from ..errors import EngineError, FailedPrecondition, InvalidArgument, NotFound, printable
from ..hostfs.atomic import check_parent
from ..kernel.converge import Plan, Step
from .image_facts import image_facts, summary
from .image_source import (
    Found,
    Wanted,
    ask_registry,
    find_image,
    has_to_be_pulled,
    parse_name,
    parse_wanted,
    pin_labels,
    pull_job,
    pull_title,
    refusals,
    warnings_of,
)
from .registry_options import check_registry_options, registry_client

if t.TYPE_CHECKING:
    from ..engine.api import Engine
    from ..engine.models import Image
    from ..image.pull import Job, Puller
    from ..oci.digest import Digest

Have = t.Sequence[t.Optional[Found]]


class Task(t.NamedTuple):
    """The images of a task. problems: by number, why one cannot be had, where the others can all the same."""

    wants: t.Tuple[Wanted, ...]
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
    """The images of a task. H: what was found of each, in the same order."""

    def __init__(self) -> None:
        self._exit = contextlib.ExitStack()
        self._puller: t.Optional[Puller] = None
        self._jobs: t.Dict[int, Job] = {}
        self._changing: t.Set[int] = set()
        self._pulled: t.Dict[int, t.Dict[str, t.Any]] = {}
        self._failed: t.Dict[int, EngineError] = {}
        self._freed: t.Dict[str, t.Any] = {"deleted": [], "bytes": 0}
        self._warnings: t.List[str] = []

    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> Task:
        if params["max_parallel"] < 1:
            raise InvalidArgument(f"max_parallel: {params['max_parallel']} is not a positive number")
        if params["progress_file"]:
            check_parent(params["progress_file"], "progress_file")
        check_registry_options(params)
        if params["state"] == "absent":
            wants = [Wanted(*parse_name(row, "name"), (), "never", row) for row in _rows(params)]
            return Task(_different(wants), params)
        task = Task(_different([parse_wanted(row, "name") for row in _rows(params)]), params)
        return _asked(task) if params["pull"] in ("always", "newer") else task

    def observe(self, want: Task, engine: Engine) -> Have:
        return [find_image(one, engine) for one in want.wants]

    @contextlib.contextmanager
    def lock(self, want: Task, engine: Engine) -> t.Iterator[None]:
        """The images in the order of their names, so that two tasks never wait for each other."""
        names = sorted({str(one.reference.record if one.reference else one.image_id) for one in want.wants})
        with contextlib.ExitStack() as self._exit:
            for name in names:
                self._exit.enter_context(engine.lock(f"image {name}"))
            if want.absent:
                self._exit.callback(self._collect, engine, {info.digest: info.size for info in engine.content.walk()})
            yield

    def plan(self, want: Task, have: Have, engine: Engine) -> Plan:
        self._changing, self._jobs, self._failed = set(), {}, dict(want.problems)
        steps: t.List[Step] = []
        untagged: t.List[str] = []
        for number, (one, found) in enumerate(zip(want.wants, have)):
            try:
                if number in self._failed:
                    continue
                if want.absent:
                    records = _records(one, found, engine)
                    more = self._removals(number, records, want, engine)
                    untagged.extend(record.name for record in records)
                else:
                    more = self._pulls(number, want, found, engine)
            except EngineError as error:
                if not want.goes_on:
                    raise
                self._failed[number] = error
                continue
            steps.extend(more)
            self._changing.update([number] if more else [])
        result: t.Dict[str, t.Any] = {"untagged": untagged} if want.absent else {}
        result["warnings"] = self._warnings = [word for one, found in zip(want.wants, have) for word in warnings_of(one, found)]
        before, after = _sides(want, have, self._changing)
        return Plan(steps, before, after, result, failures=list(self._failed.values()))

    def _pulls(self, number: int, task: Task, have: t.Optional[Found], engine: Engine) -> t.List[Step]:
        want = task.wants[number]
        reason = has_to_be_pulled(want, have)
        if not reason:
            return self._pins(number, task, have, engine)
        self._jobs[number] = pull_job(want)
        return [Step(pull_title(want, have, reason), functools.partial(self._pull, number, task, engine), alone=task.goes_on)]

    def _pins(self, number: int, task: Task, have: t.Optional[Found], engine: Engine) -> t.List[Step]:
        """The step that pins an image, or the opposite. Where one is pulled its record is written so at once."""
        want = task.wants[number]
        if have is None or want.params["pinned"] in (None, is_pinned(have.record.labels)):
            return []
        record = have.record._replace(labels=dict(pin_labels(want)))
        title = f"{'pin' if want.params['pinned'] else 'unpin'} image {want.label}"
        return [Step(title, functools.partial(engine.images.put, record), alone=task.goes_on)]

    def _pull(self, number: int, task: Task, engine: Engine) -> None:
        try:
            if self._puller is None:
                self._puller = self._begin(task, engine)
            result = self._puller.pull(self._jobs[number])
            self._pulled[number] = result.facts()
            self._warnings.extend(refusals(result))
        except EngineError as error:
            self._failed[number] = error
            raise

    def _begin(self, task: Task, engine: Engine) -> Puller:
        """All pulls of the task, so that the next image is transferred while one is unpacked; they end with the lock."""
        from ..image.pull import Puller

        client = registry_client(task.params)
        self._exit.callback(client.close)
        snapshotter, progress_file = task.params.get("snapshotter") or "", task.params["progress_file"]
        puller = Puller(engine, client, list(self._jobs.values()), snapshotter, task.params["max_parallel"])
        self._exit.enter_context(puller)
        if progress_file:
            from ..image.progress import reported

            self._exit.enter_context(reported(puller, progress_file))
        return puller

    def _removals(self, number: int, records: t.Sequence[Image], task: Task, engine: Engine) -> t.List[Step]:
        for record in records:
            _check_unused(record, task.params, engine)
        return [
            Step(f"remove image {record.name}", functools.partial(self._remove, number, record, engine), alone=task.goes_on)
            for record in records
        ]

    def _remove(self, number: int, record: Image, engine: Engine) -> None:
        try:
            engine.images.delete(record.name, record.target.digest, collect=False)
        except EngineError as error:
            self._failed[number] = error
            raise

    def _collect(self, engine: Engine, before: t.Dict[Digest, int]) -> None:
        """Once for all images of the task."""
        engine.collect()
        freed = before.keys() - {info.digest for info in engine.content.walk()}
        self._freed.update(deleted=sorted(map(str, freed)), bytes=sum(before[digest] for digest in freed))

    def facts(self, want: Task, have: Have, engine: Engine) -> t.Dict[str, t.Any]:
        images = [self._facts(number, want, found, engine) for number, found in enumerate(have)]
        freed = self._freed if want.absent else {}
        if len(images) > 1:
            return {**freed, "image": {}, "images": images}
        only = {key: value for key, value in images[0].items() if key not in ("name", "changed", "failed", "msg")}
        return {**freed, **only, "images": images}

    def _facts(self, number: int, task: Task, have: t.Optional[Found], engine: Engine) -> t.Dict[str, t.Any]:
        """One image of the result."""
        want, failed = task.wants[number], self._failed.get(number)
        out: t.Dict[str, t.Any] = {"name": want.label, "changed": number in self._changing and not failed, "image": {}}
        if failed:
            out.update(failed=True, msg=str(failed))
        if task.absent:
            return out
        if want.remote:
            out["digest"] = str(want.remote.digest)
        if number in self._pulled:
            out["pulled"] = self._pulled[number]
        if have and have.view:
            out["image"] = image_facts(engine, have)
            out["digest"] = str(have.record.target.digest)
            out["manifest_digest"] = str(have.view.manifest.digest)
            out["config_digest"] = str(have.view.config.digest)
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


def _different(wants: t.Sequence[Wanted]) -> t.Tuple[Wanted, ...]:
    """Each image once. InvalidArgument where one name is asked for in two ways."""
    found: t.Dict[str, Wanted] = {}
    for want in wants:
        name = want.reference.record if want.reference else want.label
        other = found.setdefault(name, want)
        if other[:3] != want[:3]:
            raise InvalidArgument(f"images: {name} is listed twice, with different digests or platforms")
    return tuple(found.values())


def _asked(task: Task) -> Task:
    """What the registries have now, several asked at a time."""
    client = registry_client(task.params)
    problems: t.Dict[int, EngineError] = {}

    def ask(number: int) -> Wanted:
        want = task.wants[number]
        try:
            return ask_registry(client, want)
        except EngineError as error:
            if not task.goes_on:
                raise
            problems[number] = error
            return want

    try:
        numbers = range(len(task.wants))
        if len(numbers) == 1:
            return task._replace(wants=(ask(0),))
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(task.params["max_parallel"]) as pool:
            wants = tuple(pool.map(ask, numbers))
        return task._replace(wants=wants, problems=problems)
    finally:
        client.close()


def _sides(task: Task, have: Have, changing: t.Set[int]) -> t.Tuple[t.Dict[str, t.Any], t.Dict[str, t.Any]]:
    """Before and after of the diff: for one image what it is, for many by name those that change."""
    before: t.Dict[str, t.Any] = {}
    after: t.Dict[str, t.Any] = {}
    for number, (want, found) in enumerate(zip(task.wants, have)):
        if number in changing or len(task.wants) == 1:
            before[want.label] = summary(found)
            after[want.label] = {"exists": False} if task.absent else {"exists": True, "name": want.label}
            if want.remote:
                after[want.label]["digest"] = str(want.remote.digest)
            pinned = want.params.get("pinned")
            if not task.absent and (bool(found and is_pinned(found.record.labels)) if pinned is None else pinned):
                after[want.label]["pinned"] = True
    if len(task.wants) == 1:
        label = task.wants[0].label
        return before[label], after[label]
    return before, after


def _records(want: Wanted, have: t.Optional[Found], engine: Engine) -> t.List[Image]:
    """The records to remove: the one that is named (and that a pin agrees with), or all that have the id."""
    if have is None:
        return []
    if want.reference is None:
        return [record for record in engine.images.list() if record.target.digest == have.record.target.digest]
    pin = want.reference.digest
    if pin and pin != have.record.target.digest:
        return []
    return [have.record]


def _check_unused(record: Image, params: t.Mapping[str, t.Any], engine: Engine) -> None:
    if params["force"]:
        return
    from ..engine.labels import NAME

    try:
        users = [c.labels.get(NAME) or c.id[:12] for c in engine.containers.list() if c.image == record.name]
    except NotFound:
        users = []
    if users:
        raise FailedPrecondition(
            f"the image {record.name} is used by the containers {', '.join(sorted(users))}: remove them first, or set force"
        )
