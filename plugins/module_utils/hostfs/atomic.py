# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write files atomically: temporary name, fsync, rename, fsync of the directory."""

from __future__ import annotations

import contextlib
import errno
import os
import typing as t

from ..errors import InvalidArgument, NotFound, from_os_error, printable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextlib.contextmanager
def closing(fd: int) -> t.Iterator[int]:
    """A descriptor that is closed at the end of the context."""
    try:
        yield fd
    finally:
        os.close(fd)


def fsync_dir(path: str) -> None:
    """Make the names in a directory durable."""
    with closing(os.open(path, _DIRECTORY)) as fd:
        os.fsync(fd)


def write_file(
    path: str,
    data: bytes,
    mode: int = 0o600,
    durable: bool = True,
    owner: t.Optional[t.Tuple[int, int]] = None,
    alone: bool = False,
) -> None:
    """Replace path by data. A reader sees the old file or the new one, never a part of it. A failure leaves nothing behind.

    owner: user and group of the new file; by default those of this process. alone: see replacing().
    """
    with replacing(path, mode, durable, alone=alone) as stream:
        if owner:
            os.fchown(stream.fileno(), *owner)
        stream.write(data)


@contextlib.contextmanager
def replacing(
    path: str,
    mode: int = 0o600,
    durable: bool = True,
    unnamed: bool = False,
    parent: t.Optional[int] = None,
    alone: bool = False,
) -> t.Iterator[t.BinaryIO]:
    """A stream that replaces path when the context ends without an error. An error leaves nothing behind.

    unnamed: the new file has no name until then if the file system supports it, so a killed process leaves nothing either.
    parent: the open directory of the file; then only the last part of path counts. alone: nobody else writes this file meanwhile (there is
    a lock). The temporary name is always the same then, so what a killed process leaves is replaced by the next one, or removed by
    remove_file().
    """
    directory, name = os.path.split(path)
    temporary, named, done = _temporary(name) if alone else f".{name}.{os.urandom(8).hex()}", True, False
    try:
        with _opened(directory, parent) as opened:
            fd = _unnamed(opened, mode) if unnamed else -1
            if fd >= 0:
                named = False
            else:
                how = os.O_TRUNC if alone else os.O_EXCL
                fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | how | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=opened)
            try:
                with open(fd, "wb") as stream:
                    os.fchmod(fd, mode)
                    yield stream
                    stream.flush()
                    if durable:
                        os.fsync(fd)
                    if not named:
                        # With a descriptor Python calls linkat, which follows the link.
                        os.link(f"/proc/self/fd/{fd}", temporary, dst_dir_fd=opened, follow_symlinks=True)
                        named = True
                os.rename(temporary, name, src_dir_fd=opened, dst_dir_fd=opened)
                done = True
            finally:
                if named and not done:
                    with contextlib.suppress(OSError):
                        os.unlink(temporary, dir_fd=opened)
            if durable:
                os.fsync(opened)
    except OSError as error:
        raise from_os_error(error, f"writing {path}") from error


def _temporary(name: str) -> str:
    return f".{name}.new"


def remove_file(path: str) -> None:
    """Remove what was written alone, and what a killed process has left of it. Fine when it is not there."""
    directory, name = os.path.split(path)
    try:
        for one in (os.path.join(directory, _temporary(name)), path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(one)
    except OSError as error:
        raise from_os_error(error, f"removing {path}") from error


def _opened(directory: str, parent: t.Optional[int]) -> t.ContextManager[int]:
    return closing(os.dup(parent) if parent is not None else os.open(directory or ".", _DIRECTORY))


def _unnamed(directory: int, mode: int) -> int:
    """Open a file without a name (O_TMPFILE); -1 where the file system does not support it."""
    try:
        return os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, mode, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            return -1
        raise


def make_dir(path: str, mode: int = 0o700) -> None:
    """Make a directory and its missing parents, all with this mode. An existing directory keeps its mode."""
    try:
        _make_dir(path, mode)
    except OSError as error:
        raise from_os_error(error, f"making the directory {path}") from error


def _make_dir(path: str, mode: int) -> None:
    # os.makedirs ignores the mode for the parents.
    try:
        _mkdir(path, mode)
    except FileNotFoundError:
        if not os.path.isdir(os.path.dirname(path)):
            _make_dir(os.path.dirname(path), mode)
        # Once more, also where another thread has just made the parent; but not for ever: below /proc nothing can be made.
        _mkdir(path, mode)


def _mkdir(path: str, mode: int) -> None:
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def check_parent(path: str, option: str) -> None:
    """Check the path of a file to be written: InvalidArgument if it is not absolute, NotFound if its directory is missing."""
    if not os.path.isabs(path):
        raise InvalidArgument(f"{option}: {printable(path, 200)!r} is not an absolute path")
    if not os.path.isdir(os.path.dirname(path)):
        raise NotFound(f"{option}: {printable(path, 200)} cannot be written, its directory is not there: make it first")


def read_file(path: str, limit: int = 16 * 1024 * 1024) -> t.Optional[bytes]:
    """The content of one of our files; None when it is missing."""
    try:
        with open(path, "rb") as stream:
            return stream.read(limit)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
