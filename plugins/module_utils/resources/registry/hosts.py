# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_registry: write the hosts to try for a registry, as a hosts.toml below certs.d."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import typing as t

from ...errors import EngineError, InvalidArgument, from_os_error, printable
from ...hostfs.atomic import make_dir, read_file
from ...hostfs.lock import locked
from ...hostfs.places import write
from ...kernel.converge import Facts, Plan, Step
from ...oci.reference import Reference
from ...registry.hosts import FILE, KEYS, Table, directory_names, host_of, hosts_of, read_text, split_url
from ...registry.hosts_file import Data, HostsFile, has_secrets, of_one_type, readable_by_all, render, shown, wanted_mode
from .facts import host_facts

if t.TYPE_CHECKING:
    from ...registry.options import Host

#: The files for ca_content. Their names depend on the content, so that hosts.toml switches to a new one atomically.
_CA_FILE = re.compile(r"ca-[0-9a-f]{16}\.pem\Z")
DEFAULT = "_default"


class WantedHosts(t.NamedTuple):
    """directory: the one that containerd reads for the registry. given: the wishes of the task; None or a missing key: not set."""

    registry: str
    directory: str
    present: bool
    server: t.Optional[str]
    mirrors: t.Optional[t.Mapping[str, Data]]
    authorities: t.Mapping[str, bytes]

    @property
    def path(self) -> str:
        return os.path.join(self.directory, FILE)


class HostsResource:
    """The hosts.toml of one registry."""

    def desired(self, params: t.Mapping[str, t.Any], engine: t.Any) -> WantedHosts:
        registry = registry_name(params["registry"], "registry")
        config_dir = params["registry_config_dir"]
        if not os.path.isabs(config_dir):
            raise InvalidArgument(f"registry_config_dir: {printable(config_dir, 200)} is not an absolute path")
        directory = own_directory(registry, config_dir)
        authorities: t.Dict[str, bytes] = {}
        server = params["server"]
        if server:
            server = url_of(server, "server")
        mirrors = None
        if params["mirrors"] is not None:
            mirrors = {}
            for given in params["mirrors"]:
                url, table = _mirror(given, registry, authorities)
                if url in mirrors:
                    raise InvalidArgument(f"mirrors: host {url} is named twice")
                mirrors[url] = table
        return WantedHosts(registry, directory, params["state"] == "present", server, mirrors, authorities)

    def observe(self, want: WantedHosts, engine: t.Any) -> HostsFile:
        text = read_text(want.path)
        if not want.present:
            return HostsFile(want.path, text, {})
        with contextlib.suppress(InvalidArgument):
            # A file exactly as we write it need not be parsed, which would cost more than everything else.
            given = _merged(want, {})
            if text == render(given):
                return HostsFile(want.path, text, given)
        return HostsFile.read(want.path)

    def lock(self, want: WantedHosts, engine: t.Any) -> t.ContextManager[t.Any]:
        root = os.path.realpath(os.path.dirname(want.directory))
        make_dir(root, 0o755)
        return locked(root, root)

    def plan(self, want: WantedHosts, have: HostsFile, engine: t.Any) -> Plan:
        if not want.present:
            return Plan(*_absent(want, have), functools.partial(_facts, want), want.path)
        data = _merged(want, have.data)
        hosts_of(data, want.path, want.registry, look=False)
        file, mode = have.with_data(data), wanted_mode(data, have)
        steps = []
        for name, content in want.authorities.items():
            path = os.path.join(want.directory, name)
            if read_file(path) != content:
                steps.append(Step(f"write {path}", functools.partial(write, path, content, 0o644)))
        if file.text != have.text:
            steps.append(Step(f"write {want.path}", functools.partial(self._write, want, file, mode)))
        elif has_secrets(data) and readable_by_all(want.path):
            steps.append(Step(f"make {want.path} unreadable for others", functools.partial(self._write, want, file, mode)))
        stale = _our_files(want.directory) - _named_files(data, want.directory)
        steps += [Step(f"remove {path}", functools.partial(_unlink, path)) for path in sorted(stale)]
        return Plan(steps, shown(have), shown(file, have), functools.partial(_facts, want), want.path)

    @staticmethod
    def _write(want: WantedHosts, file: HostsFile, mode: int) -> None:
        # Now the files that it names must be there.
        hosts_of(file.data, want.path, want.registry)
        write(want.path, file.text.encode(), mode)


def _facts(want: WantedHosts, end: HostsFile) -> Facts:
    hosts: t.Sequence[Host] = ()
    if end.data:
        with contextlib.suppress(InvalidArgument):
            hosts = hosts_of(end.data, want.path, want.registry, look=False)
    return Facts({"hosts_toml": want.path, "hosts": [host_facts(host) for host in hosts if host.authority != DEFAULT]})


