# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_registry_info: the hosts that a pull would ask, found by the code that pulls use."""

from __future__ import annotations

import os
import re
import typing as t

from ...kernel.converge import Facts
from ...oci.reference import Reference
from ...registry.hosts import FILE, find_directory, hosts_for
from .facts import host_facts
from .options import registry_options

if t.TYPE_CHECKING:
    from ...registry.options import Host, RegistryOptions

#: A name without a slash that means a registry: a host with a dot, localhost or an address, and perhaps a port.
_REGISTRY = re.compile(r"(?:localhost|[^/:@]+\.[^/:@]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?\Z")


def registry_info(params: t.Mapping[str, t.Any], engine: t.Any) -> Facts:
    """For each name (an image or a registry) the hosts that a pull would try, in order."""
    options = registry_options(params)
    return Facts({"registries": [_one(name, options) for name in params["name"]]})


def _one(name: str, options: RegistryOptions) -> t.Dict[str, t.Any]:
    reference = None if _REGISTRY.match(name) else Reference.parse(name)
    domain = reference.domain if reference else Reference.parse(f"{name}/x").domain
    directory = find_directory(domain, options.registry_config_dir)
    file = os.path.join(directory, FILE) if directory else ""
    out: t.Dict[str, t.Any] = {
        "name": name,
        "registry": domain,
        "directory": directory,
        "hosts_toml": file if os.path.isfile(file) else "",
        "hosts": [_asked(host, domain, reference, options) for host in hosts_for(domain, options)],
    }
    if reference:
        out["image"] = str(reference)
    return out


def _asked(host: Host, domain: str, reference: t.Optional[Reference], options: RegistryOptions) -> t.Dict[str, t.Any]:
    from ...registry.auth import Authorizer
    from ...registry.transport import namespace_query

    out = host_facts(host)
    out["credentials"] = not Authorizer(host, domain, options).anonymous
    if reference:
        out["manifest"] = f"{out['api']}/{reference.path}/manifests/{reference.object}{namespace_query(host, domain)}"
    return out
