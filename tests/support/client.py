# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls for the tests: a registry client without a registry, which reads an OCI layout, and a pull of one image."""

from __future__ import annotations

import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.image.pull import Job, Puller, PullResult
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor, Resolved
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference

from .images import Layout

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine
    from ansible_collections.fleet.containerd.plugins.module_utils.image.api import ImageSource


class LayoutClient:
    """A registry client (image/api.pyi: Registry) over an OCI layout."""

    def __init__(self, layout: Layout, top: t.Mapping[str, t.Any]) -> None:
        self._layout, self._top = layout, top
        self.fetched: t.List[str] = []
        self.served: t.Dict[Digest, str] = {}
        self.refused: t.Set[t.Tuple[Digest, str]] = set()

    def resolve(self, reference: Reference) -> Resolved:
        return self.document(reference)

    def close(self) -> None:
        pass

    def refuse(self, reference: Reference, descriptor: Descriptor) -> bool:
        return False

    def document(self, reference: Reference) -> Resolved:
        descriptor = Descriptor.from_json(dict(self._top), "top")
        return Resolved(descriptor, self._layout.read(self._top), "registry.test")

    def fetch(self, reference: Reference, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
        self.fetched.append(f"{descriptor.digest}@{offset}")
        yield self._layout.read({"digest": descriptor.digest})[offset:]


def pull(engine: Engine, source: ImageSource, platform: Platform, snapshotter: str = "", max_parallel: int = 3) -> PullResult:
    """Pull one image for one platform."""
    job = Job(source, (platform,))
    with Puller(engine, [job], snapshotter, max_parallel) as puller:
        return puller.pull(job)
