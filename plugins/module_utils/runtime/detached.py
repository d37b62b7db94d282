# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that outlive the task: the caller of the task must not end or limit them, or the processes that they start.

An Ansible run is a login session, or a service (ansible-pull in a timer). When that ends, systemd ends all processes in its
control group, so ours get their own group. Everything else that a process inherits is set as for the first process of a host.
"""

from __future__ import annotations

import contextlib
import os
import signal
import typing as t

from ..hostfs.syscalls import set_io_priority
from ..runtime_spec.cgroups import systemd_runs
from ..runtime_spec.limits import limit_this_process
from . import systemd

_CGROUPS = "/sys/fs/cgroup"
#: For a hierarchy whose top group takes no processes: version 2 below another group, with controllers passed on.
_LEAF = "fleet-shims"
_IGNORED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE)
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def start_to_stay() -> None:
    """Between fork and execve: set default priorities, limits, umask and signals, and the processors of process 1.

    Signals that would end the process are ignored: they stay ignored after execve. Settings that are not allowed stay: a user who may
    not raise a priority is not root, and gets that error elsewhere.
    """
    os.umask(0o022)
    limit_this_process()
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN if number in _IGNORED else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    steps: t.Tuple[t.Callable[[], t.Any], ...] = (
        lambda: os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0)),
        lambda: os.setpriority(os.PRIO_PROCESS, 0, 0),
        lambda: set_io_priority(0),
        lambda: os.sched_setaffinity(0, os.sched_getaffinity(1)),
        lambda: _write("/proc/self/oom_score_adj", "0"),
    )
    for step in steps:
        with contextlib.suppress(OSError):
            step()


def set_apart(pid: int, name: str, description: str) -> None:
    """Move a process to its own control group: a scope of systemd if that runs, else the top group of each hierarchy.

    If neither is possible (control groups that cannot be written) it stays where it is: its container runs anyway.
    """
    if systemd_runs() and systemd.start_scope(f"{name}-{pid}.scope", pid, description):
        return
    for directory in _hierarchies():
        try:
            _write(f"{directory}/cgroup.procs", str(pid))
        except OSError:
            with contextlib.suppress(OSError):
                os.makedirs(f"{directory}/{_LEAF}", exist_ok=True)
                _write(f"{directory}/{_LEAF}/cgroup.procs", str(pid))


def _hierarchies() -> t.List[str]:
    """The top directories: that of version 2, or those of the controllers of version 1."""
    with contextlib.suppress(OSError):
        places = [_CGROUPS, *(entry.path for entry in os.scandir(_CGROUPS) if entry.is_dir(follow_symlinks=False))]
        tops = [place for place in places if os.path.exists(f"{place}/cgroup.procs")]
        return tops[:1] if tops[:1] == [_CGROUPS] else tops
    return []


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
