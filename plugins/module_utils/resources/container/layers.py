# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that are mounted into a container, read-only: the specification mounts their layers, which a label keeps."""

from __future__ import annotations

import typing as t

from ...engine.labels import GC_REF_SNAPSHOT
from ...engine.models import Mount
from ...errors import FailedPrecondition, InvalidArgument, printable
from ...runtime_spec.mounts import mount

if t.TYPE_CHECKING:
    from ...engine.api import Engine

#: A page, in which the runtime gives options to the kernel (mount(2)), with some room for those of the runtime.
_LIMIT = 4000


class Layers(t.NamedTuple):
    """The layers of an image. name: that of their snapshot. mounts: where they are."""

    snapshotter: str
    name: str
    mounts: Mount

    def mount(self, target: str) -> t.Dict[str, t.Any]:
        """For a specification."""
        options = [one for one in self.mounts.options if one != "rw"]
        return mount(target, self.mounts.type, self.mounts.source, " ".join(dict.fromkeys([*options, "ro", "nosuid", "nodev"])))

    def label(self, number: int) -> str:
        """Of the container: with it, the snapshot is not collected while the container exists."""
        return f"{GC_REF_SNAPSHOT}{self.snapshotter}/{number}"


def layers_of(engine: Engine, name: str) -> Layers:
    """The layers of a stored image. InvalidArgument when it is not there."""
    from ..image.find import find_image
    from ..image.values import WantedImage, parse_name

    found = find_image(WantedImage(*parse_name({"name": name}, "name")), engine)
    if found is None or found.view is None:
        raise InvalidArgument(f"mounts.source: the image {printable(name, 200)} is not there: pull it with containerd_image")
    store = engine.snapshotter()
    chain = str(found.view.chain_id)
    with store.look(chain, view=True) as target:
        mounts = target.mounts()[0]
    if sum(map(len, mounts.options)) > _LIMIT:
        raise FailedPrecondition(f"mounts.source: the image {printable(name, 200)} has too many layers for a mount")
    return Layers(store.name, chain, mounts)
