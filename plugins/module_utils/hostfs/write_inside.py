# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a file into an untrusted root directory that nobody else changes meanwhile: links never lead out of it."""

from __future__ import annotations

import os
import stat

from ..errors import InvalidArgument, from_os_error, printable
from .atomic import closing, replacing
from .inside import open_inside

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def write_inside(root_fd: int, path: str, data: bytes, mode: int, owner: tuple[int, int]) -> None:
    """Replace the file at an absolute path, and make its missing directories (0755, of root). A link in its place is replaced.

    InvalidArgument for a directory in its place, and for a file or a link that leads nowhere on the way.
    """
    try:
        parent = _parent(root_fd, path)
    except (NotADirectoryError, FileExistsError) as error:
        raise InvalidArgument(f"{printable(path, 200)} has something else than directories on its way in the image") from error
    except OSError as error:
        raise from_os_error(error, f"writing {printable(path, 200)} into the container") from error
    name = path.rpartition("/")[2]
    with closing(parent):
        if _is_directory(parent, name):
            raise InvalidArgument(f"{printable(path, 200)} is a directory in the image, and cannot become a file")
        with replacing(name, mode, parent=parent) as stream:
            os.fchown(stream.fileno(), *owner)
            # A change of the owner takes some bits away.
            os.fchmod(stream.fileno(), mode)
            stream.write(data)


def _is_directory(parent: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode)
    except FileNotFoundError:
        return False


def _parent(root_fd: int, path: str) -> int:
    """The directory of the path, which is made where it is missing."""
    parts = [part for part in path.split("/") if part][:-1]
    fd = open_inside(root_fd, ".", _DIRECTORY)
    for number, name in enumerate(parts):
        try:
            below = open_inside(root_fd, "/".join(parts[: number + 1]), _DIRECTORY)
        except FileNotFoundError:
            try:
                os.mkdir(name, 0o755, dir_fd=fd)
                below = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                os.fchmod(below, 0o755)
            except OSError:
                os.close(fd)
                raise
        except OSError:
            os.close(fd)
            raise
        os.close(fd)
        fd = below
    return fd
