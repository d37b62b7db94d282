# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a registry whether credentials are good (OCI distribution-spec, section Determining Support)."""

from __future__ import annotations

import contextlib

from .endpoints import Endpoints
from .hosts import hosts_for
from .options import RegistryOptions, default_host


def check_credentials(domain: str, options: RegistryOptions) -> bool:
    """True when the registry asked for credentials and takes those of the options; False when it asked for none.

    Raises Unauthenticated, PermissionDenied, Unavailable, RegistryError. No mirror is asked; the certificates and the server of
    hosts.toml count.
    """
    own = [host for host in hosts_for(domain, options) if host.own] or [default_host(domain, options.plain_http)]
    with contextlib.closing(Endpoints(domain, options, own)) as endpoints:
        endpoints.attempt("", (), lambda transport: transport.request("GET", "").close())
        return any(transport.auth.known("") for transport in endpoints.transports)
