# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to one registry: authentication, redirects, retries, time limits. On requests, which is imported late.

Rules that must never be broken: credentials go to the registry's own origin and to a token service that is spoken to over
TLS (or on loopback, for a registry that is itself spoken to in plain HTTP), never to where a redirect leads; TLS never
degrades to plain HTTP; every answer is bounded.
"""

from __future__ import annotations

import base64
import email.utils
import json
import os
import secrets
import socket
import time
import typing as t
import urllib.parse

from ..errors import (
    EngineError,
    InvalidArgument,
    MissingLibrary,
    NotFound,
    PermissionDenied,
    RegistryError,
    Unauthenticated,
    Unavailable,
    printable,
)
from .credentials import Challenge, find_credentials, parse_challenges
from .options import Credentials, Host, RegistryOptions, hosts_for, is_loopback

_CONNECT_SECONDS = 30.0
_ERROR_BODY = 64 * 1024
_TOKEN_BODY = 1024 * 1024
_REDIRECTS = 5
_LONGEST_WAIT = 60.0
_RETRY_STATUS = (408, 429, 500, 502, 503, 504)
_USER_AGENT = "fleet.containerd/0.1.0"


def import_requests() -> t.Any:
    """The requests library. MissingLibrary says what to install."""
    try:
        import requests
    except ImportError as error:
        raise MissingLibrary("requests", "to talk to registries", "python3-requests", "requests") from error
    return requests


def redacted(url: str) -> str:
    """A URL for messages: without user, query and fragment (signed URLs carry secrets there)."""
    parts = urllib.parse.urlsplit(url)
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", 300)


def origin(url: str) -> t.Tuple[str, str, int]:
    """scheme, host and port."""
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise InvalidArgument(f"a registry sent an unusable URL: {printable(url, 200)!r}") from error


class Transport:
    """All requests to one registry (domain) for one repository. Threads may share it."""

    def __init__(self, domain: str, options: RegistryOptions) -> None:
        self._requests = import_requests()
        self.domain, self._options = domain, options
        self._hosts = list(hosts_for(domain, options.plain_http))
        self._credentials: t.Optional[Credentials] = None
        self._authorization: t.Dict[str, str] = {}
        self._session = self._new_session()
        self.host = self._hosts[0]

    def _new_session(self) -> t.Any:
        session = self._requests.Session()
        session.trust_env = False
        session.cookies.set_policy(_no_cookies())
        options = self._options
        session.verify = (options.ca_path or True) if options.validate_certs else False
        if options.client_cert:
            session.cert = (options.client_cert, options.client_key) if options.client_key else options.client_cert
        adapter = self._requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=16, max_retries=0)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def close(self) -> None:
        self._session.close()

    # Requests

    def request(
        self, method: str, path: str, scope: str, headers: t.Optional[t.Mapping[str, str]] = None, retry: bool = True
    ) -> t.Any:
        """The answer (2xx, 206 and 416 too) to a request below /v2/, as a streaming requests.Response; close it.

        Transient failures are retried with backoff. Raises NotFound, Unauthenticated, PermissionDenied, Unavailable, RegistryError.
        """
        attempt = 0
        while True:
            try:
                return self._once(method, path, scope, dict(headers or {}))
            except Unavailable as error:
                attempt += 1
                if not retry or attempt > self._options.retries:
                    raise
                self.pause(attempt, error.details.get("retry_after"))

    def pause(self, attempt: int, retry_after: t.Optional[float] = None) -> None:
        """Wait before a retry: exponential with jitter, or what the server asked for."""
        delay = self._options.retry_delay * 2 ** (attempt - 1)
        time.sleep(
            min(_LONGEST_WAIT, retry_after if retry_after is not None else delay * (0.5 + secrets.SystemRandom().random()))
        )

    def _once(self, method: str, path: str, scope: str, headers: t.Dict[str, str]) -> t.Any:
        last: t.Optional[EngineError] = None
        for host in list(self._hosts):
            url = f"{host.base}/v2/{path}"
            try:
                response = self._authorized(method, url, scope, headers, host)
            except _TryNextHost as error:
                last = error.reason
                continue
            self._hosts = [host]
            self.host = host
            return response
        raise last or Unavailable(f"no host answers for {self.domain}")

    def _authorized(self, method: str, url: str, scope: str, headers: t.Dict[str, str], host: Host) -> t.Any:
        known = self._authorization.get(scope)
        response = self._follow(method, url, {**headers, **({"Authorization": known} if known else {})}, host)
        if response.status_code == 401 and origin(response.url) == origin(host.base):
            challenges = [c for value in _all_headers(response, "WWW-Authenticate") for c in parse_challenges(value)]
            response.close()
            self._authorization[scope] = self._answer(challenges, scope, host)
            response = self._follow(method, url, {**headers, "Authorization": self._authorization[scope]}, host)
        self._raise_for_status(response, method)
        return response

    def _follow(self, method: str, url: str, headers: t.Dict[str, str], host: Host) -> t.Any:
        """Follow redirects by our rules; credentials stay with the registry's own origin."""
        home = origin(host.base)
        for _hop in range(_REDIRECTS + 1):
            sent = headers if origin(url) == home else {k: v for k, v in headers.items() if k != "Authorization"}
            response = self._send(method, url, sent, host)
            if response.status_code not in (301, 302, 303, 307, 308) or "Location" not in response.headers:
                return response
            target = urllib.parse.urljoin(url, response.headers["Location"])
            response.close()
            scheme = origin(target)[0]
            if scheme not in ("http", "https") or (url.startswith("https:") and scheme != "https"):
                raise RegistryError(f"{redacted(url)} redirects to {redacted(target)}, which is refused (TLS must not be left)")
            url = target
        raise RegistryError(f"{redacted(url)}: more than {_REDIRECTS} redirects")

    def _send(self, method: str, url: str, headers: t.Mapping[str, str], host: Host, data: t.Any = None) -> t.Any:
        errors = self._requests.exceptions
        every = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **headers}
        try:
            return self._session.request(
                method,
                url,
                headers=every,
                data=data,
                stream=True,
                allow_redirects=False,
                timeout=(_CONNECT_SECONDS, self._options.progress_timeout),
                proxies=self._proxies(url),
                auth=_NoAuth(),
            )
        except errors.SSLError as error:
            reason = _reason(error)
            if self._may_be_plain(host) and ("WRONG_VERSION_NUMBER" in reason or "record layer" in reason or "EOF" in reason):
                raise _TryNextHost(Unavailable(f"{redacted(url)} does not speak TLS")) from error
            raise RegistryError(
                f"{redacted(url)}: TLS failed: {reason}: check the registry's certificate, or give ca_path", method, redacted(url)
            ) from error
        except (errors.ConnectionError, errors.Timeout, errors.ChunkedEncodingError, OSError) as error:
            found = Unavailable(f"{redacted(url)} cannot be reached: {_reason(error)}")
            if self._may_be_plain(host):
                raise _TryNextHost(found) from error
            raise found from error
        except (errors.RequestException, ValueError) as error:
            raise InvalidArgument(f"{redacted(url)}: {printable(error, 200)}") from error

    def _may_be_plain(self, host: Host) -> bool:
        return host.scheme == "https" and len(self._hosts) > 1

    def _proxies(self, url: str) -> t.Dict[str, str]:
        """Proxies of the options, else of the environment; none for no_proxy and loopback."""
        options, target = self._options, urllib.parse.urlsplit(url)
        if is_loopback(target.netloc):
            return {}
        scheme = target.scheme
        given = (
            getattr(options, f"{scheme}_proxy") or os.environ.get(f"{scheme}_proxy") or os.environ.get(f"{scheme.upper()}_PROXY")
        )
        exempt = options.no_proxy or os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        host = (target.hostname or "").lower()
        for item in (part.strip().lower().lstrip("*").lstrip(".") for part in exempt.split(",")):
            if item and (item == host or host.endswith("." + item) or item == target.netloc.lower()):
                return {}
        return {scheme: given} if given and exempt.strip() != "*" else {}

    def _raise_for_status(self, response: t.Any, method: str) -> None:
        status, url = response.status_code, redacted(response.url)
        if status < 400 or status == 416:
            return
        pairs = _diagnostics(bounded_body(response, _ERROR_BODY, strict=False))
        words = "; ".join(f"{code}: {message}" if message else code for code, message in pairs) or printable(
            response.reason or "", 80
        )
        text = f"{method} {url}: HTTP {status}" + (f" ({words})" if words else "")
        if status in _RETRY_STATUS:
            raise Unavailable(text, retry_after=_retry_after(response.headers.get("Retry-After")))
        if status == 401:
            hint = "wrong credentials" if self._find().username or self._find().registry_token else "credentials are needed"
            raise Unauthenticated(f"{self.domain} refuses access, {hint}: give username and password, or auth_file: {text}")
        if status == 403:
            raise PermissionDenied(f"{self.domain} denies access: {text}")
        if status == 404:
            raise NotFound(text)
        raise RegistryError(text, method, url, status, pairs)

    # Authentication

    def _find(self) -> Credentials:
        if self._credentials is None:
            self._credentials = find_credentials(self.domain, self._options)
        return self._credentials

    def _answer(self, challenges: t.Sequence[Challenge], scope: str, host: Host) -> str:
        """The Authorization header that answers a challenge."""
        found = self._find()
        for challenge in challenges:
            if challenge.scheme == "bearer":
                return "Bearer " + (found.registry_token or self._fetch_token(challenge, scope, host))
            if challenge.scheme == "basic" and found.username:
                return _basic(found)
        if any(challenge.scheme == "basic" for challenge in challenges):
            raise Unauthenticated(f"{self.domain} needs credentials: give username and password, or auth_file")
        raise Unauthenticated(f"{self.domain} refuses access and offers no way to authenticate that we know")

    def _fetch_token(self, challenge: Challenge, scope: str, host: Host) -> str:
        realm = challenge.parameters.get("realm", "")
        scheme, name, _port = origin(realm)
        allowed = scheme == "https" or (scheme == "http" and host.scheme == "http" and is_loopback(name))
        if not allowed:
            raise Unauthenticated(
                f"{self.domain} names {redacted(realm)} as its token service, which is refused: it must be spoken to over TLS"
            )
        found = self._find()
        query = {"scope": challenge.parameters.get("scope") or scope}
        if challenge.parameters.get("service"):
            query["service"] = challenge.parameters["service"]
        if found.identity_token:
            form = {
                **query,
                "grant_type": "refresh_token",
                "refresh_token": found.identity_token,
                "client_id": "fleet.containerd",
            }
            response = self._send("POST", realm, {}, host, form)
        else:
            headers = {"Authorization": _basic(found)} if found.username else {}
            url = f"{realm}{'&' if '?' in realm else '?'}{urllib.parse.urlencode(query)}"
            response = self._send("GET", url, headers, host)
        with response:
            if response.status_code in _RETRY_STATUS:
                raise Unavailable(f"the token service {redacted(realm)} answers HTTP {response.status_code}")
            if response.status_code != 200:
                raise Unauthenticated(
                    f"the token service {redacted(realm)} refuses a token with HTTP {response.status_code}: check username and password"
                )
            body = bounded_body(response, _TOKEN_BODY)
        try:
            answer = json.loads(body)
            token = answer.get("token") or answer.get("access_token")
        except (ValueError, RecursionError, AttributeError):
            token = None
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise Unauthenticated(f"the token service {redacted(realm)} gave no usable token")
        return token


