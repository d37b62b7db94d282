# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the hosts to try for a registry: containerd's certs.d (docs/hosts.md, core/remotes/docker/config/hosts.go).

Each registry has a directory with hosts.toml, or with Docker's certificate files. containerd silently ignores a file that it
cannot read, and uses no mirror then; here such a file is an error.
"""

from __future__ import annotations

import os
import posixpath
import re
import typing as t
import urllib.parse

from ..errors import InvalidArgument, MissingLibrary, from_os_error, printable
from .options import CAPABILITIES, CONFIG_DIR, Host, RegistryOptions, default_host, is_own

FILE = "hosts.toml"
#: Directories that containerd reads by default: these may be missing.
_DEFAULTS = (CONFIG_DIR, "/etc/docker/certs.d")
_FILE_LIMIT = 1024 * 1024
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[A-Fa-f0-9:.]+\])(?::[0-9]{1,5})?\Z")
#: The keys of a host's table, and at the top level those of the server.
KEYS = ("capabilities", "ca", "client", "skip_verify", "override_path", "header", "dial_timeout")


def directory_names(domain: str) -> t.List[str]:
    """The directory names that a registry may have in certs.d, the most precise one first."""
    name, _colon, port = domain.rpartition(":")
    return [f"{name}_{port}_", domain] if name and port.isdigit() else [domain]


def find_directory(domain: str, config_dir: str) -> str:
    """The first directory of a registry; "" for none. config_dir: one or more directories, separated by colons.

    Raises InvalidArgument for a config_dir that is missing, unless containerd reads it by default.
    """
    for root in filter(None, config_dir.split(":")):
        if not os.path.isdir(root):
            if root in _DEFAULTS:
                continue
            raise InvalidArgument(f"registry_config_dir: {printable(root, 200)} is not a directory on the target")
        for name in [*directory_names(domain), "_default"]:
            path = os.path.join(root, name)
            try:
                os.stat(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise from_os_error(error, f"looking at {path}") from error
            return path
    return ""


def hosts_for(domain: str, options: RegistryOptions) -> t.List[Host]:
    """The hosts to try for a registry, in order."""
    directory = find_directory(domain, options.registry_config_dir)
    if not directory:
        return [default_host(domain, options.plain_http)]
    path = os.path.join(directory, FILE)
    data = read_text(path)
    if not data.strip():
        return [_with_schemes(certificate_files(directory, default_host(domain, options.plain_http)))]
    return hosts_of(parse_toml(data, path).unwrap(), path, domain, options.plain_http)


def read_text(path: str) -> str:
    """The text of a hosts.toml; "" when it is missing. InvalidArgument when it is not UTF-8 or too long."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(_FILE_LIMIT + 1)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{path}: not UTF-8 at byte {error.start}") from error
    if len(data) > _FILE_LIMIT:
        raise InvalidArgument(f"{path}: longer than {_FILE_LIMIT} bytes")
    return text


def parse_toml(text: str, path: str) -> t.Any:
    """A tomlkit document. Raises MissingLibrary; InvalidArgument for invalid TOML (the message has the place, but no value)."""
    try:
        import tomlkit
        import tomlkit.exceptions
    except ImportError as error:
        raise MissingLibrary("tomlkit", f"to read {path}", "python3-tomlkit", "tomlkit") from error
    try:
        return tomlkit.parse(text)
    except tomlkit.exceptions.ParseError as error:
        raise InvalidArgument(f"{path}: not valid TOML at line {error.line}, column {error.col}") from error
    except (tomlkit.exceptions.TOMLKitError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"{path}: not valid TOML: {type(error).__name__}") from error


