# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notice the end of a container: of its first process, and processes that the kernel killed for memory. Do what comes after it."""

from __future__ import annotations

import posix as os
import time
from _thread import start_new_thread
from select import POLLPRI, poll

#: If the kernel does not report the end of a process (ENOSYS; EPERM in sandboxes), how often we check.
_LOOK_SECONDS = 0.1
_NO_SUCH_CALL = (38, 1)


def there(path: str) -> bool:
    """os.path.lexists()"""
    try:
        os.lstat(path)
    except OSError:
        return False
    return True


def watch(pid: int) -> int:
    """A descriptor that becomes readable when a process ends. OSError when there is none."""
    try:
        return os.pidfd_open(pid)
    except AttributeError:
        pass
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise
    # Before Linux 5.3, or if Python was built for such a kernel.
    reader, writer = os.pipe()
    start_new_thread(close_at_end, (pid, writer))
    return reader


def close_at_end(pid: int, fd: int) -> None:
    """Close fd when the process has ended, or does not exist."""
    state = b""
    while state not in (b"Z", b"X"):
        time.sleep(_LOOK_SECONDS)
        try:
            with open(f"/proc/{pid}/stat", "rb") as stream:
                state = stream.read().rpartition(b")")[2].split()[0]
        except OSError:
            state = b"X"
    os.close(fd)


def ticks(pid: int) -> int:
    """The start time of a process in clock ticks since boot, also for a zombie; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return int(stream.read().rpartition(b")")[2].split()[19])
    except OSError:
        return 0


def send(pid: int, started: int, number: int) -> None:
    """Send a signal to the process that started then (in ticks), and never to another one with its number."""
    fd = -1
    try:
        fd = os.pidfd_open(pid)
    except (AttributeError, OSError):
        # An older kernel or Python; or it has ended.
        pass
    try:
        if ticks(pid) == started:
            if fd >= 0:
                import _signal

                _signal.pidfd_send_signal(fd, number)
            else:
                os.kill(pid, number)
    except ProcessLookupError:
        pass
    finally:
        if fd >= 0:
            os.close(fd)


def control_file(pid: int, controller: str, first: str, second: str) -> str:
    """A file of the control group of a process: first where the controller is of version 1, else second; empty without a group."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as stream:
            lines = [line.rstrip("\n").split(":", 2) for line in stream]
    except OSError:
        return ""
    for _number, controllers, path in lines:
        if controller in controllers.split(","):
            return f"/sys/fs/cgroup/{controller}{path}/{first}"
    for number, _controllers, path in lines:
        if number == "0":
            return f"/sys/fs/cgroup{path}/{second}"
    return ""


class Memory:
    """Counts the processes of a control group that were killed for memory.

    systemd removes a group as soon as it is empty, so the counter of a version 2 group is read whenever it changes.
    """

    def __init__(self, path: str) -> None:
        """path: that of memory.events, or of memory.oom_control in version 1; empty without one."""
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
        """Read the counter. A group that is gone is not read again."""
        try:
            for line in os.pread(self.fd, 4096, 0).split(b"\n"):
                if line.startswith(b"oom_kill "):
                    self.kills = int(line[9:])
        except OSError:
            self._forget()

    def close(self) -> int:
        """Returns the final number."""
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


def poststop(bundle: str) -> None:
    """Run what the specification has for the time after the container. A runtime does when the task is deleted: perhaps months later."""
    try:
        with open(f"{bundle}/config.json", "rb") as stream:
            text = stream.read()
        if b'"poststop"' not in text:
            return
        import json

        for hook in (json.loads(text).get("hooks") or {}).get("poststop") or ():
            environment = dict(one.split("=", 1) for one in hook["env"])
            # There is no state on standard input, as we are no runtime.
            null = os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0
            os.waitpid(os.posix_spawn(hook["path"], hook["args"], environment, file_actions=[null]), 0)
    except (OSError, ValueError, TypeError, KeyError):
        # It is done with the task, then.
        return


def raise_priority() -> None:
    """Become the last process that the kernel kills for memory. Called after the start, so that the container does not inherit it."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(fd, b"-998")
        os.close(fd)
    except OSError:
        return


def belong(rootfs: str, *fds: int) -> None:
    """Give pipes to who owns the root file system: programs open /dev/stdout, also where root of the host is not root inside."""
    try:
        found = os.stat(rootfs)
        for fd in fds:
            os.fchown(fd, found.st_uid, found.st_gid)
    except OSError:
        # They can still be written to.
        return


def null() -> int:
    """An open device like /dev/null, for a runtime's streams: crun 1.8 and runc 1.1.1 to 1.1.4 give theirs to the user of the container,
    who could then take /dev/null away from the host. It is /dev/null itself where no device can be made.
    """
    path = f"/dev/.fleet-null-{os.urandom(8).hex()}"
    try:
        os.mknod(path, 0o20666, os.makedev(1, 3))
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        finally:
            os.unlink(path)
        # mknod took the umask into account.
        os.fchmod(fd, 0o666)
    except OSError:
        return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    return fd


def remove_pid_file(path: str) -> None:
    """Also what a runc that was killed has left of it: runc writes .NAME first, and refuses to work where that is there already."""
    directory, slash, name = path.rpartition("/")
    for one in (path, f"{directory}{slash}.{name}"):
        try:
            os.unlink(one)
        except FileNotFoundError:
            continue
