# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The json-file log in docker's format: one JSON object on each line, rotated by size. runtime/logs.py reads it back.

Processes that stay in memory write it, so this imports next to nothing.
"""

from __future__ import annotations

import posix as os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .log_sinks import Sink

#: Output without an end of line is written in pieces of this size.
_PIECE = 16 * 1024
#: The longest line of a log: a piece and one read (64 KiB) of output, with at most six characters for each byte.
LONGEST_LINE = 1024 * 1024
_ESCAPES = {number: f"\\u{number:04x}" for number in [*range(32), 0x7F, 0x2028, 0x2029]}
_ESCAPES.update({ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord('"'): '\\"', ord("\\"): "\\\\"})


def escape(data: bytes) -> str:
    """The inside of a JSON string. Bytes that are not UTF-8 become U+FFFD."""
    return data.decode("utf-8", "replace").translate(_ESCAPES)


def timestamp(now: int) -> str:
    """RFC 3339, of nanoseconds since the epoch."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z"


def rotated(path: str, number: int) -> str:
    """The name of a rotated file; larger numbers are older."""
    return f"{path}.{number}" if number else path


def rotation(path: str) -> str:
    """The file with the size and number of files of a log that were changed after its start: two numbers."""
    return f"{path}.rotation"


def driver(path: str) -> str:
    """The file that tells where else the lines of a log go, or what each has besides (resources/container/options/log_told.py)."""
    return f"{path}.driver"


def _driver(path: str) -> tuple[str, Sink | None]:
    """What each line of the file has besides, and where else lines go."""
    try:
        with open(driver(path), "rb") as stream:
            text = stream.read()
    except OSError:
        return "", None
    if text.startswith(b"attrs\n"):
        return text[6:].decode("utf-8", "replace"), None
    from .log_sinks import opened

    try:
        return "", opened(text)
    except (OSError, TypeError, ValueError, IndexError):
        # A damaged file must not keep the container from its log.
        return "", None


class Log:
    """A full or slow disk never stops the container: lines are dropped and counted. Without a path there is no log, without files only
    what the driver gets.
    """

    def __init__(self, path: str, max_size: int, max_files: int) -> None:
        self._path, self._max_size, self._max_files = path, max_size, max(1, max_files)
        self._writes = bool(path) and max_files > 0
        self._attributes, self._sink = _driver(path) if path else ("", None)
        self._rotation = rotation(path)
        self._looked: tuple[int, ...] = ()
        self._partial: dict[str, bytes] = {}
        self._fd = -1
        self._size = 0
        self.dropped = 0
        self._open()

    def _open(self) -> None:
        if not self._writes:
            return
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._fd).st_size
        except OSError:
            self._fd = -1

    def feed(self, stream: str, data: bytes) -> None:
        """Take output of a stream. Complete lines are written, and pieces of very long ones."""
        lines = (self._partial.pop(stream, b"") + data).split(b"\n")
        rest = lines.pop()
        pieces = [line + b"\n" for line in lines]
        while len(rest) >= _PIECE:
            pieces.append(rest[:_PIECE])
            rest = rest[_PIECE:]
        if rest:
            self._partial[stream] = rest
        self._write(stream, pieces)

    def finish(self) -> None:
        """Write the last lines, without an end of line."""
        for stream in list(self._partial):
            self._write(stream, [self._partial.pop(stream)], last=True)

    def _write(self, stream: str, pieces: list[bytes], last: bool = False) -> None:
        """last: what has no end of line is complete."""
        if not self._path or not pieces:
            return
        if self._sink:
            for piece in pieces:
                whole = last or piece.endswith(b"\n")
                self.dropped += not self._sink.send(stream, piece.rstrip(b"\r\n") if whole else piece, not whole)
        if not self._writes:
            return
        self._look()
        stamp = timestamp(time.time_ns())
        for piece in pieces:
            text = f'{{"log":"{escape(piece)}","stream":"{stream}",{self._attributes}"time":"{stamp}"}}\n'.encode()
            try:
                if self._max_size and self._size + len(text) > self._max_size and self._size:
                    self._rotate()
                if self._fd < 0:
                    self._open()
                # If it is not open, the descriptor is -1, which gives an OSError too.
                self._size += os.write(self._fd, text)
            except OSError:
                self.dropped += 1

    def _look(self) -> None:
        """Take over a change of the rotation. What cannot be read is being written."""
        try:
            found = os.stat(self._rotation)
            looked = (found.st_mtime_ns, found.st_size, found.st_ino)
            if looked == self._looked:
                return
            self._looked = looked
            with open(self._rotation, encoding="utf-8") as stream:
                size, files = map(int, stream.read(64).split())
        except (OSError, ValueError):
            return
        for number in range(files, self._max_files):
            try:
                os.unlink(rotated(self._path, number))
            except OSError:
                continue
        self._max_size, self._max_files = size, max(1, files)

    def _rotate(self) -> None:
        os.close(self._fd)
        self._fd = -1
        for number in range(self._max_files - 1, 0, -1):
            try:
                os.rename(rotated(self._path, number - 1), rotated(self._path, number))
            except FileNotFoundError:
                continue
        if self._max_files == 1:
            os.unlink(self._path)
        self._open()
