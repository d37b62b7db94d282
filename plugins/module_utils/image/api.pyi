# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What images come from and go to: a source for each image, and the registry behind it. Never imported at run time."""

import typing as t

from ..oci.descriptor import Descriptor, Resolved
from ..oci.digest import Digest
from ..oci.reference import Reference

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

class Pusher(t.Protocol):
    """What a push needs of a registry (registry/pusher.py)."""

    def exists(self, reference: Reference, descriptor: Descriptor) -> bool: ...
    def mount(self, reference: Reference, descriptor: Descriptor, from_path: str) -> bool: ...
    def upload(
        self,
        reference: Reference,
        descriptor: Descriptor,
        open: t.Callable[[int], t.BinaryIO],  # noqa: A002  # the pusher's word
        chunk: int = 0,
    ) -> None: ...
    def put_manifest(self, reference: Reference, descriptor: Descriptor, body: bytes) -> None: ...
