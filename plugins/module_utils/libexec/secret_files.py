# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook (createRuntime) of a container with secrets: it copies them into a tmpfs of the container, at every start.

The mounts of the container are made by then, and are in its mount namespace only: so the secrets go when the container goes.
"""

from __future__ import annotations

import json
import os
import sys

from ..errors import EngineError, FailedPrecondition, printable
from ..hostfs import syscalls
from ..hostfs.inside import open_inside

#: In the directory of secrets: where they go in the container, and which there are.
INDEX = "index.json"
ERROR = ".error"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def main(arguments: list[str]) -> None:
    """arguments: the directory of the container's secrets. The state comes on standard input."""
    (directory,) = arguments
    try:
        state = json.loads(sys.stdin.buffer.read())
        put(int(state["pid"]), state["bundle"], directory)
        status = 0
    except (EngineError, OSError, ValueError, TypeError, KeyError) as error:
        message = printable(" ".join(str(error).split()), 500)
        sys.stderr.write(message)
        sys.stderr.flush()
        _leave(directory, message)
        status = 1
    os._exit(status)


def put(pid: int, bundle: str, directory: str) -> None:
    """Write the secrets of a directory into the container that is being made by this process and from this bundle."""
    with open(os.path.join(directory, INDEX), "rb") as stream:
        index = json.load(stream)
    root = os.open(f"/proc/{pid}/root{bundle}/rootfs", _DIRECTORY)
    place = open_inside(root, index["place"], _DIRECTORY)
    if not _is_tmpfs(place, pid):
        raise FailedPrecondition(f"there is no tmpfs on {index['place']} in the container")
    for one in index["index"]:
        with open(os.path.join(directory, one["file"]), "rb") as stream:
            content = stream.read()
        fd = _make(place, one["name"])
        with open(fd, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchown(fd, one["uid"], one["gid"])
            os.fchmod(fd, one["mode"])


def _make(place: int, name: str) -> int:
    """Open a new file. Where the container has users of its own, only those can make one in its tmpfs: not even root of the host."""
    found = os.fstat(place)
    with syscalls.files_as(found.st_uid, found.st_gid):
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place)


def _is_tmpfs(fd: int, pid: int) -> bool:
    """Whether a directory is on a tmpfs of this process' mount namespace: nothing is ever written to a disk."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as stream:
        number = next(line.split()[1] for line in stream if line.startswith("mnt_id:"))
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return any(line.split(" ", 1)[0] == number and " - tmpfs " in line for line in lines)


def _leave(directory: str, message: str) -> None:
    """Beside the directory, for the task that waits for the start."""
    try:
        with open(directory + ERROR, "w", encoding="utf-8") as stream:
            stream.write(message)
    except OSError:
        return
