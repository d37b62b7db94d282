# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Download an archive from an HTTP server to a file without a name, and check its checksum."""

from __future__ import annotations

import contextlib
import http.client
import os
import ssl
import tempfile
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from ..errors import (
    DataLoss,
    EngineError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    from_os_error,
    printable,
)
from ..oci.digest import Digest
from .auth import RETRY_STATUS
from .endpoints import wait_before_retry
from .options import RegistryOptions
from .paced import Response
from .sessions import joined, proxies, redacted, retry_after, trusting, whole_number
from .transport import check_redirect

_BLOCK = 128 * 1024
_LIMIT = 256 * 1024**3
_REDIRECTS = 5
#: Progress renews the tries of a download, but single bytes do not count.
_ENOUGH = 64 * 1024
#: The part of the disk that stays free; a gigabyte if that is less.
_RESERVE, _LARGEST_RESERVE = 20, 1024**3
_BY_STATUS: t.Dict[int, t.Type[EngineError]] = {401: Unauthenticated, 403: PermissionDenied, 404: NotFound, 410: NotFound}


Seen = t.Callable[[int, int], None]


def _unseen(_count: int, _total: int) -> None:
    """Nobody looks."""


class FetchOptions(t.NamedTuple):
    """timeout: seconds until the next part of the answer must arrive. retries: how often a broken transfer continues."""

    validate_certs: bool = True
    ca_path: str = ""
    timeout: float = 45.0
    retries: int = 3
    retry_delay: float = 2.0


def check_url(url: str) -> None:
    """Raise InvalidArgument for a URL that cannot be downloaded."""
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise InvalidArgument("path: this URL has no host, or an invalid port")
    if "@" in urllib.parse.urlsplit(url).netloc:
        raise InvalidArgument("path: a URL must not contain a user name or a password")


def download(
    url: str, checksum: Digest, options: FetchOptions, spool: t.Optional[str] = None, seen: Seen = _unseen
) -> t.BinaryIO:
    """Download a file and return it open. A broken transfer continues where it stopped if the server supports that.

    seen: is told how many bytes are there, and how many there will be (0 if the server does not say so).

    Raises NotFound, Unauthenticated, PermissionDenied, Unavailable as the server answers; DataLoss for a wrong checksum.
    """
    target = t.cast(t.BinaryIO, tempfile.TemporaryFile(dir=spool))
    try:
        attempt = 0
        while True:
            before = target.tell()
            try:
                _transfer(url, options, target, seen)
                break
            except Unavailable as error:
                attempt = 1 if target.tell() >= before + _ENOUGH else attempt + 1
                if attempt > options.retries:
                    raise
                wait_before_retry(options.retry_delay, attempt, error, error.details.get("retry_after"))
        _verify(target, checksum, url)
    except EngineError:
        target.close()
        raise
    target.seek(0)
    return target


class _PlainConnection(http.client.HTTPConnection):
    response_class = Response


class _SecureConnection(http.client.HTTPSConnection):
    response_class = Response


class _Plain(urllib.request.HTTPHandler):
    """HTTP answers with a time limit for each part."""

    def http_open(self, req: t.Any) -> t.Any:
        return self.do_open(_PlainConnection, req)


