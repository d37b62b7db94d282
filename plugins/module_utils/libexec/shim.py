# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shim: one small process a container, which outlives the module that started it.

It waits until the container is made (<runtime> create), holds its output and console, writes the log, waits for its end and
records the exit status. It is started as a child subreaper (PR_SET_CHILD_SUBREAPER survives execve), so that the container's init
process becomes its child when the runtime exits. Starting, signals and removal need nothing from it.

It stays in memory as long as the container runs, so it imports next to nothing: no typing, json, subprocess, ctypes.
"""

from __future__ import annotations

import os
import sys
import time
from _signal import SIGCHLD, signal  # the module signal would bring enum, functools and collections
from _thread import start_new_thread
from select import POLLERR, POLLHUP, POLLIN, POLLPRI, poll

_CHUNK = 64 * 1024
_LONGEST_LINE = 16 * 1024
_DRAIN_SECONDS = 2.0
#: How long the end of init may wait for its parent to end as well, and how often that is looked at.
_STATUS_SECONDS = 10.0
_SOON = 0.02
#: Where the kernel does not tell the end of a process (ENOSYS; EPERM in sandboxes), how often we look.
_LOOK_SECONDS = 0.1
_NO_SUCH_CALL = (38, 1)
_UNKNOWN = 255 << 8
_ESCAPES = {number: f"\\u{number:04x}" for number in [*range(32), 0x7F, 0x2028, 0x2029]}
_ESCAPES.update({ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord('"'): '\\"', ord("\\"): "\\\\"})


def escape(data: bytes) -> str:
    """The inside of a JSON string; bytes that are no UTF-8 become U+FFFD."""
    return data.decode("utf-8", "replace").translate(_ESCAPES)


def write_file(path: str, text: str, durable: bool = True) -> None:
    """Replace a file: whole or not at all. OSError."""
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        data = text.encode()
        if os.write(fd, data) < len(data):
            raise OSError(f"{path}.new: no room")
        if durable:
            os.fsync(fd)
        os.rename(path + ".new", path)
    except OSError:
        os.unlink(path + ".new")
        raise
    finally:
        os.close(fd)


def settle(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(fd)
        os.close(fd)
    except OSError:
        return


def write_first(text: str, *paths: str) -> None:
    """Write it to the first of these files that can be written: a disk that is full, or broken, must not cost an exit status."""
    for path in paths:
        try:
            write_file(path, text)
            return
        except OSError:
            continue


def began(pid: int) -> float:
    """When a process began (the kernel knows it to 10 ms), in seconds since the epoch; 0.0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            ticks = int(stream.read().rpartition(b")")[2].split()[19])
    except OSError:
        return 0.0
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


class Log:
    """Docker's json-file format, rotated by size. A disk that is full or slow never stops the container: lines are dropped."""

    def __init__(self, path: str, max_size: int, max_files: int) -> None:
        self._path, self._max_size, self._max_files = path, max_size, max(1, max_files)
        self._partial: dict[str, bytes] = {}
        self._fd = -1
        self._size = 0
        self.dropped = 0
        self._open()

    def _open(self) -> None:
        if not self._path:
            return
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._fd).st_size
        except OSError:
            self._fd = -1

    def feed(self, stream: str, data: bytes) -> None:
        """Take what came on a stream; whole lines are written, and pieces of very long ones."""
        lines = (self._partial.pop(stream, b"") + data).split(b"\n")
        rest = lines.pop()
        now = time.time_ns()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z"
        out = [self._line(line + b"\n", stream, stamp) for line in lines]
        while len(rest) >= _LONGEST_LINE:
            out.append(self._line(rest[:_LONGEST_LINE], stream, stamp))
            rest = rest[_LONGEST_LINE:]
        if rest:
            self._partial[stream] = rest
        for text in out:
            self._write(text)

    def finish(self) -> None:
        """Write the last lines, which have no end of line."""
        for stream in list(self._partial):
            now = time.time_ns()
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}Z"
            self._write(self._line(self._partial.pop(stream), stream, stamp))

    @staticmethod
    def _line(line: bytes, stream: str, stamp: str) -> bytes:
        return f'{{"log":"{escape(line)}","stream":"{stream}","time":"{stamp}"}}\n'.encode()

    def _write(self, text: bytes) -> None:
        if not self._path:
            return
        try:
            if self._max_size and self._size + len(text) > self._max_size and self._size:
                self._rotate()
            if self._fd < 0:
                self._open()
            # Where it is not open the descriptor is -1, which is an OSError too.
            self._size += os.write(self._fd, text)
        except OSError:
            self.dropped += 1

    def _rotate(self) -> None:
        os.close(self._fd)
        self._fd = -1
        for number in range(self._max_files - 1, 0, -1):
            older = self._path if number == 1 else f"{self._path}.{number - 1}"
            try:
                os.rename(older, f"{self._path}.{number}")
            except FileNotFoundError:
                continue
        if self._max_files == 1:
            os.unlink(self._path)
        self._open()


