# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the shim and, in the same fork, the runtime: while Python comes up, the runtime makes the container already."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import typing as t

from ..errors import FailedPrecondition, Unavailable
from ..hostfs.syscalls import libc
from .bundle import Bundle
from .detached import ENVIRONMENT, set_apart, start_afresh, start_to_stay
from .processes import Process
from .runc import Runtime

_PR_SET_CHILD_SUBREAPER = 36


class Launch:
    """The descriptors of one launch. A context manager: leaving it closes our ends. verb: create, or run and --detach.

    stdin: keep the container's standard input open, as long as the shim lives.
    """

    def __init__(
        self, bundle: Bundle, runtime: Runtime, container_id: str, verb: t.Sequence[str], terminal: bool, stdin: bool
    ) -> None:
        self._stack = contextlib.ExitStack()
        null = self._own(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
        self._answer, self._answering = os.pipe()
        self._own(self._answer)
        self._inherited: t.List[int] = []
        self._id = container_id
        self._command = [*runtime.command, "--log", f"{bundle.path}/runtime.log", "--log-format", "json"]
        self._command += [*verb, "--bundle", bundle.path, "--pid-file", f"{bundle.path}/init.pid"]
        self._kept: t.List[int] = []
        if terminal:
            listener = self._stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            self._command += ["--console-socket", self._listen(listener, bundle.path)]
            self._stdio, self._shim = (null, null, null), ["console", str(listener.fileno())]
            self._kept = [listener.fileno()]
        else:
            pipes = [tuple(map(self._own, os.pipe())) for _stream in ("stdout", "stderr")]
            source = null
            if stdin:
                source, keep = map(self._own, os.pipe())
                self._kept = [keep]
            self._stdio = (source, pipes[0][1], pipes[1][1])
            self._shim = ["pipes", str(pipes[0][0]), str(pipes[1][0])]
            self._kept += [pipes[0][0], pipes[1][0]]
        self._command.append(container_id)

    def _own(self, fd: int) -> int:
        self._stack.callback(os.close, fd)
        return fd

    def __enter__(self) -> Launch:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def start(self, command: t.Sequence[str]) -> Process:
        """Start both; the shim. command is the shim's with its arguments up to the log's."""
        try:
            process = subprocess.Popen(
                [*command, str(self._answering), *self._shim],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
                pass_fds=(self._answering, *self._kept),
                preexec_fn=self._in_child,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise FailedPrecondition(f"the shim cannot be started: {error}") from error
        finally:
            os.close(self._answering)
        # It is nobody's business but its own from here on: no warning when this object goes.
        process.returncode = 0
        set_apart(process.pid, f"fleet-shim-{self._id}", f"Shim of the container {self._id}")
        return Process.of(process.pid)

    def _in_child(self) -> None:
        """In the process that becomes the shim, before execve: what is set here survives that, and needs no ctypes in the shim."""
        libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        if os.fork() == 0:
            try:
                start_afresh()
                for number, fd in enumerate(self._stdio):
                    os.dup2(fd, number)
                for fd in self._inherited:
                    os.set_inheritable(fd, True)
                os.execve(self._command[0], self._command, ENVIRONMENT)
            finally:
                os._exit(127)
        start_to_stay()

    def answer(self, timeout: float) -> bytes:
        """What the shim says; empty when it ends without a word. Unavailable after timeout seconds."""
        poller = select.poll()
        poller.register(self._answer, select.POLLIN | select.POLLHUP)
        if not poller.poll(timeout * 1000):
            raise Unavailable(f"the runtime has not made the container within {timeout:g} s")
        return os.read(self._answer, 64)

    def _listen(self, listener: socket.socket, directory: str) -> str:
        """Listen below a directory. The path goes through /proc, since a socket's path may have 107 bytes only."""
        fd = self._own(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        self._inherited.append(fd)
        path = f"/proc/self/fd/{fd}/console.sock"
        listener.bind(path)
        listener.listen(1)
        return path
