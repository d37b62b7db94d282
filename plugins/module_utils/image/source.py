# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an image comes from, as one value: pulls, loads, copies and what check mode foresees read it in one way."""

from __future__ import annotations

import typing as t

from ..engine.labels import SOURCE
from ..errors import DataLoss, InvalidArgument
from ..oci.descriptor import Descriptor, Resolved
from ..oci.documents import MANIFEST_LIMIT
from ..oci.reference import Reference

if t.TYPE_CHECKING:
    from ..oci.digest import Digest


class ImageSource(t.Protocol):
    """One image in one place. Threads may share it.

    A source need not check what it sends: whoever reads compares it with its digest.
    """

    @property
    def name(self) -> Reference:
        """The image, in errors and as the name of its record."""

    @property
    def where(self) -> str:
        """The place, in errors."""

    @property
    def labels(self) -> t.Mapping[str, str]:
        """What each stored blob remembers of the place."""

    def document(self) -> Resolved:
        """The top document."""

    def fetch(self, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
        """A blob's bytes from offset, at most descriptor.size - offset. It resumes by itself. NotFound."""

    def refuse(self, descriptor: Descriptor) -> bool:
        """What came was not the blob: whoever sent it is not asked for it again. Whether somebody else can be asked."""

    @property
    def served(self) -> t.Mapping[Digest, str]:
        """The URL of the host that gave a document or a blob."""

    @property
    def refused(self) -> t.Collection[t.Tuple[Digest, str]]:
        """Blobs, and the hosts that sent something else."""


class Registry(t.Protocol):
    """What a source needs of a registry client (registry/client.py)."""

    def resolve(self, reference: Reference) -> Resolved: ...

    def document(self, reference: Reference) -> Resolved: ...

    def fetch(self, reference: Reference, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]: ...

    def refuse(self, reference: Reference, descriptor: Descriptor) -> bool: ...

    @property
    def served(self) -> t.Mapping[Digest, str]: ...

    @property
    def refused(self) -> t.Collection[t.Tuple[Digest, str]]: ...

    def close(self) -> None: ...


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
