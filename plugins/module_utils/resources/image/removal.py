# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove images, by a name, or by an id with all its names. The result tells what was removed and what stays, as in Docker."""

from __future__ import annotations

import contextlib
import functools
import typing as t

from ...engine.models import Image
from ...errors import EngineError, FailedPrecondition, NotFound
from ...kernel.converge import Plan, Step
from .facts import familiar, image_facts, image_id, namesakes, repo_digests, repo_tags
from .find import pin_problem
from .run import FoundImages, Run, WantedImages
from .values import FoundImage

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from .values import WantedImage


class Removal(t.NamedTuple):
    """records: those to delete. names: all names that go with them. deleted: the image's id if no name stays, else empty."""

    records: t.Tuple[Image, ...] = ()
    names: t.Tuple[str, ...] = ()
    deleted: str = ""
    before: t.Mapping[str, t.Any] = {"exists": False}
    after: t.Mapping[str, t.Any] = {"exists": False}
    image: t.Mapping[str, t.Any] = {}


def plan_removal(want: WantedImage, found: t.Optional[FoundImage], records: t.Mapping[str, Image], engine: Engine) -> Removal:
    """records: all records by name. If the pin does not match the image, nothing is removed."""
    if found is None or pin_problem(want, found):
        return Removal()
    ours = image_id(engine, found)
    if want.reference is None:
        gone = [record for record in records.values() if image_id(engine, FoundImage(record, None)) == ours]
    else:
        gone = [found.record]
    names = {record.name for record in gone}
    for record in gone:
        names.update(engine.images.companions(record, list(records.values())))
    stays = [record for name, record in records.items() if name not in names]
    left = namesakes(stays, found.record.target.digest)
    # Another index may have the same image for this platform.
    deleted = "" if left or any(image_id(engine, FoundImage(record, None)) == ours for record in stays) else ours
    own = namesakes(records.values(), found.record.target.digest)
    before, after = (_side(ours, found, some) for some in (own, left))
    return Removal(tuple(gone), tuple(sorted(names)), deleted, before, after, image_facts(found, own))


def _side(ours: str, found: FoundImage, records: t.Sequence[Image]) -> t.Dict[str, t.Any]:
    if not records:
        return {"exists": False}
    digest = str(found.record.target.digest)
    return {"exists": True, "id": ours, "digest": digest, "tags": repo_tags(records), "digests": repo_digests(records)}


def check_unused(records: t.Iterable[Image], engine: Engine) -> None:
    """Raise FailedPrecondition when containers use one of them."""
    from ...engine.labels import NAME

    try:
        containers = engine.containers.list()
    except NotFound:
        return
    for record in records:
        users = [one.labels.get(NAME) or one.id[:12] for one in containers if one.image == record.name]
        if users:
            raise FailedPrecondition(
                f"the image {record.name} is used by the containers {', '.join(sorted(users))}: remove them first, or set force"
            )


class Removals(Run):
    """All removals of a task, with one garbage collection for all of them."""

    def __init__(self, want: WantedImages, have: FoundImages, engine: Engine) -> None:
        super().__init__(want, have, engine)
        #: The records that remain when an image's turn comes.
        self._left = dict(have.records)
        self._removals: t.Dict[int, Removal] = {}
        self._kept: t.Set[str] = set()
        self._freed: t.Mapping[str, t.Any] = {}

    def plan(self) -> Plan:
        return super().plan()._replace(around=self._collected())

    def steps(self, number: int, found: t.Optional[FoundImage]) -> t.List[Step]:
        want = self.want.wants[number]
        if found and want.reference and found.record.name not in self._left:
            found = None  # it is removed with an image that was named before by another name
        removal = plan_removal(want, found, self._left, self.engine)
        if not self.want.force:
            check_unused(removal.records, self.engine)
        self._removals[number] = removal
        for name in removal.names:
            self._left.pop(name)
        return [
            Step(f"remove image {record.name}", functools.partial(self._remove, number, record), alone=self.want.goes_on)
            for record in removal.records
        ]

    def _remove(self, number: int, record: Image) -> None:
        try:
            # Some of the kubelet's records are removed with another one.
            with contextlib.suppress(NotFound):
                self.engine.images.delete(record.name, record.target.digest, collect=False)
        except EngineError as error:
            self.failed[number] = error
            self._kept.add(record.name)
            raise

    @contextlib.contextmanager
    def _collected(self) -> t.Iterator[None]:
        """Collect garbage. The number of freed bytes is known only afterwards."""
        before = {info.digest: info.size for info in self.engine.content.walk()}
        try:
            yield
        finally:
            self.engine.collect()
            freed = before.keys() - {info.digest for info in self.engine.content.walk()}
            self._freed = {"deleted_blobs": sorted(map(str, freed)), "bytes": sum(before[digest] for digest in freed)}

    def before(self, number: int) -> t.Mapping[str, t.Any]:
        return self._removals[number].before

    def after(self, number: int, end: FoundImages) -> t.Mapping[str, t.Any]:
        return self._removals[number].after

    def images(self, end: FoundImages) -> t.Iterator[t.Mapping[str, t.Any]]:
        for number in range(len(self.want.wants)):
            yield {"image": dict(self._removals[number].image)} if number in self._removals else {}

    def totals(self) -> t.Dict[str, t.Any]:
        """What was removed of the images, or would be."""
        names = [name for one in self._removals.values() for name in one.names if name not in self._kept]
        ids = {one.deleted for number, one in self._removals.items() if one.deleted and number not in self.failed}
        freed = self._freed if self.changing else {"deleted_blobs": [], "bytes": 0}
        return {"untagged": list(map(familiar, names)), "deleted": sorted(ids), **freed}