class _TryNextHost(Exception):
    """This host does not answer; another one may."""

    def __init__(self, reason: EngineError) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _NoAuth:
    """Keeps requests from looking into .netrc."""

    def __call__(self, request: t.Any) -> t.Any:
        return request


def _no_cookies() -> t.Any:
    import http.cookiejar

    return http.cookiejar.DefaultCookiePolicy(allowed_domains=[])


def _basic(found: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{found.username}:{found.secret}".encode()).decode()


def _all_headers(response: t.Any, name: str) -> t.List[str]:
    raw = getattr(response.raw, "headers", None)
    return list(raw.getlist(name)) if raw is not None else [response.headers.get(name, "")]


def bounded_body(response: t.Any, limit: int, strict: bool = True) -> bytes:
    """The body, of at most limit bytes; strict: more is an error, else it is cut."""
    parts, total = [], 0
    try:
        for block in response.iter_content(64 * 1024):
            parts.append(block)
            total += len(block)
            if total > limit:
                break
    except (OSError, ValueError) as error:  # requests' own errors are OSErrors
        if strict:
            raise Unavailable(f"{redacted(response.url)}: the answer broke off: {_reason(error)}") from error
    finally:
        response.close()
    if total > limit and strict:
        raise RegistryError(f"{redacted(response.url)}: the answer is longer than {limit} bytes")
    return b"".join(parts)[:limit]


def _diagnostics(body: bytes) -> t.List[t.Tuple[str, str]]:
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


def _retry_after(value: t.Optional[str]) -> t.Optional[float]:
    """Seconds or an HTTP date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    if value.strip().isdigit():
        return float(value.strip())
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, moment.timestamp() - time.time())


def _reason(error: BaseException) -> str:
    """The innermost cause, in few words, without URLs."""
    text = error
    while text.__cause__ or text.__context__:
        text = t.cast(BaseException, text.__cause__ or text.__context__)
    if isinstance(text, socket.gaierror):
        return "the name cannot be resolved"
    if isinstance(text, (TimeoutError, socket.timeout)):
        return "timed out"
    return printable(getattr(text, "strerror", None) or text or type(text).__name__, 160)
