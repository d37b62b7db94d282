# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking an image away by a name, or by its id with all its names: what goes, and what of the image stays, as Docker tells it."""

from __future__ import annotations

import typing as t

from ...engine.models import Image
from ...errors import FailedPrecondition, NotFound
from .facts import image_facts, image_id, namesakes, repo_digests, repo_tags
from .find import pin_problem
from .values import FoundImage

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from .values import WantedImage


class Removal(t.NamedTuple):
    """records: to delete; names: all that go with them; deleted: the image's id when no name stays, else empty."""

    records: t.Tuple[Image, ...] = ()
    names: t.Tuple[str, ...] = ()
    deleted: str = ""
    before: t.Mapping[str, t.Any] = {"exists": False}
    after: t.Mapping[str, t.Any] = {"exists": False}
    image: t.Mapping[str, t.Any] = {}


def plan_removal(want: WantedImage, found: t.Optional[FoundImage], records: t.Mapping[str, Image], engine: Engine) -> Removal:
    """records: all that there are by name. With a pin that is another image's nothing goes."""
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
    """FailedPrecondition when containers use one of them."""
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
