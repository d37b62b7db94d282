# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a registry whether credentials are valid (OCI distribution-spec, section Determining Support)."""

from __future__ import annotations

import contextlib
import typing as t

from .endpoints import Endpoints
from .hosts import hosts_for
from .options import RegistryOptions, default_host
from .transport import Transport


class Answer(t.NamedTuple):
    """asked: the registry asked for credentials and accepted them. scheme: the one that it uses."""

    asked: bool
    scheme: str


def check_credentials(domain: str, options: RegistryOptions) -> Answer:
    """Try the credentials of the options at the registry.

    Raises Unauthenticated, PermissionDenied, Unavailable, RegistryError. No mirror is asked; the certificates and the server of
    hosts.toml count.
    """

    def ask(transport: Transport) -> str:
        transport.request("GET", "").close()
        return transport.url.partition(":")[0]

    own = [host for host in hosts_for(domain, options) if host.own] or [default_host(domain, options.plain_http)]
    with contextlib.closing(Endpoints(domain, options, own)) as endpoints:
        scheme = endpoints.attempt("", (), ask)
        return Answer(any(transport.auth.known("") for transport in endpoints.transports), scheme)
