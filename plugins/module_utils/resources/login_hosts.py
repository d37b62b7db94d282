# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials in hosts.toml, where containerd's own pulls (those of the kubelet) have them from: a header for each host."""

from __future__ import annotations

import os
import typing as t
import urllib.parse

from ..errors import InvalidArgument, from_os_error
from ..registry.hosts import FILE, certificate_files, directory_names
from ..registry.hosts_file import Data, HostsFile, of_one_type
from ..registry.options import Host, RegistryOptions, default_host, is_own
from .registry_hosts import DEFAULT, own_directory


class Edit(t.NamedTuple):
    """A file, and what it is to be."""

    before: HostsFile
    after: HostsFile


class Edits(t.NamedTuple):
    """The files in which a registry is named, with what differs; warnings about what could not be done."""

    named: t.List[str]
    edits: t.List[Edit]
    warnings: t.List[str]


def edits_for(domain: str, options: RegistryOptions, authorization: str) -> Edits:
    """What to change so that a registry (which may be a mirror of others) gets an Authorization header; "" takes it away.

    Every hosts.toml that names it counts. Where none does, its own is made.
    """
    found = Edits([], [], [])
    roots = [root for root in options.registry_config_dir.split(":") if root]
    for root in roots:
        for name in _names(root):
            path = os.path.join(root, name, FILE)
            own = name in directory_names(domain)
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
                    found.warnings.append(
                        f"{path} leads to other hosts only: {domain} itself is never asked, so it gets no header"
                    )
                    found.named.append(path)
                continue
            found.named.append(path)
            after = file.with_data(data)
            if after.text != file.text:
                found.edits.append(Edit(file, after))
    if authorization and not found.named and roots:
        _make_own(domain, options, roots[0], authorization, found)
    return found


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
    """The data of a file with the header for a registry wherever it is named; None where it is not."""
    hosts = dict(data.get("host", {}))
    server = data.get("server") or (default_host(domain).url if own else "")
    last = bool(server) and _is_it(server, domain)
    if last and not hosts and authorization:
        # containerd 1.6 and 1.7 ignore a file without any table.
        hosts[server] = {}
    named = [url for url in hosts if _is_it(url, domain)]
    if not named and not last:
        return None
    out = {**data, "host": {url: _set(table, authorization) if url in named else table for url, table in hosts.items()}}
    if not hosts:
        del out["host"]
    # A server that is also among the hosts has been asked with the header before its turn comes.
    return _set(out, authorization) if last and (server not in named or not authorization) else out


def _set(table: Data, authorization: str) -> Data:
    """The table with the header, or without it where that is empty; other headers stay."""
    header = dict(table.get("header", {}))
    key = next((name for name in header if name.lower() == "authorization"), "Authorization")
    header[key] = authorization
    header = {name: value for name, value in header.items() if value}
    out = {name: value for name, value in table.items() if name != "header"}
    return {**out, "header": header} if header else out


def _make_own(domain: str, options: RegistryOptions, root: str, authorization: str, found: Edits) -> None:
    """A file of the registry's own, with the certificates that the task or Docker's layout has for it."""
    directory = own_directory(domain, root)
    host = default_host(domain, options.plain_http)
    if os.path.isdir(directory):
        host = certificate_files(directory, host)
    url = host.url
    table: Data = {"capabilities": ["pull", "resolve", "push"], **_certificates(host, options)}
    file = HostsFile(os.path.join(directory, FILE), "", {})
    after = file.with_data({"server": url, "host": {url: _set(table, authorization)}})
    if os.path.isfile(os.path.join(root, DEFAULT, FILE)) and not os.path.isdir(directory):
        found.warnings.append(
            f"{domain} has a directory of its own now: {os.path.join(root, DEFAULT)} does not count for it any more"
        )
    found.named.append(file.path)
    found.edits.append(Edit(file, after))


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
