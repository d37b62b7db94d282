# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of an untrusted root directory as a process in it sees them: links are resolved inside it, by descriptors of directories only.

Mounts that this host does not have there can be told, so a container that does not run is seen with its volumes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import typing as t

from ..errors import FailedPrecondition, printable
from . import syscalls
from .remove import mount_id

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
#: The kernel's limit (path_resolution(7)).
_LINKS = 40
#: How much is read of a file at once.
_READ = 4 * 1024 * 1024


class Mounted(t.NamedTuple):
    """What is mounted at a path. fd: of a directory or a file of this host. problem: why what is in it cannot be seen.

    What is mounted below it can be seen in any case.
    """

    fd: int
    readonly: bool = False
    problem: str = ""


class Node(t.NamedTuple):
    """A directory. path: the real one in the view. mount: its mount's id. readonly: nothing can be changed in it. problem: as of
    Mounted.
    """

    fd: int
    path: str
    mount: str
    readonly: bool
    problem: str = ""


class Spot(t.NamedTuple):
    """A name in a directory, or a directory that has none here (the root). fd, found: of what is there; -1 and None without.

    path: the real one in the view. mount: the id of its mount. mounted: something is mounted there, so it cannot be replaced. readonly:
    nothing there can be changed.
    """

    directory: t.Optional[Node]
    name: str
    path: str
    fd: int
    found: t.Optional[os.stat_result]
    mount: str
    mounted: bool
    readonly: bool
    problem: str = ""

    @property
    def kind(self) -> int:
        """S_IFMT of what is there; 0 without."""
        return stat.S_IFMT(self.found.st_mode) if self.found else 0

    @property
    def node(self) -> Node:
        """A directory that is there."""
        return Node(self.fd, self.path, self.mount, self.readonly, self.problem)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    def open(self, flags: int) -> int:
        """Open the regular file that is there: what was looked at, even if its name means something else by now. OSError."""
        return os.open(f"/proc/self/fd/{self.fd}", flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)

    def check_data(self) -> None:
        """FailedPrecondition for what cannot be seen, and for a file or directory that is none on a disk or in memory, but the kernel's."""
        if self.problem:
            raise FailedPrecondition(f"{printable(self.path, 200)} {self.problem}")
        fd = self.fd if self.fd >= 0 else self.directory.fd if self.directory else -1
        if fd >= 0 and not stat.S_ISLNK(self.kind) and syscalls.is_of_kernel(fd):
            raise FailedPrecondition(
                f"{printable(self.path, 200)} is in a file system of the kernel, which has no data to be copied"
            )


