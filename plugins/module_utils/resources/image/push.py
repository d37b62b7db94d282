# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_push: an image of the target into a registry."""

from __future__ import annotations

import functools
import typing as t

from ...errors import InvalidArgument
from ...image.push import PushResult, is_pushed, known_sources, push, stored_blob
from ...image.walk import DocumentTree, Selection, label_of, reduced, stored_tree
from ...kernel.converge import Facts, Plan, Step
from ...oci.platform import Platform
from ...oci.reference import Reference
from ...oci.sizes import parse_size
from ..registry.options import registry_options
from .facts import image_facts
from .find import look_at
from .stored import StoredImage, stored_image

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...oci.descriptor import Descriptor
    from ...registry.options import RegistryOptions
    from ...registry.pusher import Pusher


class WantedPush(t.NamedTuple):
    """The wanted push. tree: the part of the image to push, with its index. missing: platforms that are not pushed."""

    source: StoredImage
    destination: Reference
    tree: DocumentTree
    missing: t.Tuple[str, ...]
    max_parallel: int
    chunk: int
    registry: RegistryOptions


class ImagePushResource:
    """H: whether the registry has it."""

    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> WantedPush:
        options = registry_options(params)
        chunk, parallel = transfer_options(params)
        source = stored_image(engine, params["name"], "name", params["tag"])
        if params["destination"]:
            destination = destination_of(params["destination"], "destination", source.reference.tag if source.reference else "")
        elif source.reference and source.reference.tag:
            destination = source.reference._replace(digest=None)
        else:
            raise InvalidArgument(f"destination: it is needed, {source.label} has no tag")
        selection = selection_of(params["platforms"])
        tree = stored_tree(engine.content, source.record.target, selection, source.label)
        missing = [label_of(one) for one in tree.missing if not (one.platform and one.platform.os == "unknown")]
        return WantedPush(source, destination, reduced(tree), tuple(sorted(missing)), parallel, chunk, options)

    def observe(self, want: WantedPush, engine: Engine) -> bool:
        # A registry with the complete index has everything that is here, and nothing else.
        pusher = registry_pusher(want.registry)
        try:
            return is_pushed(pusher, want.destination, want.source.record.target, want.tree.top)
        finally:
            pusher.close()

    def lock(self, want: WantedPush, engine: Engine) -> t.ContextManager[t.Any]:
        return engine.lock(f"push {want.destination}")

    def plan(self, want: WantedPush, have: bool, engine: Engine) -> Plan:
        before, after = {"up_to_date": have}, {"up_to_date": True, "digest": str(want.tree.top.digest)}
        pushed: t.List[PushResult] = []
        facts = functools.partial(_facts, want, engine, pushed)
        if have:
            return Plan((), before, after, facts)
        own = want.source.label == str(want.destination)
        title = f"push image {want.source.label}" + ("" if own else f" to {want.destination}")
        foresee = functools.partial(foresee_push, want.registry, want.destination, want.tree.top)
        step = Step(title, lambda: pushed.append(_push(want, engine)))
        return Plan([step], before, after, facts, foresee=foresee)


def _push(want: WantedPush, engine: Engine) -> PushResult:
    pusher = registry_pusher(want.registry)
    try:
        sources = known_sources(engine.content, want.destination)
        blob = stored_blob(engine.content)
        return push(pusher, want.destination, want.tree, blob, sources, want.max_parallel, want.chunk)
    finally:
        pusher.close()


def _facts(want: WantedPush, engine: Engine, pushed: t.Sequence[PushResult], _end: bool) -> Facts:
    out: t.Dict[str, t.Any] = {
        "destination": str(want.destination),
        "digest": str(want.tree.top.digest),
        "missing_platforms": list(want.missing),
        "image": image_facts(look_at(engine, want.source.record, None), engine.images.list()),
    }
    if pushed:
        out["pushed"] = pushed[0].facts()
    return Facts(out)


def registry_pusher(options: RegistryOptions) -> Pusher:
    """MissingLibrary without requests."""
    from ...registry.pusher import Pusher

    return Pusher(options)


def foresee_push(options: RegistryOptions, destination: Reference, top: Descriptor) -> t.List[str]:
    """kernel/converge.py: Plan.foresee."""
    pusher = registry_pusher(options)
    try:
        pusher.check_access(destination, top)
    finally:
        pusher.close()
    return [f"check mode cannot tell whether {destination.domain} lets {destination} be pushed"]


def destination_of(text: str, option: str, tag: str) -> Reference:
    """The name of an image in a registry; tag if it has none. Raises InvalidArgument."""
    reference = Reference.parse(text, option, tag or "latest")
    if reference.digest:
        raise InvalidArgument(f"{option}: {reference} has a digest: only a tag can be given to an image")
    return reference


def selection_of(platforms: t.Optional[t.Sequence[str]]) -> Selection:
    """The meaning of the option platforms: not set means the present ones, all means every one, else the named ones."""
    if not platforms:
        return Selection(None, partial=True)
    if "all" in platforms:
        if len(platforms) > 1:
            raise InvalidArgument("platforms: all stands alone")
        return Selection(None)
    return Selection(tuple(Platform.parse(one, "platforms") for one in platforms))


def transfer_options(params: t.Mapping[str, t.Any]) -> t.Tuple[int, int]:
    """chunk_size in bytes (0: a blob in one request), and max_parallel. InvalidArgument."""
    if params["max_parallel"] < 1:
        raise InvalidArgument(f"max_parallel: {params['max_parallel']} is not a positive number")
    return (parse_size(params["chunk_size"], "chunk_size") if params["chunk_size"] else 0), params["max_parallel"]
