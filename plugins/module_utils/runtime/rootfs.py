# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a root file system before a runtime uses it."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import typing as t

from ..engine.models import Mount
from ..errors import EngineError, FailedPrecondition, InvalidArgument, from_os_error
from ..hostfs import mounts as host_mounts
from ..hostfs import syscalls
from ..hostfs.inside import open_inside
from ..runtime_spec.volumes import Volume

_SPECIAL = ("dev", "proc", "sys")
#: Where a thread mounts what only it sees: a directory of every host.
_PLACE = "/proc"


@contextlib.contextmanager
def opened(mounts: t.Sequence[Mount]) -> t.Iterator[int]:
    """A descriptor of the root directory of a mounted snapshot. EngineError.

    It needs no directory, nobody else ever sees the mount, and it lives as long as the descriptor, however we end: a thread mounts it in
    a mount namespace that only this thread has.
    """
    found: t.List[t.Union[int, EngineError]] = []
    thread = threading.Thread(target=lambda: found.append(_mounted_apart(mounts)))
    thread.start()
    try:
        thread.join()
        root = found[0]
        if isinstance(root, EngineError):
            raise root
        yield root
    finally:
        # An interruption may have come before the thread had done it.
        thread.join()
        for one in found:
            if isinstance(one, int):
                os.close(one)


def _mounted_apart(mounts: t.Sequence[Mount]) -> t.Union[int, EngineError]:
    try:
        syscalls.unshare_mounts()
        for entry in mounts:
            host_mounts.mount(entry.type, entry.source, _PLACE, entry.options)
        root = os.open(_PLACE, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        # The namespace of a thread may end a moment after the thread: by then, a start may have mounted the same files.
        for _entry in mounts:
            syscalls.umount(_PLACE, syscalls.MNT_DETACH)
        return root
    except EngineError as error:
        return error
    except OSError as error:
        return from_os_error(error, "looking into the root file system")


def check_rootfs(root_fd: int) -> None:
    """Refuse a root file system whose /dev, /proc or /sys exists and is not a real directory.

    runc before 1.3.6 follows such a link and writes to the host (CVE-2026-41579).
    """
    for name in _SPECIAL:
        try:
            found = os.lstat(name, dir_fd=root_fd)
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(found.st_mode):
            raise FailedPrecondition(
                f"the image's /{name} is not a directory: such an image can write to the host, it is refused"
            )


def check_targets(root_fd: int, volumes: t.Sequence[Volume]) -> None:
    """Raise InvalidArgument for a file of the host on a directory of the image, or a directory or a volume on a file."""
    for volume in volumes:
        try:
            fd = open_inside(root_fd, volume.target, os.O_PATH)
        except OSError:
            continue
        try:
            directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        finally:
            os.close(fd)
        above = any(volume.target.startswith(other.target + "/") for other in volumes)
        if directory != (not volume.of_host or os.path.isdir(volume.source)) and not above:
            what = volume.source or volume.target
            raise InvalidArgument(f"a file cannot be mounted on a directory, nor the other way round: {what}")


def check_working_dir(root_fd: int, path: str) -> None:
    """Raise FailedPrecondition when the working directory exists, but is not a directory inside the root file system."""
    try:
        fd = open_inside(root_fd, path, os.O_PATH)
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_os_error(error, f"the working directory {path} in the image") from error
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            raise FailedPrecondition(f"working_dir: {path} is not a directory in the image")
    finally:
        os.close(fd)
