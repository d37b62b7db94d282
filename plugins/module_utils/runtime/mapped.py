# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot with the files of another one for a namespace of users: their owners are those that the container's users are on the host.

It is made once for an image and a mapping, as the parent of containers, and goes when it has no children (engine.collect).
"""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

from ..errors import AlreadyExists, NotFound, from_os_error
from ..hostfs import syscalls
from ..hostfs.atomic import closing
from ..hostfs.xattrs import CAPABILITY, for_root, root_of
from . import rootfs

if t.TYPE_CHECKING:
    from ..engine.api import Snapshotter
    from ..runtime_spec.user_namespace import Mapping

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def mapped(store: Snapshotter, parent: str, mapping: Mapping) -> str:
    """The name of the snapshot, which is made if it is not there. Call it with a lease (Engine.lease), which keeps it."""
    name = f"{parent} for the users {mapping.uid}:{mapping.gid}:{mapping.size}"
    try:
        return store.stat(name).name
    except NotFound:
        pass
    key = f"users-{os.urandom(8).hex()}"
    try:
        mounts = store.prepare(key, parent)
        try:
            with rootfs.opened(mounts) as root:
                map_owners(root, mapping)
                syscalls.syncfs(root)
        except OSError as error:
            raise from_os_error(error, "giving the files of the image their owners for userns_mode") from error
        store.commit(name, key)
    except AlreadyExists:
        # Another process was faster.
        return store.stat(name).name
    finally:
        with contextlib.suppress(NotFound):
            store.remove(key)
    return name


def map_owners(root: int, mapping: Mapping) -> None:
    """Give all files below an open directory, and itself, the owners that they have on the host. Done again it changes nothing, so
    several names of one file do no harm. Nobody else changes the files meanwhile. Raises OSError.
    """
    _map(".", root, "/", mapping)
    way = [(os.dup(root), os.listdir(root), "")]
    try:
        while way:
            fd, names, path = way[-1]
            if not names:
                os.close(way.pop()[0])
                continue
            name = names.pop()
            if _map(name, fd, f"{path}/{name}", mapping):
                below = os.open(name, _DIRECTORY, dir_fd=fd)
                way.append((below, os.listdir(below), f"{path}/{name}"))
    finally:
        for fd, _names, _path in way:
            os.close(fd)


def _map(name: str, fd: int, path: str, mapping: Mapping) -> bool:
    """Map one file. Returns whether it is a directory."""
    found = os.lstat(name, dir_fd=fd)
    if mapping.is_mapped(found.st_uid, found.st_gid):
        return stat.S_ISDIR(found.st_mode)
    owner = mapping.owner(found.st_uid, found.st_gid, f"the owner of {path} in the image")
    executable = stat.S_ISREG(found.st_mode) and found.st_mode & 0o111
    capability = _capability(name, fd) if executable else b""
    os.chown(name, *owner, dir_fd=fd, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode) and found.st_mode & 0o6000:
        # A change of the owner takes these bits away, and capabilities.
        os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=fd)
    if capability:
        with closing(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)) as file:
            os.setxattr(file, CAPABILITY, capability if root_of(capability) else for_root(capability, mapping.uid))
    return stat.S_ISDIR(found.st_mode)


def _capability(name: str, fd: int) -> bytes:
    try:
        return os.getxattr(f"/proc/self/fd/{fd}/{name}", CAPABILITY, follow_symlinks=False)
    except OSError:
        return b""
