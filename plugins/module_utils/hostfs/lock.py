# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between processes: flock(2) on a lock file, with a time limit."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import typing as t

from ..errors import Unavailable, from_os_error
from .atomic import make_dir

DEFAULT_WAIT = 600.0


@contextlib.contextmanager
def locked(path: str, what: str, wait: t.Optional[float] = None, shared: bool = False) -> t.Iterator[int]:
    """Hold the lock file path during the context. Yields its file descriptor.

    path may be an existing directory, where a lock file would be in the way.
    Raises Unavailable, which names what, when another process holds the lock for more than wait seconds (DEFAULT_WAIT).
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + (DEFAULT_WAIT if wait is None else wait)
    while True:
        how = os.O_RDONLY | os.O_DIRECTORY if os.path.isdir(path) else os.O_RDWR | os.O_CREAT
        try:
            fd = os.open(path, how | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise from_os_error(error, f"opening the lock {path}") from error
        try:
            _acquire(fd, path, what, deadline, kind)
            # The last holder may have removed the file while we waited: then this lock protects nothing.
            if _is(path, fd):
                yield fd
                return
        finally:
            os.close(fd)


class Mark:
    """A lock file that exists only while it is held. left: its last holder was killed. done: set it to have the file removed."""

    def __init__(self, left: bool) -> None:
        self.left, self.done = left, False


@contextlib.contextmanager
def marked(path: str, spare: str, what: str, wait: t.Optional[float] = None) -> t.Iterator[Mark]:
    """Hold a Mark exclusively, as locked() does. The file stays for the next holder to find unless done is set.

    spare: the name of the file while nobody holds it. On a full disk no other file can be made.
    """
    deadline = time.monotonic() + (DEFAULT_WAIT if wait is None else wait)
    while True:
        fd, fresh = _open_mark(path, spare)
        try:
            _acquire(fd, path, what, deadline, fcntl.LOCK_EX)
            if _is(path, fd):
                mark = Mark(not fresh)
                try:
                    yield mark
                finally:
                    if mark.done:
                        # If this fails, the next holder finds the mark and nothing to tidy.
                        with contextlib.suppress(OSError):
                            os.rename(path, spare)
                return
        finally:
            os.close(fd)


def _open_mark(path: str, spare: str) -> t.Tuple[int, bool]:
    """The open file, and whether it is new."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        try:
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600), True
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                return os.open(path, flags), False
        except FileNotFoundError:
            make_dir(os.path.dirname(path))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not _take_spare(spare, path):
                raise from_os_error(error, f"opening the lock {path}") from error


def _take_spare(spare: str, path: str) -> bool:
    """Rename the spare file to path unless that exists by now. It then looks like a killed process's mark, which is harmless."""
    from .syscalls import rename_new

    try:
        rename_new(spare, path)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True


def abandoned(path: str, remove: bool = False) -> bool:
    """Whether a lock file exists that nobody holds. remove: remove it then."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = _is(path, fd)
        if found and remove:
            os.unlink(path)
        return found
    except OSError:
        return False
    finally:
        os.close(fd)


def _is(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    except FileNotFoundError:
        return False


def _acquire(fd: int, path: str, what: str, deadline: float, kind: int) -> None:
    started = time.monotonic()
    pause = 0.005
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
                raise from_os_error(error, f"locking {path}") from error
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"{what} is locked by another process for more than {time.monotonic() - started:.1f} s (lock file {path})"
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)
