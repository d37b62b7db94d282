# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of volumes (mounts[].subpath), which are mounted for a container while it runs.

A container may write to its volume, and could make a link to the host of what is mounted by its path. So each start opens the part inside
of the volume, and binds what it has opened to a place in the container's directory. That is on a tmpfs: after a reboot there is no such
place, and a start without us fails rather than writing into an empty directory.
"""

from __future__ import annotations

import os
import stat
import typing as t

from ...errors import NotFound, from_os_error, printable
from .volumes import PARTS, Part, parts

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container

#: Of the tmpfs: nothing but mount points.
_OPTIONS = ("nosuid", "nodev", "noexec", "mode=0711", "size=1m")


def is_empty(engine: Engine, name: str) -> bool:
    """Whether a volume is empty, or is not there: then the image's files may come into it at a start."""
    from ...volume.store import Store

    volume = Store(engine.data_root, engine.namespace).get(name)
    try:
        return volume is None or not os.listdir(volume.data)
    except OSError:
        return False


def check(engine: Engine, part: Part) -> None:
    """NotFound when it is not in its volume. One that is not mounted yet cannot be looked into."""
    from ...volume.store import Store

    volume = Store(engine.data_root, engine.namespace).get(part.volume)
    if volume is None:
        raise _missing(part)
    if not volume.mounted or volume.stat():
        os.close(_opened(volume.data, part))


def _missing(part: Part) -> NotFound:
    return NotFound(
        f"mounts.subpath: there is no {printable(part.path, 200)} in the volume {part.volume}: make it first, since a mount makes none"
    )


def _opened(data: str, part: Part) -> int:
    """A descriptor of it. Links are followed inside of the volume only."""
    from ...hostfs.atomic import closing
    from ...hostfs.inside import open_inside

    try:
        with closing(os.open(data, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as root:
            return open_inside(root, part.path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(part) from error
    except OSError as error:
        raise from_os_error(error, f"mounts.subpath: {printable(part.path, 200)} in the volume {part.volume}") from error


def prepare(engine: Engine, container: Container) -> None:
    """Before a start, when the volumes are there: mount the parts anew. A failure leaves nothing mounted."""
    from ...hostfs.atomic import make_dir
    from ...hostfs.mounts import make_private, mount_tmpfs
    from ...volume.store import Store

    directory = os.path.join(engine.container_path(container.id), PARTS)
    _unmount(directory)
    done = False
    try:
        make_dir(directory)
        mount_tmpfs(directory, _OPTIONS)
        make_private(directory)
        store = Store(engine.data_root, engine.namespace)
        for source, part in parts(container).items():
            _mount(store.data(part.volume), part, source)
        done = True
    finally:
        if not done:
            _unmount(directory)


def _mount(data: str, part: Part, where: str) -> None:
    from ...hostfs.atomic import closing, make_dir
    from ...hostfs.mounts import make_private, mount

    with closing(_opened(data, part)) as fd:
        is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        make_dir(where if is_directory else os.path.dirname(where), 0o711)
        if not is_directory:
            try:
                os.close(os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
            except OSError as error:
                raise from_os_error(error, f"making a place for a part of the volume {part.volume}") from error
        mount("", f"/proc/self/fd/{fd}", where, ("bind",))
        # What somebody mounts in the volume stays when this goes.
        make_private(where)


def release(engine: Engine, container: Container) -> None:
    """After a stop."""
    _unmount(os.path.join(engine.container_path(container.id), PARTS))


def _unmount(directory: str) -> None:
    """With all that is mounted below."""
    from ...hostfs.mounts import unmount

    unmount(directory, lazy=True)
