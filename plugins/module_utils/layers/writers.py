# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that write layers, several at once.

Threads are not enough: a small file takes more work under the interpreter lock than without it. The processes are forked while this
one has a single thread. They use only what they are sent (a blob's descriptor and directories), and end with their connection or
with their parent, even if that is killed.
"""

from __future__ import annotations

import gc
import json
import os
import queue
import signal
import socket
import sys
import threading
import traceback
import typing as t

from .. import errors
from ..engine.models import LayerTarget
from ..errors import EngineError, MissingLibrary, Unavailable, from_os_error
from ..hostfs.syscalls import end_with_parent
from ..oci.digest import Digest
from .diff_apply import Applied, apply_layer

_AT_ONCE = 4
#: How long a thread waits for the interpreter lock after a system call, if the other thread does not release it.
_SWITCH_SECONDS = 0.0002

Below = t.Optional[t.Callable[[], None]]


class LayerWriters:
    """apply() is apply_layer(), run by one of the processes if there are any. A context manager."""

    def __init__(self) -> None:
        self._idle: queue.SimpleQueue[_Writer] = queue.SimpleQueue()
        self._writers: t.List[_Writer] = []

    def __enter__(self) -> LayerWriters:
        processors = len(os.sched_getaffinity(0))
        if processors > 1 and threading.active_count() == 1:
            try:
                for _number in range(min(_AT_ONCE, processors)):
                    self._writers.append(_Writer())
            except OSError as error:
                self.__exit__()
                raise from_os_error(error, "starting a process that writes layers") from error
        for writer in self._writers:
            self._idle.put(writer)
        return self

    def __exit__(self, *exc: object) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        self._idle = queue.SimpleQueue()

    @property
    def size(self) -> int:
        """How many layers are written at once. No more threads may call apply() at the same time."""
        return max(1, len(self._writers))

    def apply(self, stream: t.BinaryIO, media_type: str, target: LayerTarget, limit: int, below: Below) -> Applied:
        """As apply_layer. A stream that is not a file is read in this process.

        At most size threads may call it: a thread that waits for a writer may be the one that the writers wait for.
        """
        try:
            fd = stream.fileno() if self._writers else -1
        except OSError:
            fd = -1
        if fd < 0:
            return apply_layer(stream, media_type, target, limit, below)
        writer = self._idle.get()
        try:
            return writer.apply(fd, (media_type, target, limit), below)
        finally:
            self._idle.put(writer)


class _Writer:
    """One process, by its socket."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        parent = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            status = 1
            try:
                end_with_parent(parent, signal.SIGKILL)
                _forget_the_parent(theirs)
                _serve(theirs)
                status = 0
            finally:
                # Skip everything that the parent would do on its way out.
                if status:
                    traceback.print_exc()
                os._exit(status)
        theirs.close()

    def apply(self, fd: int, arguments: t.Tuple[t.Any, ...], below: Below) -> Applied:
        try:
            socket.send_fds(self._socket, [b"\0"], [fd])
            _send(self._socket, (below is not None, *arguments))
            kind, *values = _receive(self._socket)
            if kind == "below" and below:
                whole = False
                try:
                    below()
                    whole = True
                finally:
                    _send(self._socket, whole)
                kind, *values = _receive(self._socket)
        except (OSError, EOFError) as error:
            raise Unavailable(f"the process that writes layers has ended: {error}") from error
        if kind == "done":
            return Applied(Digest(values[0]), *values[1:])
        arguments, details = values
        raise t.cast(EngineError, getattr(errors, kind)(*arguments, **details))

    def close(self) -> None:
        self._socket.close()
        os.waitpid(self._pid, 0)


# In the process that writes


def _forget_the_parent(connection: socket.socket) -> None:
    """Close its locks and connections: copies of their descriptors would keep them alive."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != connection.fileno():
            try:
                os.close(int(name))
            except OSError:
                continue
    # Objects of the parent must not be collected here: they would close descriptors that are used for something else now.
    gc.freeze()
    sys.setswitchinterval(_SWITCH_SECONDS)


class _Abandoned(Exception):
    """The layers below could not be written."""


def _serve(connection: socket.socket) -> None:
    def below() -> None:
        _send(connection, ("below",))
        if not _receive(connection):
            raise _Abandoned

    while True:
        sign, fds, _flags, _address = socket.recv_fds(connection, 1, 1)
        if not sign:
            return
        with os.fdopen(fds[0], "rb") as stream:
            try:
                wait, media_type, target, limit = _receive(connection)
                done = apply_layer(stream, media_type, LayerTarget(*target), limit, below if wait else None)
                _send(connection, ("done", str(done.diff_id), done.size, done.root))
            except EngineError as error:
                _send(connection, (type(error).__name__, *_made_of(error)))
            except _Abandoned:
                continue


def _made_of(error: EngineError) -> t.Tuple[t.Sequence[str], t.Mapping[str, t.Any]]:
    """The arguments that make the error again, by position and by name."""
    if isinstance(error, MissingLibrary):
        return (error.library, error.why, error.debian, error.pypi), {}
    return (str(error),), error.details


def _send(connection: socket.socket, value: t.Any) -> None:
    data = json.dumps(value).encode()
    connection.sendall(len(data).to_bytes(4, "big") + data)


def _receive(connection: socket.socket) -> t.Any:
    return json.loads(_take(connection, int.from_bytes(_take(connection, 4), "big")))


def _take(connection: socket.socket, count: int) -> bytes:
    data = connection.recv(count, socket.MSG_WAITALL)
    if len(data) < count:
        raise EOFError("no answer")
    return data
