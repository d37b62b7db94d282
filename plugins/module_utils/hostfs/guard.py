# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process cannot notice its own SIGKILL: a guard, which is a fork of it, does then what must not be omitted."""

from __future__ import annotations

import contextlib
import gc
import os
import typing as t


@contextlib.contextmanager
def guarded(last_will: t.Callable[[], None]) -> t.Iterator[None]:
    """A guard process calls last_will when this process is killed inside the context.

    last_will must not use open files of this process: they are closed in the guard. If no more processes are allowed, there is no guard.
    """
    reader, writer = os.pipe()
    guard = -1
    try:
        with contextlib.suppress(OSError):
            guard = os.fork()
        if not guard:
            try:
                leave(reader)
                if not os.read(reader, 1):
                    last_will()
            finally:
                os._exit(0)
        os.close(reader)
        yield
    finally:
        # If the guard itself was killed, nothing is lost.
        with contextlib.suppress(BrokenPipeError):
            os.write(writer, b".")
        os.close(writer)
        if guard > 0:
            os.waitpid(guard, 0)


def leave(*kept: int) -> None:
    """In a fork: leave the process group that is killed, and close all descriptors but those kept. They would keep locks, or make Ansible
    wait for output.
    """
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in (*kept, null):
            with contextlib.suppress(OSError):
                os.close(int(name))
    for number in (0, 1, 2):
        if number not in kept:
            os.dup2(null, number)
    # Objects of the parent must not be collected here: they would close descriptors that are used for something else now.
    gc.freeze()
