# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The volumes that an image declares: directories of the container, filled from the image and removed with the container."""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

from ...engine.models import VOLUMES
from ...errors import from_os_error
from ...runtime_spec.volumes import Volume

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container, Mount

#: Paths that cannot be volumes.
_TAKEN = ("", "dev", "proc", "sys")


def declared(root_fd: int, paths: t.Iterable[str], given: t.Sequence[Volume], directory: str) -> t.List[Volume]:
    """The volumes that an image declares, except targets that the task gives. A file in the image stays a file."""
    taken = {volume.target for volume in given}
    targets = sorted({os.path.normpath("/" + path.lstrip("/")) for path in paths} - taken)
    found = [target for target in targets if target.split("/")[1] not in _TAKEN and _is_directory(root_fd, target)]
    return [Volume(os.path.join(directory, VOLUMES, str(number)), target) for number, target in enumerate(found)]


def _is_directory(root_fd: int, path: str) -> bool:
    """Whether it is a directory, or can be made one."""
    from ...hostfs.inside import open_inside

    try:
        fd = open_inside(root_fd, path, os.O_PATH)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return stat.S_ISDIR(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def is_declared(mount: t.Mapping[str, t.Any], container_id: str) -> bool:
    """Whether a mount of a container's spec is such a volume."""
    directory, _slash, _number = str(mount.get("source")).rpartition("/")
    return directory.endswith(f"/{container_id}/{VOLUMES}")


def fill(engine: Engine, container: Container, mounts: t.Sequence[Mount]) -> None:
    """Fill volumes from the image before the first start. Each volume is complete, or missing and made by the next start."""
    wanted = [mount for mount in container.spec.get("mounts") or () if is_declared(mount, container.id)]
    if wanted:
        _take_back(engine.container_dir(container.id))
    missing = [mount for mount in wanted if not os.path.isdir(mount["source"])]
    if not missing:
        return
    from ...runtime import rootfs

    with rootfs.opened(mounts, engine.container_dir(container.id)) as root:
        for mount in missing:
            try:
                _fill(root, mount["destination"], mount["source"])
            except OSError as error:
                raise from_os_error(error, f"copying the image's {mount['destination']} into a volume") from error


def _take_back(directory: str) -> None:
    """Take back the volumes of a container whose removal was not completed (engine_host/place.py)."""
    from ...hostfs.remove import DOOMED

    with contextlib.suppress(OSError):
        os.rename(os.path.join(directory, DOOMED + VOLUMES), os.path.join(directory, VOLUMES))


def _fill(root_fd: int, path: str, target: str) -> None:
    from ...hostfs.atomic import fsync_dir, make_dir
    from ...hostfs.copy_tree import copy_tree
    from ...hostfs.inside import open_inside
    from ...hostfs.remove import remove_tree

    parent, name = os.path.split(target)
    unfinished = os.path.join(parent, f".{name}")
    make_dir(parent)
    remove_tree(unfinished)
    try:
        source = open_inside(root_fd, path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        os.mkdir(unfinished)
        os.chmod(unfinished, 0o755)
        os.chown(unfinished, os.fstat(root_fd).st_uid, os.fstat(root_fd).st_gid)
    else:
        try:
            copy_tree(f"/proc/self/fd/{source}/.", unfinished)
        finally:
            os.close(source)
        if os.listdir(unfinished):
            _sync(unfinished)
    os.rename(unfinished, target)
    fsync_dir(parent)


def _sync(path: str) -> None:
    from ...hostfs import syscalls

    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syscalls.syncfs(fd)
    finally:
        os.close(fd)
