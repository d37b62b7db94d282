# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes, identified by process id, start time and boot, since process ids are used again."""

from __future__ import annotations

import errno
import os
import select
import time
import typing as t

#: The longest wait of poll (its milliseconds are a C int).
_LONGEST_SECONDS = 2e6
#: Instead of a descriptor. If the kernel has none (before Linux 5.3), we check now and then.
_ENDED, _UNTOLD = -1, -2
_LOOK_SECONDS = 0.02


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as stream:
        return stream.read().strip()


def arguments_of(pid: int) -> t.List[str]:
    """The command line of a process; empty when it has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return os.fsdecode(stream.read()).split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def with_argument(text: str) -> t.Iterator[t.Tuple[Process, t.List[str]]]:
    """The processes that have exactly this argument, with all their arguments."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            arguments = arguments_of(int(name))
            if text in arguments:
                yield Process.of(int(name)), arguments


def start_time(pid: int) -> int:
    """The start time in clock ticks since boot (proc(5), stat field 22); 0 for a missing process or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def parent_of(pid: int) -> int:
    """Its parent; 0 for a missing process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return int(stream.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def control_groups(pid: int, naming: str = "") -> t.Dict[str, str]:
    """The groups of a process: by controller of version 1; under the empty name that of version 2. Empty after its end.

    naming: return nothing, faster, if no path contains this text.
    """
    try:
        with open(f"/proc/{pid}/cgroup", "rb", buffering=0) as stream:
            text = os.fsdecode(stream.read())
    except (FileNotFoundError, ProcessLookupError):
        return {}
    if naming not in text:
        return {}
    lines = (line.split(":", 2) for line in text.splitlines())
    return {name: path for _number, names, path in lines for name in names.split(",")}


def frozen(pid: int) -> bool:
    """Whether the control group of a process is frozen: then it runs no instruction, and on version 1 no signal ends it."""
    groups = control_groups(pid)
    if "freezer" in groups:
        path, marks = f"/sys/fs/cgroup/freezer{groups['freezer']}/freezer.state", {"FROZEN", "FREEZING"}
    else:
        path, marks = f"/sys/fs/cgroup{groups.get('', '')}/cgroup.events", {"frozen 1"}
    try:
        with open(path, encoding="utf-8") as stream:
            return not marks.isdisjoint(stream.read().splitlines())
    except OSError:
        return False


def boot_time() -> float:
    """The time of this boot, in seconds since the epoch by the present clock."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def began(pid: int) -> float:
    """The start time of a process, in seconds since the epoch; 0.0 without one."""
    ticks = start_time(pid)
    return boot_time() + ticks / os.sysconf("SC_CLK_TCK") if ticks else 0.0


class Process(t.NamedTuple):
    """A process of this boot."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process:
        return cls(pid, start_time(pid))

    @property
    def alive(self) -> bool:
        return self.started > 0 and start_time(self.pid) == self.started

    def signal(self, number: int) -> bool:
        """Send a signal; False when it has ended. It never reaches another process with the same number."""
        descriptor = self._open()
        if descriptor == _ENDED:
            return False
        try:
            if descriptor == _UNTOLD:
                os.kill(self.pid, number)
            else:
                import signal

                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return True

    def wait(self, timeout: t.Optional[float]) -> bool:
        """Wait for the end; True when it comes within timeout seconds (None: for ever)."""
        descriptor = self._open()
        if descriptor == _ENDED:
            return True
        if descriptor == _UNTOLD:
            return self._look_until(time.monotonic() + (_LONGEST_SECONDS if timeout is None else timeout))
        try:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            return bool(poller.poll(None if timeout is None else min(max(0.0, timeout), _LONGEST_SECONDS) * 1000))
        finally:
            os.close(descriptor)

    def _look_until(self, deadline: float) -> bool:
        while self.alive:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _open(self) -> int:
        """A descriptor for exactly this process; _ENDED after its end, _UNTOLD if the kernel has no such descriptors."""
        if self.pid <= 0:
            return _ENDED
        descriptor = _UNTOLD
        try:
            # Python may have been built for a kernel without it.
            descriptor = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else _UNTOLD
        except ProcessLookupError:
            return _ENDED
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
        if not self.alive:
            if descriptor >= 0:
                os.close(descriptor)
            return _ENDED
        return descriptor
