# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert the mirrors in the CRI plugin's registry section to hosts.toml files with the same meaning.

In the section (removed in containerd 2.2) an endpoint with a path is used as it is, and one without a path gets /v2. The registry
itself is always tried last. TLS is configured by host, for mirrors and registries. Credentials may stay in the section.
"""

from __future__ import annotations

import os
import typing as t
import urllib.parse

from ..errors import FailedPrecondition, printable
from ..hostfs.atomic import read_file
from .edit import Document
from .names import CRI, IMAGES
from .reading import parse
from .values import Keys, Tree, dotted, get, same, value_text

DEFAULT_DIRECTORY = "/etc/containerd/certs.d"
#: Keys of an inline TLS table, and their names in hosts.toml.
_TLS = {"ca_file": "ca", "insecure_skip_verify": "skip_verify"}
_HUB = "registry-1.docker.io"


class Hosts(t.NamedTuple):
    """A hosts.toml file to be written."""

    path: str
    text: str


def section(tree: Tree) -> t.Optional[Keys]:
    """The path of the registry section with mirrors or TLS; None without one."""
    for plugin in (CRI, IMAGES):
        path = ("plugins", plugin, "registry")
        if get(tree, (*path, "mirrors")) or _tls_hosts(get(tree, path, {})):
            return path
    return None


def move_out(document: Document, directory: str) -> t.List[Hosts]:
    """Move mirrors and TLS out of a document. Returns the files to be written below directory, which becomes the config_path.

    Raises FailedPrecondition when something has no simple counterpart.
    """
    top = section(document.tree)
    if top is None:
        return []
    registry = get(document.tree, top)
    found = [Hosts(os.path.join(directory, name, "hosts.toml"), text) for name, text in sorted(_files(registry, top).items())]
    found = [hosts for hosts in found if not _is_there(hosts)]
    if registry.get("mirrors"):
        document.remove((*top, "mirrors"))
    for host in _tls_hosts(registry):
        document.remove((*top, "configs", host, "tls"))
    if not get(document.tree, (*top, "config_path")):
        document.set((*top, "config_path"), directory)
    return found


def _tls_hosts(registry: t.Any) -> t.List[str]:
    configs = registry.get("configs") if isinstance(registry, dict) else None
    return (
        [host for host, one in configs.items() if isinstance(one, dict) and one.get("tls")] if isinstance(configs, dict) else []
    )


def _files(registry: Tree, top: Keys) -> t.Dict[str, str]:
    """The texts of the files, by directory name."""
    tls = {host: _tls(registry["configs"][host]["tls"], (*top, "configs", host, "tls")) for host in _tls_hosts(registry)}
    texts: t.Dict[str, str] = {}
    used: t.Set[str] = set()
    for namespace, mirror in registry.get("mirrors", {}).items():
        endpoints = mirror.get("endpoint") if isinstance(mirror, dict) else None
        if not isinstance(endpoints, list) or not endpoints:
            raise FailedPrecondition(f"{dotted((*top, 'mirrors', namespace))} has no list of endpoints: move it yourself")
        lines: t.List[str] = []
        host = _HUB if namespace == "docker.io" else namespace
        if host in tls:
            lines += [f'server = "https://{host}"', *tls[host], ""]
            used.add(host)
        for endpoint in endpoints:
            url = _url(endpoint, (*top, "mirrors", namespace))
            lines += _host(endpoint, url, tls.get(url.netloc, []))
            used.add(url.netloc)
        texts[_directory(namespace)] = "\n".join(lines).rstrip("\n") + "\n"
    for host in tls.keys() - used:
        url = urllib.parse.urlsplit(f"https://{host}")
        texts[_directory(host)] = (
            f'server = "https://{host}"\n\n' + "\n".join(_host(f"https://{host}", url, tls[host])).rstrip("\n") + "\n"
        )
    return texts


def _directory(namespace: str) -> str:
    if namespace == "*":
        return "_default"
    if "/" in namespace or namespace.startswith("."):
        raise FailedPrecondition(f"{printable(namespace, 100)!r} is not the name of a registry: move its mirror yourself")
    return namespace


def _url(endpoint: t.Any, path: Keys) -> urllib.parse.SplitResult:
    try:
        url = urllib.parse.urlsplit(endpoint if isinstance(endpoint, str) else "")
    except ValueError:
        url = urllib.parse.urlsplit("")
    if url.scheme not in ("http", "https") or not url.netloc or "@" in url.netloc or url.query or url.fragment:
        raise FailedPrecondition(f"{dotted(path)}: an endpoint is not a plain http or https URL: move it yourself")
    return url


def _host(endpoint: str, url: urllib.parse.SplitResult, tls: t.Sequence[str]) -> t.List[str]:
    lines = [f"[host.{value_text(endpoint)}]", '  capabilities = ["pull", "resolve"]']
    if url.path:
        lines.append("  override_path = true")
    return [*lines, *(f"  {line}" for line in tls if url.scheme == "https"), ""]


def _tls(tls: t.Any, path: Keys) -> t.List[str]:
    """The lines of hosts.toml for a TLS table."""
    known = {*_TLS, "cert_file", "key_file"}
    if not isinstance(tls, dict) or not known.issuperset(tls):
        raise FailedPrecondition(f"{dotted(path)} has keys without a counterpart in hosts.toml: move it yourself")
    lines = [f"{name} = {value_text(tls[key])}" for key, name in _TLS.items() if tls.get(key)]
    if tls.get("cert_file"):
        pair = [tls["cert_file"], tls["key_file"]] if tls.get("key_file") else tls["cert_file"]
        lines.append(f"client = {value_text([pair] if isinstance(pair, list) else pair)}")
    return lines


def _is_there(hosts: Hosts) -> bool:
    """Whether the same file exists. FailedPrecondition for a different one, or one that hides it (host_PORT_ comes first)."""
    there = False
    directory, name = os.path.split(os.path.dirname(hosts.path))
    host, colon, port = name.rpartition(":")
    for other in (name, f"{host}_{port}_" if colon else name):
        path = os.path.join(directory, other, "hosts.toml")
        data = read_file(path)
        if data is None and other != name and os.path.isdir(os.path.dirname(path)):
            raise FailedPrecondition(f"{os.path.dirname(path)} exists already: merge the mirror into it yourself")
        if data is not None and not same(parse(data.decode("utf-8", "replace"), path), parse(hosts.text, hosts.path)):
            raise FailedPrecondition(f"{path} exists already with other content: merge the mirror into it yourself")
        there = there or data is not None
    return there
