# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a log as it grows, over its rotations."""

from __future__ import annotations

import contextlib
import itertools
import os
import typing as t

from ...runtime.json_log import LONGEST_LINE
from .find import Log, same_file
from .formats import Record

_CHUNK = 256 * 1024


class Tail:
    """What comes after the moment at which this was made. A context manager."""

    def __init__(self, log: Log) -> None:
        self._log, self._fd, self._begin, self._rest = log, -1, 0, b""
        with contextlib.suppress(FileNotFoundError):
            self._fd = _opened(log.path)
            self._to_last_line()

    def before(self) -> t.Iterator[Record]:
        """The records before that moment, the last one first. Not after new()."""
        return self._log.backwards(self._fd, self._begin)

    def __enter__(self) -> Tail:
        return self

    def __exit__(self, *exc: t.Any) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def _to_last_line(self) -> None:
        """A line that is half written by now comes later, and from its beginning."""
        end = os.fstat(self._fd).st_size
        begin = max(0, end - LONGEST_LINE)
        self._begin = begin + os.pread(self._fd, end - begin, begin).rfind(b"\n") + 1
        os.lseek(self._fd, self._begin, os.SEEK_SET)

    def new(self) -> t.Iterator[Record]:
        """The records since the last call."""
        yield from self._present()
        for path in self._newer():
            with contextlib.suppress(FileNotFoundError):
                fd = _opened(path)
                if self._fd >= 0:
                    os.close(self._fd)
                self._fd, self._rest = fd, b""
                yield from self._present()

    def _newer(self) -> t.List[str]:
        """The files after the one that is open, the oldest first."""
        if self._fd < 0:
            return [self._log.path]
        present, names = os.fstat(self._fd), [self._log.path, *self._log.rotated()]
        newer = list(itertools.takewhile(lambda path: not same_file(path, present), names))
        # If the open one has no name any more, files between it and the present one are gone, too.
        return newer[::-1] if len(newer) < len(names) else newer[:1]

    def _present(self) -> t.Iterator[Record]:
        while self._fd >= 0:
            block = os.read(self._fd, _CHUNK)
            if not block:
                return
            *lines, self._rest = (self._rest + block).split(b"\n")
            yield from filter(None, map(self._log.parse, lines))


def _opened(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
