# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of requests (imported late) for each host, with trust, client certificates and proxies; answers with size limits."""

from __future__ import annotations

import email.utils
import ipaddress
import json
import os
import socket
import ssl
import time
import typing as t
import urllib.parse

from ..errors import InvalidArgument, MissingLibrary, RegistryError, Unavailable, printable
from .options import Host, RegistryOptions, is_loopback
from .paced import new_adapter

_BLOCK = 64 * 1024


def import_requests() -> t.Any:
    """Import the requests library. MissingLibrary tells what to install."""
    try:
        import requests
    except ImportError as error:
        raise MissingLibrary("requests", "to talk to registries", "python3-requests", "requests") from error
    return requests


def new_session(host: Host, options: RegistryOptions) -> t.Any:
    """A requests.Session for one host: it ignores the environment, keeps no cookies and does not retry.

    A host's ca is trusted in addition to the system's authorities (as in containerd), the option ca_path instead of them.
    """
    requests = import_requests()
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(_no_cookies())
    verify = options.validate_certs or not host.own
    if host.skip_verify is not None:
        verify = not host.skip_verify
    session.verify = verify
    # Its own method reads the whole body of a redirect even if it must not follow any.
    session.get_redirect_target = lambda response: None
    adapter = new_adapter(_context(host, options, verify))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def trusting(ca_path: str, verify: bool) -> ssl.SSLContext:
    """A TLS context that trusts the authorities of the host (not those of certifi, which PyPI's requests uses), or of a file."""
    try:
        if os.path.isdir(ca_path):
            context = ssl.create_default_context(capath=ca_path)
        else:
            context = ssl.create_default_context(cafile=ca_path or None)
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            f"ca_path: no certificate authority in PEM format can be read from {printable(ca_path, 200)}"
        ) from error
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _context(host: Host, options: RegistryOptions, verify: bool) -> ssl.SSLContext:
    context = trusting(options.ca_path if host.own else "", verify)
    # Then urllib3 compares the name itself. That includes addresses, which 1.26 does not pass to OpenSSL.
    context.check_hostname = False
    for path in host.ca:
        try:
            context.load_verify_locations(path)
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"{path}: no certificate authority in PEM format can be read from it") from error
    # OpenSSL keeps the last certificate of each kind of key: the option's wins, then the first of hosts.toml.
    own = [(options.client_cert, options.client_key)] if host.own and options.client_cert else []
    for certificate, key in reversed([*own, *host.client]):
        try:
            context.load_cert_chain(certificate, key or None)
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"{certificate}: no client certificate with its key can be read from it") from error
    return context


def proxies(url: str, options: RegistryOptions) -> t.Dict[str, str]:
    """The proxies of the options, else of the environment; none for loopback and hosts in no_proxy."""
    target = urllib.parse.urlsplit(url)
    if is_loopback(target.netloc):
        return {}
    scheme = target.scheme
    given = getattr(options, f"{scheme}_proxy") or os.environ.get(f"{scheme}_proxy") or os.environ.get(f"{scheme.upper()}_PROXY")
    exempt = options.no_proxy or os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if exempt.strip() == "*" or any(_exempts(part.strip().lower(), target) for part in exempt.split(",")):
        return {}
    return {scheme: given} if given else {}


def _exempts(item: str, target: urllib.parse.SplitResult) -> bool:
    """Whether an item of no_proxy covers a host: a domain, a name or address with or without a port, or a network."""
    host, suffix = (target.hostname or "").lower(), item.lstrip("*").lstrip(".")
    if not suffix:
        return False
    if "/" in item:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(item, strict=False)
        except ValueError:
            return False
    return suffix in (host, target.netloc.lower()) or host.endswith("." + suffix)


class NoAuth:
    """Keeps requests from looking into .netrc."""

    def __call__(self, request: t.Any) -> t.Any:
        return request


def _no_cookies() -> t.Any:
    import http.cookiejar

    return http.cookiejar.DefaultCookiePolicy(allowed_domains=[])