def registry_name(text: str, option: str) -> str:
    """host[:port] as images name it, or _default. InvalidArgument."""
    if text == DEFAULT:
        return text
    try:
        domain = Reference.parse(f"{text}/x").domain
    except InvalidArgument:
        domain = ""
    if text in ("index.docker.io", "registry-1.docker.io"):
        raise InvalidArgument(f"{option}: {text}: images of Docker Hub are named docker.io, and so is their registry")
    if not text or domain != text:
        raise InvalidArgument(
            f"{option}: {printable(text, 200)!r} is not a registry: expected host[:port] as images name it, or _default"
        )
    return text


def own_directory(registry: str, config_dir: str) -> str:
    """The directory of a registry that containerd reads first: the existing one, else host_PORT_."""
    names = [registry] if registry == DEFAULT else directory_names(registry)
    there = [name for name in names if os.path.isdir(os.path.join(config_dir, name))]
    return os.path.join(config_dir, (there or names)[0])


def url_of(text: str, what: str) -> str:
    """The URL of a host with its scheme. InvalidArgument, whose message begins with what."""
    split_url(text, what)
    return text if "://" in text else f"https://{text}"


def _mirror(given: t.Mapping[str, t.Any], registry: str, authorities: t.Dict[str, bytes]) -> t.Tuple[str, Data]:
    """The URL and the table of one mirror, with keys only for given options. Its authority is added to authorities."""
    url = url_of(given["host"], "mirrors: host")
    table = {key: given[key] for key in KEYS if given.get(key) is not None}
    if given.get("ca_content"):
        content = _authority(given["ca_content"], url)
        name = f"ca-{hashlib.sha256(content).hexdigest()[:16]}.pem"
        authorities[name] = content
        table["ca"] = [*table.get("ca", []), name]
    host_of(url, "mirrors: host", Table("mirrors", f'host."{url}"', table, look=False), registry)
    if table.get("client"):
        table["client"] = of_one_type(table["client"])
    return url, table


def _authority(text: str, url: str) -> bytes:
    """The content for a file of authorities. InvalidArgument when OpenSSL cannot read it."""
    import ssl

    content = text.strip().encode() + b"\n"
    try:
        ssl.create_default_context(cadata=content.decode("ascii"))
    except (ValueError, ssl.SSLError) as error:
        raise InvalidArgument(f"mirrors: ca_content for {url} is not a certificate in PEM format") from error
    return content


def _merged(want: WantedHosts, have: Data) -> Data:
    """The new data of the file: the options of the task, and the present values of the others."""
    data = dict(have)
    if want.server is not None:
        data["server"] = want.server
    if want.mirrors is not None:
        there = {_canonical(url): (url, table) for url, table in have.get("host", {}).items()}
        data["host"] = {}
        for url, table in want.mirrors.items():
            name, old = there.get(_canonical(url), (url, {}))
            merged = {**old, **table}
            data["host"][name] = {key: value for key, value in merged.items() if value not in ([], {}, "")}
    server = data.get("server")
    if not data.get("host"):
        if not server:
            raise InvalidArgument("mirrors: give mirrors or server, or state: absent to have no file")
        # containerd 1.6 and 1.7 ignore a file without any table.
        data["host"] = {server: {"capabilities": ["pull", "resolve", "push"]}}
    return {key: data[key] for key in sorted(data, key=lambda key: key != "server") if data[key] not in ("", {})}


def _canonical(url: str) -> t.Any:
    try:
        return split_url(url, "")
    except InvalidArgument:
        return url


def _our_files(directory: str) -> t.Set[str]:
    """The files of authorities that this module wrote."""
    try:
        return {os.path.join(directory, name) for name in os.listdir(directory) if _CA_FILE.match(name)}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise from_os_error(error, f"reading {directory}") from error


def _named_files(data: Data, directory: str) -> t.Set[str]:
    named = [table.get("ca", []) for table in [data, *data.get("host", {}).values()]]
    return {os.path.join(directory, name) for one in named for name in ([one] if isinstance(one, str) else one)}


def _absent(want: WantedHosts, have: HostsFile) -> t.Tuple[t.List[Step], str, str]:
    """Steps, before and after for a removal: of our files, and of the directory if it is empty then; for both spellings of a port."""
    config_dir = os.path.dirname(want.directory)
    names = [want.registry] if want.registry == DEFAULT else directory_names(want.registry)
    steps = []
    for directory in (os.path.join(config_dir, name) for name in names):
        path = os.path.join(directory, FILE)
        ours = sorted(_our_files(directory)) + [path] * os.path.lexists(path)
        # Remove hosts.toml first, so that it never names a missing file.
        steps += [Step(f"remove {one}", functools.partial(_unlink, one)) for one in reversed(ours)]
        if ours and {os.path.join(directory, name) for name in os.listdir(directory)} == set(ours):
            steps.append(Step(f"remove {directory}", functools.partial(_rmdir, directory)))
    return steps, _shown_as_it_can(have), ""


def _shown_as_it_can(have: HostsFile) -> str:
    """The shown text of a removed file. A file that cannot be parsed may have secrets, and is not shown."""
    try:
        return shown(HostsFile.read(have.path))
    except EngineError:
        return f"({len(have.text)} characters that cannot be shown)\n"


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise from_os_error(error, f"removing {path}") from error


def _rmdir(path: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(path)
