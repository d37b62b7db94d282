# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talk with a process in a container, until it has ended."""

from __future__ import annotations

import os
import select
import time
import typing as t

_CHUNK = 64 * 1024
#: How long something in the background may keep the output of a process that has ended (seconds): in silence, and at all.
_PATIENCE, _MOST = 0.5, 5.0


class Way(t.Protocol):
    """What a talk needs of an Execution (engine/api.pyi)."""

    @property
    def stdin(self) -> int: ...
    @property
    def stdout(self) -> int: ...
    @property
    def stderr(self) -> int: ...
    @property
    def ended(self) -> int: ...

    def close_stdin(self) -> None:
        """BlockingIOError when there is no room for what says the end."""

    def status(self) -> int: ...


class Conversation(t.Protocol):
    """What somebody has to say to a process, and hears. patience: seconds, after which late() is called, once; None: for ever."""

    patience: t.Optional[float]

    def begin(self, talk: t.Any) -> None:
        """It runs. At some time talk.finish() has to be called."""

    def receive(self, name: str, data: bytes) -> None:
        """name: stdout or stderr."""

    def late(self) -> None:
        """May raise an error, which ends the process."""


def held(execution: Way, conversation: Conversation, wrap: t.Callable[[Talk], t.Any] = lambda talk: talk) -> int:
    """Hold a conversation to the end of a process. Its exit status. wrap: makes of the talk what the conversation is given."""
    talk = Talk(execution, conversation.receive)
    conversation.begin(wrap(talk))
    status = talk.run(conversation.patience)
    while status is None:
        conversation.late()
        status = talk.run()
    return status


class Talk:
    """receive: gets the name of a stream, stdout or stderr, and what has come. It may call send() and finish().

    Somebody else, at a descriptor, may have a part in it: see listen().
    """

    def __init__(self, execution: Way, receive: t.Callable[[str, bytes], t.Any]) -> None:
        self._execution, self._receive = execution, receive
        self._poller = select.poll()
        self._pending, self._finishing, self._waits = memoryview(b""), False, False
        outputs = {"stdout": execution.stdout, "stderr": execution.stderr}
        self._outputs = {fd: name for name, fd in outputs.items() if fd >= 0}
        self._stopped = False
        self._others: t.Dict[int, t.Callable[[], t.Any]] = {}
        for fd in (*self._outputs, execution.ended):
            self._poller.register(fd, select.POLLIN)

    def send(self, data: bytes) -> None:
        """Write to its standard input, when that takes it."""
        self._pending = memoryview(bytes(self._pending) + data)
        self._write()

    def finish(self) -> None:
        """After what was sent, its input ends."""
        self._finishing = True
        self._write()

    def stop(self) -> None:
        """There is nothing more to be said: run() returns."""
        self._stopped = True

    def listen(self, fd: int, hear: t.Callable[[], t.Any]) -> None:
        """Call hear() when there is something to read at fd."""
        self._others[fd] = hear
        self._poller.register(fd, select.POLLIN)

    def run(self, timeout: t.Optional[float] = None) -> t.Optional[int]:
        """Until it has ended. Its exit status; None if it has not ended in time (seconds)."""
        execution, left = self._execution, None
        deadline = None if timeout is None else time.monotonic() + timeout
        ended, latest = False, 0.0
        while (self._outputs or not ended) and not self._stopped:
            if ended:
                left = min(_PATIENCE, latest - time.monotonic())
                if left <= 0:
                    break
            elif deadline is not None:
                left = max(0.0, deadline - time.monotonic())
            events = [fd for fd, _event in self._poller.poll(None if left is None else left * 1000)]
            if not events:
                if ended:
                    break
                return None
            if execution.ended in events:
                ended, latest = True, time.monotonic() + _MOST
                self._poller.unregister(execution.ended)
            if self._waits and execution.stdin in events:
                self._write()
            for fd in events:
                if fd in self._outputs:
                    self._read(fd)
                elif fd in self._others:
                    self._others[fd]()
        return execution.status()

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            # A terminal that nobody has any more.
            data = b""
        if data:
            self._receive(self._outputs[fd], data)
        else:
            self._poller.unregister(fd)
            del self._outputs[fd]

    def _write(self) -> None:
        execution = self._execution
        try:
            while self._pending and execution.stdin >= 0:
                self._pending = self._pending[os.write(execution.stdin, self._pending[:_CHUNK]) :]
            self._close_stdin()
        except BlockingIOError:
            self._wait_for_room(True)
        except OSError:
            # It reads no more.
            self._pending, self._finishing = memoryview(b""), True
            self._close_stdin()

    def _close_stdin(self) -> None:
        self._wait_for_room(False)
        if self._finishing:
            self._execution.close_stdin()

    def _wait_for_room(self, wanted: bool) -> None:
        if wanted != self._waits:
            self._waits = wanted
            if wanted:
                self._poller.register(self._execution.stdin, select.POLLOUT)
            else:
                self._poller.unregister(self._execution.stdin)
