# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry options of the resources: from the module's parameters to the registry room's options."""

from __future__ import annotations

import os
import typing as t

from ...errors import InvalidArgument, printable
from ...registry.options import RegistryOptions

#: Directories that containerd reads by default: these may be missing.
CONFIG_DIRS = ("/etc/containerd/certs.d", "/etc/docker/certs.d")


def registry_options(params: t.Mapping[str, t.Any]) -> RegistryOptions:
    """The registry options of a task. InvalidArgument for combinations that make no sense."""
    _check(params)
    return RegistryOptions(**{name: params[name] for name in RegistryOptions._fields if params.get(name) is not None})


def _check(params: t.Mapping[str, t.Any]) -> None:
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
    if params.get("progress_timeout") is not None and params["progress_timeout"] <= 0:
        raise InvalidArgument(f"progress_timeout: {params['progress_timeout']} is not a positive number of seconds")
    for option in ("auth_file", "ca_path", "client_cert", "client_key"):
        if params.get(option) and not os.path.isfile(params[option]):
            raise InvalidArgument(f"{option}: {printable(params[option], 200)} is not a file on the target")
    for path in (params.get("registry_config_dir") or "").split(":"):
        if path and path not in CONFIG_DIRS and not os.path.isdir(path):
            raise InvalidArgument(f"registry_config_dir: {printable(path, 200)} is not a directory on the target")
    for option in ("http_proxy", "https_proxy"):
        if params.get(option):
            _check_proxy(option, params[option])


def _check_proxy(option: str, value: str) -> None:
    """Check a proxy. Its value is not in the message, since it may have a password."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        good = parts.hostname and parts.port != 0 and not any(character.isspace() for character in value)
    except ValueError:
        good = False
    if not good:
        raise InvalidArgument(f"{option}: not the address of a proxy: expected http://host:port")