class Memory:
    """How many processes of a control group were killed for memory.

    systemd removes a group as soon as it is empty, so what a group of version 2 counts is read whenever it changes.
    """

    def __init__(self, path: str) -> None:
        """path: of memory.events, or of memory.oom_control of version 1; empty where there is none."""
        self.kills, self.fd = 0, -1
        self._poller: poll | None = None
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        self._changes = path.endswith(".events")

    def watch(self, poller: poll) -> None:
        if self.fd >= 0 and self._changes:
            self._poller = poller
            poller.register(self.fd, POLLPRI)
            self.look()

    def look(self) -> None:
        """Count. A group that is gone is not looked at again."""
        try:
            for line in os.pread(self.fd, 4096, 0).split(b"\n"):
                if line.startswith(b"oom_kill "):
                    self.kills = int(line[9:])
        except OSError:
            self._forget()

    def close(self) -> int:
        """The number in the end."""
        if self.fd >= 0:
            self.look()
        self._forget()
        return self.kills

    def _forget(self) -> None:
        if self.fd >= 0:
            if self._poller:
                self._poller.unregister(self.fd)
            os.close(self.fd)
            self.fd = -1


class Shim:
    """argv: bundle, the container's directory, log file, its max size, how many files, "1" when the runtime starts the container
    too, descriptor for the answer, and descriptors of the container's side: "console" and a listening socket, or "pipes" and the
    reading ends of standard output and standard error.

    The runtime was started in this process before it became Python: its create is our one child.
    """

    def __init__(self, argv: list[str]) -> None:
        self.bundle, self.directory, self.path, size, files, starts, answer, self.kind, *fds = argv
        self.answer, self.fds = int(answer), [int(fd) for fd in fds]
        self.log = Log(self.path, int(size), int(files))
        self.starts, self.init, self.started = starts == "1", 0, 0.0
        self.status = -1
        self.streams: dict[int, str] = {}

    def run(self) -> int:
        signal(SIGCHLD, lambda number, frame: None)
        # An answer says what happened; a closed pipe without one says that we died.
        if not self.made():
            os.write(self.answer, b"failed\n")
            return 1
        self.memory = Memory(memory_events(self.init))
        start = self.record_start() if self.starts else ""
        os.write(self.answer, f"{self.init} {self.started:.6f}\n".encode())
        os.close(self.answer)
        raise_priority()
        if start:
            try:
                # Nobody waits for that, the container's output neither.
                start_new_thread(settle, (start,))
            except RuntimeError:  # no more threads
                settle(start)
        self.loop()
        self.log.finish()
        killed = self.memory.close()
        text = (
            f'{{"pid":{self.init},"exit_status":{exit_status(self.status)},"started_at":{self.started:.6f},'
            f'"exited_at":{time.time():.6f},"oom_killed":{"true" if killed else "false"},"dropped":{self.log.dropped}}}\n'
        )
        write_first(text, f"{self.directory}/exit.json", f"{self.bundle}/exit.json")
        return 0

    def record_start(self) -> str:
        """Write what a later boot can know of a container that ran when the power went. The file; empty when it cannot be."""
        path = f"{self.directory}/start.json"
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
                boot = stream.read().strip()
            log = escape(os.fsencode(self.path))
            write_file(path, f'{{"boot":"{boot}","started_at":{self.started:.6f},"log":"{log}"}}\n', durable=False)
        except OSError:
            return ""
        return path

    def made(self) -> bool:
        """Wait for <runtime> create; False when it failed (its log file in the bundle says why)."""
        if self.kind == "console":
            master = receive_console(self.fds[0])
            self.streams = {master: "stdout"} if master >= 0 else {}
        else:
            self.streams = dict(zip(self.fds, ("stdout", "stderr")))
        while True:
            # Looked at before it is collected: of a short life nothing would be left to see.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            self.init = init_pid(self.bundle)
            self.started = self.started or began(self.init) or time.time()
            pid, status = os.waitpid(ended.si_pid if ended else -1, 0)
            if pid != self.init:
                return status == 0 and self.init > 0
            # A short life: init became ours and has ended while the runtime still comes to its end.
            self.status = status

    def reap(self) -> None:
        """Collect what has ended: the init process, and orphans that became ours."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                if self.status < 0:
                    self.status = _UNKNOWN
                return
            if pid == 0:
                return
            if pid == self.init:
                self.status = status

    def loop(self) -> None:
        """Copy output to the log until the init process has ended and all of its output has come.

        When it ends its parent may still be a process of the runtime's (crun's create has two), which ends soon; then it is ours.
        """
        poller = poll()
        for fd in self.streams:
            os.set_blocking(fd, False)
            poller.register(fd, POLLIN | POLLHUP | POLLERR)
        self.memory.watch(poller)
        end, deadline = -1, 0.0
        if self.status < 0:
            end = watch(self.init)
            poller.register(end, POLLIN)
        else:
            deadline = time.monotonic() + _DRAIN_SECONDS
        while self.streams or self.status < 0:
            left = max(0.0, deadline - time.monotonic()) if deadline else None
            if left and self.status < 0:
                left = min(left, _SOON)
            events = poller.poll(None if left is None else left * 1000)
            for fd, _event in events:
                if fd == self.memory.fd:
                    self.memory.look()
                elif fd == end:
                    self.memory.close()
                    poller.unregister(end)
                    deadline = time.monotonic() + _STATUS_SECONDS
                elif not self.copy(fd):
                    poller.unregister(fd)
                    os.close(fd)
                    del self.streams[fd]
            if self.status < 0 and deadline:
                self.reap()
                if self.status >= 0:
                    deadline = time.monotonic() + _DRAIN_SECONDS
            elif self.status < 0:
                self.reap_orphans()
            if deadline and not events and time.monotonic() >= deadline:
                break
        if self.status < 0:
            self.status = _UNKNOWN

    def reap_orphans(self) -> None:
        """Without the init process: its status is read when its descriptor says that it has ended."""
        try:
            while True:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is None or found.si_pid == self.init:
                    return
                os.waitpid(found.si_pid, 0)
        except ChildProcessError:
            return

    def copy(self, fd: int) -> bool:
        """One read; False at the end of the stream."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if data:
            self.log.feed(self.streams[fd], data)
        return bool(data)


