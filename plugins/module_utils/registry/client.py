# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry client: references to descriptors (Resolver), descriptors to bytes (Fetcher). OCI distribution-spec 1.1."""

from __future__ import annotations

import threading
import typing as t

from ..engine.api import Resolved
from ..errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound, RegistryError, Unavailable, printable
from ..oci import media_types
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.documents import MANIFEST_LIMIT
from ..oci.reference import Reference
from .options import RegistryOptions
from .transport import Transport, bounded_body

__all__ = ["RegistryClient", "RegistryOptions"]

#: As much is lost when a transfer breaks off.
_BLOCK = 128 * 1024


class RegistryClient:
    """Resolver and Fetcher over one set of options. Threads may share it; close() it."""

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._transports: t.Dict[str, Transport] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        for transport in self._transports.values():
            transport.close()

    def _transport(self, domain: str) -> Transport:
        with self._lock:
            if domain not in self._transports:
                self._transports[domain] = Transport(domain, self._options)
            return self._transports[domain]

    @staticmethod
    def _scope(reference: Reference) -> str:
        return f"repository:{reference.path}:pull"

    def resolve(self, reference: Reference) -> Resolved:
        """The descriptor, by HEAD where the registry answers it fully, else by GET.

        With a tag and a digest both are asked: FailedPrecondition when the tag has moved.
        """
        if reference.tag and reference.digest:
            found = self.resolve(reference._replace(digest=None))
            self._check_pin(reference, found.descriptor.digest)
            return found._replace(reference=reference)
        try:
            return self._head(reference) or self.document(reference)
        except NotFound as error:
            raise NotFound(f"{reference} is not in the registry: {error}") from error

    def document(self, reference: Reference) -> Resolved:
        """The descriptor and the document itself, by one GET."""
        if reference.tag and reference.digest:
            found = self.document(reference._replace(digest=None))
            self._check_pin(reference, found.descriptor.digest)
            return found._replace(reference=reference)
        transport = self._transport(reference.domain)
        path = f"{reference.path}/manifests/{reference.object}"
        try:
            response = transport.request("GET", path, self._scope(reference), {"Accept": media_types.ACCEPT})
        except NotFound as error:
            raise NotFound(f"{reference} is not in the registry: {error}") from error
        media_type = _media_type(response)
        body = bounded_body(response, MANIFEST_LIMIT)
        digest = Digest.of(body)
        if reference.digest and reference.digest.algorithm != "sha256":
            hasher = reference.digest.hasher()
            hasher.update(body)
            digest = Digest(f"{reference.digest.algorithm}:{hasher.hexdigest()}")
        if reference.digest and digest != reference.digest:
            raise DataLoss(f"the registry sent other content for {reference}: it has the digest {digest}")
        said = response.headers.get("Docker-Content-Digest")
        if said and said.startswith(digest.algorithm + ":") and said != digest:
            raise DataLoss(f"the registry's digest for {reference} is {printable(said, 100)}, that of what it sent is {digest}")
        if media_type not in media_types.INDEXES + media_types.MANIFESTS:
            raise InvalidArgument(f"{reference} is no image: the registry says its media type is {printable(media_type, 100)!r}")
        return Resolved(reference, Descriptor(media_type, digest, len(body)), body, transport.host.authority)

    def _head(self, reference: Reference) -> t.Optional[Resolved]:
        transport = self._transport(reference.domain)
        path = f"{reference.path}/manifests/{reference.object}"
        try:
            with transport.request("HEAD", path, self._scope(reference), {"Accept": media_types.ACCEPT}) as response:
                media_type, headers = _media_type(response), response.headers
                digest = Digest.parse(headers.get("Docker-Content-Digest"))
                size = int(headers.get("Content-Length", "x"))
        except (RegistryError, ValueError, InvalidArgument):
            return None
        if media_type not in media_types.INDEXES + media_types.MANIFESTS or not 0 < size <= MANIFEST_LIMIT:
            return None
        if reference.digest and reference.digest != digest:
            raise DataLoss(f"the registry answers with {digest} for {reference}")
        return Resolved(reference, Descriptor(media_type, digest, size), b"", transport.host.authority)

    @staticmethod
    def _check_pin(reference: Reference, found: Digest) -> None:
        if found != reference.digest:
            raise FailedPrecondition(
                f"{reference.name}:{reference.tag} has moved: it is pinned to {reference.digest}, and the registry has {found}"
            )

    def served_by(self, domain: str) -> str:
        """The host that answered last for a registry."""
        return self._transport(domain).host.authority

    def fetch(self, reference: Reference, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
        """The bytes of a manifest or blob from offset; broken transfers go on where they stopped.

        Never more than the descriptor's size. The caller checks the digest.
        """
        transport = self._transport(reference.domain)
        kind = "manifests" if media_types.kind(descriptor.media_type) in ("index", "manifest") else "blobs"
        path = f"{reference.path}/{kind}/{descriptor.digest}"
        attempt = 0
        while offset < descriptor.size:
            before = offset
            try:
                for block in self._stream(transport, path, reference, descriptor, offset):
                    offset += len(block)
                    yield block
                if offset >= descriptor.size:
                    return
                raise Unavailable(f"{printable(path, 200)}: the transfer ended {descriptor.size - offset} bytes early")
            except Unavailable as error:
                attempt = 1 if offset > before else attempt + 1
                if attempt > self._options.retries:
                    raise
                transport.pause(attempt, error.details.get("retry_after"))

    def _stream(
        self, transport: Transport, path: str, reference: Reference, descriptor: Descriptor, offset: int
    ) -> t.Iterator[bytes]:
        """One answer's bytes from offset, at most up to the descriptor's size."""
        headers = {"Accept": f"{descriptor.media_type}, {media_types.ACCEPT}, */*"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with transport.request("GET", path, self._scope(reference), headers, retry=False) as response:
            if response.status_code == 416:
                raise RegistryError(f"{printable(path, 200)} is shorter than its descriptor says ({descriptor.size} bytes)")
            skip = offset
            if response.status_code == 206:
                if not (response.headers.get("Content-Range") or "").startswith(f"bytes {offset}-"):
                    raise RegistryError(f"{printable(path, 200)}: the registry sent another range than it was asked for")
                skip = 0
            left = descriptor.size - offset
            while True:
                block = _read(response, path, min(_BLOCK, left + skip + 1))
                if not block:
                    return
                if skip:
                    dropped = min(skip, len(block))
                    block, skip = block[dropped:], skip - dropped
                if len(block) > left:
                    raise FailedPrecondition(
                        f"{printable(path, 200)} is longer than its descriptor says ({descriptor.size} bytes): refused"
                    )
                left -= len(block)
                if block:
                    yield block


def _read(response: t.Any, path: str, count: int) -> bytes:
    """Some bytes of a body; a stall or a reset is Unavailable."""
    import http.client

    import urllib3

    try:
        block: bytes = response.raw.read(count, decode_content=False)
        return block
    except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise Unavailable(f"{printable(path, 200)}: the transfer broke off: {printable(error, 120)}") from error


def _media_type(response: t.Any) -> str:
    return str(response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
