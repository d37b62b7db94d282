# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first content of a volume: what the image has at its path."""

from __future__ import annotations

import os

from ..errors import from_os_error
from ..hostfs.copy_tree import copy_root, copy_tree
from ..hostfs.remove import remove_tree
from ..hostfs.syscalls import syncfs
from .store import Volume, set_owner

#: A copy that is being made, and one that is complete and on the disk.
_COPYING, _COPIED = ".copying", ".copied"


def fill(volume: Volume, source_fd: int) -> None:
    """Copy a directory into a volume that is empty, owner and mode of the directory itself included.

    The copy is made beside the volume, and moved into it entry by entry: the next fill() completes what a killed process has begun, and
    nobody sees a part of a file.
    """
    try:
        _fill(volume, source_fd)
    except OSError as error:
        raise from_os_error(error, f"copying the image's files into the volume {volume.name}") from error


def give(volume: Volume, root: os.stat_result) -> None:
    """Give an empty volume, for which the image has nothing, to the root of a container that has users of its own."""
    if root.st_uid and not os.listdir(volume.data):
        try:
            os.chown(f"{volume.data}/.", root.st_uid, root.st_gid)
            set_owner(volume.data, volume.fixed)
        except OSError as error:
            raise from_os_error(error, f"giving the volume {volume.name} to the container's users") from error


def _fill(volume: Volume, source_fd: int) -> None:
    # On the same file system as the volume, so that it can be moved.
    source, beside = f"/proc/self/fd/{source_fd}/.", volume.data if volume.options else os.path.dirname(volume.data)
    copying, copied = os.path.join(beside, _COPYING), os.path.join(beside, _COPIED)
    if not os.path.lexists(copied):
        if any(name != _COPYING for name in os.listdir(volume.data)):
            return
        remove_tree(copying)
        copy_tree(source, copying)
        _sync(copying)
        os.rename(copying, copied)
    for name in os.listdir(copied):
        if not os.path.lexists(os.path.join(volume.data, name)):
            os.rename(os.path.join(copied, name), os.path.join(volume.data, name))
    _root(source, volume)
    remove_tree(copied)


def _root(source: str, volume: Volume) -> None:
    """Owner, mode and attributes of the directory itself, but for those that somebody has asked for."""
    # A volume may be a link to its directory.
    copy_root(source, f"{volume.data}/.")
    set_owner(volume.data, volume.fixed)
    _sync(volume.data)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    finally:
        os.close(fd)
