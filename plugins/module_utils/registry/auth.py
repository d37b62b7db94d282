# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authentication at one host: find credentials, answer challenges (distribution's token specification, RFC 6749)."""

from __future__ import annotations

import base64
import json
import typing as t
import urllib.parse

from ..errors import Unauthenticated, Unavailable
from .credentials import Challenge, default_config, find_credentials
from .options import Credentials, Host, RegistryOptions, is_loopback
from .sessions import bounded_body, origin, redacted, retry_after

_TOKEN_BODY = 1024 * 1024
_TOKEN = 64 * 1024
RETRY_STATUS = (408, 429, 500, 502, 503, 504)

#: (method, url, headers, form) -> response
Send = t.Callable[[str, str, t.Mapping[str, str], t.Optional[t.Mapping[str, t.Any]]], t.Any]


class Authorizer:
    """The Authorization headers for one host. Threads may share it.

    The registry's own credentials (options, or config.json under its name) never go to a mirror. A mirror has its own entry in
    config.json, or an Authorization header in hosts.toml.
    """

    def __init__(self, host: Host, domain: str, options: RegistryOptions) -> None:
        self._host, self._options = host, options
        self.name = domain if host.own else host.authority
        given = host.own and bool(options.token or options.username)
        self._preset = "" if given else next((v for k, v in host.header.items() if k.lower() == "authorization"), "")
        self._known: t.Dict[str, str] = {}
        self._credentials: t.Optional[Credentials] = None

    def find(self) -> Credentials:
        """The credentials for this host, looked up once."""
        if self._credentials is None:
            options = self._options if self._host.own else self._options._replace(username="", password="", token="")
            self._credentials = find_credentials(self.name, options)
        return self._credentials

    @property
    def anonymous(self) -> bool:
        """True when there are no credentials."""
        return not self._preset and self.find() == Credentials()

    def known(self, scope: str) -> str:
        """The Authorization header for a request without a challenge; "" for none."""
        return self._known.get(scope) or self._preset

    def answer(self, challenges: t.Sequence[Challenge], scope: str, secure: bool, send: Send) -> str:
        """The Authorization header that answers a challenge. It is kept for later requests of this scope.

        Raises Unauthenticated when there is none. secure: the connection to the host itself uses TLS.
        """
        found = self.find()
        for challenge in challenges:
            if challenge.scheme == "bearer":
                token = found.registry_token or self._fetch_token(challenge, scope, secure, send)
                self._known[scope] = f"Bearer {token}"
                return self._known[scope]
            if challenge.scheme == "basic" and found.username:
                self._known[scope] = _basic(found)
                return self._known[scope]
        if any(challenge.scheme == "basic" for challenge in challenges):
            raise Unauthenticated(
                f"{self.name} {'refuses the credentials of' if self._preset else 'needs credentials:'} {self.hint}"
            )
        raise Unauthenticated(f"{self.name} refuses access and offers no way to authenticate that is supported")

    @property
    def hint(self) -> str:
        """Where credentials for this host come from, or could come from, for messages."""
        if self._preset:
            return "the header in its hosts.toml"
        if not self.anonymous:
            return f"check {self._source}"
        return (
            "give username and password, or auth_file"
            if self._host.own
            else "give it an entry in auth_file, or a header in hosts.toml"
        )

    @property
    def _source(self) -> str:
        """The source of the credentials, for messages."""
        if self._host.own and self._options.token:
            return "token"
        if self._host.own and self._options.username:
            return "username and password"
        return f"the entry for {self.name} in {self._options.auth_file or default_config()}"

    def _fetch_token(self, challenge: Challenge, scope: str, secure: bool, send: Send) -> str:
        realm = challenge.parameters.get("realm", "")
        scheme, name, _port = origin(realm)
        if scheme != "https" and not (scheme == "http" and not secure and is_loopback(name)):
            raise Unauthenticated(
                f"{self.name} names {redacted(realm)} as its token service, which is refused: a token service must use TLS"
            )
        response = self._ask_for_token(realm, challenge, join_scopes(scope, challenge.parameters.get("scope", "")), send)
        with response:
            if response.status_code in RETRY_STATUS:
                wait = retry_after(response.headers.get("Retry-After"))
                raise Unavailable(f"the token service {redacted(realm)} answers HTTP {response.status_code}", retry_after=wait)
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
        if not isinstance(token, str) or not 0 < len(token) <= _TOKEN or not token.isascii() or not token.isprintable():
            raise Unauthenticated(f"the token service {redacted(realm)} gave no usable token")
        return token

    def _ask_for_token(self, realm: str, challenge: Challenge, scopes: t.Sequence[str], send: Send) -> t.Any:
        found = self.find()
        service = challenge.parameters.get("service")
        if found.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": found.identity_token, "client_id": "fleet.containerd"}
            form.update({"scope": " ".join(scopes)} if scopes else {}, **({"service": service} if service else {}))
            return send("POST", realm, {}, form)
        query = [("scope", one) for one in scopes] + ([("service", service)] if service else [])
        preset = self._preset if self._preset.lower().startswith("basic ") else ""
        authorization = _basic(found) if found.username else preset
        url = f"{realm}{'&' if '?' in realm else '?'}{urllib.parse.urlencode(query)}"
        return send("GET", url, {"Authorization": authorization} if authorization else {}, None)


def join_scopes(wanted: str, challenged: str) -> t.List[str]:
    """The scopes to ask for, one for each resource: those that we want, and those that the challenge names."""
    actions: t.Dict[str, t.List[str]] = {}
    for one in f"{wanted} {challenged}".split():
        resource, _colon, names = one.rpartition(":")
        known = actions.setdefault(resource, [])
        known.extend(name for name in names.split(",") if name not in known)
    return [f"{resource}:{','.join(names)}" for resource, names in actions.items()]


def _basic(found: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{found.username}:{found.secret}".encode()).decode()