class View:
    """The files below root_fd. mounts: by their real paths in it. readonly: whether the root is; None: as it is mounted.

    links: whether links are followed on the way. refused: from the id of a mount below the root to why nothing of it may be looked at;
    empty for others.
    """

    def __init__(
        self,
        root_fd: int,
        mounts: t.Optional[t.Mapping[str, Mounted]] = None,
        readonly: t.Optional[bool] = None,
        links: bool = True,
        refused: t.Callable[[str], str] = lambda _mount: "",
    ) -> None:
        self.root, self.mounts, self.links = root_fd, dict(mounts or {}), links
        self._refused, self._mount = refused, mount_id(root_fd)
        self._readonly = _readonly(root_fd) if readonly is None else readonly

    def _check_mount(self, mount: str, path: str) -> None:
        """Before anything is asked of a file system."""
        problem = self._refused(mount)
        if problem:
            raise FailedPrecondition(f"{printable(path, 200)} {problem}")

    @contextlib.contextmanager
    def find(self, path: str, follow: bool = False) -> t.Iterator[Spot]:
        """The spot of a path. follow: also where the path itself is a link. Raises OSError, FailedPrecondition."""
        walk = _Walk(self, path)
        try:
            yield walk.run(follow)
        finally:
            walk.close()

    def top(self) -> Node:
        return Node(os.dup(self.root), "/", self._mount, self._readonly)

    def at(self, node: Node, name: str) -> Spot:
        """A name in a directory. The spot has to be closed."""
        path = f"{node.path.rstrip('/')}/{name}"
        mounted = self.mounts.get(path)
        if mounted:
            fd = os.dup(mounted.fd)
            readonly = mounted.readonly or _readonly(fd)
            return Spot(node, name, path, fd, os.fstat(fd), mount_id(fd), True, readonly, mounted.problem)
        if node.problem:
            raise FailedPrecondition(f"{printable(path, 200)} {node.problem}")
        try:
            fd = os.open(name, _LOOK, dir_fd=node.fd)
        except FileNotFoundError:
            return Spot(node, name, path, -1, None, node.mount, False, node.readonly)
        try:
            mount = mount_id(fd)
            if mount != node.mount:
                self._check_mount(mount, path)
                return Spot(node, name, path, fd, os.fstat(fd), mount, True, _readonly(fd))
            return Spot(node, name, path, fd, os.fstat(fd), mount, False, node.readonly)
        except (OSError, FailedPrecondition):
            os.close(fd)
            raise

    def read(self, path: str, limit: int = _READ) -> bytes:
        """The beginning of a regular file; empty without one."""
        with contextlib.suppress(OSError, FailedPrecondition), self.find(path, follow=True) as spot:
            spot.check_data()
            if stat.S_ISREG(spot.kind):
                with open(spot.open(os.O_RDONLY), "rb") as stream:
                    return stream.read(limit)
        return b""

    def names(self, node: Node) -> t.List[str]:
        """Those in a directory, sorted, without what cannot be seen."""
        with listed(node.fd) as fd:
            found = set(os.listdir(fd))
        for path, mounted in self.mounts.items():
            above, _slash, name = path.rpartition("/")
            if (above or "/") == node.path:
                (found.discard if mounted.problem else found.add)(name)
        return sorted(found)


@contextlib.contextmanager
def listed(fd: int) -> t.Iterator[int]:
    """A descriptor of the same directory that can be listed and synced."""
    listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    try:
        yield listing
    finally:
        os.close(listing)


def _readonly(fd: int) -> bool:
    return bool(os.fstatvfs(fd).f_flag & os.ST_RDONLY)


class _Walk:
    """One name at a time, with a descriptor of every directory on the way. No joined path is ever looked up."""

    def __init__(self, view: View, path: str) -> None:
        self._view, self._path = view, path
        self._way = [view.top()]
        self._spot: t.Optional[Spot] = None
        self._links = 0

    def run(self, follow: bool) -> Spot:
        left = _names(self._path)
        while left:
            name = left.pop()
            if name == "..":
                self._back_to(len(self._way) - 1)
                continue
            self._spot = spot = self._view.at(self._way[-1], name)
            if stat.S_ISLNK(spot.kind) and (left or follow):
                left += self._followed(spot)
            elif not left:
                return spot
            else:
                self._enter(spot)
        node = self._way.pop()
        self._spot = Spot(None, "", node.path, node.fd, os.fstat(node.fd), node.mount, True, node.readonly, node.problem)
        return self._spot

    def _followed(self, spot: Spot) -> t.List[str]:
        if not self._view.links:
            raise FailedPrecondition(f"{printable(spot.path[1:], 200)} is a symbolic link, and is not followed: remove it first")
        self._links += 1
        if self._links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self._path)
        # Of a link in /proc this is only a text: it leads to no file that is not in the view.
        target = os.readlink("", dir_fd=spot.fd)
        spot.close()
        self._spot = None
        if target.startswith("/"):
            self._back_to(1)
        return _names(target)

    def _enter(self, spot: Spot) -> None:
        if not stat.S_ISDIR(spot.kind):
            number = errno.ENOTDIR if spot.found else errno.ENOENT
            raise OSError(number, os.strerror(number), spot.path)
        self._way.append(spot.node)
        self._spot = None

    def _back_to(self, depth: int) -> None:
        while len(self._way) > max(1, depth):
            os.close(self._way.pop().fd)

    def close(self) -> None:
        if self._spot:
            self._spot.close()
        for node in self._way:
            os.close(node.fd)


def _names(path: str) -> t.List[str]:
    """The names of a path, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
