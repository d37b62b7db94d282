# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove trees by directory file descriptors: never by a joined path, across a mount or through a link."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import typing as t

from ..errors import EngineError, from_os_error
from . import syscalls

_DEPTH = 64
#: The prefix of doomed names: any process that sees one removes it.
DOOMED = ".rm-"


def remove_tree(path: str) -> bool:
    """Remove one of our files or directory trees; False when it was missing.

    A mount inside stops the removal (EBUSY). Mounted trees are never touched, not even bind mounts of the same file system.
    """
    parent, name = os.path.split(os.path.abspath(path))
    try:
        parent_fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise from_os_error(error, f"removing {path}") from error
    try:
        found = os.lstat(name, dir_fd=parent_fd)
        if stat.S_ISDIR(found.st_mode):
            empty_directory(parent_fd, name)
            os.rmdir(name, dir_fd=parent_fd)
        else:
            os.unlink(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise from_os_error(error, f"removing {path}") from error
    finally:
        os.close(parent_fd)
    return True


_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _enter(parent_fd: int, name: str) -> int:
    """Open a directory on the same mount. EBUSY for a mount point, even if it has the same file system."""
    try:
        return syscalls.openat2(parent_fd, os.fsencode(name), _FLAGS, syscalls.RESOLVE_NO_XDEV | syscalls.RESOLVE_BENEATH)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise OSError(errno.EBUSY, "something is mounted there", name) from error
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
    fd = os.open(name, _FLAGS, dir_fd=parent_fd)
    if mount_id(fd) != mount_id(parent_fd):
        os.close(fd)
        raise OSError(errno.EBUSY, "something is mounted there", name)
    return fd


def mount_id(fd: int) -> str:
    """The id of a descriptor's mount, as mountinfo has it (openat2 can tell mounts apart only since Linux 5.6)."""
    told = os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(told, 4096).decode("ascii").partition("mnt_id:")[2].split(None, 1)[0]
    finally:
        os.close(told)


class _Level:
    """A directory that is being emptied. Entries are removed while they are read, so millions of them need no memory."""

    def __init__(self, fd: int, name: str) -> None:
        self.fd, self.name, self.moved_here = fd, name, False
        self._entries = os.scandir(fd)

    def close(self) -> None:
        self._entries.close()
        os.close(self.fd)

    def next_directory(self) -> t.Optional[str]:
        """Unlink entries up to the next directory and return that; None at the end."""
        for entry in self._entries:
            if entry.is_dir(follow_symlinks=False):
                return entry.name
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.name, dir_fd=self.fd)
        if not self.moved_here:
            return None
        # The reading may miss entries that were moved here after it began.
        self.moved_here = False
        self._entries = os.scandir(self.fd)
        return self.next_directory()


def empty_directory(parent_fd: int, name: str) -> None:
    """Remove everything in the directory name of parent_fd. Raises OSError; EBUSY where something is mounted inside.

    Directories deeper than _DEPTH are moved up first, so twice that many file descriptors are enough for any depth.
    Two processes may do this at once: entries that are gone by now were removed by the other one.
    """
    stack = [_Level(_enter(parent_fd, name), name)]
    try:
        while stack:
            level = stack[-1]
            child = level.next_directory()
            if child is None:
                stack.pop().close()
                if stack:
                    with contextlib.suppress(FileNotFoundError):
                        os.rmdir(level.name, dir_fd=stack[-1].fd)
            elif len(stack) >= _DEPTH:
                moved = f".rm-{os.urandom(8).hex()}"
                with contextlib.suppress(FileNotFoundError):
                    os.rename(child, moved, src_dir_fd=level.fd, dst_dir_fd=stack[0].fd)
                stack[0].moved_here = True
            else:
                with contextlib.suppress(FileNotFoundError):
                    stack.append(_Level(_enter(level.fd, child), child))
    finally:
        for level in stack:
            level.close()


def _doomed(path: str) -> str:
    parent, name = os.path.split(os.path.abspath(path))
    return os.path.join(parent, f"{DOOMED}{name[:64]}-{os.urandom(4).hex()}")


def doom(path: str) -> str:
    """Take the name away, so that the next sweep() of the parent directory removes the tree. The new path; empty when it was absent."""
    doomed = _doomed(path)
    try:
        os.rename(path, doomed)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise from_os_error(error, f"removing {path}") from error
    return doomed


def rename_then_remove(path: str) -> bool:
    """Take the name away at once, then remove the tree; False when it was absent.

    If we are killed in between, the next sweep() of the parent directory removes the rest.
    """
    doomed = doom(path)
    return bool(doomed) and remove_tree(doomed)


def set_aside_strangers(directory: str, known: t.Collection[str], keep: t.Callable[[str], bool]) -> bool:
    """Unmount and rename the entries of a directory that are not in known: killed processes left them.

    The next sweep() removes them. That may take long; this is short, so it can be done under a lock. keep(path) tells whether an
    unknown entry stays. Returns False when some could not be renamed, which is no error for the caller's own work.
    """
    from .mounts import unmount_below

    clean = True
    for name in _names(directory).difference(known):
        path = os.path.join(directory, name)
        doomed = name.startswith(DOOMED)
        try:
            if not doomed and keep(path):
                continue
            unmount_below(path)
            if not doomed:
                os.rename(path, _doomed(path))
        except FileNotFoundError:
            continue
        except (EngineError, OSError):
            clean = False
    return clean


def sweep(directory: str) -> bool:
    """Remove what an interrupted rename_then_remove left in a directory. False when some of it could not be removed."""
    clean = True
    for name in _names(directory):
        if name.startswith(DOOMED):
            try:
                remove_tree(os.path.join(directory, name))
            except EngineError:
                clean = False
    return clean


def _names(directory: str) -> t.Set[str]:
    try:
        return set(os.listdir(directory))
    except FileNotFoundError:
        return set()
