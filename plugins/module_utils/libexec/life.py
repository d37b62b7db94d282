# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a container: the runtime makes and starts it, its output goes to the log, its first process ends.

The shim is a child subreaper, so the first process becomes its child when the runtime exits.
"""

from __future__ import annotations

import posix as os
import time
from _signal import SIG_DFL, SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGXFSZ, signal
from select import POLLERR, POLLHUP, POLLIN, poll

from ..runtime.json_log import Log
from .ends import Memory, belong, control_file, null, remove_pid_file, ticks, watch
from .keep import Keeper

_CHUNK = 64 * 1024
_DRAIN_SECONDS = 2.0
#: How long the end of init may wait for the end of its parent, and how often that is checked.
_STATUS_SECONDS = 10.0
_SOON = 0.02
_UNKNOWN = 255 << 8
#: Signals that the shim, or Python, ignores.
_IGNORED = (SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGXFSZ)


class Life:
    """command: that of the runtime, up to the verb. io: "terminal", "stdin" (kept open as long as we live), or empty.

    pid, ticks, started: the first process, after begin() was true. status: its exit status, after last().
    """

    def __init__(self, bundle: str, command: list[str], io: str, log: Log) -> None:
        self._bundle, self._log = bundle, log
        self._runtime = command
        self._command = [*command, "--log", f"{bundle}/runtime.log", "--log-format", "json"]
        self._command += ["run", "--detach", "--bundle", bundle, "--pid-file", f"{bundle}/init.pid"]
        self._io = io
        self._streams: dict[int, str] = {}
        self._kept = -1
        self._memory = Memory("")
        self.pid, self.ticks, self.started, self.status, self.oom_kills = 0, 0, 0.0, -1, 0

    def begin(self, container_id: str) -> bool:
        """Let the runtime make and start the container; False when it fails (its log file in the bundle tells why)."""
        nothing = null()
        theirs = [nothing]
        try:
            if self._io == "terminal":
                from .console import receive

                command = self._command
                master = receive(
                    self._bundle, lambda more: self._spawn([*command, *more, container_id], nothing, nothing, nothing)
                )
                self._streams = {master: "stdout"} if master >= 0 else {}
            else:
                outputs = [os.pipe(), os.pipe()]
                self._streams = {outputs[0][0]: "stdout", outputs[1][0]: "stderr"}
                theirs += [outputs[0][1], outputs[1][1]]
                source = nothing
                if self._io == "stdin":
                    source, self._kept = os.pipe()
                    theirs.append(source)
                belong(f"{self._bundle}/rootfs", *theirs[1:])
                self._spawn([*self._command, container_id], source, outputs[0][1], outputs[1][1])
        except OSError:
            return False
        finally:
            for fd in theirs:
                os.close(fd)
        if not self._made():
            return False
        self._memory = Memory(control_file(self.pid, "memory", "memory.oom_control", "memory.events"))
        return True

    def clear(self, container_id: str) -> None:
        """Remove what the runtime keeps of a container that has ended; its hooks give back its networks."""
        nothing = null()
        try:
            pid = self._spawn([*self._runtime, "delete", "--force", container_id], nothing, nothing, nothing)
            while os.waitpid(-1, 0)[0] != pid:
                continue
        except OSError:
            # The next start tells what is wrong.
            pass
        finally:
            os.close(nothing)
        remove_pid_file(f"{self._bundle}/init.pid")
        for name in ("runtime.log", "console.sock"):
            try:
                os.unlink(f"{self._bundle}/{name}")
            except FileNotFoundError:
                continue

    def _spawn(self, command: list[str], *stdio: int) -> int:
        # posix_spawn would be a bit faster, but the container would ignore signals of the C library (32, 33).
        pid = os.fork()
        if pid == 0:
            try:
                for number in _IGNORED:
                    signal(number, SIG_DFL)
                for number, fd in enumerate(stdio):
                    os.dup2(fd, number)
                # PATH alone: Python may have added LC_CTYPE.
                os.execve(command[0], command, {b"PATH": os.environ.get(b"PATH", b"")})
            finally:
                os._exit(127)
        return pid

    def _made(self) -> bool:
        """Wait for the end of the runtime."""
        while True:
            # Read it before the process is collected: after a short life nothing would be left.
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            self.pid = init_pid(self._bundle)
            self.ticks = self.ticks or ticks(self.pid)
            pid, status = os.waitpid(ended.si_pid if ended else -1, 0)
            if pid != self.pid:
                break
            # A short life: init became our child and has ended before the runtime's own end.
            self.status = status
        uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.started = time.time() - (uptime - self.ticks / os.sysconf("SC_CLK_TCK") if self.ticks else 0.0)
        return status == 0 and self.pid > 0

    def last(self, keeper: Keeper) -> None:
        """Copy output to the log until the first process has ended and all of its output has come. The keeper looks after it meanwhile.

        At its end its parent may still be a process of the runtime (crun's create has two), which ends soon; then it is our child.
        """
        poller = poll()
        for fd in self._streams:
            os.set_blocking(fd, False)
            poller.register(fd, POLLIN | POLLHUP | POLLERR)
        self._memory.watch(poller)
        end, deadline = -1, 0.0
        if self.status < 0:
            end = watch(self.pid)
            poller.register(end, POLLIN)
            keeper.begin(self.pid, poller)
        else:
            deadline = time.monotonic() + _DRAIN_SECONDS
        while self._streams or self.status < 0:
            left = max(0.0, deadline - time.monotonic()) if deadline else keeper.seconds()
            if left and deadline and self.status < 0:
                left = min(left, _SOON)
            events = poller.poll(None if left is None else left * 1000)
            keeper.work([fd for fd, _event in events])
            for fd, _event in events:
                if fd == self._memory.fd:
                    self._memory.look()
                elif fd == end:
                    self._memory.close()
                    poller.unregister(end)
                    os.close(end)
                    keeper.over()
                    deadline = time.monotonic() + _STATUS_SECONDS
                elif fd in self._streams and not self._copy(fd):
                    poller.unregister(fd)
                    os.close(fd)
                    del self._streams[fd]
            if self.status < 0 and deadline:
                self._reap()
                if self.status >= 0:
                    deadline = time.monotonic() + _DRAIN_SECONDS
            elif self.status < 0:
                self._reap_orphans()
            if deadline and not events and time.monotonic() >= deadline:
                break
        self.close()
        self._log.finish()
        self.oom_kills = self._memory.close()
        self.status = exit_status(self.status if self.status >= 0 else _UNKNOWN)

    def close(self) -> None:
        """Give up the standard input, and what late output would come through."""
        for fd in [*self._streams, *([self._kept] if self._kept >= 0 else [])]:
            os.close(fd)
        self._streams, self._kept = {}, -1

    def _copy(self, fd: int) -> bool:
        """One read; False at the end of the stream."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if data:
            self._log.feed(self._streams[fd], data)
        return bool(data)

    def _reap(self) -> None:
        """Collect ended processes: init, and orphans that became our children."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                if self.status < 0:
                    self.status = _UNKNOWN
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.status = status

    def _reap_orphans(self) -> None:
        """Collect orphans, but not init: its status is read when its descriptor reports the end."""
        try:
            while True:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is None or found.si_pid == self.pid:
                    return
                os.waitpid(found.si_pid, 0)
        except ChildProcessError:
            return


def init_pid(bundle: str) -> int:
    """The pid that the runtime wrote; 0 if it has not made the container."""
    try:
        with open(f"{bundle}/init.pid", encoding="utf-8") as stream:
            return int(stream.read())
    except FileNotFoundError:
        return 0


def exit_status(status: int) -> int:
    """The exit status; by convention 128 + signal if a signal ended the process."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
