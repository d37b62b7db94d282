# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session at the host that has the container, for a client that reaches this host by a command (afar.py). It ends with the client.

It runs by the system's Python, without Ansible, with its frames at the standard input and output.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
import typing as t

from ...errors import EngineError
from ...hostfs.remove import remove_tree
from ...kernel.engines import EngineOptions
from . import frames
from .entry import As
from .session import Session

if t.TYPE_CHECKING:
    from .talk import Talk

#: How long the code of a release is kept after it was used.
_OLD_SECONDS = 30 * 24 * 3600.0
_STREAMS = {"stdout": frames.OUT, "stderr": frames.ERR}


def main(temporary: str, top: str, key: str) -> None:
    """temporary: a directory with our code that is to go; empty if it stays at top, by its key."""
    # Whatever else prints something must not do it between frames.
    source, answers = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.umask(0o022)
    try:
        _Server(frames.Reader(source), source, answers).run()
    except (_Gone, BrokenPipeError):
        raise SystemExit(1) from None
    finally:
        if temporary:
            remove_tree(temporary)
        else:
            _remove_old(top, key)


def _remove_old(top: str, key: str) -> None:
    """Remove the code of releases that nobody uses any more."""
    before = time.time() - _OLD_SECONDS
    for entry in os.scandir(top):
        # Another session may remove the same.
        with contextlib.suppress(EngineError, FileNotFoundError):
            if entry.name != key and entry.stat(follow_symlinks=False).st_mtime < before:
                remove_tree(entry.path)


class _Gone(Exception):
    """The client is."""


class _Server:
    def __init__(self, reader: frames.Reader, source: int, answers: int) -> None:
        self._reader, self._source, self._answers = reader, source, answers

    def run(self) -> None:
        document = json.loads(self._wanted(frames.OPEN))
        session = Session(EngineOptions(**document["options"]), document["name"], As(**document["how"]))
        verbs: t.Dict[bytes, t.Callable[[Session, t.Any], t.Any]] = {
            frames.RUN: self._run,
            frames.PUT: self._put,
            frames.FETCH: self._fetch,
            frames.LOOK: self._look,
        }
        while True:
            frame = self._reader.next()
            if frame is None:
                session.close()
                return
            kind, data = frame
            try:
                answer = verbs[kind](session, json.loads(data))
                self._say(frames.DONE, json.dumps(answer).encode())
            except EngineError as error:
                details = [type(error).__name__, str(error)]
                self._say(frames.FAILED, json.dumps(details).encode())
                if kind == frames.RUN:
                    # The client may be waiting for a word before it says the end of its input: it connects again.
                    session.close()
                    return

    def _wanted(self, kind: bytes) -> bytes:
        frame = self._reader.next()
        if frame is None or frame[0] != kind:
            raise _Gone
        return frame[1]

    def _say(self, kind: bytes, data: bytes) -> None:
        for part in frames.split(kind, data):
            frames.write(self._answers, part)

    def _run(self, session: Session, words: t.List[str]) -> t.Optional[int]:
        relayed = _Relayed(self._reader, self._source, self._say)
        status = session.run(words, relayed)
        relayed.drain()
        return status

    def _put(self, session: Session, path: str) -> None:
        source = _Input(self._reader)
        try:
            session.put(t.cast(t.BinaryIO, io.BufferedReader(source)), path)
        finally:
            source.drain()

    def _fetch(self, session: Session, path: str) -> None:
        session.fetch(path, t.cast(t.BinaryIO, _Output(lambda data: self._say(frames.OUT, data))))

    def _look(self, _session: Session, options: t.Dict[str, t.Any]) -> None:
        from .look import look

        self._say(frames.OUT, json.dumps(look(EngineOptions(**options))).encode())


class _Relayed:
    """The conversation of a command with the client."""

    patience: t.Optional[float] = None

    def __init__(self, reader: frames.Reader, source: int, say: t.Callable[[bytes, bytes], None]) -> None:
        self._reader, self._source, self._say, self._over = reader, source, say, False

    def begin(self, talk: Talk) -> None:
        self._relay(talk)
        talk.listen(self._source, lambda: self._hear(talk))

    def receive(self, name: str, data: bytes) -> None:
        self._say(_STREAMS[name], data)

    def late(self) -> None:
        """Only the client has patience."""

    def _hear(self, talk: Talk) -> None:
        if not self._reader.fill():
            raise _Gone
        self._relay(talk)

    def _relay(self, talk: Talk) -> None:
        for kind, data in self._reader.frames():
            if kind == frames.END:
                self._over = True
                talk.finish()
            else:
                talk.send(data)

    def drain(self) -> None:
        """What the client still sends of this command."""
        while not self._over:
            frame = self._reader.next()
            self._over = frame is None or frame[0] == frames.END


class _Input(io.RawIOBase):
    """The data of INPUT frames, as a file."""

    def __init__(self, reader: frames.Reader) -> None:
        super().__init__()
        self._reader, self._left, self._over = reader, b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        while not self._left and not self._over:
            frame = self._reader.next()
            if frame is None:
                raise _Gone
            self._over, self._left = frame[0] == frames.END, frame[1]
        part = self._left[: len(buffer)]
        buffer[: len(part)] = part
        self._left = self._left[len(part) :]
        return len(part)

    def drain(self) -> None:
        while not self._over:
            frame = self._reader.next()
            self._over = frame is None or frame[0] == frames.END


class _Output(io.RawIOBase):
    """What is written becomes OUT frames."""

    def __init__(self, say: t.Callable[[bytes], None]) -> None:
        super().__init__()
        self._say = say

    def writable(self) -> bool:
        return True

    def write(self, data: t.Any) -> int:
        self._say(bytes(data))
        return len(data)