def hosts_of(data: t.Mapping[str, t.Any], path: str, domain: str, plain_http: bool = False, look: bool = True) -> t.List[Host]:
    """The hosts in the data of a hosts.toml: its tables in their order, then the server.

    InvalidArgument names the file, the key and (unless it is secret) the value. look: False if the files that it
    names need not exist yet.
    """
    top = Table(path, "", data, look)
    tables = top.value("host", dict, "a table", {})
    hosts = []
    for url in tables:
        name = f'host."{printable(url, 200)}"'
        if not isinstance(tables[url], dict):
            raise top.wrong(name, tables[url], "a table")
        hosts.append(host_of(url, f"{path}: {name}", Table(path, name, tables[url], look), domain))
    server = top.value("server", str, "a URL", "")
    if server:
        last = host_of(server, f"{path}: server", top, domain)
    else:
        top.flag("override_path")
        # Without a server containerd takes the registry itself, and ignores capabilities and override_path.
        last = _with_schemes(_settings(default_host(domain, plain_http), top)._replace(capabilities=CAPABILITIES, path="/v2"))
    same = [one for one in hosts if (one.schemes, one.authority, one.path) == (last.schemes, last.authority, last.path)]
    if not same or any(key in top.data for key in KEYS):
        hosts.append(last)
    return hosts


def host_of(url: str, what: str, table: Table, domain: str) -> Host:
    """The host of a URL and its table. Raises InvalidArgument; its message about the URL begins with what."""
    scheme, authority, path = split_url(url, what)
    if not table.flag("override_path") and not path.endswith("/v2"):
        path += "/v2"
    return _with_schemes(_settings(Host((scheme,), authority, path, is_own(authority, domain)), table))


def split_url(url: str, what: str) -> t.Tuple[str, str, str]:
    """Scheme (https by default), authority and path (without a slash at its end) of a host's URL.

    Raises InvalidArgument, whose message begins with what, for anything that cannot be the address of an API. User information
    is refused, since containerd would not use it.
    """
    try:
        parts = urllib.parse.urlsplit(url if url.startswith("http") else f"https://{url}")
        port = parts.port
    except ValueError:
        parts, port = urllib.parse.urlsplit(""), None
    if "@" in parts.netloc:
        raise InvalidArgument(f"{what}: a URL with a user name or a password, which containerd does not use: give it in header")
    good = parts.scheme in ("http", "https") and _AUTHORITY.match(parts.netloc) and port != 0 and url.isascii()
    if not good or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise InvalidArgument(f"{what}: {printable(url, 200)!r}: expected a URL such as https://mirror.example.com")
    path = posixpath.normpath(parts.path) if parts.path else ""
    return parts.scheme, parts.netloc, path.rstrip("/")


def _settings(host: Host, table: Table) -> Host:
    """The host with the capabilities, TLS settings, headers and time limit of its table."""
    return host._replace(
        capabilities=table.capabilities(),
        ca=table.files("ca"),
        client=table.pairs("client"),
        skip_verify=table.flag("skip_verify"),
        header=table.headers("header"),
        dial_timeout=table.duration("dial_timeout"),
    )


def _with_schemes(host: Host) -> Host:
    """Plain HTTP with TLS settings means TLS first (not on port 80), as in containerd from 1.7 on."""
    tls = host.ca or host.client or host.skip_verify is not None
    if host.schemes == ("http",) and tls and not host.authority.endswith(":80"):
        return host._replace(schemes=("https", "http"))
    return host


def certificate_files(directory: str, host: Host) -> Host:
    """Docker's layout: authorities in *.crt, client certificates in *.cert, with the key in *.key or in the same file."""
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise from_os_error(error, f"reading {directory}") from error
    path = {name: os.path.join(directory, name) for name in names}
    return host._replace(
        ca=tuple(path[name] for name in names if name.endswith(".crt")),
        client=tuple((path[name], path.get(name[:-5] + ".key", "")) for name in names if name.endswith(".cert")),
    )


def parse_duration(text: str) -> float:
    """The seconds of a Go duration such as 1m30s or 500ms. Raises ValueError."""
    if text == "0":
        return 0.0
    found = _DURATION.findall(text) if len(text) <= 100 else []
    if not found or "".join(number + unit for number, unit in found) != text:
        raise ValueError(text)
    return sum(float(number) * _UNITS[unit] for number, unit in found)


