# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between processes: flock(2) on a file of ours, with a bounded wait."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import typing as t

from ..errors import Unavailable, from_os_error

DEFAULT_WAIT = 600.0


@contextlib.contextmanager
def locked(path: str, what: str, wait: t.Optional[float] = None, shared: bool = False) -> t.Iterator[int]:
    """Hold the lock file path for the length of the context; yields its file descriptor.

    A directory that is there can be locked itself, where a file would be in the way.
    Raises Unavailable, naming what, when another process holds it for longer than wait seconds (DEFAULT_WAIT).
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
            # Its last holder may have removed the file while we waited: then it locks nothing any more.
            if _is(path, fd):
                yield fd
                return
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