def watch(pid: int) -> int:
    """A descriptor that becomes readable when a process ends. OSError when there is none."""
    try:
        return os.pidfd_open(pid)
    except AttributeError:
        pass
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise
    # Before Linux 5.3, also where Python was built for such a kernel.
    reader, writer = os.pipe()
    start_new_thread(close_at_end, (pid, writer))
    return reader


def close_at_end(pid: int, fd: int) -> None:
    """When there is no such process, or it has ended."""
    state = b""
    while state not in (b"Z", b"X"):
        time.sleep(_LOOK_SECONDS)
        try:
            with open(f"/proc/{pid}/stat", "rb") as stream:
                state = stream.read().rpartition(b")")[2].split()[0]
        except OSError:
            state = b"X"
    os.close(fd)


def init_pid(bundle: str) -> int:
    """What the runtime wrote; 0 when it has not made the container."""
    try:
        with open(f"{bundle}/init.pid", encoding="ascii") as stream:
            return int(stream.read())
    except FileNotFoundError:
        return 0


def exit_status(status: int) -> int:
    """128 + signal where a signal ended the process (the field's convention)."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def receive_console(number: int) -> int:
    """The console's master, sent by the runtime over a listening socket (SCM_RIGHTS); -1 when it ends without sending one."""
    import _socket

    poller = poll()
    poller.register(number, POLLIN)
    while not poller.poll(20):
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return -1
    listener = _socket.socket(fileno=number)
    connection = _socket.socket(fileno=listener._accept()[0])  # type: ignore[attr-defined]  # typeshed knows the module socket only
    _data, ancillary, _flags, _sender = connection.recvmsg(4096, _socket.CMSG_SPACE(4))
    connection.close()
    listener.close()
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            return int.from_bytes(data[:4], sys.byteorder)
    return -1


def raise_priority() -> None:
    """Be the last one that the kernel kills for memory. After create, so that the container does not inherit it."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, b"-998")
        os.close(fd)
    except OSError:
        return


def memory_events(pid: int) -> str:
    """The file that counts the processes killed for memory in the control group of a process; empty where there is none."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as stream:
            lines = [line.rstrip("\n").split(":", 2) for line in stream]
    except OSError:
        return ""
    for _number, controllers, path in lines:
        if "memory" in controllers.split(","):
            return f"/sys/fs/cgroup/memory{path}/memory.oom_control"
    for number, _controllers, path in lines:
        if number == "0":
            return f"/sys/fs/cgroup{path}/memory.events"
    return ""


def main() -> None:
    """Entered with the path of the zip file and the arguments of Shim (see install.command)."""
    os._exit(Shim(sys.argv[2:]).run())
