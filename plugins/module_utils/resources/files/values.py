# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks to be copied, what there is, and how they differ."""

from __future__ import annotations

import stat
import typing as t

from ...engine.models import Container
from ...hostfs.put import Attributes
from ...kernel.engines import EngineOptions
from ...oci.modes import Change
from ...volume.store import Volume

FILE, DIRECTORY, LINK = "file", "directory", "link"
_KINDS = {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: LINK}
_OTHERS = {stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}


def kind_of(mode: int) -> str:
    """FILE, DIRECTORY, LINK, or the name of what cannot be copied."""
    return _KINDS.get(stat.S_IFMT(mode)) or _OTHERS.get(stat.S_IFMT(mode), "special file")


class Entry(t.NamedTuple):
    """A file, directory or link of what is to be copied. path: below the top, which has an empty one. uid, gid: as its own side has them.

    mtime: in nanoseconds. link: where it leads. digest: SHA-256 of a file that is elsewhere. same: the path of an earlier entry, of which
    it is another name (a hard link). extended: its extended attributes.
    """

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    link: str = ""
    digest: str = ""
    same: str = ""
    extended: t.Mapping[str, bytes] = {}

    @classmethod
    def of(cls, path: str, found: t.Any, link: str = "") -> Entry:
        """From a stat result."""
        mode, kind = stat.S_IMODE(found.st_mode), kind_of(found.st_mode)
        size = found.st_size if kind == FILE else 0
        return cls(path, kind, mode, found.st_uid, found.st_gid, found.st_mtime_ns, size, link)


class Difference(t.NamedTuple):
    """An entry that is not there as it should be. want: its attributes there. have: what is there, by its stat result.

    content: it is to be written, or only its attributes changed. extended: the extended attributes that are there, if they matter.
    """

    entry: Entry
    want: Attributes
    have: t.Any
    content: bool
    extended: t.Optional[t.Mapping[str, bytes]] = None


class WantedCopy(t.NamedTuple):
    """container, volume: one of them has a name. into: into it, or out of it. path: of this host; empty with content. owner, group, mode:
    as they were given.

    part: path is what the controller has sent of shown. force: True writes always, False only what is not there.
    """

    engine: EngineOptions
    container: str
    volume: str
    container_path: str
    path: str
    shown: str
    into: bool
    content: t.Optional[bytes]
    owner: t.Optional[str]
    group: t.Optional[str]
    mode: t.Optional[Change]
    directory_mode: t.Optional[Change]
    follow: bool
    local_follow: bool
    force: t.Optional[bool]
    archive: bool
    part: bool

    @property
    def title(self) -> str:
        """For users."""
        if self.into:
            return f"copy {self.shown} to {self.there}" if self.shown else f"write {self.there}"
        return f"copy {self.there} to {self.path}"

    @property
    def there(self) -> str:
        """The path in the container or volume, for users."""
        return f"{self.container or f'volume {self.volume}'}:{self.container_path}"


class FoundCopy(t.NamedTuple):
    """The container, or the volume."""

    container: t.Optional[Container] = None
    volume: t.Optional[Volume] = None

    @property
    def key(self) -> str:
        """What nothing else has."""
        return self.container.id if self.container else self.volume.data if self.volume else ""
