# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an image comes from, as one value (api.pyi: ImageSource): pulls, loads, copies and check mode read it in one way."""

from __future__ import annotations

import typing as t

from ..engine.labels import SOURCE
from ..errors import DataLoss, InvalidArgument
from ..oci.descriptor import Descriptor, Resolved
from ..oci.documents import MANIFEST_LIMIT
from ..oci.reference import Reference

if t.TYPE_CHECKING:
    from ..oci.digest import Digest
    from .api import ImageSource, Registry


class RegistrySource(t.NamedTuple):
    """An image in a registry."""

    registry: Registry
    name: Reference
    where: str = "the registry"

    @property
    def labels(self) -> t.Mapping[str, str]:
        return {source_label(self.name.domain): self.name.path}

    def document(self) -> Resolved:
        return self.registry.document(self.name)

    def fetch(self, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
        return self.registry.fetch(self.name, descriptor, offset)

    def refuse(self, descriptor: Descriptor) -> bool:
        return self.registry.refuse(self.name, descriptor)

    @property
    def served(self) -> t.Mapping[Digest, str]:
        return self.registry.served

    @property
    def refused(self) -> t.Collection[t.Tuple[Digest, str]]:
        return self.registry.refused


def document_reader(source: ImageSource, top: Resolved, limit: int = MANIFEST_LIMIT) -> t.Callable[[Descriptor], bytes]:
    """Reads the small blobs of an image. InvalidArgument over the limit; DataLoss where nobody sends what the digest says."""

    def read(descriptor: Descriptor) -> bytes:
        if descriptor.digest == top.descriptor.digest:
            return top.body
        if descriptor.size > limit:
            raise InvalidArgument(f"{descriptor.digest} of {source.name} has {descriptor.size} bytes; the limit is {limit}")
        while True:
            body = b"".join(source.fetch(descriptor))
            hasher = descriptor.digest.hasher()
            hasher.update(body)
            if hasher.hexdigest() == descriptor.digest.hex:
                return body
            if not source.refuse(descriptor):
                raise DataLoss(f"{source.where} sent other content for {descriptor.digest} of {source.name}: refused")

    return read


def source_label(domain: str) -> str:
    """The label that names the repositories of a registry that have a blob (the registry without its port, as containerd has it)."""
    host, colon, _port = domain.rpartition(":")
    return SOURCE + (host if colon and not domain.endswith("]") else domain)
