# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Early ends of a module: a signal, or a lost reader of its result, raise Interrupted in it, so that it undoes its steps on the way out.

A process cannot notice its own SIGKILL: then a guard does what must not be omitted (hostfs/guard.py).
"""

from __future__ import annotations

import contextlib
import select
import signal
import typing as t

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_STDOUT = 1
#: The signal that came. Python drops exceptions in hooks (after fork, in a destructor), so it is also kept here.
_came: t.List[str] = []
#: Has an element when all is done, and a signal comes too late.
_settled: t.List[bool] = []


class Interrupted(BaseException):
    """Not an Exception, since no handler on the way out may swallow it. details: as those of EngineError."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the task was interrupted: {why}")
        self.details: t.Dict[str, t.Any] = {}


@contextlib.contextmanager
def interruptible() -> t.Iterator[None]:
    """In this context, a signal that would end the process raises Interrupted, but only once: the way out is not interrupted. Nor is what
    comes after settle().
    """

    def interrupt(number: int, _frame: object) -> None:
        if _settled:
            return
        # Use a handler that does nothing: ignored signals would be ignored by the processes that we start, too.
        for one in before:
            signal.signal(one, lambda _number, _frame: None)
        _came.append(signal.Signals(number).name)
        raise Interrupted(f"{_came[0]} came")

    _settled.clear()
    before = {one: signal.getsignal(one) for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN}
    for one in before:
        signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def settle() -> None:
    """All is done, and is not undone any more: from here on signals change nothing, so that the task tells what it has done."""
    _settled.append(True)


def check(reader: bool = False) -> None:
    """Raise Interrupted when a signal has come.

    reader: also raise it when nobody can read our result any more: Ansible gave up the task, or its connection is lost.
    """
    if _came:
        raise Interrupted(f"{_came[0]} came")
    if reader:
        poller = select.poll()
        poller.register(_STDOUT, 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _fd, event in poller.poll(0)):
            raise Interrupted("nobody reads its result any more")
