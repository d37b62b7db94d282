# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a program and reading what it says, on the path of every start: importing subprocess takes longer than nft runs."""

from __future__ import annotations

import contextlib
import os
import select
import time
import typing as t

_LOOK_SECONDS = 0.002
#: Where administrators' programs are; a task may have a PATH without.
_ADMIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_KILL = 9


class Done(t.NamedTuple):
    """status: 0, the exit status, or the negative number of a signal."""

    status: int
    stdout: str
    stderr: str


def find(program: str) -> str:
    """The path of a program; empty when it is not installed."""
    directories = [*os.environ.get("PATH", os.defpath).split(":"), *_ADMIN]
    paths = (os.path.join(one, program) for one in directories)
    return next((path for path in paths if os.access(path, os.X_OK)), "")


def run(command: t.Sequence[str], text: str, timeout: float, environment: t.Optional[t.Mapping[str, str]] = None) -> Done:
    """OSError when it cannot be started, and TimeoutError when it has not ended in time: then it is killed.

    What goes in and out are files in memory: nobody waits for the other one to read.
    """
    with contextlib.ExitStack() as stack:
        files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
        for fd in files:
            stack.callback(os.close, fd)
        _write(files[0], text.encode())
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(files)]
        # starts: (nft, iptables, a CNI plugin)
        pid = os.posix_spawn(find(command[0]) or command[0], list(command), dict(environment or os.environ), file_actions=actions)
        status = _wait(pid, timeout)
        return Done(status, *(_read(fd) for fd in files[1:]))


def _wait(pid: int, timeout: float) -> int:
    ended = False
    try:
        ended = _ends(pid, timeout)
    finally:
        if not ended:
            os.kill(pid, _KILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not ended:
        raise TimeoutError
    return status


def _ends(pid: int, timeout: float) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except (OSError, AttributeError):  # before Linux 5.3
        deadline = time.monotonic() + timeout
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True
    try:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return bool(poller.poll(timeout * 1000))
    finally:
        os.close(fd)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)


def _read(fd: int) -> str:
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, "rb", closefd=False) as stream:
        return stream.read().decode("utf-8", "replace")
