# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear whole or not at all: temporary name, fsync, rename, fsync of the directory."""

from __future__ import annotations

import contextlib
import os
import secrets
import typing as t

from ..errors import from_os_error


def fsync_dir(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_file(path: str, data: bytes, mode: int = 0o600, durable: bool = True) -> None:
    """Replace path by data. A reader sees the old file or the new one, never a part; nothing is left on failure."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{secrets.token_hex(8)}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with open(fd, "wb") as stream:
                os.fchmod(fd, mode)
                stream.write(data)
                stream.flush()
                if durable:
                    os.fsync(fd)
            os.rename(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        if durable:
            fsync_dir(directory)
    except OSError as error:
        raise from_os_error(error, f"writing {path}") from error


def make_dir(path: str, mode: int = 0o700) -> None:
    """Make a directory of ours; parents that are missing get the same mode. A directory that is there keeps its mode."""
    try:
        _make_dir(path, mode)
    except OSError as error:
        raise from_os_error(error, f"making the directory {path}") from error


def _make_dir(path: str, mode: int) -> None:
    # os.makedirs gives the parents the mode that the umask leaves.
    try:
        os.mkdir(path, mode)
    except FileNotFoundError:
        _make_dir(os.path.dirname(path), mode)
        _make_dir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def read_file(path: str, limit: int = 16 * 1024 * 1024) -> t.Optional[bytes]:
    """The content of a file of ours; None when it is absent."""
    try:
        with open(path, "rb") as stream:
            return stream.read(limit)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
