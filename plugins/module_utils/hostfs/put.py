# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a file, a directory or a link at a spot of a view, whose directory others may change meanwhile. Nothing is followed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import typing as t

from . import syscalls, xattrs
from .view import Spot, listed

_BLOCK = 1024 * 1024
_ZEROS = bytes(_BLOCK)
_T = t.TypeVar("_T")


class Attributes(t.NamedTuple):
    """Of the new file, as this host has them. mtime: in nanoseconds; None: now. extended: the only ones (xattrs.py); None: as they are."""

    uid: int
    gid: int
    mode: int
    mtime: t.Optional[int] = None
    extended: t.Optional[t.Mapping[str, bytes]] = None


def put_file(spot: Spot, blocks: t.Iterable[bytes], attributes: Attributes, key: str, durable: bool) -> None:
    """A regular file in place of what is there, at once. Something that is mounted cannot be replaced: then the file itself is written.

    key: who writes. What a killed process leaves of a file is replaced when the same one writes it again. OSError.
    """
    if spot.mounted:
        _write(spot.open(os.O_WRONLY | os.O_TRUNC), blocks, attributes, durable)
        return
    with _new(spot, key) as (directory, name):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        _write(_made(directory, lambda: os.open(name, flags, 0o600, dir_fd=directory)), blocks, attributes, durable)


def put_link(spot: Spot, target: str, attributes: Attributes, key: str) -> None:
    """A symbolic link in place of what is there."""
    with _new(spot, key) as (directory, name):
        _made(directory, lambda: os.symlink(target, name, dir_fd=directory))
        os.chown(name, attributes.uid, attributes.gid, dir_fd=directory, follow_symlinks=False)


def put_name(spot: Spot, file: Spot, key: str) -> None:
    """One more name of a file in place of what is there. OSError unless both are on the same mount."""
    with _new(spot, key) as (directory, name):
        # Exactly the file that was looked at, whatever has its name by now.
        place = f"/proc/self/fd/{file.fd}"
        _made(directory, lambda: os.link(place, name, dst_dir_fd=directory, follow_symlinks=True))


def make_directory(spot: Spot, attributes: Attributes) -> None:
    """A directory where nothing is."""
    directory = t.cast(t.Any, spot.directory).fd
    _made(directory, lambda: os.mkdir(spot.name, 0o700, dir_fd=directory))
    fd = os.open(spot.name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        give(fd, attributes)
    finally:
        os.close(fd)


def change(spot: Spot, attributes: Attributes) -> None:
    """Other attributes for what is there."""
    if stat.S_ISLNK(spot.kind):
        directory = t.cast(t.Any, spot.directory).fd
        os.chown(spot.name, attributes.uid, attributes.gid, dir_fd=directory, follow_symlinks=False)
    else:
        give(spot.fd, attributes)


def give(fd: int, attributes: Attributes) -> None:
    """The attributes for an open file or directory, also one that was opened with O_PATH."""
    path = f"/proc/self/fd/{fd}"
    os.chown(path, attributes.uid, attributes.gid)
    # A change of the owner takes some bits away.
    os.chmod(path, attributes.mode)
    if attributes.extended is not None:
        xattrs.write(fd, attributes.extended)
    if attributes.mtime is not None:
        os.utime(path, ns=(attributes.mtime, attributes.mtime))


def _write(fd: int, blocks: t.Iterable[bytes], attributes: Attributes, durable: bool) -> None:
    size = 0
    try:
        for block in blocks:
            if block == _ZEROS[: len(block)]:
                # A hole.
                os.lseek(fd, len(block), os.SEEK_CUR)
            else:
                view = memoryview(block)
                while view:
                    view = view[os.write(fd, view) :]
            size += len(block)
        os.ftruncate(fd, size)
        give(fd, attributes)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _new(spot: Spot, key: str) -> t.Iterator[t.Tuple[int, str]]:
    """A directory, and a name in it for what takes the place of a spot at the end of the context."""
    directory = t.cast(t.Any, spot.directory).fd
    name = f".fleet-{hashlib.sha256(os.fsencode(f'{key} {spot.name}')).hexdigest()[:16]}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
    done = False
    try:
        yield directory, name
        _made(directory, lambda: os.rename(name, spot.name, src_dir_fd=directory, dst_dir_fd=directory))
        done = True
    finally:
        if not done:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=directory)


def _made(directory: int, make: t.Callable[[], _T]) -> _T:
    """Make or name something in a directory. Where the file system belongs to a container with users of its own, only those can, and
    not even root.
    """
    try:
        return make()
    except OSError as error:
        if error.errno != errno.EOVERFLOW:
            raise
    found = os.fstat(directory)
    with syscalls.files_as(found.st_uid, found.st_gid):
        return make()


def blocks_of(fd: int, offset: int, size: int) -> t.Iterator[bytes]:
    """size bytes of a file from offset on, or what there is of them."""
    while size > 0:
        block = os.pread(fd, min(_BLOCK, size), offset)
        if not block:
            return
        yield block
        offset, size = offset + len(block), size - len(block)


def sync_file_system(spot: Spot) -> None:
    """Write back the file system of a directory."""
    with listed(spot.fd) as fd:
        syscalls.syncfs(fd)
