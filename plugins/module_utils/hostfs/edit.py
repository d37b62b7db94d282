# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edit a file in place: one that is mounted into a container, which has the file and not its name."""

from __future__ import annotations

import os
import stat
import typing as t

from ..errors import EngineError, from_os_error
from .lock import locked

#: A container could let its own files grow.
_LIMIT = 1024 * 1024

Edit = t.Callable[[bytes], bytes]


def edit(path: str, change: Edit, make: bool = False, durable: bool = False) -> None:
    """Replace the content of a file by what change makes of it, alone. make: the file is made if it is missing; else NotFound."""
    # A lock on the file itself could be held by the container.
    with locked(f"{path}.lock", path):
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT * make | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise from_os_error(error, f"opening {path}") from error
        with open(fd, "r+b", buffering=0) as stream:
            try:
                regular = stat.S_ISREG(os.fstat(fd).st_mode)
                old = stream.read(_LIMIT + 1) if regular else b""
                if not regular or len(old) > _LIMIT:
                    raise EngineError(f"{path} is no file of at most {_LIMIT} bytes: it is not changed")
                new = change(old)
                if new != old:
                    # Who is killed before the last call leaves empty lines, and not the end of what was there.
                    whole, done = new.ljust(len(old), b"\n"), 0
                    while done < len(whole):
                        done += os.pwrite(fd, whole[done:], done)
                    os.ftruncate(fd, len(new))
                if durable:
                    os.fsync(fd)
            except OSError as error:
                raise from_os_error(error, f"writing {path}") from error


def with_part(old: bytes, name: str, lines: t.Sequence[str]) -> bytes:
    """A text with these lines between two comments that name the part; without the part if there are none."""
    begin, end = (f"# {sign}fleet.containerd {name}\n".encode() for sign in ("begin ", "end "))
    head, found, rest = old.partition(begin)
    tail = rest.partition(end)[2] if found else b""
    if head and not head.endswith(b"\n"):
        head += b"\n"
    return head + (begin + "".join(f"{line}\n" for line in lines).encode() + end if lines else b"") + tail
