# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Push blobs and manifests (OCI distribution-spec 1.1, section Push).

Everything goes to the first host of hosts.toml that may push, as in containerd, so that an image is complete in one place.
Where a registry continues an upload on another host, that host gets no credentials.
"""

from __future__ import annotations

import contextlib
import re
import threading
import typing as t
import urllib.parse

from ..errors import (
    DataLoss,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RegistryError,
    Unauthenticated,
    Unavailable,
    printable,
)
from ..oci import media_types
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.reference import Reference
from .endpoints import Endpoints
from .options import PUSH, RegistryOptions
from .sessions import joined, origin, redacted, whole_number
from .transport import Body, Transport

#: Opens the content at an offset; the file is closed after use.
Opener = t.Callable[[int], t.BinaryIO]
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})\Z")
#: The registry's codes for an upload that it has forgotten, or knows in another state.
_GONE = {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "RANGE_INVALID"}


class _Upload:
    """A begun upload: its next URL, how many bytes the registry has, the smallest chunk that it accepts."""

    def __init__(self, location: str, smallest: int) -> None:
        self.location, self.smallest, self.offset = location, smallest, 0


class Pusher:
    """Pushes to registries over one set of options. Threads may share it; close() it."""

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._endpoints: t.Dict[str, Endpoints] = {}
        self._begun: t.Dict[t.Tuple[str, Digest], _Upload] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        for endpoints in self._endpoints.values():
            endpoints.close()

    def host(self, domain: str) -> str:
        """The URL of the host that receives pushes. FailedPrecondition when hosts.toml has none."""
        return self._transport(domain).url

    def _hosts(self, domain: str) -> Endpoints:
        with self._lock:
            if domain not in self._endpoints:
                self._endpoints[domain] = Endpoints(domain, self._options)
            return self._endpoints[domain]

    def _transport(self, domain: str) -> Transport:
        return self._hosts(domain).able(PUSH)[0]

    def exists(self, reference: Reference, descriptor: Descriptor) -> bool:
        """Whether the registry has a blob, or a manifest under the reference's tag (without one: under its digest).

        False also when it does not let us look: the push then tells why.
        """
        try:
            said, name = self._look(reference, descriptor)
        except (NotFound, Unauthenticated, PermissionDenied):
            return False
        return bool(said == descriptor.digest or (not said and name == descriptor.digest))

    def check_access(self, reference: Reference, descriptor: Descriptor) -> None:
        """Raise Unauthenticated or PermissionDenied if the registry does not let us look. Only a push tells whether it accepts one."""
        with contextlib.suppress(NotFound):
            self._look(reference, descriptor)

    def _look(self, reference: Reference, descriptor: Descriptor) -> t.Tuple[t.Optional[str], str]:
        """The digest that the registry gives, and the name that we asked for."""
        manifest = _is_manifest(descriptor)
        name = reference.tag or descriptor.digest if manifest else descriptor.digest
        path = f"{reference.path}/{'manifests' if manifest else 'blobs'}/{name}"
        headers = {"Accept": f"{descriptor.media_type}, */*"}
        with self._hosts(reference.domain).attempt(
            _scope(reference), (PUSH,), lambda transport: transport.request("HEAD", path, _scope(reference), headers)
        ) as response:
            return response.headers.get("Docker-Content-Digest"), str(name)

    def mount(self, reference: Reference, descriptor: Descriptor, from_path: str) -> bool:
        """Mount a blob from another repository of the registry. False if the registry does not do it: then upload()."""
        scope = f"{_scope(reference)} repository:{from_path}:pull"
        query = urllib.parse.urlencode({"mount": descriptor.digest, "from": from_path})
        path = f"{reference.path}/blobs/uploads/?{query}"
        try:
            response = self._hosts(reference.domain).attempt(
                scope, (PUSH,), lambda transport: transport.request("POST", path, scope)
            )
        except (NotFound, Unauthenticated, PermissionDenied, RegistryError):
            return False
        with response:
            if response.status_code == 201:
                return True
            if response.status_code == 202:
                # The registry began an upload instead.
                self._begun[reference.name, descriptor.digest] = _begun(response)
        return False

    def upload(self, reference: Reference, descriptor: Descriptor, open: Opener, chunk: int = 0) -> None:  # noqa: A002
        """Send a blob. open(offset) gives its content from there on. It is called again when a transfer is repeated.

        chunk: bytes in each request; 0 for all in one. A broken transfer continues where the registry says it stopped, if it knows.
        """
        transport, endpoints = self._transport(reference.domain), self._hosts(reference.domain)
        upload, attempt, broken = self._begun.pop((reference.name, descriptor.digest), None), 0, False
        while True:
            before = upload.offset if upload else 0
            try:
                if upload and broken:
                    upload = _where(transport, reference, upload)
                if broken and not upload and self.exists(reference, descriptor):
                    return
                upload = upload or _begin(transport, reference)
                _transfer(transport, reference, descriptor, upload, open, chunk)
                return
            except (Unavailable, NotFound, RegistryError) as error:
                if not isinstance(error, Unavailable) and not (upload and _is_gone(error)):
                    raise
                attempt, broken = (1 if upload and upload.offset > before else attempt + 1), True
                if attempt > self._options.retries:
                    raise
                if not isinstance(error, Unavailable):
                    upload = None
                endpoints.pause(attempt, error, error.details.get("retry_after"))

    def put_manifest(self, reference: Reference, descriptor: Descriptor, body: bytes) -> None:
        """Store a manifest or an index under the tag of the reference, or under its digest if there is no tag.

        Raises InvalidArgument when body does not match the descriptor; DataLoss when the registry stored something else.
        """
        hasher = descriptor.digest.hasher()
        hasher.update(body)
        if hasher.hexdigest() != descriptor.digest.hex or len(body) != descriptor.size:
            raise InvalidArgument(f"the manifest for {reference} does not match its descriptor ({descriptor.digest})")
        path = f"{reference.path}/manifests/{reference.tag or descriptor.digest}"
        headers = {"Content-Type": descriptor.media_type}
        response = self._hosts(reference.domain).attempt(
            _scope(reference), (PUSH,), lambda transport: transport.request("PUT", path, _scope(reference), headers, body)
        )
        _check_stored(response, descriptor)


def _is_manifest(descriptor: Descriptor) -> bool:
    return media_types.kind(descriptor.media_type) in ("index", "manifest")


def _scope(reference: Reference) -> str:
    return f"repository:{reference.path}:pull,push"


def _is_gone(error: t.Union[Unavailable, NotFound, RegistryError]) -> bool:
    return isinstance(error, NotFound) or (
        isinstance(error, RegistryError) and any(code in _GONE for code, _text in error.errors)
    )


def _begin(transport: Transport, reference: Reference) -> _Upload:
    with transport.request("POST", f"{reference.path}/blobs/uploads/", _scope(reference)) as response:
        if response.status_code != 202:
            raise RegistryError(
                f"{redacted(response.url)}: HTTP {response.status_code} is not a valid answer to the beginning of an upload"
            )
        return _begun(response)


def _begun(response: t.Any) -> _Upload:
    return _Upload(_location(response, ""), whole_number(response.headers.get("OCI-Chunk-Min-Length")) or 0)


def _location(response: t.Any, known: str) -> str:
    """The absolute Location of an answer: where an upload continues. It never leads from TLS to plain HTTP."""
    said: str = response.headers.get("Location") or ""
    if not said:
        if known:
            return known
        raise RegistryError(f"{redacted(response.url)}: the registry does not say where the upload continues")
    target = joined(response.url, said)
    asked, found = origin(response.url), origin(target)
    if asked[0] == "https" and found[0] == "http":
        there = urllib.parse.urlsplit(target)
        if there.netloc != urllib.parse.urlsplit(response.url).netloc:
            raise RegistryError(
                f"{redacted(response.url)}: the upload should continue at {redacted(target)}, which is refused (no TLS)"
            )
        # This registry does not know that a proxy in front of it uses TLS.
        target = there._replace(scheme="https").geturl()
    elif found[0] not in ("http", "https"):
        raise RegistryError(f"{redacted(response.url)}: the upload should continue at {redacted(target)}, which is refused")
    return target


def _where(transport: Transport, reference: Reference, upload: _Upload) -> t.Optional[_Upload]:
    """The registry's state of a broken upload; None when it has to begin again."""
    try:
        with transport.request_url("GET", upload.location, _scope(reference)) as response:
            found = _RANGE.match(response.headers.get("Range") or "")
            if response.status_code >= 300 or not found:
                return None
            upload.location = _location(response, upload.location)
            # "0-0" means one byte in the specification, but none in docker-registry.
            upload.offset = int(found.group(1)) + 1 if found.group(1) != "0" else 0
            return upload
    except (NotFound, RegistryError, PermissionDenied, Unauthenticated):
        return None


