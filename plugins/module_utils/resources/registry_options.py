# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the resources speak to registries: the module's parameters as the registry room's options."""

from __future__ import annotations

import typing as t

from ..errors import InvalidArgument

if t.TYPE_CHECKING:
    from ..registry.client import RegistryClient


def registry_client(params: t.Mapping[str, t.Any]) -> RegistryClient:
    """A client for the registry options of a task. MissingLibrary without requests."""
    from ..registry.client import RegistryClient, RegistryOptions

    names = {name: params[name] for name in RegistryOptions._fields if params.get(name) is not None}
    return RegistryClient(RegistryOptions(**names))


def check_registry_options(params: t.Mapping[str, t.Any]) -> None:
    """InvalidArgument for combinations that cannot be meant. Cheap: nothing of the registry room is imported."""
    if (params.get("username") is None) != (params.get("password") is None):
        missing = "password" if params.get("password") is None else "username"
        raise InvalidArgument(f"{missing}: username and password are needed together")
    if params.get("token") and params.get("username"):
        raise InvalidArgument("token: give either token, or username and password")
    if params.get("client_key") and not params.get("client_cert"):
        raise InvalidArgument("client_key: client_cert is needed too")
    for option in ("retries", "retry_delay"):
        if (params.get(option) or 0) < 0:
            raise InvalidArgument(f"{option}: {params[option]} is negative")
    if (params.get("progress_timeout") or 1) <= 0:
        raise InvalidArgument(f"progress_timeout: {params['progress_timeout']} is not a positive number of seconds")
