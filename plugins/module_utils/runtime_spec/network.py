# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a specification, and the files of /etc that describe it, as in Docker."""

from __future__ import annotations

import typing as t

from .mounts import mount

HOSTS, RESOLVER = "/etc/hosts", "/etc/resolv.conf"
#: What systemd-resolved was told; its own file names only itself.
_RESOLVED = "/run/systemd/resolve/resolv.conf"
#: Docker's, where the host names no server that a container can reach.
_SERVERS = ("8.8.8.8", "8.8.4.4")


def share_host_network(spec: t.Mapping[str, t.Any]) -> None:
    """Use the host's network. The sysfs of another network namespace cannot be mounted, so take the host's, read-only."""
    linux = spec["linux"]
    linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] != "network"]
    sysfs = mount("/sys", "bind", "/sys", "rbind nosuid noexec nodev ro")
    spec["mounts"][:] = [sysfs if one["destination"] == "/sys" else one for one in spec["mounts"]]


def join_network(spec: t.Mapping[str, t.Any], path: str) -> None:
    """Use a network namespace that is there."""
    linux = spec["linux"]
    others = [one for one in linux["namespaces"] if one["type"] != "network"]
    linux["namespaces"] = [*others, {"type": "network", "path": path}]


def hosts_file(hostname: str, more: t.Mapping[str, str] = {}) -> bytes:
    """hostname: empty where it belongs to an address of a network, which is written there by whoever attaches."""
    names = f"localhost {hostname}" if hostname not in ("localhost", "") else "localhost"
    lines = [f"127.0.0.1\t{names}", "::1\tlocalhost ip6-localhost ip6-loopback"]
    return "".join(f"{line}\n" for line in [*lines, *(f"{address}\t{name}" for name, address in more.items())]).encode()


def resolver_of_host(of_host: bool) -> str:
    """The host's resolv.conf; for a container with a network of its own, one that does not name only the host itself."""
    for path in (RESOLVER, _RESOLVED):
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                text = stream.read(1 << 16)
        except OSError:
            continue
        if of_host:
            return text
        lines = [line for line in text.splitlines() if not _only_the_host(line)]
        if _servers(lines):
            return "\n".join(lines)
    return ""


def _only_the_host(line: str) -> bool:
    return any(one.startswith("127.") or one == "::1" for one in _servers([line]))


def _servers(lines: t.Iterable[str]) -> t.List[str]:
    return [words[1] for words in map(str.split, lines) if len(words) > 1 and words[0] == "nameserver"]


def resolver_file(host: str, servers: t.Sequence[str], domains: t.Sequence[str], options: t.Sequence[str]) -> bytes:
    """host: the host's resolv.conf, which has what is not given."""
    kept = [words for words in map(str.split, host.splitlines()) if words]
    lines = [f"nameserver {one}" for one in servers or _servers(host.splitlines()) or _SERVERS]
    if domains:
        lines += [f"search {' '.join(domains)}"] if list(domains) != ["."] else []
    else:
        lines += [" ".join(words) for words in kept if words[0] in ("search", "domain")][-1:]
    lines += [f"options {' '.join(options)}"] if options else [" ".join(words) for words in kept if words[0] == "options"]
    return "".join(f"{line}\n" for line in lines).encode()
