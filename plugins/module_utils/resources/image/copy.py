# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_copy: an image from registry to registry."""

from __future__ import annotations

import contextlib
import functools
import typing as t

from ...errors import InvalidArgument
from ...image.copy import remote_blob, remote_tree, same_registry
from ...image.push import PushResult, is_pushed, push
from ...image.source import RegistrySource
from ...image.walk import DocumentTree, Selection
from ...kernel.converge import Facts, Plan, Step
from ...oci.descriptor import Descriptor
from ...oci.reference import Reference
from ..registry.client import registry_client
from ..registry.options import registry_options
from .push import destination_of, foresee_push, registry_pusher, selection_of, transfer_options

if t.TYPE_CHECKING:
    from ...registry.options import RegistryOptions


class WantedCopy(t.NamedTuple):
    """The wanted copy. top: the source's document now. tree: the part to copy (None: everything, not read yet)."""

    src: Reference
    dest: Reference
    top: Descriptor
    tree: t.Optional[DocumentTree]
    max_parallel: int
    chunk: int
    registry: RegistryOptions
    src_registry: RegistryOptions

    @property
    def digest(self) -> str:
        """The digest that the destination's tag must have."""
        return str((self.tree.top if self.tree else self.top).digest)


class ImageCopyResource:
    """H: whether the destination has it. No engine is needed."""

    def desired(self, params: t.Mapping[str, t.Any], engine: None) -> WantedCopy:
        options = registry_options(params)
        src = Reference.parse(params["src"], "src")
        dest = destination_of(params["dest"], "dest", src.tag)
        src_options = registry_options(_source_params(params, src, dest))
        chunk, parallel = transfer_options(params)
        selection = selection_of(params["platforms"] or ["all"])
        with contextlib.closing(registry_client(src_options)) as client:
            tree = None
            if selection.platforms is None:
                top = client.resolve(src)
            else:
                top = client.document(src)
                tree = remote_tree(RegistrySource(client, src), top, selection)
        return WantedCopy(src, dest, top.descriptor, tree, parallel, chunk, options, src_options)

    def observe(self, want: WantedCopy, engine: None) -> bool:
        with contextlib.closing(registry_pusher(want.registry)) as pusher:
            return is_pushed(pusher, want.dest, *([want.tree.top] if want.tree else []), want.top)

    def lock(self, want: WantedCopy, engine: None) -> t.ContextManager[t.Any]:
        return contextlib.nullcontext()

    def plan(self, want: WantedCopy, have: bool, engine: None) -> Plan:
        before, after = {"up_to_date": have}, {"up_to_date": True, "digest": want.digest}
        copied: t.List[PushResult] = []
        facts = functools.partial(_facts, want, copied)
        if have:
            return Plan((), before, after, facts)
        step = Step(f"copy image {want.src} to {want.dest}", lambda: copied.append(_copy(want)))
        top = want.tree.top if want.tree else want.top
        return Plan([step], before, after, facts, foresee=functools.partial(foresee_push, want.registry, want.dest, top))


def _copy(want: WantedCopy) -> PushResult:
    with contextlib.closing(registry_client(want.src_registry)) as client:
        # The tag may have moved since: copy what was read.
        src = want.src._replace(tag="", digest=want.top.digest)
        source = RegistrySource(client, src)
        tree = want.tree or remote_tree(source, source.document(), Selection(None))
        with contextlib.closing(registry_pusher(want.registry)) as pusher:
            sources = same_registry(src, want.dest)
            return push(pusher, want.dest, tree, remote_blob(source), sources, want.max_parallel, want.chunk)


def _facts(want: WantedCopy, copied: t.Sequence[PushResult], _end: bool) -> Facts:
    out: t.Dict[str, t.Any] = {"src": str(want.src), "destination": str(want.dest), "digest": want.digest}
    if copied:
        out["copied"] = copied[0].facts()
    return Facts(out)


def _source_params(params: t.Mapping[str, t.Any], src: Reference, dest: Reference) -> t.Dict[str, t.Any]:
    """The registry options for the source. The destination's credentials never go to another registry."""
    names = ("username", "password", "token")
    own = {name: params[f"src_{name}"] for name in names}
    if src.domain == dest.domain:
        if any(own.values()):
            raise InvalidArgument("src_username, src_password, src_token: src and dest are in one registry, which has one set")
        own = {name: params[name] for name in names}
    if (own["username"] is None) != (own["password"] is None):
        raise InvalidArgument("src_password: src_username and src_password are needed together")
    for name in ("plain_http", "validate_certs"):
        if params[f"src_{name}"] is not None:
            own[name] = params[f"src_{name}"]
    return {**params, **own}
