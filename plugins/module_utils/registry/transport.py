# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to one host of a registry: one try of a request, with authentication, redirects and time limits. Uses requests.

Rules that must never be broken:

* Credentials and the headers of hosts.toml go only to the host's own origin, never to the target of a redirect or an upload.
* Credentials go also to a token service over TLS (on loopback in plain HTTP too, if the host itself uses plain HTTP).
* TLS never degrades to plain HTTP, and every answer has a size limit.
"""

from __future__ import annotations

import typing as t
import urllib.parse

from ..engine.labels import VERSION
from ..errors import (
    DataLoss,
    EngineError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RegistryError,
    Unauthenticated,
    Unavailable,
    from_os_error,
    printable,
)
from .auth import RETRY_STATUS, Authorizer
from .credentials import parse_challenges
from .options import Host, RegistryOptions
from .sessions import (
    NoAuth,
    all_headers,
    bounded_body,
    causes,
    diagnostics,
    import_requests,
    joined,
    new_session,
    origin,
    proxies,
    reason,
    redacted,
    retry_after,
)

_CONNECT_SECONDS = 30.0
_ERROR_BODY = 64 * 1024
_REDIRECTS = 5
_USER_AGENT = f"fleet.containerd/{VERSION}"
#: The block of a body that must be sent within the progress timeout.
_BLOCK = 128 * 1024


class Body:
    """The body of a request: size bytes of the stream that opener() opens. Each try opens it again and sends it from its start."""

    def __init__(self, opener: t.Callable[[], t.BinaryIO], size: int) -> None:
        self._opener, self._size = opener, size
        self._stream: t.Optional[t.BinaryIO] = None

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> t.Iterator[bytes]:
        self.close()
        stream = self._stream = self._opener()
        left = self._size
        while left:
            try:
                block = stream.read(min(_BLOCK, left))
            except OSError as error:
                raise from_os_error(error, "reading the data to send") from error
            if not block:
                raise DataLoss(f"the data to send end {left} bytes early")
            left -= len(block)
            yield block

    def close(self) -> None:
        """Close the stream after each try, complete or not."""
        if self._stream:
            self._stream.close()


def namespace_query(host: Host, domain: str) -> str:
    """The query that tells a mirror which registry is meant; "" for the registry itself."""
    return "" if host.own else "?" + urllib.parse.urlencode({"ns": domain})


def check_redirect(url: str, target: str) -> None:
    """Raise RegistryError for a redirect that leaves HTTP, or leads from TLS to plain HTTP."""
    scheme = origin(target)[0]
    if scheme not in ("http", "https") or (url.startswith("https:") and scheme != "https"):
        raise RegistryError(f"{redacted(url)} redirects to {redacted(target)}, which is refused (TLS must not be left)")


class Transport:
    """Requests to one host, for one registry (domain). Threads may share it.

    trouble: why the host is not asked for now: under "" when it cannot be reached, under a scope when it refuses that.
    stalled: it made a request wait too long, and has sent nothing since.
    """

    def __init__(self, host: Host, domain: str, options: RegistryOptions) -> None:
        self._errors = import_requests().exceptions
        self.host, self._domain, self._options = host, domain, options
        self._session = new_session(host, options)
        self._schemes = host.schemes
        self.auth = Authorizer(host, domain, options)
        self._header = {name: value for name, value in host.header.items() if name.lower() != "authorization"}
        self.trouble: t.Dict[str, EngineError] = {}
        self.stalled = False

    def close(self) -> None:
        self._session.close()

    @property
    def url(self) -> str:
        """The URL as in hosts.toml, with the scheme that is in use."""
        return self.host._replace(schemes=self._schemes).url

    @property
    def namespace(self) -> str:
        """The end of the path of every request for contents."""
        return namespace_query(self.host, self._domain)

    # Requests

    def request(
        self,
        method: str,
        path: str,
        scope: str = "",
        headers: t.Optional[t.Mapping[str, str]] = None,
        body: t.Union[bytes, Body, None] = None,
    ) -> t.Any:
        """Send one request below the API's root. Returns a streaming requests.Response (below 400, or 416); close it.

        path may have a query. Raises NotFound, Unauthenticated, PermissionDenied, Unavailable, RegistryError.
        """
        last: t.Optional[EngineError] = None
        for scheme in self._schemes:
            url = f"{scheme}://{self.host.authority}{self.host.path}/{path}"
            try:
                return self.request_url(method, url, scope, headers, body)
            except _TryNextScheme as error:
                last = error.reason
        raise last or Unavailable(f"{self.url} has no scheme")

    def request_url(
        self,
        method: str,
        url: str,
        scope: str,
        headers: t.Optional[t.Mapping[str, str]] = None,
        body: t.Union[bytes, Body, None] = None,
    ) -> t.Any:
        """The same for a complete URL, such as the location of an upload. Only this host's own origin gets credentials."""
        known = self.auth.known(scope)
        sent = dict(headers or {})
        response = self._follow(method, url, {**sent, **({"Authorization": known} if known else {})}, body)
        if response.status_code == 401 and self._is_home(response.url):
            challenges = [c for value in all_headers(response, "WWW-Authenticate") for c in parse_challenges(value)]
            response.close()
            secure = response.url.startswith("https:")
            sent["Authorization"] = self.auth.answer(challenges, scope, secure, self._send)
            response = self._follow(method, url, sent, body)
        self._raise_for_status(response, method)
        return response

    def _is_home(self, url: str) -> bool:
        return any(origin(url) == origin(f"{scheme}://{self.host.authority}") for scheme in self._schemes)

    def _follow(self, method: str, url: str, headers: t.Dict[str, str], body: t.Union[bytes, Body, None]) -> t.Any:
        """Follow redirects by our rules; credentials and the host's headers stay with its own origin."""
        for _hop in range(_REDIRECTS + 1):
            if self._is_home(url):
                sent = {**self._header, **headers}
            else:
                sent = {name: value for name, value in headers.items() if name != "Authorization"}
            response = self._send(method, url, sent, body)
            if response.status_code not in (301, 302, 303, 307, 308) or "Location" not in response.headers:
                return response
            response.close()
            target = joined(url, response.headers["Location"])
            check_redirect(url, target)
            if body is not None and response.status_code not in (307, 308):
                raise RegistryError(f"{redacted(url)} redirects an upload with HTTP {response.status_code}, which is refused")
            url = target
        raise RegistryError(f"{redacted(url)}: more than {_REDIRECTS} redirects")

    def _send(self, method: str, url: str, headers: t.Mapping[str, str], data: t.Any = None) -> t.Any:
        errors, seconds = self._errors, self._options.progress_timeout
        # The connect timeout also limits the sending of each block.
        connect = seconds if data else self.host.dial_timeout or _CONNECT_SECONDS
        try:
            response = self._session.request(
                method,
                url,
                headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **headers},
                data=data or None,
                stream=True,
                allow_redirects=False,
                timeout=(connect, seconds),
                proxies=proxies(url, self._options),
                auth=NoAuth(),
            )
            if len(self._schemes) > 1 and self._is_home(url):
                self._schemes = (origin(url)[0],)
            return response
        except errors.SSLError as error:
            raise self._tls_failed(method, url, reason(error)) from error
        except (errors.ConnectionError, errors.Timeout, errors.ChunkedEncodingError, OSError) as error:
            raise self._unreachable(url, error) from error
        except (errors.RequestException, ValueError) as error:
            raise InvalidArgument(f"{redacted(url)}: {printable(error, 200)}") from error
        finally:
            if isinstance(data, Body):
                data.close()

    def _tls_failed(self, method: str, url: str, why: str) -> Exception:
        if self._may_be_plain(url) and ("WRONG_VERSION_NUMBER" in why or "record layer" in why or "EOF" in why):
            return _TryNextScheme(Unavailable(f"{redacted(url)} does not speak TLS"))
        advice = "give ca_path" if self.host.own else "give its ca in hosts.toml"
        error = RegistryError(
            f"{redacted(url)}: TLS failed: {why}: check the registry's certificate, or {advice}", method, redacted(url)
        )
        if self._is_home(url):
            self.trouble[""] = error
        return error

    def _unreachable(self, url: str, error: BaseException) -> Exception:
        import urllib3

        found = Unavailable(f"{redacted(url)} cannot be reached: {reason(error)}")
        if self._may_be_plain(url):
            return _TryNextScheme(found)
        never = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
        if self._is_home(url) and any(isinstance(one, never) for one in causes(error)):
            self.trouble[""] = found
        return found

    def _may_be_plain(self, url: str) -> bool:
        # Another thread may have found plain HTTP by now. A host that uses TLS is never asked in plain HTTP.
        own = origin(url) == origin(f"https://{self.host.authority}")
        return own and len(self.host.schemes) > 1 and self._schemes != ("https",)

    def _raise_for_status(self, response: t.Any, method: str) -> None:
        status, url = response.status_code, redacted(response.url)
        if status < 400 or status == 416:
            return
        pairs = diagnostics(bounded_body(response, _ERROR_BODY, strict=False))
        words = "; ".join(f"{code}: {message}" if message else code for code, message in pairs) or printable(
            response.reason or "", 80
        )
        text = f"{method} {url}: HTTP {status}" + (f" ({words})" if words else "")
        if status in RETRY_STATUS:
            raise Unavailable(text, retry_after=retry_after(response.headers.get("Retry-After")))
        name = self.auth.name
        if status == 401:
            hint = "credentials are needed" if self.auth.anonymous else "wrong credentials"
            raise Unauthenticated(f"{name} refuses access, {hint}: {self.auth.hint}: {text}")
        if status == 403:
            raise PermissionDenied(f"{name} denies access: {text}")
        if status == 404:
            raise NotFound(text)
        raise RegistryError(text, method, url, status, pairs)


class _TryNextScheme(Exception):
    """The host does not use this scheme, but may use another one."""

    def __init__(self, reason: EngineError) -> None:
        super().__init__(str(reason))
        self.reason = reason
