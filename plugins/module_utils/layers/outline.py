# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outline of a layer: unpacked by the same code as the layer itself, but with checksums instead of the bytes of files.

So duplicate, removed or incomplete entries have the same effect in an outline as in the unpacked layer.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import typing as t

from ..errors import from_os_error
from ..hostfs.remove import remove_tree
from ..oci import tar_reader as tar
from .diff_apply import Applier
from .tree import Directory, Tree

_TEMPORARY, _PREFIX = "/var/tmp", ".fleet-verify-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Our attributes in an outline. SUM: the checksum of a file's bytes. SAID: marks a directory that has an entry in the layer.
_NOTES = "trusted.fleet."
SUM, SAID = _NOTES + "sum", _NOTES + "said"


def hasher() -> t.Any:
    return hashlib.blake2b(digest_size=16)


class Notes:
    """Notes about files and directories: in attributes, or in memory if the file system has none."""

    def __init__(self) -> None:
        self._kept: t.Dict[t.Tuple[int, str], bytes] = {}

    def write(self, fd: int, name: str, value: bytes) -> None:
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            self._kept[os.fstat(fd).st_ino, name] = value

    def read(self, fd: int, name: str) -> bytes:
        """The note; b"" for none."""
        with contextlib.suppress(OSError):
            return os.getxattr(fd, name)
        return self._kept.get((os.fstat(fd).st_ino, name), b"")

    @staticmethod
    def is_note(attribute: str) -> bool:
        return attribute.startswith(_NOTES)


class Outliner(Applier):
    """Writes an outline like a layer over others."""

    def __init__(self, tree: Tree, notes: Notes) -> None:
        super().__init__(tree, overlay=True)
        self._notes = notes

    def _data(self, fd: int, entry: tar.Entry, reader: tar.TarReader) -> None:
        if entry.segments is not None:
            super()._data(fd, entry, reader)  # mostly holes, and compared byte by byte
            return
        done = hasher()
        for block in reader.blocks():
            done.update(block)
        os.ftruncate(fd, entry.size)
        self._notes.write(fd, SUM, done.digest())

    def _directory(self, parent: Directory, name: bytes, entry: tar.Entry) -> None:
        super()._directory(parent, name, entry)
        fd = os.open(name, _DIRECTORY, dir_fd=parent.fd)
        try:
            self._notes.write(fd, SAID, b"y")
        finally:
            os.close(fd)


@contextlib.contextmanager
def scratch(beside: str) -> t.Iterator[str]:
    """A new directory on the file system of the directory beside, during the context.

    It is in /var/tmp if that is on the same file system, so that reading layers changes nothing beside them. The remains of killed
    processes there are removed. If beside does not exist yet, the nearest directory above it is used.
    """
    beside = os.path.abspath(beside)
    while not os.path.isdir(beside):
        beside = os.path.dirname(beside)
    parent = _TEMPORARY if _is_same_file_system(_TEMPORARY, beside) else beside
    try:
        for name in os.listdir(parent):
            if name.startswith(_PREFIX):
                _remove_unused(os.path.join(parent, name))
        while True:
            path = os.path.join(parent, _PREFIX + os.urandom(8).hex())
            os.mkdir(path, 0o700)
            try:
                fd = os.open(path, _DIRECTORY)
            except FileNotFoundError:
                continue  # as below, a moment sooner
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                break
            os.close(fd)  # another process took it for a remain of a killed process
    except OSError as error:
        raise from_os_error(error, f"making a directory in {parent}") from error
    try:
        yield path
    finally:
        remove_tree(path)
        os.close(fd)


def _is_same_file_system(one: str, other: str) -> bool:
    try:
        return os.stat(one).st_dev == os.stat(other).st_dev and os.access(one, os.W_OK)
    except OSError:
        return False


def _remove_unused(path: str) -> None:
    try:
        fd = os.open(path, _DIRECTORY)
    except OSError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_uid == os.geteuid():
            remove_tree(path)
    except OSError:
        return
    finally:
        os.close(fd)
