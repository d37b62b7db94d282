# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look for a container's command before the old container is stopped."""

from __future__ import annotations

import os
import stat
import struct
import typing as t

from ..errors import InvalidArgument, printable

_LINKS = 40
#: PT_INTERP (elf(5)): what loads the libraries of a program.
_INTERPRETER = 3
#: More bytes than the program headers of any program have.
_TABLE = 1 << 20
#: Mounted by the runtime, so their content is not in the image.
_MOUNTED = ("/dev", "/proc", "/sys", "/run")


def check_command(root_fd: int, command: str, path: str, working_dir: str, mounted: t.Iterable[str]) -> None:
    """Raise InvalidArgument, with the message for the runtime's error, when the command does not exist.

    path: the container's PATH. mounted: the targets of its volumes, whose content is not known here.
    """
    over = (*_MOUNTED, *mounted)
    if "/" in command:
        where, words = [os.path.join(working_dir, command)], "is not in the image"
    else:
        where, words = (
            [os.path.join(one, command) for one in path.split(":") if one.startswith("/")],
            "is not in the image's PATH",
        )
    modes = [_mode(root_fd, one, over) for one in where]
    if any(mode is None or (stat.S_ISREG(mode) and mode & 0o111) for mode in modes):
        return
    if any(modes) and "/" in command:
        words = "may not be executed"
    raise InvalidArgument(f"the command {printable(command, 200)} {words}")


def _mode(root_fd: int, path: str, over: t.Collection[str]) -> t.Optional[int]:
    """The mode of the file at a path inside the root: 0 if it is missing, None if only the running container would know."""
    todo = [part for part in path.split("/") if part not in ("", ".")][::-1]
    done: t.List[str] = []
    links = 0
    mode = stat.S_IFDIR
    while todo:
        part = todo.pop()
        if part == "..":
            done = done[:-1]
            continue
        here = "/".join([*done, part])
        if any(f"/{here}/".startswith(f"{one.rstrip('/')}/") for one in over):
            return None
        try:
            mode = os.lstat(here, dir_fd=root_fd).st_mode
            target = os.readlink(here, dir_fd=root_fd) if stat.S_ISLNK(mode) else ""
        except OSError:
            return 0
        if not stat.S_ISLNK(mode):
            done.append(part)
            continue
        links += 1
        if links > _LINKS:
            return 0
        todo += [one for one in target.split("/") if one not in ("", ".")][::-1]
        done = [] if target.startswith("/") else done
    return mode


def is_static(path: str) -> bool:
    """Whether a program of the host is an ELF file that needs no other one to run (no program header PT_INTERP)."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(64)
            if len(head) < 52 or head[:4] != b"\x7fELF":
                return False
            wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
            offset = struct.unpack_from(f"{order}Q" if wide else f"{order}I", head, 32 if wide else 28)[0]
            size, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
            stream.seek(offset)
            table = stream.read(min(size * count, _TABLE))
    except (OSError, ValueError, struct.error):
        return False
    kinds = [struct.unpack_from(f"{order}I", table, place)[0] for place in range(0, len(table) - 3, max(size, 4))]
    return bool(kinds) and _INTERPRETER not in kinds
