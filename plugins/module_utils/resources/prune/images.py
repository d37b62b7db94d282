# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images go, and why the others stay."""

from __future__ import annotations

import fnmatch
import typing as t

from ...engine.holdings import CONTAINER, IMAGE, Holdings, Node
from ...engine.labels import DESIRED, NAME, is_pinned
from ...engine.models import Container, Image
from ...errors import EngineError
from ...oci.reference import Reference
from ...oci.version_tag import VersionTag
from ..image.facts import familiar
from .filters import Filters, parse_moment
from .values import WantedImages

if t.TYPE_CHECKING:
    from ...engine.api import Engine

Reasons = t.Dict[str, str]


def choose(
    want: WantedImages, engine: Engine, holdings: Holdings, gone: t.Sequence[Node]
) -> t.Tuple[t.List[Image], t.Dict[str, str]]:
    """The images that go, and for each other one why it stays. gone: the containers that go before."""
    records = [one for one in engine.images.list() if (IMAGE, one.name) in holdings.roots]
    containers = [one for one in engine.containers.list() if (CONTAINER, one.id) not in gone]
    kept = _kept(want, records, containers)
    if want.dangling:
        kept = {**{one.name: "it has a tag" for one in records if _tagged(one)}, **kept}
    if want.filters.any:
        for one in records:
            if one.name not in kept and not _passes(engine, one, want.filters):
                kept[one.name] = "it does not pass images_filters"
    _keep_others(records, kept)
    chosen = [one for one in records if one.name not in kept]
    if want.budget is not None:
        chosen = _over(want.budget, engine, holdings, gone, chosen, kept)
        _keep_others(records, kept)
        chosen = [one for one in chosen if one.name not in kept]
    return chosen, kept


def _kept(want: WantedImages, records: t.Sequence[Image], containers: t.Sequence[Container]) -> Reasons:
    kept: Reasons = {}
    last = _last_versions(records, want.versions) if want.versions else {}
    for one in records:
        pattern = next((pattern for pattern in want.patterns if _matches(one, pattern)), "")
        user = next((container for container in containers if _uses(container, one)), None)
        if user:
            kept[one.name] = f"the container {user.labels.get(NAME) or user.id[:12]} uses it"
        elif is_pinned(one.labels) and not want.pinned:
            kept[one.name] = "it is pinned"
        elif one.target.digest in want.digests:
            kept[one.name] = "it is in a release file"
        elif pattern:
            kept[one.name] = f"it matches {pattern}"
        elif one.name in last:
            kept[one.name] = last[one.name]
    return kept


def _keep_others(records: t.Sequence[Image], kept: Reasons) -> None:
    """A name without a tag goes with the last tag of its image: the kubelet's records by digest and id are such names."""
    tagged = {one.target.digest: one.name for one in records if _tagged(one) and one.name in kept}
    for one in records:
        if not _tagged(one) and one.target.digest in tagged:
            kept.setdefault(one.name, f"it is a name of {familiar(tagged[one.target.digest])}")


def _tagged(image: Image) -> bool:
    return "@" not in image.name and not image.name.startswith("sha256:")


def _uses(container: Container, image: Image) -> bool:
    """By the name, or by the digest that the name meant when the container was made."""
    desired = container.extensions.get(DESIRED, {}).get("image")
    own = desired.get("target") if isinstance(desired, dict) else None
    return container.image == image.name or own == image.target.digest


def _matches(image: Image, pattern: str) -> bool:
    names = {image.name} if image.name.startswith("sha256:") else {image.name, familiar(image.name)}
    return any(fnmatch.fnmatchcase(name, pattern) for name in (*names, str(image.target.digest)))


def _last_versions(records: t.Sequence[Image], count: int) -> Reasons:
    """The names that are one of the last versions of their repository. Two names of one image are one version."""
    kept: Reasons = {}
    lines: t.Dict[t.Tuple[str, str], t.List[t.Tuple[VersionTag, Image]]] = {}
    for one in filter(_tagged, records):
        reference = Reference.parse(one.name)
        version = VersionTag.parse(reference.tag)
        if version is None:
            kept[one.name] = "its tag tells no version"
        else:
            lines.setdefault((reference.name, version.line), []).append((version, one))
    for line in lines.values():
        digests: t.List[str] = []
        for _version, one in sorted(line, key=lambda found: found[0].order, reverse=True):
            if one.target.digest not in digests:
                digests.append(one.target.digest)
            if digests.index(one.target.digest) < count:
                kept[one.name] = f"it is one of the last {count} versions"
    return kept


def _passes(engine: Engine, image: Image, filters: Filters) -> bool:
    """As in docker prune: the time is that of the build, the labels are the image's own."""
    from ..image.find import look_at

    made, labels = image.created_at, {}
    try:
        view = look_at(engine, image, None).view
        if view:
            labels = dict(view.image_config.labels)
            if view.image_config.created:
                made = parse_moment(view.image_config.created, "created")
    except EngineError:
        # An artifact that is no image, or a damaged one: it has only the time at which it came.
        pass
    return filters.passes(made, labels)


def _over(
    budget: int, engine: Engine, holdings: Holdings, gone: t.Sequence[Node], chosen: t.Sequence[Image], kept: Reasons
) -> t.List[Image]:
    """Those that have to go, the longest untouched first, until what images have fits the budget. The others are kept."""
    sizes = engine.disk_usage(holdings.kept_by(root for root in holdings.roots if root[0] == IMAGE))
    oldest = sorted(chosen, key=lambda image: (image.updated_at, image.name))
    freed = holdings.freed_by([*gone, *((IMAGE, one.name) for one in oldest)])
    total, out = sum(sizes.values()), []
    for one in oldest:
        if total <= budget:
            kept[one.name] = "it fits into max_size"
        else:
            total -= sum(sizes.get(node, 0) for node in freed[IMAGE, one.name])
            out.append(one)
    return out
