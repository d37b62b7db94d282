# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resolv.conf of a container: what it is given, and the rest from the host, as that is at each start."""

from __future__ import annotations

import contextlib
import typing as t

from ..errors import NotFound
from ..hostfs.edit import edit

_HOST = "/etc/resolv.conf"
#: What systemd-resolved was told; its own file names only itself.
_RESOLVED = "/run/systemd/resolve/resolv.conf"
#: Docker's, where the host names no server that a container can reach.
_SERVERS = ("8.8.8.8", "8.8.4.4")
_LIMIT = 1 << 16


class Resolver(t.NamedTuple):
    """path: of the file that is mounted into the container. What is empty comes from the host."""

    path: str
    servers: t.Tuple[str, ...] = ()
    domains: t.Tuple[str, ...] = ()
    options: t.Tuple[str, ...] = ()

    @classmethod
    def of(cls, document: t.Sequence[t.Any]) -> Resolver:
        """From JSON."""
        path, *lists = document
        return cls(str(path), *(tuple(map(str, one)) for one in lists))

    def text(self, of_host: bool = False) -> bytes:
        """of_host: for a container in the network of the host, which reaches what only the host reaches."""
        host = _of_host(of_host)
        kept = [words for words in map(str.split, host.splitlines()) if words]
        lines = [f"nameserver {one}" for one in self.servers or _servers(host.splitlines()) or _SERVERS]
        if self.domains:
            lines += [f"search {' '.join(self.domains)}"] if self.domains != (".",) else []
        else:
            lines += [" ".join(words) for words in kept if words[0] in ("search", "domain")][-1:]
        of_host_too = [" ".join(words) for words in kept if words[0] == "options"]
        lines += [f"options {' '.join(self.options)}"] if self.options else of_host_too
        return "".join(f"{line}\n" for line in lines).encode()

    def write(self) -> None:
        """Have what the host says now in the file, which may be mounted already: so it is written in place. Fine when it is gone."""
        text = self.text()
        with contextlib.suppress(NotFound):
            edit(self.path, lambda old: text)


def _of_host(all_of_it: bool) -> str:
    """The host's resolv.conf. For a container with a network of its own, one with servers that it can reach, if there is one."""
    first: t.Optional[str] = None
    for path in (_HOST, _RESOLVED):
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                text = stream.read(_LIMIT)
        except OSError:
            continue
        if all_of_it:
            return text
        lines = [line for line in text.splitlines() if not _only_the_host(line)]
        if _servers(lines):
            return "\n".join(lines)
        first = "\n".join(lines) if first is None else first
    return first or ""


def _only_the_host(line: str) -> bool:
    """Whether it names a server that only the host reaches: itself, or one on a link of its own."""
    return any(one.startswith(("127.", "fe80:")) or one == "::1" for one in _servers([line]))


def _servers(lines: t.Iterable[str]) -> t.List[str]:
    return [words[1] for words in map(str.split, lines) if len(words) > 1 and words[0] == "nameserver"]
