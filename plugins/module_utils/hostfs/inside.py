# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open a path inside an untrusted root directory: links are resolved inside it and never lead out of it."""

from __future__ import annotations

import errno
import os
import stat
import typing as t

from . import syscalls

#: The kernel's limit (path_resolution(7)).
_LINKS = 40
_TRIES = 8


def open_inside(root_fd: int, path: str, flags: int) -> int:
    """A new file descriptor with O_CLOEXEC. Raises OSError."""
    raw = os.fsencode(path)
    for _try in range(_TRIES):
        try:
            return syscalls.openat2(root_fd, raw.lstrip(b"/") or b".", flags, syscalls.RESOLVE_IN_ROOT)
        except OSError as error:
            # EAGAIN: something was mounted or renamed on this host while a .. was followed.
            if error.errno == errno.EAGAIN:
                continue
            # ENOSYS: before Linux 5.6. EPERM: a sandbox that does not know the system call.
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
            break
    return _Walk(root_fd).open(raw, flags)


def open_file_inside(root_fd: int, path: str, flags: int) -> int:
    """The same for what must be a regular file (else OSError, ENXIO). Nothing else is opened: with a device that alone may set something
    going on this host.
    """
    found = open_inside(root_fd, path, os.O_PATH)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError(errno.ENXIO, "it is not a regular file", path)
        return os.open(f"/proc/self/fd/{found}", flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(found)


class _Walk:
    """Open one name at a time and keep a descriptor of every directory on the way. No joined path is ever looked up."""

    def __init__(self, root_fd: int) -> None:
        self._root, self._way, self._links = root_fd, t.cast(t.List[int], []), 0

    def open(self, path: bytes, flags: int) -> int:
        try:
            return self._open(path, flags)
        finally:
            self._back_to(0)

    def _open(self, path: bytes, flags: int) -> int:
        left = _names(path)
        while left:
            name = left.pop()
            if name == b"..":
                self._back_to(len(self._way) - 1)
                continue
            here = self._way[-1] if self._way else self._root
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            self._way.append(fd)
            kind = os.fstat(fd).st_mode
            if stat.S_ISLNK(kind):
                self._links += 1
                if self._links > _LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))
                target = os.readlink(b"", dir_fd=fd)
                self._back_to(0 if target.startswith(b"/") else len(self._way) - 1)
                left += _names(target)
            elif left and not stat.S_ISDIR(kind):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fsdecode(path))
        found = self._way[-1] if self._way else self._root
        # Open what was examined, even if its name means something else by now.
        return os.open(f"/proc/self/fd/{found}", flags | os.O_CLOEXEC)

    def _back_to(self, depth: int) -> None:
        while len(self._way) > max(0, depth):
            os.close(self._way.pop())


def _names(path: bytes) -> t.List[bytes]:
    """The names of a path, the last one first."""
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]
