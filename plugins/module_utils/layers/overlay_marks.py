# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""overlayfs' marks in a directory tree: a character device 0/0 hides a name (whiteout), an attribute hides a lower directory."""

from __future__ import annotations

import os
import stat

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE = "trusted.overlay.opaque"


def is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def make_whiteout(parent_fd: int, name: bytes) -> None:
    os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent_fd)


def mark_opaque(fd: int) -> None:
    os.setxattr(fd, _OPAQUE, b"y")


def is_opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, _OPAQUE) == b"y"
    except OSError:
        return False


def drop_whiteouts(fd: int) -> None:
    """Remove the whiteouts in an opaque directory: nothing is to be hidden there, and the kernel would list them."""
    before, dropped = os.fstat(fd).st_mtime_ns, False
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                child = os.open(entry.name, _DIRECTORY, dir_fd=fd)
                try:
                    if not is_opaque(child):
                        drop_whiteouts(child)
                finally:
                    os.close(child)
            elif is_whiteout(entry.stat(follow_symlinks=False)):
                os.unlink(entry.name, dir_fd=fd)
                dropped = True
    if dropped:
        os.utime(fd, ns=(before, before))
