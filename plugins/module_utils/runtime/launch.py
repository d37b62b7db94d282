# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start the shim before there is a container: while Python starts, the bundle is made."""

from __future__ import annotations

import select
import socket
import subprocess
import typing as t

from ..errors import FailedPrecondition, Unavailable
from ..hostfs.syscalls import libc
from .detached import ENVIRONMENT, set_apart, start_to_stay

_PR_SET_CHILD_SUBREAPER = 36


class Launch:
    """A context manager. Leaving it without go() ends the shim; so does the end of this process."""

    def __init__(self, container_id: str, command: t.Sequence[str], arguments: t.Sequence[str]) -> None:
        """arguments: those of the shim after the first one, which is its end of our socket."""
        self._id = container_id
        self._ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
                preexec_fn=_in_child,
            )
        except (OSError, subprocess.SubprocessError) as error:
            self._ours.close()
            raise FailedPrecondition(f"the shim cannot be started: {error}") from error
        finally:
            theirs.close()
        self._gone = False

    def __enter__(self) -> Launch:
        return self

    def __exit__(self, *exc: object) -> None:
        self._ours.close()
        if not self._gone:
            self._process.kill()
            self._process.wait()

    def go(self, timeout: float) -> bytes:
        """The bundle is complete: let the shim start the container. Returns its answer; empty when it ends without one.

        Unavailable after timeout seconds.
        """
        # It outlives us from here on: avoid a warning when this object is collected.
        self._gone, self._process.returncode = True, 0
        poller = select.poll()
        poller.register(self._ours, select.POLLIN | select.POLLHUP)
        try:
            self._ours.send(b"\n")
            # While the runtime makes the container.
            set_apart(self._process.pid, f"fleet-shim-{self._id}", f"Shim of the container {self._id}")
            if not poller.poll(timeout * 1000):
                raise Unavailable(f"the runtime has not made the container within {timeout:g} s")
            return self._ours.recv(64)
        except OSError:
            return b""


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


def _in_child() -> None:
    """Runs before execve. These settings survive it, so the shim needs no ctypes."""
    libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    start_to_stay()
