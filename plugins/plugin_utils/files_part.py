# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller sends of its files to a target: a tar with a list of all, and some contents.

module_utils/resources/files/part.py reads it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
import time
import typing as t

_LIST, _CONTENT = "list.json", "content/"
_BLOCK = 1024 * 1024
#: A single file that is not larger goes with the list: asking for it would take longer.
_SMALL = 128 * 1024
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}

#: From a path to one with its plain content, during the context.
Decrypted = t.Callable[[str], t.ContextManager[str]]


class Problem(Exception):
    """Of the files of the controller, in one line."""


class Files:
    """A file, or a directory with all that is in it. shown: how messages name it. plain: for files that may be encrypted."""

    def __init__(self, path: str, shown: str, follow: bool, plain: Decrypted) -> None:
        self._path, self._shown, self._follow, self._plain = path, shown, follow, plain
        self._skipped: t.List[str] = []
        #: As resources/files/values.py: Entry.
        self._entries: t.List[t.List[t.Any]] = []
        self._add("", [])

    def _where(self, path: str) -> str:
        return os.path.join(self._path, path) if path else self._path

    def _add(self, path: str, above: t.List[t.Tuple[int, int]]) -> None:
        where = self._where(path)
        try:
            found = os.stat(where) if self._follow else os.lstat(where)
        except FileNotFoundError as error:
            if not path:
                raise Problem(f"there is no {where}") from error
            # A link that leads nowhere.
            found = os.lstat(where)
        kind = _KINDS.get(stat.S_IFMT(found.st_mode))
        if kind is None:
            if not path:
                raise Problem(f"{where} is no file, directory or link")
            self._skipped.append(where)
            return
        entry = [path, kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns, 0, "", ""]
        self._entries.append(entry)
        if kind == "file":
            entry[6], entry[8] = self._digest(where)
        elif kind == "link":
            entry[7] = os.readlink(where)
        else:
            identity = (found.st_dev, found.st_ino)
            if identity in above:
                raise Problem(f"{where} contains itself by a link: give local_follow=false")
            for name in sorted(os.listdir(where)):
                self._add(f"{path}/{name}" if path else name, [*above, identity])

    def _digest(self, where: str) -> t.Tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        with self._plain(where) as plain, open(plain, "rb") as stream:
            for block in iter(lambda: stream.read(_BLOCK), b""):
                digest.update(block)
                size += len(block)
        return size, digest.hexdigest()

    def write(self, part: str, wanted: t.Collection[str]) -> None:
        """Write the list, and the contents of those files that are wanted, by their paths."""
        with tarfile.open(part, "w:", format=tarfile.PAX_FORMAT) as archive:
            _list(archive, self._shown, self._entries, self._skipped)
            for number, (path, kind, *_others, size, _link, _digest) in enumerate(self._entries):
                if kind == "file" and (path in wanted or (len(self._entries) == 1 and size <= _SMALL)):
                    with self._plain(self._where(path)) as plain, open(plain, "rb") as stream:
                        if os.fstat(stream.fileno()).st_size != size:
                            raise Problem(f"{self._where(path)} has changed while it was read")
                        archive.addfile(_member(f"{_CONTENT}{number}", size), stream)

    def offers(self, asked: t.Iterable[str]) -> t.Set[str]:
        """Those of the paths that are files here."""
        return {entry[0] for entry in self._entries if entry[1] == "file"} & set(asked)


class Text:
    """A file with this content."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def write(self, part: str, wanted: t.Collection[str]) -> None:
        size, digest = len(self._content), hashlib.sha256(self._content).hexdigest()
        with tarfile.open(part, "w:", format=tarfile.PAX_FORMAT) as archive:
            _list(archive, "", [["", "file", 0o644, 0, 0, time.time_ns(), size, "", digest]], [])
            archive.addfile(_member(f"{_CONTENT}0", size), io.BytesIO(self._content))

    def offers(self, asked: t.Iterable[str]) -> t.Set[str]:
        """Nothing more: all of it is sent."""
        return set()


def _list(archive: tarfile.TarFile, shown: str, entries: t.Sequence[t.Any], skipped: t.Sequence[str]) -> None:
    data = json.dumps({"shown": shown, "entries": entries, "skipped": skipped}).encode()
    archive.addfile(_member(_LIST, len(data)), io.BytesIO(data))


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member
