# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the shim before there is a container: while Python starts, the bundle is made."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import typing as t

from ..errors import FailedPrecondition, Unavailable
from ..hostfs.syscalls import libc
from .detached import ENVIRONMENT, set_apart, start_to_stay

_PR_SET_CHILD_SUBREAPER = 36
_NOT_EXECUTED = b"not executed: "


class Launch:
    """A shim that waits for go(). A context manager: leaving it without that ends the shim; so does the end of this process."""

    def __init__(self, command: t.Sequence[str], arguments: t.Sequence[str]) -> None:
        """arguments: those of the shim after the first one, which is its end of our socket. FailedPrecondition."""
        self.arguments = list(arguments)
        self._ours, theirs = socket.socketpair()
        try:
            # subprocess would wait until Python has been executed.
            self._pid = os.fork()
        except OSError as error:
            self._ours.close()
            theirs.close()
            raise FailedPrecondition(f"the shim cannot be started: {error}") from error
        if not self._pid:
            _become([*command, str(theirs.fileno()), *arguments], theirs)
        theirs.close()
        self._gone = False

    def __enter__(self) -> Launch:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def end(self) -> None:
        self._ours.close()
        if not self._gone:
            # Where children are not waited for, it may be gone.
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)

    def go(self, container_id: str, timeout: float) -> bytes:
        """The bundle is complete: let the shim start the container. Returns its answer; empty when it ends without one.

        Unavailable after timeout seconds. FailedPrecondition when it could not be executed.
        """
        # It outlives us from here on.
        self._gone = True
        poller = select.poll()
        poller.register(self._ours, select.POLLIN | select.POLLHUP)
        try:
            self._ours.send(b"\n")
            # While the runtime makes the container.
            set_apart(self._pid, f"fleet-shim-{container_id}", f"Shim of the container {container_id}")
            if not poller.poll(timeout * 1000):
                raise Unavailable(f"the runtime has not made the container within {timeout:g} s")
            answer = self._ours.recv(256)
        except OSError:
            return b""
        if answer.startswith(_NOT_EXECUTED):
            raise FailedPrecondition(f"the shim cannot be started: {os.fsdecode(answer[len(_NOT_EXECUTED) :])}")
        return answer


def start_apart(name: str, description: str, command: t.Sequence[str]) -> None:
    """Start a process that outlives us, in its own control group. FailedPrecondition."""
    null = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            command,
            stdin=null,
            stdout=null,
            stderr=null,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
            preexec_fn=start_to_stay,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise FailedPrecondition(f"{description} cannot be started: {error}") from error
    # Avoid a warning when this object is collected.
    process.returncode = 0
    set_apart(process.pid, name, description)


def _become(command: t.Sequence[str], theirs: socket.socket) -> t.NoReturn:
    """In the forked process: execute the shim. What is set here survives that, so the shim needs no ctypes."""
    try:
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        for number in map(int, os.listdir("/proc/self/fd")):
            if number > 2 and number != theirs.fileno():
                with contextlib.suppress(OSError):
                    os.close(number)
        theirs.set_inheritable(True)
        libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        start_to_stay()
        os.execve(command[0], [*command], ENVIRONMENT)
    except OSError as error:
        theirs.send(_NOT_EXECUTED + str(error).encode()[:200])
    finally:
        os._exit(127)


def start_serving(name: str, description: str, command: t.Sequence[str], data: bytes, seconds: float) -> bytes:
    """As start_apart(), for a program that reads data from its standard input, and prints a line when it can be used. Returns the line.

    FailedPrecondition when none comes within that time.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
            preexec_fn=start_to_stay,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise FailedPrecondition(f"{description} cannot be started: {error}") from error
    stdin, stdout = t.cast(t.BinaryIO, process.stdin), t.cast(t.BinaryIO, process.stdout)
    with stdout:
        try:
            with stdin:
                stdin.write(data)
            ready = select.select([stdout], [], [], seconds)[0]
            line = stdout.readline() if ready else b""
        except OSError:
            line = b""
    if not line:
        process.kill()
        process.wait()
        raise FailedPrecondition(f"{description} has ended at its start, or has not begun within {seconds:g} s")
    process.returncode = 0
    set_apart(process.pid, name, description)
    return line.strip()
