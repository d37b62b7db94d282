# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a process in a container, with its streams at our end. docs/adr/0047.

A keeper, which is a fork of ours, has the runtime start it, is its parent, and ends it when we end, however that happens. It needs no
memory for long: health checks of a supervisor, which stays for months, go another way (health.py).
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import typing as t

from ..errors import Unavailable
from ..hostfs.guard import leave
from ..hostfs.remove import remove_tree
from ..hostfs.syscalls import libc
from ..runtime.detached import ENVIRONMENT, start_to_stay
from ..runtime.runc import failure, last_message
from .ends import belong, null, send, ticks, watch
from .health import end_session

_PR_SET_CHILD_SUBREAPER = 36
_START_SECONDS, _RUNTIME_SECONDS = 60.0, 10.0
#: Signals that we, or Python, ignore.
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGXFSZ)
_LIMIT = 64 * 1024
#: End of transmission: what somebody at a terminal types, once to send the line as it is, once at the beginning of a line.
_EOT = b"\x04\x04"


class Execution:
    """A process in a container. A context manager: at its end the process has ended, if need be by SIGKILL.

    stdin, stdout, stderr: our ends of its streams, which do not block; -1 where there is none. A terminal is all of them: stdin and
    stdout. ended: a descriptor that is readable when it has ended. pid: as this host has it.
    """

    def __init__(self, container_id: str, terminal: bool) -> None:
        self._container_id, self._terminal = container_id, terminal
        self.stdin = self.stdout = self.stderr = self.ended = -1
        self.pid, self._ticks, self._status = 0, 0, -1

    def __enter__(self) -> Execution:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def signal(self, number: int) -> None:
        """Send a signal to the process. None if it has ended."""
        if self.pid and self._ticks:
            send(self.pid, self._ticks, number)

    def kill(self) -> None:
        """End it, with all that it has left in its session."""
        end_session(self.pid, self._container_id)

    def close_stdin(self) -> None:
        """It reads the end of its input, once it has read all. Whoever sits at a terminal types that: BlockingIOError without room."""
        if self.stdin >= 0:
            if self._terminal:
                try:
                    os.write(self.stdin, _EOT)
                except BlockingIOError:
                    raise
                except OSError:
                    # Nobody reads it any more.
                    pass
            os.close(self.stdin)
            self.stdin = -1

    def status(self) -> int:
        """Wait for its end. The exit status; 128 + signal if one has ended it."""
        raise NotImplementedError

    def close(self) -> None:
        """End it if it has not ended, and give everything back."""
        raise NotImplementedError

    def _started(self, pid: int) -> None:
        self.pid, self._ticks = pid, ticks(pid)

    def _close_streams(self) -> None:
        for fd in {self.stdin, self.stdout, self.stderr} - {-1}:
            os.close(fd)
        self.stdin = self.stdout = self.stderr = -1


def streams(stdin: bool, terminal: bool) -> t.Tuple[t.List[int], t.List[int]]:
    """Pipes for the standard streams: our ends (-1: none, do not block) and theirs. A terminal comes later."""
    ours, theirs = [-1, -1, -1], [-1, -1, -1]
    piped = () if terminal else (0, 1, 2) if stdin else (1, 2)
    for number in range(3):
        if number not in piped:
            theirs[number] = null()
            continue
        reader, writer = os.pipe()
        ours[number], theirs[number] = (reader, writer) if number else (writer, reader)
        os.set_blocking(ours[number], False)
    return ours, theirs


