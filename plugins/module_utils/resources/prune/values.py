# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task wants to be removed, and what there is of it."""

from __future__ import annotations

import os
import typing as t

from ...engine.holdings import Node
from ...engine.models import Container, Image
from ...errors import InvalidArgument, printable
from ...network.places import Places
from ...oci.digest import Digest
from ...oci.reference import Reference
from ...oci.sizes import parse_size
from ...volume.store import Volume
from ..network.desired import places_of
from ..volume.desired import roots_of
from .filters import Filters, parse_filters, parse_moment

#: The namespace of the kubelet, which removes its containers and images by itself.
KUBERNETES = "k8s.io"
_COMMON = ("until", "label", "label!")


class WantedImages(t.NamedTuple):
    """dangling: only those without a tag. What keeps an image: patterns of its name, digests (of releases), being one of the last versions
    of its repository, being pinned (unless pinned). budget: how many bytes images may have, None: nothing is kept for that.
    """

    filters: Filters
    dangling: bool
    patterns: t.Tuple[str, ...]
    digests: t.FrozenSet[Digest]
    versions: int
    budget: t.Optional[int]
    pinned: bool


class WantedPrune(t.NamedTuple):
    """None for what is not to be removed. ingests: transfers that nobody has written to since then (seconds since the epoch) go."""

    containers: t.Optional[Filters]
    images: t.Optional[WantedImages]
    networks: t.Optional[Filters]
    volumes: t.Optional[Filters]
    ingests: t.Optional[float]
    places: Places
    data_root: str
    namespace: str

    @classmethod
    def of(cls, params: t.Mapping[str, t.Any]) -> WantedPrune:
        places, _data_root = places_of(params)
        data_root, _state_root, namespace = roots_of(params)
        kinds = {kind: _filters(params, kind, more) for kind, more in _KINDS.items()}
        images = _images(params, kinds["images"])
        if not any(params[kind] for kind in (*_KINDS, "leftovers")):
            raise InvalidArgument(f"{', '.join(_KINDS)}, leftovers: say what to remove, none of them is true")
        if namespace == KUBERNETES and (params["containers"] or (params["images"] and not params["kubernetes"])):
            raise InvalidArgument(
                "namespace: k8s.io is the kubelet's, which removes its containers and images by itself: prune images there only with "
                "kubernetes=true, and no containers"
            )
        ingests = parse_moment(params["leftovers_age"], "leftovers_age") if params["leftovers"] else None
        containers, networks, volumes = (kinds[kind] for kind in ("containers", "networks", "volumes"))
        return cls(containers, images, networks, volumes, ingests, places, os.path.normpath(data_root), namespace)


_KINDS: t.Mapping[str, t.Tuple[str, ...]] = {
    "containers": (),
    "images": ("dangling",),
    "networks": (),
    "volumes": ("all",),
}
_KEEPS = ("keep", "keep_releases", "keep_versions", "max_size")


def _filters(params: t.Mapping[str, t.Any], kind: str, more: t.Sequence[str]) -> t.Optional[Filters]:
    option = f"{kind}_filters"
    found = parse_filters(option, params[option], (*_COMMON, *more))
    if params[option] and not params[kind]:
        raise InvalidArgument(f"{option}: it has no effect without {kind}=true")
    return found if params[kind] else None


def _images(params: t.Mapping[str, t.Any], filters: t.Optional[Filters]) -> t.Optional[WantedImages]:
    given = [option for option in _KEEPS if params[option] is not None]
    if filters is None:
        for option in given:
            raise InvalidArgument(f"{option}: it has no effect without images=true")
        return None
    versions = params["keep_versions"]
    if versions is not None and versions < 1:
        raise InvalidArgument(f"keep_versions: {versions} is not a positive number")
    for option in given if filters.flag else ():
        raise InvalidArgument(f"{option}: it is for images that have a tag, and images_filters has dangling=true")
    return WantedImages(
        filters,
        not given if filters.flag is None else filters.flag,
        tuple(params["keep"] or ()),
        frozenset(_released(text) for text in params["keep_releases"] or ()),
        versions or 0,
        None if params["max_size"] is None else parse_size(params["max_size"], "max_size"),
        params["pinned"],
    )


def _released(text: str) -> Digest:
    """What the action plugin has made of a release file."""
    digest = Reference.parse(text, "keep_releases").digest if "@" in text else None
    if digest is None:
        raise InvalidArgument(
            f"keep_releases: {printable(text, 300)} is a file on the controller, which the action plugin of this module reads, so the "
            "task has to be run by ansible-core as it is"
        )
    return digest


class Doomed(t.NamedTuple):
    """One thing that goes. name: for users. nodes: what it has in the engine; paths: what it has besides."""

    name: str
    what: t.Union[Container, Image, Volume, None] = None
    nodes: t.Tuple[Node, ...] = ()
    paths: t.Tuple[str, ...] = ()


class FoundPrune(t.NamedTuple):
    """What goes, by kind; ingests by their refs. kept: the images that stay, and why. sizes: of everything that goes, in bytes on the disk.

    marks: a killed run left the lock of something.
    """

    containers: t.Tuple[Doomed, ...] = ()
    images: t.Tuple[Doomed, ...] = ()
    networks: t.Tuple[Doomed, ...] = ()
    volumes: t.Tuple[Doomed, ...] = ()
    content: t.Tuple[Node, ...] = ()
    ingests: t.Tuple[t.Tuple[str, int], ...] = ()
    leftovers: t.Tuple[str, ...] = ()
    marks: bool = False
    kept: t.Mapping[str, str] = {}
    sizes: t.Mapping[t.Union[Node, str], int] = {}
    warnings: t.Tuple[str, ...] = ()

    def bytes_of(self, nodes: t.Iterable[Node], paths: t.Iterable[str]) -> int:
        return sum(self.sizes.get(node, 0) for node in nodes) + sum(self.sizes.get(path, 0) for path in paths)
