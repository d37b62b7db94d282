# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the real place of a file that a user names, by directory descriptors, so that nobody can redirect us on the way.

A symbolic link is followed only where nobody but root and this user can have made it. Else users in whose directories root
writes could make it write or remove any file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import typing as t

from ..errors import FailedPrecondition, InvalidArgument, from_os_error, printable
from .atomic import replacing

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: For directories on the way: we may have the right to pass through them, but not to read them.
_PASSED = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINK_LIMIT = 40


class Place(t.NamedTuple):
    """An open directory and a name in it. directory: the path of the directory, without links."""

    fd: int
    directory: str
    name: str

    @property
    def path(self) -> str:
        return os.path.join(self.directory, self.name)

    def regular(self) -> t.Optional[os.stat_result]:
        """The stat result of the name if it is a regular file, else None."""
        try:
            found = os.lstat(self.name, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        return found if stat.S_ISREG(found.st_mode) else None


@contextlib.contextmanager
def place(path: str, follow: bool = False, make: t.Optional[int] = None) -> t.Iterator[Place]:
    """The place of an absolute path. follow: the last name may be a link too. make: make missing directories with this mode
    (without it: NotFound). Raises FailedPrecondition for a link that another user may have made.
    """
    if not os.path.isabs(path):
        raise InvalidArgument(f"{printable(path, 200)!r} is not an absolute path")
    walk = _Walk(path, make)
    try:
        name = walk.run(follow)
        yield Place(walk.fd, walk.directory, name)
    finally:
        os.close(walk.fd)


def write(path: str, data: bytes, mode: int, directory_mode: int = 0o755) -> None:
    """Replace a file in its real place and keep its owner; make its directory. Atomic and durable.

    Raises FailedPrecondition for a link that another user may have made.
    """
    with place(path, follow=True, make=directory_mode) as there, replacing(there.path, mode, parent=there.fd) as stream:
        found = there.regular()
        if found and (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(stream.fileno(), found.st_uid, found.st_gid)
        stream.write(data)


class _Walk:
    """Walk from the root to the directory of a path, one name at a time."""

    def __init__(self, path: str, make: t.Optional[int]) -> None:
        self._path, self._make, self._links = path, make, 0
        self._rest = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        self._names: t.List[str] = []
        self.fd = os.open("/", _PASSED)

    @property
    def directory(self) -> str:
        return "/" + "/".join(self._names)

    def run(self, follow: bool) -> str:
        """Returns the last name; fd is its directory then."""
        try:
            while self._rest:
                name = self._rest.pop()
                if self._follows(name, follow or bool(self._rest)):
                    continue
                if not self._rest and name != "..":
                    self._go(os.open(".", DIRECTORY, dir_fd=self.fd), self._names)
                    return name
                self._enter(name)
        except OSError as error:
            raise from_os_error(error, f"looking for {printable(self._path, 200)}") from error
        raise InvalidArgument(f"{printable(self._path, 200)!r} is not the path of a file")

    def _follows(self, name: str, follow: bool) -> bool:
        try:
            target = os.readlink(name, dir_fd=self.fd) if follow else ""
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return False
            raise
        if not target:
            return False
        self._check_link(name, target)
        self._rest += [part for part in reversed(target.split("/")) if part not in ("", ".")]
        if target.startswith("/"):
            self._go(os.open("/", _PASSED), [])
        return True

    def _check_link(self, name: str, target: str) -> None:
        self._links += 1
        if self._links > _LINK_LIMIT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path)
        if not _only_ours(self.fd, os.lstat(name, dir_fd=self.fd)):
            link = printable(os.path.join(self.directory, name), 200)
            raise FailedPrecondition(
                f"{link} is a symbolic link in a directory that others may write to, and is not followed: give the path that it "
                f"leads to ({printable(target, 200)}) if that is meant"
            )

    def _enter(self, name: str) -> None:
        if name == "..":
            self._go(os.open("..", _PASSED, dir_fd=self.fd), self._names[:-1])
            return
        try:
            fd = os.open(name, _PASSED, dir_fd=self.fd)
        except FileNotFoundError:
            if self._make is None:
                raise
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, self._make, dir_fd=self.fd)
            fd = os.open(name, _PASSED, dir_fd=self.fd)
        self._go(fd, [*self._names, name])

    def _go(self, fd: int, names: t.List[str]) -> None:
        os.close(self.fd)
        self.fd, self._names = fd, names


def _only_ours(fd: int, link: os.stat_result) -> bool:
    """Whether only root and this user can have made the link in the directory fd."""
    users, groups, directory = (0, os.geteuid()), (0, os.getegid()), os.fstat(fd)
    if directory.st_uid not in users:
        return False
    others = bool(directory.st_mode & stat.S_IWOTH)
    if directory.st_mode & stat.S_IWGRP:
        others = others or directory.st_gid not in groups or _has_acl(fd)
    return not others or bool(directory.st_mode & stat.S_ISVTX and link.st_uid in users)


def _has_acl(fd: int) -> bool:
    """Whether an access control list may give others rights; the group's bits in the mode are the limit of those."""
    try:
        # An O_PATH descriptor does not give its attributes itself.
        return "system.posix_acl_access" in os.listxattr(f"/proc/self/fd/{fd}")
    except OSError as error:
        return error.errno != errno.ENOTSUP


def subdirectory(parent_fd: int, name: str, path: str, make: t.Optional[int] = None) -> int:
    """Open a directory that must not be a link. path: for messages. Returns -1 when it is missing and make is not set."""
    for _try in range(2):
        try:
            return os.open(name, DIRECTORY, dir_fd=parent_fd)
        except FileNotFoundError:
            if make is None:
                return -1
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, make, dir_fd=parent_fd)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise from_os_error(error, f"opening {printable(path, 200)}") from error
            kind = "a symbolic link" if stat.S_ISLNK(os.lstat(name, dir_fd=parent_fd).st_mode) else "a file"
            raise FailedPrecondition(f"{printable(path, 200)} is {kind}, and must be a directory") from error
    raise FailedPrecondition(f"{printable(path, 200)} changes while it is written")
