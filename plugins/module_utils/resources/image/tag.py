# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_tag: additional names for a present image."""

from __future__ import annotations

import contextlib
import functools
import typing as t

from ...engine.models import Image
from ...errors import InvalidArgument, NotFound
from ...kernel.converge import Facts, Plan, Step
from ...oci.reference import Reference
from .facts import familiar, image_facts, image_id
from .find import look_at
from .stored import stored_image
from .values import FoundImage, parse_name

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from .stored import StoredImage


class WantedTags(t.NamedTuple):
    """The image, and the record names that it shall have. overwrite: even if they belong to another image."""

    source: StoredImage
    names: t.Tuple[str, ...]
    overwrite: bool


FoundTags = t.Dict[str, t.Optional[Image]]


class ImageTagResource:
    """H: the record of each wanted name; None without one."""

    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> WantedTags:
        references = [Reference.parse(text, "repository", params["tag"]) for text in params["repository"]]
        for text, reference in zip(params["repository"], references):
            if parse_name({"repository": text}, "repository")[1]:
                raise InvalidArgument(f"repository: {text} is an image id: give a name")
            if reference.digest:
                raise InvalidArgument(f"repository: {reference} has a digest: only a tag can be given to an image")
        source = stored_image(engine, params["name"], "name", params["tag"])
        names = tuple(dict.fromkeys(reference.record for reference in references))
        return WantedTags(source, names, params["existing_images"] == "overwrite")

    def observe(self, want: WantedTags, engine: Engine) -> FoundTags:
        found: FoundTags = dict.fromkeys(want.names)
        for name in want.names:
            with contextlib.suppress(NotFound):
                found[name] = engine.images.get(name)
        return found

    @contextlib.contextmanager
    def lock(self, want: WantedTags, engine: Engine) -> t.Iterator[None]:
        with contextlib.ExitStack() as stack:
            for name in sorted({want.source.record.name, *want.names}):
                stack.enter_context(engine.lock(f"image {name}"))
            yield

    def plan(self, want: WantedTags, have: FoundTags, engine: Engine) -> Plan:
        tagged = [name for name in want.names if _is_wrong(want, have[name])]
        steps = [Step(_title(want, name, have[name]), functools.partial(_tag, want, name, engine)) for name in tagged]
        before = {name: _shown(engine, name, record) for name, record in have.items()}
        after = {**before, **{name: _shown(engine, name, want.source.record) for name in tagged}}
        facts = functools.partial(_facts, want, tagged, engine)
        return Plan(steps, {"images": list(before.values())}, {"images": list(after.values())}, facts)


def _facts(want: WantedTags, tagged: t.Sequence[str], engine: Engine, _end: FoundTags) -> Facts:
    """The facts; in check mode with the names that the image would have."""
    records = {record.name: record for record in engine.images.list()}
    records.update((name, want.source.record._replace(name=name)) for name in tagged)
    image = image_facts(look_at(engine, want.source.record, None), records.values())
    return Facts({"tagged_images": list(map(familiar, tagged)), "image": image})


def _shown(engine: Engine, name: str, record: t.Optional[Image]) -> t.Dict[str, t.Any]:
    """A name in the diff, with the image that it is."""
    reference = Reference.parse(familiar(name))
    out: t.Dict[str, t.Any] = {"name": reference._replace(tag="").familiar, "tag": reference.tag}
    if record is None:
        return {**out, "exists": False}
    return {**out, "id": image_id(engine, FoundImage(record, None)), "digest": str(record.target.digest)}


def _is_wrong(want: WantedTags, record: t.Optional[Image]) -> bool:
    return record is None or (want.overwrite and record.target.digest != want.source.record.target.digest)


def _title(want: WantedTags, name: str, record: t.Optional[Image]) -> str:
    return f"tag image {want.source.label} as {name}" + (f" (instead of {record.target.digest[:19]})" if record else "")


def _tag(want: WantedTags, name: str, engine: Engine) -> None:
    engine.images.put(Image(name, engine.images.get(want.source.record.name).target))
