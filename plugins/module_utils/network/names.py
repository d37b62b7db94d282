# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the members of a network, in the hosts file of each of them, kept current as they come and go.

Who is a member is below /run: a reboot ends the membership of all. A file is rewritten in place, because it is mounted into a
container; what the container itself wrote there stays.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import typing as t

from ..errors import EngineError, InvalidArgument, NotFound, printable
from ..hostfs.atomic import make_dir, read_file, remove_file, write_file
from ..hostfs.edit import edit, with_part
from ..hostfs.lock import locked
from .places import STATE_DIR

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}"
_SUFFIX = ".json"


class Member(t.NamedTuple):
    """key: tells it from all others of its network. hosts: the file on the host that is its /etc/hosts; empty for none.

    silent: others are not told its names.
    """

    key: str
    names: t.Tuple[str, ...]
    addresses: t.Tuple[str, ...]
    hosts: str = ""
    silent: bool = False

    def check(self) -> None:
        """InvalidArgument for a name that would be more than a name in a hosts file."""
        for name in self.names:
            if not re.fullmatch(_NAME, name):
                raise InvalidArgument(f"aliases: {printable(name, 80)!r} is no name of a host")

    def lines(self) -> t.List[str]:
        return [f"{address}\t{' '.join(dict.fromkeys(self.names))}" for address in self.addresses]


class Names:
    """Those of one network. shared: members know each other; else each only itself, as in docker's default network."""

    def __init__(self, network: str, state_dir: str = STATE_DIR, shared: bool = True) -> None:
        self._network, self._shared = network, shared
        self._path = os.path.join(state_dir, network)

    def join(self, member: Member) -> t.List[str]:
        """Also to change what is known of a member. What could not be written, a sentence each."""
        member.check()
        make_dir(self._path)
        with self._locked():
            write_file(self._file(member.key), json.dumps(member).encode(), durable=False, alone=True)
            return self._tell()

    def leave(self, key: str) -> t.List[str]:
        """Fine when it is no member."""
        if not os.path.isdir(self._path):
            return []
        with self._locked():
            gone = self._read(self._file(key))
            remove_file(self._file(key))
            return ([] if gone is None else self._write(gone, [])) + self._tell()

    def members(self) -> t.List[Member]:
        with contextlib.suppress(FileNotFoundError):
            names = sorted(name for name in os.listdir(self._path) if name.endswith(_SUFFIX))
            return [one for one in (self._read(os.path.join(self._path, name)) for name in names) if one]
        return []

    def _tell(self) -> t.List[str]:
        members = self.members()
        return [problem for one in members for problem in self._write(one, self._lines(one, members))]

    def _lines(self, member: Member, members: t.Sequence[Member]) -> t.List[str]:
        """What a member knows: itself, and the others that are not silent."""
        known = [one for one in members if one.key == member.key or (self._shared and not one.silent)]
        return [line for one in known for line in one.lines()]

    def _write(self, member: Member, lines: t.Sequence[str]) -> t.List[str]:
        if member.hosts:
            try:
                rewrite(member.hosts, self._network, lines)
            except EngineError as error:
                return [str(error)]
        return []

    def _read(self, path: str) -> t.Optional[Member]:
        raw = read_file(path)
        try:
            key, names, addresses, hosts, *silent = json.loads(raw or b"null")
        except (ValueError, TypeError):
            return None
        return Member(key, tuple(names), tuple(addresses), hosts, silent == [True])

    def _file(self, key: str) -> str:
        if "/" in key or "\0" in key or key.startswith("."):
            raise InvalidArgument(f"{printable(key, 80)!r} cannot be the name of a member")
        return os.path.join(self._path, f"{key}{_SUFFIX}")

    def _locked(self) -> t.ContextManager[int]:
        return locked(os.path.join(self._path, ".lock"), f"the names of the network {self._network}")


def rewrite(path: str, network: str, lines: t.Sequence[str]) -> None:
    """Replace the part of a hosts file that is about this network. Fine when the file is gone: so is its container."""
    with contextlib.suppress(NotFound):
        edit(path, lambda old: with_part(old, network, lines))
