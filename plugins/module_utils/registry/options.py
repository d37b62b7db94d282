# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the registry room is told: options, hosts, credentials as values."""

from __future__ import annotations

import ipaddress
import typing as t

DOCKER_HUB = "registry-1.docker.io"


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
    progress_timeout: float = 300.0
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""

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
    """One server that may answer for a registry: scheme and authority of its /v2/ endpoint."""

    scheme: str
    authority: str

    @property
    def base(self) -> str:
        return f"{self.scheme}://{self.authority}"


def is_loopback(authority: str) -> bool:
    """True for localhost and loopback addresses, with or without a port."""
    name = authority.rsplit(":", 1)[0] if authority.count(":") == 1 or authority.startswith("[") else authority
    name = name.strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def hosts_for(domain: str, plain_http: bool) -> t.Tuple[Host, ...]:
    """The hosts to try for a registry, in order. Loopback registries may speak plain HTTP without being told."""
    authority = DOCKER_HUB if domain == "docker.io" else domain
    if plain_http:
        return (Host("http", authority),)
    if is_loopback(authority) and not authority.endswith(":443"):
        return (Host("https", authority), Host("http", authority))
    return (Host("https", authority),)
