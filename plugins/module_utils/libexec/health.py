# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks: a process that the runtime starts in the container, now and then. Loaded only for containers that have one.

A fork of the supervisor does one check, so that the supervisor waits for nothing: it holds a leash (a pipe), and ends with all of the check
when that is let go, also because the supervisor was killed. The states are those of docker (daemon/health.go).
"""

from __future__ import annotations

import posix as os
import time
from _signal import SIG_DFL, SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGTERM, SIGXFSZ, set_wakeup_fd, signal
from select import POLLIN, poll

from ..runtime.json_log import escape, timestamp
from .ends import control_file, null, remove_pid_file, watch
from .state import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    import typing as t

#: How much of the output of a check is kept (bytes), and how many results.
_OUTPUT, _RESULTS = 4096, 5
_CHUNK = 64 * 1024
_TURNS = 100
#: How often we look whether the runtime has started the process.
_SOON = 0.02


class Health:
    """fd: readable when the check is over; -1 without one. due: when ask() is to be called then (monotonic).

    turned_bad: whether the last check has made it unhealthy.
    """

    def __init__(self, settings: dict[str, str], container_id: str, pid: int) -> None:
        self._id, self._pid, self._began = container_id, pid, time.monotonic()
        self._status, self._streak, self._log = "starting", 0, [""] * 0
        self.fd = self._leash = self._child = -1
        self.turned_bad = False
        self._asked_at, self._asked_time = 0.0, 0
        self._over_at = self._began
        self.change(settings)
        self._tell()

    def change(self, settings: dict[str, str]) -> None:
        """The check that runs stays as it is."""
        number = {name: float(value) for name, value in settings.items() if name in _NUMBERS}
        self._interval, self._timeout = number["interval"], number["timeout"]
        self._start_period, self._start_interval = number["start-period"], number["start-interval"]
        self._retries = int(number["health-retries"])
        self._command = [*settings["exec"].split("\t"), "exec", "--process", settings["process"], "--pid-file"]
        self._path = settings["health"]
        self._plan()

    def _plan(self) -> None:
        starting = self._status == "starting" and self._over_at - self._began < self._start_period
        self.due = self._over_at + (self._start_interval if starting else self._interval)

    def ask(self) -> None:
        """Begin a check. A container that is frozen is asked later: it could not answer."""
        if self._frozen():
            self._ask_later()
            return
        self._asked_at, self._asked_time = time.monotonic(), time.time_ns()
        pipes: list[int] = []
        try:
            for _pipe in range(2):
                pipes += os.pipe()
            self._child = os.fork()
        except OSError:
            # No more processes, or descriptors: that says nothing about the container, but nobody may take it for healthy.
            for fd in pipes:
                os.close(fd)
            self._judge(-1, b"the check could not be started")
            return
        leash, self._leash, self.fd, result = pipes
        if self._child == 0:
            try:
                os.close(self._leash)
                set_wakeup_fd(-1)
                for number in (SIGHUP, SIGTERM):
                    signal(number, SIG_DFL)
                os.write(result, Check([*self._command, f"{self._path}.pid", self._id], self._id, self._timeout, leash).run())
            finally:
                os._exit(0)
        os.close(leash)
        os.close(result)

    def _ask_later(self) -> None:
        self._over_at = time.monotonic()
        self._plan()

    def _frozen(self) -> bool:
        path = control_file(self._pid, "freezer", "freezer.state", "cgroup.events")
        try:
            with open(path, encoding="utf-8") as stream:
                text = stream.read()
        except OSError:
            return False
        return "FROZEN" in text or "FREEZING" in text or "frozen 1" in text

    def look(self) -> None:
        """The check is over: read what it found."""
        data = os.read(self.fd, _CHUNK)
        os.close(self.fd)
        self._let_go()
        status, output = data.split(b" ", 1) if data else (b"-1", b"the check was killed")
        self.turned_bad = False
        if int(status) and self._frozen():
            # It was frozen meanwhile, so this says nothing.
            self._ask_later()
        else:
            self._judge(int(status), output)

    def _let_go(self) -> None:
        os.close(self._leash)
        self.fd = -1
        try:
            os.waitpid(self._child, 0)
        except ChildProcessError:
            # Collected with other children.
            pass

    def _judge(self, status: int, output: bytes) -> None:
        self._over_at = time.monotonic()
        end = self._asked_time + int((self._over_at - self._asked_at) * 1e9)
        self.turned_bad = False
        if status == 0:
            self._status, self._streak = "healthy", 0
        elif self._status != "starting" or self._asked_at - self._began >= self._start_period:
            self._streak += 1
            if self._streak >= self._retries:
                self.turned_bad, self._status = self._status != "unhealthy", "unhealthy"
        times = f'"Start":"{timestamp(self._asked_time)}","End":"{timestamp(end)}"'
        self._log.append(f'{{{times},"ExitCode":{status},"Output":"{escape(output)}"}}')
        del self._log[:-_RESULTS]
        self._tell()
        self._plan()

    def _tell(self) -> None:
        text = f'{{"Status":"{self._status}","FailingStreak":{self._streak},"Log":[{",".join(self._log)}]}}\n'
        try:
            replace(self._path, text, durable=False)
        except OSError:
            # A full disk: the old results stay.
            return

    def close(self) -> None:
        """No more checks, and nothing left of one that runs."""
        if self.fd >= 0:
            os.close(self.fd)
            self._let_go()
        # As in docker: nobody knows any more.
        self._status = "unhealthy"
        self._tell()


_NUMBERS = ("interval", "timeout", "health-retries", "start-period", "start-interval")


class Check:
    """One check, in a process of its own. leash: readable when it is to end at once."""

    def __init__(self, command: list[str], container_id: str, timeout: float, leash: int) -> None:
        self._command, self._id, self._timeout, self._leash = command, container_id, timeout, leash
        self._output, self._more = b"", True

    def run(self) -> bytes:
        """The exit status, a space, and the output."""
        pid_file = self._command[-2]
        remove_pid_file(pid_file)
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        pid = self._spawn(writer)
        os.close(writer)
        status, in_time = self._wait(pid, reader, pid_file)
        # A runtime that is killed on its way could still leave the process that it was about to start.
        gone = status >= 0 or _wait_for(pid, lambda: _number(pid_file) > 0)
        # Nothing of it stays, whatever it has left in the background.
        end_session(_number(pid_file), self._id)
        if not gone and not _wait_for(pid, lambda: False):
            os.kill(pid, SIGKILL)
            os.waitpid(pid, 0)
        self._drain(reader)
        if not in_time:
            late = b"Health check exceeded timeout (%gs)" % self._timeout
            return b"-1 " + late + (b": " + self._output if self._output else b"")
        return b"%d %b" % (status, self._output)

    def _spawn(self, output: int) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                for number in (SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGXFSZ):
                    signal(number, SIG_DFL)
                for number, fd in enumerate((null(), output, output)):
                    os.dup2(fd, number)
                os.execve(self._command[0], self._command, {b"PATH": os.environ.get(b"PATH", b"")})
            finally:
                os._exit(127)
        return pid

    def _wait(self, pid: int, reader: int, pid_file: str) -> tuple[int, bool]:
        """The exit status of the runtime, which is that of the check (-1: it has not ended), and whether it was in time.

        The runtime ends only when nobody holds the output any more. So when the check has ended, what it has left is ended.
        """
        ended, leader, deadline = watch(pid), -1, time.monotonic() + self._timeout
        poller = poll()
        for fd in (ended, reader, self._leash):
            poller.register(fd, POLLIN)
        while True:
            left = max(0.0, deadline - time.monotonic())
            found = [fd for fd, _event in poller.poll((left if leader >= 0 else min(left, _SOON)) * 1000)]
            if reader in found:
                self._drain(reader)
                if not self._more:
                    poller.unregister(reader)
            if ended in found:
                self._drain(reader)
                status = os.waitpid(pid, 0)[1]
                return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), True
            if self._leash in found or time.monotonic() >= deadline:
                return -1, False
            if leader < 0 and _number(pid_file):
                try:
                    leader = watch(_number(pid_file))
                    poller.register(leader, POLLIN)
                except OSError:
                    # It has ended already.
                    leader = ended
                    end_session(_number(pid_file), self._id)
            elif leader in found and leader != ended:
                poller.unregister(leader)
                end_session(_number(pid_file), self._id)

    def _drain(self, reader: int) -> None:
        """Read what is there. Only the beginning is kept."""
        while self._more:
            try:
                data = os.read(reader, _CHUNK)
            except BlockingIOError:
                return
            self._output = (self._output + data)[:_OUTPUT]
            self._more = bool(data)


def _wait_for(pid: int, enough: t.Callable[[], bool]) -> bool:
    """Wait until a child has ended (True) or that is enough, but not for ever."""
    for _turn in range(_TURNS):
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        if enough():
            return False
        time.sleep(_SOON)
    return False


def end_session(leader: int, container_id: str) -> None:
    """End the processes of a container that are in the session of this one. It has begun that, and the number is not used again as
    long as one of them lives."""
    for _turn in range(_TURNS if leader else 0):
        found = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_in(pid, leader, container_id)]
        for pid in found:
            try:
                os.kill(pid, SIGKILL)
            except ProcessLookupError:
                continue
        if not found:
            return
        time.sleep(0.01)


def _is_in(pid: int, leader: int, container_id: str) -> bool:
    try:
        if os.getsid(pid) != leader:
            return False
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as groups, open(f"/proc/{pid}/stat", "rb") as stat:
            return container_id in groups.read() and stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def _number(path: str) -> int:
    try:
        with open(path, encoding="utf-8") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return 0