def redacted(url: str) -> str:
    """A URL for messages: without user, query and fragment, where signed URLs have secrets."""
    parts = urllib.parse.urlsplit(url)
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", 300)


def joined(url: str, location: str) -> str:
    """The absolute URL of a Location. InvalidArgument when it is not a URL."""
    try:
        return urllib.parse.urljoin(url, location)
    except ValueError as error:
        raise InvalidArgument(f"{redacted(url)} leads to an unusable URL: {printable(location, 200)!r}") from error


def origin(url: str) -> t.Tuple[str, str, int]:
    """scheme, host and port."""
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise InvalidArgument(f"a registry sent an unusable URL: {printable(url, 200)!r}") from error


def all_headers(response: t.Any, name: str) -> t.List[str]:
    """All values of a header that may be repeated."""
    raw = getattr(response.raw, "headers", None)
    return list(raw.getlist(name)) if raw is not None else [response.headers.get(name, "")]


def read_block(response: t.Any, count: int, what: str) -> bytes:
    """Up to count bytes of a body, as they come; b"" at its end. Unavailable for a stall, a reset or broken HTTP."""
    import http.client

    import urllib3

    try:
        block: bytes = response.raw.read(count, decode_content=False)
        return block
    except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise Unavailable(f"{what}: the transfer broke off: {reason(error)}") from error


def bounded_body(response: t.Any, limit: int, strict: bool = True) -> bytes:
    """The body, at most limit bytes. strict: a longer one is an error, else it is cut."""
    parts, total = [], 0
    try:
        while total <= limit:
            block = read_block(response, _BLOCK, redacted(response.url))
            if not block:
                break
            parts.append(block)
            total += len(block)
    except Unavailable:
        if strict:
            raise
    finally:
        response.close()
    body = b"".join(parts)
    if (response.headers.get("Content-Encoding") or "").strip().lower() == "gzip":
        body = _inflated(body, limit)
    if len(body) > limit and strict:
        raise RegistryError(f"{redacted(response.url)}: the answer is longer than {limit} bytes")
    return body[:limit]


def _inflated(body: bytes, limit: int) -> bytes:
    """Inflate a gzip body: some proxies compress without being asked. A body that is not gzip becomes empty."""
    import zlib

    try:
        return zlib.decompressobj(31).decompress(body, limit + 1)
    except zlib.error:
        return b""


def diagnostics(body: bytes) -> t.List[t.Tuple[str, str]]:
    """(code, message) pairs of an error body (distribution-spec, section Error Codes)."""
    try:
        errors = json.loads(body).get("errors")
    except (ValueError, RecursionError, AttributeError):
        return []
    found = []
    for item in errors[:5] if isinstance(errors, list) else []:
        if isinstance(item, dict):
            found.append((printable(item.get("code") or "", 60), printable(item.get("message") or "", 200)))
    return found


def retry_after(value: t.Optional[str]) -> t.Optional[float]:
    """The seconds of a Retry-After header, which may have an HTTP date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    seconds = whole_number(value.strip())
    if seconds is not None:
        return float(seconds)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError, IndexError, OSError):
        return None


def whole_number(text: t.Optional[str]) -> t.Optional[int]:
    """The number in a header; None unless it is 1 to 18 digits."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def causes(error: BaseException) -> t.Iterator[BaseException]:
    """The error, its cause, the cause of that, and so on."""
    found: t.Optional[BaseException] = error
    while found:
        yield found
        found = found.__cause__ or found.__context__


def reason(error: BaseException) -> str:
    """The innermost cause in a few words, without URLs."""
    *_others, text = causes(error)
    if isinstance(text, socket.gaierror):
        return "the name cannot be resolved"
    if isinstance(text, (TimeoutError, socket.timeout)):
        return "timed out"
    return printable(getattr(text, "strerror", None) or text or type(text).__name__, 160)
