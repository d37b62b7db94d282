# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive from an HTTP server, into a file without a name, checked against its checksum."""

from __future__ import annotations

import http.client
import os
import ssl
import tempfile
import time
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

_BLOCK = 256 * 1024
_LIMIT = 256 * 1024**3
_TRANSIENT = (408, 429, 500, 502, 503, 504)
_BY_STATUS: t.Dict[int, t.Type[EngineError]] = {401: Unauthenticated, 403: PermissionDenied, 404: NotFound, 410: NotFound}


class FetchOptions(t.NamedTuple):
    """timeout: seconds without a byte. retries: how often a broken transfer goes on."""

    validate_certs: bool = True
    ca_path: str = ""
    timeout: float = 300.0
    retries: int = 3
    retry_delay: float = 2.0


def redacted(url: str) -> str:
    """A URL for messages: without query and fragment, which may be secret."""
    parts = urllib.parse.urlsplit(url)
    return printable(f"{parts.scheme}://{parts.netloc}{parts.path}", 300)


def check_url(url: str) -> None:
    """InvalidArgument for what cannot be downloaded."""
    try:
        parts = urllib.parse.urlsplit(url)
        good = parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise InvalidArgument("path: this URL has no host, or an invalid port")
    if "@" in urllib.parse.urlsplit(url).netloc:
        raise InvalidArgument("path: a URL must have no user name and password in it")


def download(url: str, checksum: Digest, options: FetchOptions, spool: t.Optional[str] = None) -> t.BinaryIO:
    """The file, open. What was received before a break is kept where the server can go on from there.

    NotFound, Unauthenticated, PermissionDenied, Unavailable as the server answers; DataLoss when the checksum is another.
    """
    target = t.cast(t.BinaryIO, tempfile.TemporaryFile(dir=spool))
    try:
        attempt = 0
        while True:
            before = target.tell()
            try:
                _transfer(url, options, target)
                break
            except Unavailable:
                attempt = 1 if target.tell() > before else attempt + 1
                if attempt > options.retries:
                    raise
                time.sleep(options.retry_delay * 2 ** (attempt - 1))
        _verify(target, checksum, url)
    except EngineError:
        target.close()
        raise
    target.seek(0)
    return target


def _opener(options: FetchOptions) -> urllib.request.OpenerDirector:
    """HTTP and nothing else: a redirect must not lead to a file of this host."""
    context = ssl.create_default_context(cafile=options.ca_path or None)
    if not options.validate_certs:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _transfer(url: str, options: FetchOptions, target: t.BinaryIO) -> None:
    """What lacks of the file, to its end. Unavailable when that breaks off, with what came before kept."""
    offset, what = target.tell(), redacted(url)
    headers = {"User-Agent": "fleet.containerd", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        with _opener(options).open(urllib.request.Request(url, headers=headers), timeout=options.timeout) as response:
            if not (response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")):
                target.seek(0)
                target.truncate()
            _copy(response, target, what)
    except urllib.error.HTTPError as error:
        kind = Unavailable if error.code in _TRANSIENT else _BY_STATUS.get(error.code, InvalidArgument)
        raise kind(f"{what}: the server answers HTTP {error.code}") from error
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):
            raise InvalidArgument(
                f"{what}: TLS failed: {printable(reason, 200)}: check the certificate, or give ca_path"
            ) from error
        raise Unavailable(f"{what}: the transfer broke off: {printable(reason, 200)}") from error


def _copy(response: t.Any, target: t.BinaryIO, what: str) -> None:
    announced = response.headers.get("Content-Length", "")
    left = int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 19 else None
    while True:
        block = response.read(_BLOCK)
        if not block:
            break
        left = left - len(block) if left is not None else None
        if target.tell() + len(block) > _LIMIT:
            raise ResourceExhausted(f"{what} is longer than {_LIMIT} bytes")
        try:
            target.write(block)
        except OSError as error:
            raise from_os_error(error, f"storing {what}") from error
    if left:
        raise Unavailable(f"{what}: the transfer ended {left} bytes early")


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
