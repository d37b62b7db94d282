# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials in hosts.toml, where containerd's own pulls (for the kubelet) read them: a header for each host."""

from __future__ import annotations

import os
import typing as t
import urllib.parse

from ...errors import InvalidArgument, from_os_error
from ...registry.hosts import FILE, KEYS, certificate_files, directory_names, find_directory
from ...registry.hosts_file import Data, HostsFile, of_one_type
from ...registry.options import PULL, RESOLVE, Host, RegistryOptions, default_host, is_own
from .hosts import own_directory


class HostsEdit(t.NamedTuple):
    """A file, and its new data."""

    before: HostsFile
    after: HostsFile


class HostsEdits(t.NamedTuple):
    """The files that name a registry, with their changes, and warnings about what could not be done."""

    named: t.List[str]
    edits: t.List[HostsEdit]
    warnings: t.List[str]

    def elsewhere(self, path: str, domain: str) -> None:
        """Warn of a file for the registry's images that leads only to other hosts."""
        self.warnings.append(f"{path} leads to other hosts only: {domain} itself is never asked, so it gets no header")
        self.named.append(path)


def edits_for(domain: str, options: RegistryOptions, authorization: str, spoken: t.Callable[[], str]) -> HostsEdits:
    """The changes that give a registry (which may be a mirror of others) an Authorization header; "" removes it.

    Every hosts.toml that names the registry is changed. If the one for its own images is missing, it is made.
    spoken: returns the scheme that the registry itself uses; "" if it was not asked.
    """
    found = HostsEdits([], [], [])
    roots = [root for root in options.registry_config_dir.split(":") if root]
    for path, own in _paths(roots, domain):
        try:
            file = HostsFile.read(path)
        except InvalidArgument as error:
            if own:
                raise
            found.warnings.append(f"not looked at: {error}")
            continue
        data = _with_header(file.data, domain, own, authorization) if file.data else None
        if data is None:
            if own and file.data:
                found.elsewhere(path, domain)
            continue
        found.named.append(path)
        after = file.with_data(data)
        if after.text != file.text:
            found.edits.append(HostsEdit(file, after))
    if authorization and roots:
        _make_own(domain, options, roots, authorization, spoken, found)
    found.named.sort()
    return found


def _paths(roots: t.Sequence[str], domain: str) -> t.Iterator[t.Tuple[str, bool]]:
    """Every hosts.toml, and whether its directory is that of the registry."""
    for root in roots:
        for name in _names(root):
            yield os.path.join(root, name, FILE), name in directory_names(domain)


def _names(root: str) -> t.List[str]:
    try:
        return sorted(name for name in os.listdir(root) if os.path.isfile(os.path.join(root, name, FILE)))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, f"reading {root}") from error


def _is_it(url: str, domain: str) -> bool:
    return is_own(urllib.parse.urlsplit(url if "://" in url else f"https://{url}").netloc, domain)


def _with_header(data: Data, domain: str, own: bool, authorization: str) -> t.Optional[Data]:
    """The data of a file with the header at each place that names the registry; None if no place does."""
    hosts = dict(data.get("host", {}))
    server = data.get("server") or (default_host(domain).url if own else "")
    last = bool(server) and _is_it(server, domain)
    if last and not hosts and authorization:
        # containerd 1.6 and 1.7 ignore a file without any table.
        hosts[server] = {key: data[key] for key in KEYS if key in data}
    named = [url for url in hosts if _is_it(url, domain)]
    if not named and not last:
        return None
    out = {**data, "host": {url: _set(table, authorization) if url in named else table for url, table in hosts.items()}}
    if not hosts:
        del out["host"]
    # A server that is also among the hosts is asked there first, with the header.
    asked = server in named and _does_all(hosts[server])
    return _set(out, authorization) if last and not (asked and authorization) else out


def _does_all(table: Data) -> bool:
    """Whether a host is asked for everything that a pull needs."""
    return {PULL, RESOLVE} <= {str(one).lower() for one in table.get("capabilities") or (PULL, RESOLVE)}


def _set(table: Data, authorization: str) -> Data:
    """The table with the header, or without it if it is empty. Other headers stay."""
    header = dict(table.get("header", {}))
    key = next((name for name in header if name.lower() == "authorization"), "Authorization")
    header[key] = authorization
    header = {name: value for name, value in header.items() if value}
    out = {name: value for name, value in table.items() if name != "header"}
    return {**out, "header": header} if header else out


def _make_own(
    domain: str,
    options: RegistryOptions,
    roots: t.Sequence[str],
    authorization: str,
    spoken: t.Callable[[], str],
    found: HostsEdits,
) -> None:
    """Make the registry's own file, unless one of the found files is used for its images.

    Its images keep their present settings: the certificates of Docker's layout, and the content of _default.
    """
    counting = find_directory(domain, ":".join(root for root in roots if os.path.isdir(root)))
    if counting and os.path.join(counting, FILE) in found.named:
        return
    own = counting if os.path.basename(counting) in directory_names(domain) else own_directory(domain, roots[0])
    shared = _read_as_it_can(os.path.join(counting, FILE)) if counting and counting != own else {}
    if shared.get("server"):
        found.elsewhere(os.path.join(counting, FILE), domain)
        return
    host = default_host(domain, options.plain_http)
    if counting and not shared:
        host = certificate_files(counting, host)
    shared = _absolute(shared, counting)
    mirrors = shared.pop("host", {})
    table = {**_certificates(host, options), **shared}
    if len(host.schemes) > 1:
        host, table = _one_scheme(host, table, spoken())
    if mirrors:
        data = {"server": host.url, **_set(table, authorization), "host": mirrors}
    else:
        table = {"capabilities": ["pull", "resolve", "push"], **table}
        data = {"server": host.url, "host": {host.url: _set(table, authorization)}}
    file = HostsFile(os.path.join(own, FILE), "", {})
    if counting and counting != own:
        found.warnings.append(f"{domain} has its own directory now: changes in {counting} no longer affect it")
    found.named.append(file.path)
    found.edits.append(HostsEdit(file, file.with_data(data)))


def _one_scheme(host: Host, table: Data, spoken: str) -> t.Tuple[Host, Data]:
    """Set the scheme of a registry on loopback. If it is not known, do as containerd does without a file."""
    plain = {key: value for key, value in table.items() if key not in ("ca", "client", "skip_verify")}
    if spoken == "http":
        return host._replace(schemes=("http",)), plain
    if spoken or table != plain:
        return host._replace(schemes=("https",)), table
    return host._replace(schemes=("http",)), {**plain, "skip_verify": True}


def _read_as_it_can(path: str) -> Data:
    try:
        return HostsFile.read(path).data
    except InvalidArgument:
        return {}


def _absolute(data: Data, directory: str) -> Data:
    """The same data for a file in another directory: relative names of files become absolute."""

    def path(value: t.Any) -> t.Any:
        return [path(one) for one in value] if isinstance(value, list) else os.path.join(directory, value)

    out = {key: path(value) if key in ("ca", "client") else value for key, value in data.items()}
    return {**out, "host": {url: _absolute(table, directory) for url, table in data["host"].items()}} if "host" in out else out


def _certificates(host: Host, options: RegistryOptions) -> Data:
    table: Data = {}
    ca = [*host.ca, *([options.ca_path] if options.ca_path else [])]
    client = [*host.client, *([(options.client_cert, options.client_key)] if options.client_cert else [])]
    if ca:
        table["ca"] = ca
    if client:
        table["client"] = of_one_type([[certificate, key] if key else certificate for certificate, key in client])
    if not options.validate_certs:
        table["skip_verify"] = True
    return table
