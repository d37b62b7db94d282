# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing an unpacked layer with the layer: every entry, its metadata and its bytes. Nothing is written."""

from __future__ import annotations

import os
import stat
import typing as t

from ..engine.models import Applied
from ..errors import DataLoss, EngineError, NotFound, from_os_error, printable
from ..oci import tar_reader as tar
from .inflate import Inflater
from .overlay_marks import is_whiteout
from .paths import META, OPAQUE, PREFIX, Path, marker, split
from .tree import Directory, Tree

_KINDS = {
    tar.REGULAR: stat.S_IFREG,
    b"S": stat.S_IFREG,
    tar.DIRECTORY: stat.S_IFDIR,
    tar.SYMLINK: stat.S_IFLNK,
    tar.CHARACTER: stat.S_IFCHR,
    tar.BLOCK_DEVICE: stat.S_IFBLK,
    tar.FIFO: stat.S_IFIFO,
}
_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME


class _Stored(Tree):
    """A tree that is only looked at."""

    def make_directory(self, parent: Directory, name: bytes) -> None:
        raise NotFound("the directory is not there")


def verify_layer(
    stream: t.BinaryIO, media_type: str, root: str, lowers: t.Sequence[str] = (), overlay: bool = False, limit: int = 1 << 40
) -> t.Tuple[Applied, str]:
    """What the layer unpacks to, and the first way in which the directory root differs from it ("" where it does not).

    Arguments as those of apply_layer. DataLoss for a broken stream. What the layer says nothing about is not looked at.
    """
    try:
        with Inflater(stream, media_type, limit) as source, _Stored(root, lowers) as tree:
            problem = _Comparer(tree, overlay).run(tar.TarReader(source))
            while source.read():
                pass
            return Applied(source.digest, source.size), problem
    except OSError as error:
        raise from_os_error(error, f"comparing a layer with {root}") from error


class _Comparer:
    """Later entries of a layer replace earlier ones: what was found about those is forgotten then."""

    def __init__(self, tree: Tree, overlay: bool) -> None:
        self._tree, self._overlay = tree, overlay
        self._problems: t.Dict[Path, str] = {}

    def run(self, reader: tar.TarReader) -> str:
        for entry in reader:
            path = split(entry.name)
            if not path or 0 <= marker(path) < len(path) - 1:
                continue
            try:
                parent: t.Optional[Directory] = self._tree.directory(path[:-1])
                where = t.cast(Directory, parent).path + path[-1:]
            except (EngineError, OSError):
                parent, where = None, path
            if path[-1].startswith(PREFIX):
                self._whiteout(where)
                continue
            if entry.kind != tar.DIRECTORY:
                self._forget(where)
            problem = self._differs(parent, path[-1], entry, reader) if parent else "is missing"
            if problem:
                self._problems[where] = problem
            else:
                self._problems.pop(where, None)
        for where in sorted(self._problems):
            return f"{printable(b'/'.join(where), 200)} {self._problems[where]}"
        return ""

    def _whiteout(self, where: Path) -> None:
        name = where[-1]
        if name != OPAQUE and not name.startswith(META):
            self._forget(where[:-1] + (name[len(PREFIX) :],))

    def _forget(self, where: Path) -> None:
        for known in [one for one in self._problems if one[: len(where)] == where]:
            del self._problems[known]

    def _differs(self, parent: Directory, name: bytes, entry: tar.Entry, reader: tar.TarReader) -> str:
        try:
            found = os.lstat(name, dir_fd=parent.fd)
        except OSError:
            return "is missing"
        if entry.kind == tar.HARDLINK:
            return "is missing" if self._overlay and is_whiteout(found) else ""
        if stat.S_IFMT(found.st_mode) != _KINDS.get(entry.kind):
            return "is of another kind"
        if (found.st_uid, found.st_gid) != (entry.uid, entry.gid):
            return "has another owner"
        if entry.kind == tar.SYMLINK:
            return "" if os.readlink(name, dir_fd=parent.fd) == entry.link else "leads elsewhere"
        if stat.S_IMODE(found.st_mode) != entry.mode & 0o7777:
            return "has another mode"
        return self._inside(parent, name, found, entry, reader)

    def _inside(self, parent: Directory, name: bytes, found: os.stat_result, entry: tar.Entry, reader: tar.TarReader) -> str:
        if entry.kind in (tar.CHARACTER, tar.BLOCK_DEVICE):
            return "" if found.st_rdev == os.makedev(entry.major, entry.minor) else "is another device"
        if entry.kind not in (tar.REGULAR, b"S"):
            return ""
        size = entry.size if entry.segments is None else entry.real_size
        if found.st_size != size:
            return f"has {found.st_size} bytes, not {size}"
        return self._content(parent, name, entry, reader)

    @staticmethod
    def _content(parent: Directory, name: bytes, entry: tar.Entry, reader: tar.TarReader) -> str:
        """The bytes that the layer has are those of the file (the holes of a sparse file are not read)."""
        fd = os.open(name, _READ_FILE, dir_fd=parent.fd)
        try:
            segments = entry.segments if entry.segments is not None else [(0, entry.size)]
            blocks, rest = reader.blocks(), memoryview(b"")
            for offset, length in segments:
                while length:
                    rest = rest or next(blocks)
                    part = rest[:length]
                    if os.pread(fd, len(part), offset) != part:
                        return "has other content"
                    rest, offset, length = rest[len(part) :], offset + len(part), length - len(part)
        except StopIteration:
            raise DataLoss("the layer ends in the middle of an entry") from None
        finally:
            os.close(fd)
        return ""
