# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a container's json-file log (json_log.py) back, over its rotated files.

It is read from the end, since only the end of a large log is wanted.
"""

from __future__ import annotations

import json
import os
import typing as t

from ..errors import from_os_error
from .json_log import LONGEST_LINE, rotated, timestamp

_LIMIT = 16 * 1024 * 1024
_BLOCK = 256 * 1024


def read(path: str, streams: t.Collection[str] = ("stdout", "stderr"), limit: int = _LIMIT, since: float = 0.0) -> bytes:
    """The output of a container, oldest first; only the last limit bytes, and what is not older than a time (seconds since the epoch).

    Empty without a log.
    """
    parts: t.List[bytes] = []
    total, first = 0, timestamp(int(since * 1e9))
    for lines in _backwards(path) if path else ():
        found = list(_output(lines, streams))
        parts.append(b"".join(text for written, text in found if written >= first))
        total += len(parts[-1])
        if total >= limit or (found and found[0][0] < first):
            break
    return b"".join(reversed(parts))[-limit:]


def _output(lines: t.Iterable[bytes], streams: t.Collection[str]) -> t.Iterator[t.Tuple[str, bytes]]:
    """Time and text of each line."""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("stream") in streams and isinstance(entry.get("log"), str):
            yield str(entry.get("time")), entry["log"].encode("utf-8", "surrogatepass")


def _backwards(path: str) -> t.Iterator[t.List[bytes]]:
    """The lines of the log and of its rotated files, some at a time, the last ones first."""
    number, seen = 0, set()
    while True:
        name = rotated(path, number)
        try:
            with open(name, "rb", buffering=0) as stream:
                found = os.fstat(stream.fileno())
                # During a rotation a file may appear again under its next name.
                if (found.st_dev, found.st_ino) not in seen:
                    seen.add((found.st_dev, found.st_ino))
                    yield from blocks(stream.fileno(), found.st_size)
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, f"reading {name}") from error
        number += 1


def blocks(fd: int, end: int) -> t.Iterator[t.List[bytes]]:
    """The complete lines of a file, those of its last block first. A line that is too long to be ours is skipped."""
    rest = b""
    while end > 0:
        begin = max(0, end - _BLOCK)
        first, *lines = (os.pread(fd, end - begin, begin) + rest).split(b"\n")
        rest, end = first if len(first) <= LONGEST_LINE else b"", begin
        yield lines
    yield [rest]
