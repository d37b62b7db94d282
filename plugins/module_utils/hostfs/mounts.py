# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mount and unmount (Mount values of the seam) and read mountinfo."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import typing as t

from ..errors import from_os_error
from . import syscalls

#: One page, including the NUL (mount(2)).
_DATA_LIMIT = 4096
_FLAGS: t.Dict[str, int] = {
    "ro": syscalls.MS_RDONLY,
    "nosuid": syscalls.MS_NOSUID,
    "nodev": syscalls.MS_NODEV,
    "noexec": syscalls.MS_NOEXEC,
    "noatime": syscalls.MS_NOATIME,
    "relatime": syscalls.MS_RELATIME,
    "bind": syscalls.MS_BIND,
    "rbind": syscalls.MS_BIND | syscalls.MS_REC,
}


def mount(kind: str, source: str, target: str, options: t.Iterable[str] = ()) -> None:
    """Mount source on target; options as in mount(8): known ones become flags, the others data."""
    flags, parts = 0, []
    for option in options:
        if option in _FLAGS:
            flags |= _FLAGS[option]
        elif option != "rw":
            parts.append(option)
    try:
        bind = flags & syscalls.MS_BIND
        data = "" if bind else ",".join(parts)
        if len(os.fsencode(data)) < _DATA_LIMIT:
            syscalls.mount(source, target, "" if bind else kind, flags, data)
        else:
            _mount_from_below(kind, source, target, flags, parts)
        if bind and flags & syscalls.MS_RDONLY:
            syscalls.mount("", target, "", flags | syscalls.MS_REMOUNT)
    except OSError as error:
        raise from_os_error(error, f"mounting {kind or 'bind'} on {target}") from error


def make_private(target: str) -> None:
    """What is mounted and unmounted below a mount is not so elsewhere, nor the other way round."""
    try:
        syscalls.mount("", target, "", syscalls.MS_PRIVATE)
    except OSError as error:
        raise from_os_error(error, f"making the mount {target} private") from error


def mount_tmpfs(target: str, options: t.Iterable[str]) -> None:
    mount("tmpfs", "tmpfs", target, options)


def _mount_from_below(kind: str, source: str, target: str, flags: int, options: t.Sequence[str]) -> None:
    """Mount an overlay of very many layers. The kernel takes one page of options, so the lower directories are named relative to
    their common parent. A child process does it, since it has to change its working directory.
    """
    lowers = next((option[9:].split(":") for option in options if option.startswith("lowerdir=")), [])
    common = os.path.commonpath(lowers) if lowers else "/"
    short = "lowerdir=" + ":".join(os.path.relpath(path, common) for path in lowers)
    data = ",".join(short if option.startswith("lowerdir=") else option for option in options)
    if len(os.fsencode(data)) >= _DATA_LIMIT:
        raise OSError(errno.E2BIG, f"too many layers for one mount ({len(lowers)})", target)
    child = os.fork()
    if child == 0:
        number = errno.EIO
        try:
            os.chdir(common)
            syscalls.mount(source, target, kind, flags, data)
            number = 0
        except OSError as error:
            number = error.errno or errno.EIO
        finally:
            os._exit(number)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if number:
        raise OSError(number, os.strerror(number), target)


def unmount(target: str, lazy: bool = False) -> None:
    """Unmount everything that is mounted on target itself; nothing mounted is no error."""
    flags = syscalls.UMOUNT_NOFOLLOW | (syscalls.MNT_DETACH if lazy else 0)
    while True:
        try:
            syscalls.umount(target, flags)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return
            raise from_os_error(error, f"unmounting {target}") from error


@contextlib.contextmanager
def mounted(mounts: t.Sequence[t.Any], target: str) -> t.Iterator[str]:
    """Mount all mounts on target, one over the other, during the context."""
    try:
        for entry in mounts:
            mount(entry.type, entry.source, target, entry.options)
        yield target
    finally:
        # A signal may come right after a mount, before anything could record it.
        unmount(target, lazy=True)


_OCTAL = r"\\([0-7]{3})"


def mount_points(below: str = "/") -> t.List[str]:
    """The mount points of this mount namespace at or below a directory, in mount order."""
    # The kernel lists real paths. A link itself is never a mount point, and its target is not below it.
    parent, name = os.path.split(os.path.abspath(below))
    prefix = os.path.join(os.path.realpath(parent), name).rstrip("/") + "/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        points = [re.sub(_OCTAL, lambda m: chr(int(m.group(1), 8)), line.split(" ", 5)[4]) for line in lines]
    return [p for p in points if p + "/" == prefix or p.startswith(prefix)]


def unmount_below(directory: str) -> None:
    """Unmount everything at or below a directory, at once or as soon as nobody uses it any more."""
    for point in reversed(mount_points(directory)):
        unmount(point, lazy=True)