def _transfer(
    transport: Transport, reference: Reference, descriptor: Descriptor, upload: _Upload, opener: Opener, chunk: int
) -> None:
    """Send the bytes that the registry does not have yet, and finish."""
    headers = {"Content-Type": "application/octet-stream"}
    body: t.Union[Body, bytes] = b""
    if not chunk and not upload.offset:
        body = Body(lambda: opener(0), descriptor.size)
    else:
        size = max(chunk, upload.smallest) if chunk else descriptor.size
        while upload.offset < descriptor.size:
            _patch(transport, reference, upload, opener, min(upload.offset + size, descriptor.size))
    parts = urllib.parse.urlsplit(upload.location)
    query = f"{parts.query}&digest={descriptor.digest}" if parts.query else f"digest={descriptor.digest}"
    response = transport.request_url("PUT", parts._replace(query=query).geturl(), _scope(reference), headers, body)
    _check_stored(response, descriptor)


def _patch(transport: Transport, reference: Reference, upload: _Upload, opener: Opener, end: int) -> None:
    """Send one chunk, up to end. The registry tells how much of it has arrived."""
    start = upload.offset
    headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{start}-{end - 1}"}
    body = Body(lambda: opener(start), end - start)
    with transport.request_url("PATCH", upload.location, _scope(reference), headers, body) as response:
        if response.status_code >= 300:
            raise Unavailable(f"{redacted(response.url)}: the registry does not accept the bytes from {start} on")
        said = response.headers.get("Range")
        found = _RANGE.match(said or "")
        arrived = int(found.group(1)) + 1 if found else end
        if not start < arrived <= end:
            raise RegistryError(
                f"{redacted(response.url)}: the registry has {printable(said, 60)} after the bytes {start}-{end - 1}"
            )
        upload.location, upload.offset = _location(response, upload.location), arrived


def _check_stored(response: t.Any, descriptor: Descriptor) -> None:
    with response:
        said = response.headers.get("Docker-Content-Digest")
        if response.status_code >= 300:
            raise RegistryError(f"{redacted(response.url)}: HTTP {response.status_code} does not confirm that it was stored")
        if said and said.startswith(descriptor.digest.algorithm + ":") and said != descriptor.digest:
            raise DataLoss(f"{redacted(response.url)}: the registry stored {printable(said, 100)} instead of {descriptor.digest}")