class _Secure(urllib.request.HTTPSHandler):
    """The same over TLS."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._trusting = context

    def https_open(self, req: t.Any) -> t.Any:
        return self.do_open(_SecureConnection, req, context=self._trusting)


def _open(url: str, options: FetchOptions, headers: t.Mapping[str, str]) -> t.Any:
    """The answer, after redirects by the rules of transport.py: only HTTP, and never from TLS to plain HTTP."""
    for _hop in range(_REDIRECTS + 1):
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(proxies(url, RegistryOptions())),
            urllib.request.UnknownHandler(),
            _Plain(),
            _Secure(trusting(options.ca_path, options.validate_certs)),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            opener.add_handler(handler)
        try:
            return opener.open(urllib.request.Request(url, headers=dict(headers)), timeout=options.timeout)
        except urllib.error.HTTPError as error:
            location = error.headers.get("Location")
            if error.code not in (301, 302, 303, 307, 308) or not location:
                raise
            error.close()
            target = joined(url, location)
            check_redirect(url, target)
            url = target
    raise InvalidArgument(f"{redacted(url)}: more than {_REDIRECTS} redirects")


def look(url: str, options: FetchOptions) -> None:
    """Raise the error that a download would raise before its first byte."""
    with _answer(url, options, "bytes=0-0"):
        pass


def _transfer(url: str, options: FetchOptions, target: t.BinaryIO, seen: Seen) -> None:
    """Fetch the missing bytes. Raises Unavailable when the transfer breaks off; the bytes that came are kept."""
    offset = target.tell()
    with _answer(url, options, f"bytes={offset}-" if offset else "") as response:
        if not (response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")):
            target.seek(0)
            target.truncate()
        _copy(response, target, redacted(url), seen)


@contextlib.contextmanager
def _answer(url: str, options: FetchOptions, part: str) -> t.Iterator[t.Any]:
    """The server's answer; only the asked part if the server supports ranges."""
    what, headers = redacted(url), {"User-Agent": "fleet.containerd", "Accept-Encoding": "identity"}
    if part:
        headers["Range"] = part
    try:
        with _open(url, options, headers) as response:
            yield response
    except urllib.error.HTTPError as error:
        text = f"{what}: the server answers HTTP {error.code}"
        if error.code in RETRY_STATUS:
            raise Unavailable(text, retry_after=retry_after(error.headers.get("Retry-After"))) from error
        raise _BY_STATUS.get(error.code, InvalidArgument)(text) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, ssl.SSLError):
            raise InvalidArgument(
                f"{what}: TLS failed: {printable(cause, 200)}: check the certificate, or give ca_path"
            ) from error
        raise Unavailable(f"{what}: the transfer broke off: {printable(cause, 200)}") from error


def _copy(response: t.Any, target: t.BinaryIO, what: str, seen: Seen) -> None:
    left = whole_number(response.headers.get("Content-Length"))
    total = target.tell() + left if left is not None else 0
    _check_room(target, left or 0, what)
    while True:
        block = response.read(_BLOCK)
        if not block:
            break
        left = left - len(block) if left is not None else None
        _check_room(target, len(block), what)
        try:
            target.write(block)
        except OSError as error:
            raise from_os_error(error, f"storing {what}") from error
        seen(target.tell(), total)
    if left:
        raise Unavailable(f"{what}: the transfer ended {left} bytes early")


def _check_room(target: t.BinaryIO, count: int, what: str) -> None:
    """Check the room for count more bytes: the checksum is known at the end only, and the disk must not fill up until then."""
    if target.tell() + count > _LIMIT:
        raise ResourceExhausted(f"{what} is longer than {_LIMIT} bytes")
    found = os.fstatvfs(target.fileno())
    free = found.f_bavail * found.f_frsize - min(_LARGEST_RESERVE, found.f_blocks * found.f_frsize // _RESERVE)
    if count > free:
        raise ResourceExhausted(
            f"{what}: {count} more bytes do not fit on the disk, where {max(0, free)} can be used: free some, or set data_root on "
            "another disk"
        )


def _verify(target: t.BinaryIO, checksum: Digest, url: str) -> None:
    hasher = checksum.hasher()
    target.seek(0)
    for block in iter(lambda: target.read(_BLOCK), b""):
        hasher.update(block)
    if hasher.hexdigest() != checksum.hex:
        size = os.fstat(target.fileno()).st_size
        raise DataLoss(
            f"{redacted(url)} has the checksum {checksum.algorithm}:{hasher.hexdigest()} ({size} bytes), not {checksum}: refused"
        )
