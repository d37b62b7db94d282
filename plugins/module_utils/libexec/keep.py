# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Supervise a container: its health while it runs, and whether it is started again when it has ended. docs/adr/0040.

What is asked for is in the file "supervision" in the container's directory (runtime/supervision.py writes it). SIGHUP tells that it, or the
mark of a wanted end, has changed. SIGTERM means that the host goes down: nothing is started any more.

Shim and log writer have one of these in memory, so it imports next to nothing.
"""

from __future__ import annotations

import posix as os
import time
from _signal import SIGHUP, SIGKILL, SIGTERM, set_wakeup_fd, signal
from select import POLLIN, poll

from .ends import send, there, ticks, watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .health import Health

#: The file with what is asked for; the mark of a wanted end, in the container's directory after a stop, in the bundle after a removal.
SUPERVISION, _ASKED = "supervision", "stopped"
#: The status of a start that failed, as docker has it.
NOT_STARTED = 128
#: Who has run for so long is not failing: the next delay is the first one again (seconds).
_UP_SECONDS = 10.0
#: The delays where none are asked for (seconds).
_FIRST, _MOST = 0.1, 60.0
#: How often the mark is looked for while waiting: not everybody who waits is told of it.
_LOOK_SECONDS = 0.5


def read(directory: str) -> dict[str, str]:
    """What is asked for, by name; empty when nothing is."""
    try:
        with open(f"{directory}/{SUPERVISION}", encoding="utf-8", errors="surrogateescape") as stream:
            return dict(line.rstrip("\n").split(" ", 1) for line in stream)
    except (OSError, ValueError):
        return {}


class Keeper:
    """places: the directories where the mark of a wanted end may be; the first one is the container's.

    restarts, waited: how often it was started by a supervisor, and the last delay. down: no more starts.
    """

    def __init__(self, places: tuple[str, ...], container_id: str, restarts: int = 0, waited: float = 0.0) -> None:
        self._places, self.container_id = places, container_id
        self.restarts, self.waited, self.down = restarts, waited, False
        self._settings: dict[str, str] = {}
        self._health: Health | None = None
        self._poller: poll | None = None
        self._pid = self._ticks = 0
        self._anew, self._kill_at = False, 0.0
        self.fd, writer = os.pipe()
        for fd in (self.fd, writer):
            os.set_blocking(fd, False)
        set_wakeup_fd(writer)
        self.listen()

    def listen(self) -> None:
        """From here on signals are only noted."""
        for number in (SIGHUP, SIGTERM):
            signal(number, lambda number, frame: None)

    def woken(self) -> None:
        """A signal has come."""
        try:
            self.down = SIGTERM in os.read(self.fd, 64) or self.down
        except BlockingIOError:
            return
        self._told()

    def asked(self) -> bool:
        """Whether somebody wants it to end."""
        return any(there(f"{place}/{_ASKED}") for place in self._places)

    def _told(self) -> None:
        """Read what is asked for, and follow it."""
        self._settings = read(self._places[0])
        if not self._poller:
            return
        if "exec" not in self._settings or self.asked():
            self._end_health()
        elif self._health:
            try:
                self._health.change(self._settings)
            except (KeyError, ValueError):
                return
        else:
            from .health import Health

            try:
                self._health = Health(self._settings, self.container_id, self._pid)
            except (KeyError, ValueError):
                # Damaged, or of another release: the container must not lose us for that.
                return

    def _end_health(self) -> None:
        if self._health:
            if self._health.fd >= 0 and self._poller:
                self._poller.unregister(self._health.fd)
            self._health.close()
            self._health = None

    # While it runs

    def begin(self, pid: int, poller: poll) -> None:
        """The first process of the container runs."""
        self._pid, self._ticks, self._poller = pid, ticks(pid), poller
        poller.register(self.fd, POLLIN)
        self._told()
        if self.restarts and self.asked():
            # Somebody asked while it was being started again.
            send(self._pid, self._ticks, SIGKILL)

    def seconds(self) -> float | None:
        """When work() is to be called, also if nothing happens."""
        check = self._health.due if self._health and self._health.fd < 0 else 0.0
        times = [one for one in (check, self._kill_at) if one]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def work(self, ready: list[int]) -> None:
        """Do what is due. ready: the descriptors that can be read."""
        if self.fd in ready:
            self.woken()
        if self._kill_at and time.monotonic() >= self._kill_at:
            self._kill_at = 0.0
            send(self._pid, self._ticks, SIGKILL)
        health = self._health
        if health is None or not self._poller:
            return
        if health.fd in ready:
            self._poller.unregister(health.fd)
            health.look()
            if health.turned_bad:
                self._react(self._settings.get("on-failure", "none"))
        elif health.fd < 0 and time.monotonic() >= health.due:
            health.ask()
            if health.fd >= 0:
                self._poller.register(health.fd, POLLIN)

    def _react(self, how: str) -> None:
        """What follows when it has turned unhealthy."""
        if how == "none":
            return
        self._anew = how == "restart"
        if how == "stop":
            try:
                os.close(os.open(f"{self._places[0]}/{_ASKED}", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            except OSError:
                # A full disk must not prevent the stop, but then the policy holds.
                pass
        number = SIGKILL if how == "kill" else int(self._number("stop-signal", 15))
        self._kill_at = time.monotonic() + self._number("stop-timeout", 10)
        send(self._pid, self._ticks, number)

    def over(self) -> None:
        """It has ended."""
        self._end_health()
        self._poller, self._kill_at = None, 0.0

    # Afterwards

    def delay(self, status: int, seconds: float) -> float:
        """How long to wait before it is started again; below 0 if it is not. seconds: how long it has run."""
        self._settings = read(self._places[0])
        if not self._again(status):
            return -1.0
        if seconds >= _UP_SECONDS:
            self.waited = 0.0
        first, most = self._number("delay", _FIRST), self._number("max-delay", _MOST)
        self.waited = min(self.waited * 2 or first, most)
        return 0.0 if self._anew else self.waited

    def _again(self, status: int) -> bool:
        policy = self._settings.get("policy", "no")
        if self.down or self.asked():
            return False
        if self._anew or policy in ("always", "unless-stopped"):
            return True
        retries = self._number("retries", 0)
        return policy == "on-failure" and status != 0 and (not retries or self.restarts < retries)

    def _number(self, name: str, default: float) -> float:
        try:
            return float(self._settings.get(name, default))
        except ValueError:
            return default

    def start(self) -> None:
        """It is started again now."""
        self.restarts += 1
        self._anew = False

    def wait(self, seconds: float, status: int) -> bool:
        """False as soon as it is not to be started any more."""
        poller = poll()
        poller.register(self.fd, POLLIN)
        end = time.monotonic() + seconds
        while self._again(status):
            left = min(_LOOK_SECONDS, max(0.0, end - time.monotonic()))
            if poller.poll(left * 1000):
                self.woken()
            elif time.monotonic() >= end:
                return True
        return False

    def hand_over(self, seconds: float, status: int) -> bool:
        """Wait, then have a program of ours make the next task, which gets its own supervisor. False when it is not wanted any more."""
        if not self.wait(seconds, status):
            return False
        self.start()
        pid = self._run([*self._settings["again"].split("\t"), str(self.restarts), str(self.waited)])
        if not pid:
            return False
        # It tries as often as it has to. When containerd's shim goes with the task, that tells us to end.
        poller = poll()
        for fd in (self.fd, watch(pid)):
            poller.register(fd, POLLIN)
        while not self.down:
            if self.fd not in [fd for fd, _event in poller.poll()]:
                return os.waitpid(pid, 0)[1] == 0
            self.woken()
        return True

    def clean_up(self) -> None:
        """Nothing is started any more: have a program of ours remove the container, if that is asked for. At a shutdown, the boot does."""
        if "remove" in self._settings and not self.down:
            self._run(self._settings["remove"].split("\t"))

    def _run(self, command: list[str]) -> int:
        """Have a program run that outlives us; its pid, or 0 if there may be no more processes."""
        try:
            pid = os.fork()
        except OSError:
            return 0
        if pid == 0:
            try:
                # The task, and the shim that we may be a child of, go while it runs.
                os.setsid()
                os.execve(command[0], command, {b"PATH": os.environ.get(b"PATH", b"")})
            finally:
                os._exit(127)
        return pid
