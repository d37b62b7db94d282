# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values that the registry room gets: options, hosts, credentials."""

from __future__ import annotations

import typing as t

#: The directories in containerd's documentation; these may be missing.
CONFIG_DIR = "/etc/containerd/certs.d"
PULL, RESOLVE, PUSH = "pull", "resolve", "push"
CAPABILITIES = (PULL, RESOLVE, PUSH)
_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


class RegistryOptions(t.NamedTuple):
    """The options of registries, with names and meanings as in the modules' documentation.

    release: where it is set, digests come from a release file, so a tag that has a digest is not asked for.
    """

    username: str = ""
    password: str = ""
    token: str = ""
    auth_file: str = ""
    validate_certs: bool = True
    ca_path: str = ""
    client_cert: str = ""
    client_key: str = ""
    plain_http: bool = False
    retries: int = 3
    retry_delay: float = 2.0
    progress_timeout: float = 45.0
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    registry_config_dir: str = CONFIG_DIR
    release: str = ""

    def __repr__(self) -> str:
        return "RegistryOptions(...)"


class Credentials(t.NamedTuple):
    """username and secret, or an identity token (OAuth2 refresh token), or a registry token (sent as it is)."""

    username: str = ""
    secret: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({'for ' + self.username if self.username else 'anonymous'})"


class Host(t.NamedTuple):
    """One server that may serve a registry.

    schemes: tried in order until one answers (TLS first, then plain HTTP if that was declared). path: the path of its API,
    /v2 unless override_path is set. own: it is the registry itself, not a mirror; only then the credentials, certificates
    and validate_certs of the options count. ca: files. client: (certificate, key or "") files. header: secret headers for
    this host only. dial_timeout: seconds, 0 for the default.
    """

    schemes: t.Tuple[str, ...]
    authority: str
    path: str = "/v2"
    own: bool = True
    capabilities: t.Tuple[str, ...] = CAPABILITIES
    ca: t.Tuple[str, ...] = ()
    client: t.Tuple[t.Tuple[str, str], ...] = ()
    skip_verify: t.Optional[bool] = None
    header: t.Mapping[str, str] = {}
    dial_timeout: float = 0.0

    def __repr__(self) -> str:
        return f"Host({self.url!r})"

    @property
    def url(self) -> str:
        """The URL as in hosts.toml, with the scheme that is tried first."""
        path = self.path[:-3] if self.path.endswith("/v2") else self.path
        return f"{self.schemes[0]}://{self.authority}{path}"


def is_loopback(authority: str) -> bool:
    """True for localhost and loopback addresses, with or without a port."""
    import ipaddress

    name = authority.rsplit(":", 1)[0] if authority.count(":") == 1 or authority.startswith("[") else authority
    name = name.strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def is_own(authority: str, domain: str) -> bool:
    """True when an authority is the registry itself: the same text, with the standard port, or another name of Docker Hub."""
    if domain in _DOCKER_HUB:
        return authority in _DOCKER_HUB
    plain = (authority, authority[: -len(":443")] if authority.endswith(":443") else f"{authority}:443")
    return domain.lower() in [one.lower() for one in plain]


def default_host(domain: str, plain_http: bool = False) -> Host:
    """The registry itself. On loopback plain HTTP is tried too, without any option."""
    authority = "registry-1.docker.io" if domain == "docker.io" else domain
    if plain_http:
        return Host(("http",), authority)
    if is_loopback(authority) and not authority.endswith(":443"):
        return Host(("https", "http"), authority)
    return Host(("https",), authority)
