# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry client for one run: what a plan was made from is what is pulled, and no document is asked for twice."""

from __future__ import annotations

import typing as t

from ..oci import media_types
from ..oci.descriptor import Descriptor, Resolved
from ..oci.digest import Digest
from ..oci.reference import Reference
from .inspect import CONFIG_LIMIT

if t.TYPE_CHECKING:
    from .api import Registry

_REMEMBERED = (*media_types.INDEXES, *media_types.MANIFESTS, *media_types.CONFIGS)


class Asked:
    """A Registry (image/api.pyi) that remembers the digests, documents and configs that it has sent."""

    def __init__(self, client: Registry) -> None:
        self._client = client
        self._tops: t.Dict[Reference, Resolved] = {}
        self._bodies: t.Dict[Digest, bytes] = {}

    def close(self) -> None:
        """Connections end; what was asked for stays known."""
        self._client.close()

    @property
    def served(self) -> t.Mapping[Digest, str]:
        return self._client.served

    @property
    def refused(self) -> t.Collection[t.Tuple[Digest, str]]:
        return self._client.refused

    def refuse(self, reference: Reference, descriptor: Descriptor) -> bool:
        return self._client.refuse(reference, descriptor)

    def resolve(self, reference: Reference) -> Resolved:
        if reference not in self._tops:
            self._tops[reference] = self._client.resolve(reference)
        return self._tops[reference]

    def document(self, reference: Reference) -> Resolved:
        """The document that resolve() told of, though a tag may have moved since."""
        known = self._tops.get(reference)
        if known is None:
            self._tops[reference] = self._client.document(reference)
        elif not known.body:
            pinned = reference._replace(tag="", digest=known.descriptor.digest)
            self._tops[reference] = self._client.document(pinned)
        return self._tops[reference]

    def fetch(self, reference: Reference, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
        known = self._bodies.get(descriptor.digest)
        if known is not None:
            return iter([known[offset:]])
        blocks = self._client.fetch(reference, descriptor, offset)
        small = descriptor.media_type in _REMEMBERED and descriptor.size <= CONFIG_LIMIT
        return self._remembered(descriptor, blocks) if small and not offset else blocks

    def _remembered(self, descriptor: Descriptor, blocks: t.Iterator[bytes]) -> t.Iterator[bytes]:
        parts = []
        for block in blocks:
            parts.append(block)
            yield block
        hasher = descriptor.digest.hasher()
        for block in parts:
            hasher.update(block)
        if hasher.hexdigest() == descriptor.digest.hex:
            self._bodies[descriptor.digest] = b"".join(parts)
