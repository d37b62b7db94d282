# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the registry room is told: options, hosts, credentials as values."""

from __future__ import annotations

import ipaddress
import typing as t

#: Where containerd's own documentation has certs.d; these may be missing.
CONFIG_DIR = "/etc/containerd/certs.d"
PULL, RESOLVE, PUSH = "pull", "resolve", "push"
CAPABILITIES = (PULL, RESOLVE, PUSH)
_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


class RegistryOptions(t.NamedTuple):
    """How to speak to registries; names and meaning as in the modules' documentation."""

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
    """One server that may answer for a registry.

    schemes: tried in order until one answers (more than one: TLS first, then plain HTTP where that was declared). path: of
    its API, which is /v2 but for hosts with override_path. own: the registry itself and no mirror; only then do the
    options' credentials, certificates and validate_certs count. ca: files. client: (certificate, key or "") files.
    header: sent to this host only; secrets. dial_timeout: seconds, 0 for the default.
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
        """As it stands in hosts.toml, with the scheme that is tried first."""
        path = self.path[:-3] if self.path.endswith("/v2") else self.path
        return f"{self.schemes[0]}://{self.authority}{path}"


def is_loopback(authority: str) -> bool:
    """True for localhost and loopback addresses, with or without a port."""
    name = authority.rsplit(":", 1)[0] if authority.count(":") == 1 or authority.startswith("[") else authority
    name = name.strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def is_own(authority: str, domain: str) -> bool:
    """True when an authority is the registry itself: written the same, or with the standard port, or Docker Hub's other names."""
    if domain in _DOCKER_HUB:
        return authority in _DOCKER_HUB
    plain = (authority, authority[: -len(":443")] if authority.endswith(":443") else f"{authority}:443")
    return domain.lower() in [one.lower() for one in plain]


def default_host(domain: str, plain_http: bool = False) -> Host:
    """The registry itself. On loopback it may speak plain HTTP without being told."""
    authority = "registry-1.docker.io" if domain == "docker.io" else domain
    if plain_http:
        return Host(("http",), authority)
    if is_loopback(authority) and not authority.endswith(":443"):
        return Host(("https", "http"), authority)
    return Host(("https",), authority)
