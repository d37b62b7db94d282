# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reset is to remove, and what there is of it."""

from __future__ import annotations

import os
import typing as t

from ...engine.labels import NAME, STAGE
from ...engine.models import Container
from ...errors import InvalidArgument, printable
from ...kernel.engines import EngineOptions
from ...network.places import Places
from ...volume.store import Volume
from ..container.options.life import Stop
from ..network.desired import places_of
from ..volume.desired import roots_of

#: What is right below one of these belongs to the system, and is no directory of a program.
_SYSTEM = ("/", "/home", "/usr", "/usr/local", "/var")


class WantedReset(t.NamedTuple):
    """options: with the roots, and the socket of the daemon. namespaces: those of the daemon that are emptied. daemon_goes: the daemon will
    be removed, so it must have nothing in other ones. paths: what goes besides.
    """

    options: EngineOptions
    namespaces: t.Tuple[str, ...]
    daemon_goes: bool
    paths: t.Tuple[str, ...]
    stop: Stop
    places: Places

    @classmethod
    def of(cls, params: t.Mapping[str, t.Any]) -> WantedReset:
        """InvalidArgument names option and value."""
        places, _data_root = places_of(params)
        data_root, state_root, _namespace = roots_of(params)
        namespaces = tuple(dict.fromkeys(params["namespaces"]))
        for one in namespaces:
            try:
                roots_of({**params, "namespace": one})
            except InvalidArgument as error:
                raise InvalidArgument(f"namespaces: {printable(one, 100)!r} is not the name of a namespace") from error
        if params["engine"] == "embedded" and (namespaces or params["daemon_goes"]):
            option = "namespaces" if namespaces else "daemon_goes"
            raise InvalidArgument(f"{option}: it is about containerd, and engine=embedded says that this host has none")
        if params["stop_timeout"] is not None and params["stop_timeout"] < 0:
            raise InvalidArgument(f"stop_timeout: {params['stop_timeout']} is negative")
        address = params["address"][len("unix://") :] if params["address"].startswith("unix://") else params["address"]
        return cls(
            EngineOptions(params["engine"], address, data_root=data_root, state_root=state_root),
            namespaces,
            params["daemon_goes"],
            tuple(_path(one) for one in params["paths"]),
            Stop(timeout=params["stop_timeout"]),
            places,
        )

    @property
    def data_root(self) -> str:
        return self.options.data_root

    @property
    def state_root(self) -> str:
        return self.options.state_root

    def space(self, engine: str, namespace: str) -> EngineOptions:
        return self.options._replace(engine=engine, namespace=namespace)


def _path(given: str) -> str:
    path = os.path.normpath(given)
    if not os.path.isabs(given):
        raise InvalidArgument(f"paths: {printable(given, 200)!r} is not an absolute path")
    if path == "/" or os.path.dirname(path) in _SYSTEM:
        raise InvalidArgument(f"paths: {printable(given, 200)} is a directory of the system, and is not removed as a whole")
    return path


class DoomedContainer(t.NamedTuple):
    """space: its engine and namespace. container: None for a task whose record is lost."""

    space: EngineOptions
    id: str
    container: t.Optional[Container] = None

    @property
    def name(self) -> str:
        labels = self.container.labels if self.container else {}
        return labels.get(NAME) or labels.get(STAGE) or self.id[:12]

    @property
    def label(self) -> str:
        """With its namespace, for users."""
        return f"{self.space.namespace}/{self.name}"


class DoomedSpace(t.NamedTuple):
    """A namespace of the daemon. size: of its blobs and snapshots, in bytes."""

    space: EngineOptions
    images: t.Tuple[str, ...]
    size: int


class FoundReset(t.NamedTuple):
    """What goes, in this order. images: of the embedded engine, which go with data_root. networks: with the namespace of their directory.

    paths: with the bytes of what is below, the root of the data last. warnings: what stays, and why.
    """

    unit: str = ""
    containers: t.Tuple[DoomedContainer, ...] = ()
    volumes: t.Tuple[t.Tuple[str, Volume], ...] = ()
    spaces: t.Tuple[DoomedSpace, ...] = ()
    images: t.Tuple[str, ...] = ()
    networks: t.Tuple[t.Tuple[str, str], ...] = ()
    paths: t.Mapping[str, int] = {}
    warnings: t.Tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(self.paths.values()) + sum(one.size for one in self.spaces)

    def names(self) -> t.Dict[str, t.Any]:
        """For users, by kind."""
        images = [f"{one.space.namespace}/{name}" for one in self.spaces for name in one.images]
        return {
            "containers": [one.label for one in self.containers],
            "images": [*self.images, *images],
            "networks": [name for _namespace, name in self.networks],
            "volumes": [f"{namespace}/{one.name}" for namespace, one in self.volumes],
            "paths": dict(self.paths),
        }