class Table:
    """Typed access to one table of a hosts.toml. Errors name file, key and value.

    look: False if the files that it names need not exist yet.
    """

    def __init__(self, path: str, name: str, data: t.Mapping[str, t.Any], look: bool = True) -> None:
        self.path, self.name, self.data, self._look = path, name, data, look

    def where(self, key: str) -> str:
        """File and key: the beginning of an error message."""
        return f"{self.path}: {self.name + '.' if self.name else ''}{key}"

    def wrong(self, key: str, value: t.Any, expected: str) -> InvalidArgument:
        return InvalidArgument(f"{self.where(key)}: {printable(repr(value), 200)}: expected {expected}")

    def value(self, key: str, kind: type, expected: str, default: t.Any) -> t.Any:
        found = self.data.get(key, default)
        if not isinstance(found, kind):
            raise self.wrong(key, found, expected)
        return found

    def flag(self, key: str) -> t.Optional[bool]:
        return t.cast(bool, self.value(key, bool, "true or false", False)) if key in self.data else None

    def capabilities(self) -> t.Tuple[str, ...]:
        """The capabilities; all when the key is missing. Those of newer versions of containerd are accepted if we know them."""
        known = (*CAPABILITIES, "referrers")
        found = self.value("capabilities", list, "a list", [])
        for one in found:
            if not isinstance(one, str) or one.lower() not in known:
                raise self.wrong("capabilities", one, f"only {', '.join(known)}")
        return tuple(name for name in CAPABILITIES if not found or name in [one.lower() for one in found])

    def _file(self, key: str, value: t.Any) -> str:
        if not isinstance(value, str) or not value:
            raise self.wrong(key, value, "the path of a file")
        path = os.path.join(os.path.dirname(self.path), value)
        if self._look and not os.path.isfile(path):
            raise self.wrong(key, value, "a file that is there")
        return path

    def files(self, key: str) -> t.Tuple[str, ...]:
        """Paths from a path or a list of paths, relative to the file."""
        found = self.data.get(key, [])
        if not isinstance(found, (str, list)):
            raise self.wrong(key, found, "a path or a list of paths")
        return tuple(self._file(key, one) for one in (found if isinstance(found, list) else [found]))

    def pairs(self, key: str) -> t.Tuple[t.Tuple[str, str], ...]:
        """A path, a list of paths, or a list of pairs of paths (certificate and key)."""
        found = self.data.get(key, [])
        if not isinstance(found, (str, list)):
            raise self.wrong(key, found, "a path, a list of paths or a list of pairs of paths")
        pairs = []
        for one in found if isinstance(found, list) else [found]:
            if isinstance(one, list) and len(one) != 2:
                raise self.wrong(key, one, "a pair: certificate and key")
            certificate, secret = one if isinstance(one, list) else (one, None)
            pairs.append((self._file(key, certificate), "" if secret is None else self._file(key, secret)))
        return tuple(pairs)

    def headers(self, key: str) -> t.Mapping[str, str]:
        """Header names and values. The values are secret, and appear in no message."""
        found = self.data.get(key, {})
        if not isinstance(found, dict):
            raise InvalidArgument(f"{self.where(key)}: expected a table of strings")
        return {name: self._header(f"{key}.{printable(name, 80)}", name, value) for name, value in found.items()}

    def _header(self, key: str, name: str, value: t.Any) -> str:
        values = value if isinstance(value, list) else [value]
        if not _HEADER_NAME.match(name) or not all(isinstance(one, str) for one in values):
            raise InvalidArgument(f"{self.where(key)}: expected the name of a header, and a string or a list of strings")
        if not all(one.isascii() and one.isprintable() for one in values):
            raise InvalidArgument(f"{self.where(key)}: the value (which is not shown) has characters that no header may have")
        return ", ".join(values)

    def duration(self, key: str) -> float:
        """The seconds of a Go duration."""
        found = self.value(key, str, 'a duration such as "5s"', "")
        try:
            return parse_duration(found) if found else 0.0
        except ValueError:
            raise self.wrong(key, found, 'a duration such as "5s" or "1m30s"') from None