class RuntimeExecution(Execution):
    """By an OCI runtime.

    runtime: its command up to the verb. init: the first process of the container. process: as in the runtime spec. parent: for a
    directory with files of this run.
    """

    def __init__(
        self, runtime: t.Sequence[str], container_id: str, init: int, process: t.Mapping[str, t.Any], parent: str, stdin: bool
    ) -> None:
        super().__init__(container_id, bool(process.get("terminal")))
        self._keeper, (self._directory, _name) = 0, _new(parent)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stdio: t.List[int] = []
        try:
            ours, stdio = streams(stdin, self._terminal)
            self.stdin, self.stdout, self.stderr = ours
            belong(f"/proc/{init}/root", *(fd for fd, own in zip(stdio, ours) if own >= 0))
            self._keeper = os.fork()
            if not self._keeper:
                try:
                    _Keeper(theirs, container_id, self._directory).run(runtime, process, stdio)
                finally:
                    os._exit(0)
            theirs.close()
            self._started(self._answer())
        finally:
            theirs.close()
            for fd in stdio:
                os.close(fd)
            if not self.pid:
                self.close()
        self.ended = self._socket.fileno()

    def _answer(self) -> int:
        """The process id, as soon as it runs."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        if not poller.poll(_START_SECONDS * 1000):
            raise Unavailable(f"the runtime has not started the process within {_START_SECONDS:g} s")
        answer, fds, _flags, _address = socket.recv_fds(self._socket, _LIMIT, 1, socket.MSG_CMSG_CLOEXEC)
        if fds:
            self.stdout, self.stdin = fds[0], os.dup(fds[0])
            os.set_blocking(self.stdout, False)
        word, _space, rest = answer.decode("utf-8", "replace").partition(" ")
        if word != "started":
            raise failure("run a process in", rest or "it has been killed")
        return int(rest)

    def status(self) -> int:
        if self._status < 0:
            answer = self._socket.recv(_LIMIT)
            if not answer:
                # The keeper was killed.
                self.kill()
            self._status = int(answer or b"255")
        return self._status

    def close(self) -> None:
        self._close_streams()
        self._socket.close()
        if self._keeper:
            os.waitpid(self._keeper, 0)
            self._keeper = 0
        remove_tree(self._directory)


class _Keeper:
    """The fork. talk: readable when the process is to end at once."""

    def __init__(self, talk: socket.socket, container_id: str, directory: str) -> None:
        self._talk, self._id, self._directory = talk, container_id, directory
        self._pid_file, self._log = os.path.join(directory, "pid"), os.path.join(directory, "log")

    def run(self, runtime: t.Sequence[str], process: t.Mapping[str, t.Any], stdio: t.Sequence[int]) -> None:
        leave(self._talk.fileno(), *stdio)
        # As the runtime is to begin, where no signal is ignored; and nothing but the end of who started us ends us.
        start_to_stay()
        for number in _IGNORED:
            signal.signal(number, lambda _number, _frame: None)
        libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        description = _described(process)
        os.set_inheritable(description, True)
        command = [*_command(runtime, self._log, description), "--pid-file", self._pid_file]
        masters = []
        try:
            if process.get("terminal"):
                from .console import receive

                masters = [receive(self._directory, lambda more: self._spawn([*command, *more, self._id], stdio))]
            else:
                self._spawn([*command, self._id], stdio)
        except OSError as error:
            self._say(f"failed {command[0]} cannot be run: {error.strerror}")
            return
        for fd in (*stdio, description):
            os.close(fd)
        status, pid = self._wait(), _number(self._pid_file)
        if status or not pid:
            self._say(f"failed {last_message(self._log) or 'it has failed silently'}")
        else:
            self._say(f"started {pid}", masters)
            for fd in masters:
                os.close(fd)
            self._look_after(pid)
        # Whoever has been killed does not do it.
        remove_tree(self._directory)

    def _spawn(self, command: t.List[str], stdio: t.Sequence[int]) -> None:
        stdin, stdout, stderr = stdio
        # With cwd it does not use posix_spawn: in what that starts, signals of glibc's own are ignored.
        how: t.Dict[str, t.Any] = {"cwd": "/", "env": ENVIRONMENT, "close_fds": False}
        self._runtime = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, **how).pid

    def _wait(self) -> int:
        """The exit status of the runtime. A runtime that is killed on its way could leave the process that it was about to start."""
        ended = watch(self._runtime)
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        poller.register(self._talk, select.POLLIN)
        if ended not in [fd for fd, _event in poller.poll()]:
            poller.unregister(self._talk)
            if not poller.poll(_RUNTIME_SECONDS * 1000):
                os.kill(self._runtime, signal.SIGKILL)
        os.close(ended)
        return os.waitpid(self._runtime, 0)[1]

    def _look_after(self, pid: int) -> None:
        """Until its end, or ours."""
        ended = watch(pid)
        poller = select.poll()
        poller.register(ended, select.POLLIN)
        poller.register(self._talk, select.POLLIN)
        if ended not in [fd for fd, _event in poller.poll()]:
            end_session(pid, self._id)
            poller.unregister(self._talk)
            if not poller.poll(_RUNTIME_SECONDS * 1000):
                # It is frozen, or waits for a disk, and ends when it can.
                return
        status = os.waitpid(pid, 0)[1]
        self._say(str(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)))

    def _say(self, text: str, fds: t.Sequence[int] = ()) -> None:
        try:
            socket.send_fds(self._talk, [text.encode()[: _LIMIT // 2]], list(fds))
        except OSError:
            # Nobody is there any more.
            return


def spawn(runtime: t.Sequence[str], container_id: str, process: t.Mapping[str, t.Any], parent: str) -> str:
    """Start a process that nobody waits for. A name for it."""
    directory, name = _new(parent)
    log, description, nothing = os.path.join(directory, "log"), _described(process), null()
    try:
        command = [*_command(runtime, log, description), container_id]
        status = subprocess.call(
            command,
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            cwd="/",
            env=ENVIRONMENT,
            pass_fds=[description],
            start_new_session=True,
            preexec_fn=_fresh,
        )
        if status:
            raise failure("run a process in", last_message(log) or "it has failed silently")
    finally:
        for fd in (description, nothing):
            os.close(fd)
        remove_tree(directory)
    return name


def _new(parent: str) -> t.Tuple[str, str]:
    """A directory for a process, and its name."""
    name = f"exec-{os.urandom(8).hex()}"
    directory = os.path.join(parent, name)
    os.mkdir(directory, 0o700)
    return directory, name


def _described(process: t.Mapping[str, t.Any]) -> int:
    """An open file with a process. Never one on a disk: variables of its environment may be secret."""
    fd = os.memfd_create("process")
    os.write(fd, json.dumps(process).encode())
    return fd


def _command(runtime: t.Sequence[str], log: str, description: int) -> t.List[str]:
    """The command of the runtime, without the container."""
    return [*runtime, "--log", log, "--log-format", "json", "exec", "--detach", "--process", f"/proc/self/fd/{description}"]


def _fresh() -> None:
    """Between fork and execve: nothing depends on who runs the task, as with the container itself."""
    start_to_stay()
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)


def _number(path: str) -> int:
    try:
        with open(path, encoding="ascii") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return 0
