# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry client: references to descriptors, descriptors to bytes. OCI distribution-spec 1.1.

Mirrors of hosts.toml are asked as containerd does it: hosts that may resolve for tags, all that may pull for contents.
"""

from __future__ import annotations

import threading
import time
import typing as t

from ..errors import (
    DataLoss,
    EngineError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    RegistryError,
    Unavailable,
    printable,
)
from ..oci import media_types
from ..oci.descriptor import Descriptor, Resolved
from ..oci.digest import Digest
from ..oci.documents import MANIFEST_LIMIT
from ..oci.reference import Reference
from .endpoints import Endpoints
from .options import PULL, RESOLVE, RegistryOptions
from .sessions import bounded_body, read_block, whole_number
from .transport import Transport

__all__ = ["RegistryClient", "RegistryOptions"]

#: So much may be lost when a transfer breaks off. On a slow link less: as much as comes in so many seconds, for who passes it on.
_BLOCK, _LEAST_BLOCK, _BLOCK_SECONDS = 128 * 1024, 8 * 1024, 0.02
_PROGRESS = 1024 * 1024


class RegistryClient:
    """The registries, over one set of options. Threads may share it; close() it.

    served: by digest, the URL of the host that sent the document or blob. refused: blobs, with the hosts that sent wrong bytes.
    """

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._endpoints: t.Dict[str, Endpoints] = {}
        self._lock = threading.Lock()
        self.served: t.Dict[Digest, str] = {}
        self.refused: t.Set[t.Tuple[Digest, str]] = set()

    def close(self) -> None:
        for endpoints in self._endpoints.values():
            endpoints.close()

    def endpoints(self, domain: str) -> Endpoints:
        """The hosts of a registry. Its hosts.toml is read once."""
        with self._lock:
            if domain not in self._endpoints:
                self._endpoints[domain] = Endpoints(domain, self._options)
            return self._endpoints[domain]

    def resolve(self, reference: Reference) -> Resolved:
        """The descriptor, by HEAD if the registry's answer is complete, else by GET.

        With a tag and a digest, the registry is asked for both. Raises FailedPrecondition when the tag has moved. With a release file
        it is asked for the digest only.
        """
        if reference.tag and reference.digest and not self._options.release:
            return _pinned(reference, self.resolve(reference._replace(digest=None)))
        return self._ask(reference, lambda transport: _head(transport, reference) or _get(transport, reference))

    def document(self, reference: Reference) -> Resolved:
        """The descriptor and the document, by one GET.

        If the first mirrors may not resolve tags, a HEAD at another host tells the digest; then the mirrors are asked for that.
        """
        if reference.tag and reference.digest and not self._options.release:
            return _pinned(reference, self.document(reference._replace(digest=None)))
        if not reference.digest:
            endpoints = self.endpoints(reference.domain)
            if endpoints.able(PULL)[0] not in endpoints.able(PULL, RESOLVE):
                digest = self.resolve(reference).descriptor.digest
                return self.document(reference._replace(tag="", digest=digest))
        found = self._ask(reference, lambda transport: _get(transport, reference))
        self.served[found.descriptor.digest] = found.host
        return found

    def _ask(self, reference: Reference, action: t.Callable[[Transport], Resolved]) -> Resolved:
        needs = (PULL,) if reference.digest else (PULL, RESOLVE)
        try:
            return self.endpoints(reference.domain).attempt(_scope(reference), needs, action)
        except NotFound as error:
            raise NotFound(f"{reference} is not in the registry: {error}", **error.details) from error

    def fetch(self, reference: Reference, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
        """The bytes of a manifest or blob from offset. A broken transfer continues where it stopped, on the next host if need be.

        Never yields more than the descriptor's size. The caller checks the digest.
        """
        endpoints, scope, attempt = self.endpoints(reference.domain), _scope(reference), 0
        # Progress renews the tries of a transfer, but single bytes do not count.
        enough = max(1, min(_PROGRESS, descriptor.size // 64))
        while offset < descriptor.size:
            before = offset
            transports, failures = endpoints.round(scope, PULL)
            trusted = [one for one in transports if (descriptor.digest, one.url) not in self.refused]
            for transport in trusted or transports:
                try:
                    for block in _stream(transport, reference, descriptor, offset):
                        endpoints.given_up = transport.stalled = False
                        self.served[descriptor.digest] = transport.url
                        offset += len(block)
                        yield block
                    if offset >= descriptor.size:
                        return
                    raise Unavailable(f"{descriptor.digest}: the transfer ended {descriptor.size - offset} bytes early")
                except EngineError as error:
                    if offset > before and not isinstance(error, Unavailable):
                        raise  # what came is wrong, so another host cannot continue from there
                    failures.add(transport, error, scope)
            attempt = 1 if offset - before >= enough else attempt + 1
            endpoints.before_retry(attempt, failures)

    def refuse(self, reference: Reference, descriptor: Descriptor) -> bool:
        """image/api.pyi: ImageSource.refuse."""
        host = self.served.pop(descriptor.digest, None)
        if host is None or (descriptor.digest, host) in self.refused:
            return False  # it was asked again, since no other host can be reached
        self.refused.add((descriptor.digest, host))
        hosts = self.endpoints(reference.domain).able(PULL)
        return any((descriptor.digest, one.url) not in self.refused for one in hosts)


def _scope(reference: Reference) -> str:
    return f"repository:{reference.path}:pull"


def _pinned(reference: Reference, found: Resolved) -> Resolved:
    has = found.descriptor.digest
    if has != reference.digest:
        raise FailedPrecondition(
            f"{reference.name}:{reference.tag} has moved: the task asks for {reference.digest}, and the registry has {has}"
        )
    return found


def _get(transport: Transport, reference: Reference) -> Resolved:
    """Get a document from one host and check it against everything that is known of it."""
    path = f"{reference.path}/manifests/{reference.object}{transport.namespace}"
    response = transport.request("GET", path, _scope(reference), {"Accept": media_types.ACCEPT})
    media_type = _media_type(response)
    body = bounded_body(response, MANIFEST_LIMIT)
    digest = Digest.of(body)
    if reference.digest and reference.digest.algorithm != "sha256":
        hasher = reference.digest.hasher()
        hasher.update(body)
        digest = Digest(f"{reference.digest.algorithm}:{hasher.hexdigest()}")
    if reference.digest and digest != reference.digest:
        raise DataLoss(f"the registry sent other content for {reference}: its digest is {digest}")
    said = response.headers.get("Docker-Content-Digest")
    if said and said.startswith(digest.algorithm + ":") and said != digest:
        raise DataLoss(
            f"the registry's digest for {reference} is {printable(said, 100)}, but it sent content with the digest {digest}"
        )
    if media_type not in media_types.INDEXES + media_types.MANIFESTS:
        raise InvalidArgument(f"{reference} is not an image: the registry says its media type is {printable(media_type, 100)!r}")
    return Resolved(Descriptor(media_type, digest, len(body)), body, transport.url)


def _head(transport: Transport, reference: Reference) -> t.Optional[Resolved]:
    """Ask one host by HEAD; None when its answer is not complete."""
    path = f"{reference.path}/manifests/{reference.object}{transport.namespace}"
    try:
        with transport.request("HEAD", path, _scope(reference), {"Accept": media_types.ACCEPT}) as response:
            media_type, headers = _media_type(response), response.headers
            digest = Digest.parse(headers.get("Docker-Content-Digest"))
            size = int(headers.get("Content-Length", "x"))
    except (RegistryError, ValueError, InvalidArgument):
        return None
    if media_type not in media_types.INDEXES + media_types.MANIFESTS or not 0 < size <= MANIFEST_LIMIT:
        return None
    if reference.digest and reference.digest != digest:
        raise DataLoss(f"the registry answers with {digest} for {reference}")
    return Resolved(Descriptor(media_type, digest, size), b"", transport.url)


def _stream(transport: Transport, reference: Reference, descriptor: Descriptor, offset: int) -> t.Iterator[bytes]:
    """The bytes of one answer from offset, at most up to the descriptor's size."""
    kind = "manifests" if media_types.kind(descriptor.media_type) in ("index", "manifest") else "blobs"
    path = f"{reference.path}/{kind}/{descriptor.digest}"
    with _from(transport, reference, path, descriptor, offset) as response:
        skip = 0 if response.status_code == 206 else offset
        left, length = descriptor.size - offset, _LEAST_BLOCK
        while True:
            began = time.monotonic()
            block = read_block(response, min(length, left + skip + 1), printable(path, 200))
            if not block:
                return
            quick = time.monotonic() - began < _BLOCK_SECONDS
            length = min(2 * length, _BLOCK) if quick else max(length // 2, _LEAST_BLOCK)
            if skip:
                dropped = min(skip, len(block))
                block, skip = block[dropped:], skip - dropped
            if len(block) > left:
                raise _too_long(path, descriptor)
            left -= len(block)
            if block:
                yield block


def _from(transport: Transport, reference: Reference, path: str, descriptor: Descriptor, offset: int) -> t.Any:
    """An answer that begins at offset (HTTP 206), or at the beginning if the host does not support ranges."""
    headers = {"Accept": f"{descriptor.media_type}, {media_types.ACCEPT}, */*"}
    ranges = {"Range": f"bytes={offset}-"} if offset else {}
    response = transport.request("GET", path + transport.namespace, _scope(reference), {**headers, **ranges})
    if ranges and (response.status_code == 416 or (response.status_code == 206 and not _begins_at(response, offset))):
        response.close()
        response = transport.request("GET", path + transport.namespace, _scope(reference), headers)
        offset = 0
    if response.status_code == 206 and not _begins_at(response, offset):
        response.close()
        raise RegistryError(f"{printable(path, 200)}: the registry sent a range that was not asked for")
    _check_length(response, path, descriptor, offset)
    return response


def _begins_at(response: t.Any, offset: int) -> bool:
    return (response.headers.get("Content-Range") or "").startswith(f"bytes {offset}-")


def _check_length(response: t.Any, path: str, descriptor: Descriptor, offset: int) -> None:
    """Check the length before the first byte: content of another length is something else, such as a proxy's error page."""
    length = whole_number(response.headers.get("Content-Length"))
    partial = response.status_code == 206
    if response.status_code == 416 or (length is not None and length < descriptor.size and not partial):
        raise FailedPrecondition(f"{printable(path, 200)} is shorter than its descriptor says ({descriptor.size} bytes): refused")
    if length is not None and length + (offset if partial else 0) > descriptor.size:
        raise _too_long(path, descriptor)


def _too_long(path: str, descriptor: Descriptor) -> FailedPrecondition:
    return FailedPrecondition(f"{printable(path, 200)} is longer than its descriptor says ({descriptor.size} bytes): refused")


def _media_type(response: t.Any) -> str:
    return str(response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
