# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource limits of containers, and of what holds them: the same whoever runs the task (setrlimit(2)).

The values are those that systemd gives a service and the kernel its first process: so does Docker 29, whose unit sets none.
1024 descriptors, which a program may raise to 524288: programs that use select(2) or close all descriptors come to no harm.

Root may raise limits, but root in a container of somebody else's may lack the capability, or have it in a user namespace, where it
does not count: then what it has is the most.
"""

from __future__ import annotations

import contextlib
import resource
import typing as t

_UNLIMITED = resource.RLIM_INFINITY
_CAP_SYS_RESOURCE = 24
_LIMITS: t.Dict[str, t.Tuple[int, int]] = {
    "AS": (_UNLIMITED, _UNLIMITED),
    "CORE": (0, _UNLIMITED),
    "CPU": (_UNLIMITED, _UNLIMITED),
    "DATA": (_UNLIMITED, _UNLIMITED),
    "FSIZE": (_UNLIMITED, _UNLIMITED),
    "MEMLOCK": (8 << 20, 8 << 20),
    "MSGQUEUE": (819200, 819200),
    "NICE": (0, 0),
    "NOFILE": (1024, 524288),
    "NPROC": (_UNLIMITED, _UNLIMITED),
    "RSS": (_UNLIMITED, _UNLIMITED),
    "RTPRIO": (0, 0),
    "RTTIME": (_UNLIMITED, _UNLIMITED),
    "STACK": (8 << 20, _UNLIMITED),
}


class Limit(t.NamedTuple):
    """name: what stands behind RLIMIT_."""

    name: str
    soft: int
    hard: int


def limits() -> t.Tuple[Limit, ...]:
    """The limits that this process may give to others."""
    wanted = dict(_LIMITS)
    # How many signals may wait for the processes of a user follows from the size of the memory (kernel/fork.c).
    signals = _number("/proc/sys/kernel/threads-max") // 2
    if signals:
        wanted["SIGPENDING"] = (signals, signals)
    # Nobody may have more descriptors than that.
    most = _number("/proc/sys/fs/nr_open")
    if most:
        soft, hard = wanted["NOFILE"]
        wanted["NOFILE"] = (min(soft, most), min(hard, most))
    free = _may_raise()
    return tuple(_possible(name, free, *values) for name, values in wanted.items())


def _possible(name: str, free: bool, soft: int, hard: int) -> Limit:
    most = _UNLIMITED if free else resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
    if most != _UNLIMITED:
        soft, hard = (most if one == _UNLIMITED else min(one, most) for one in (soft, hard))
    return Limit(name, soft, hard)


def _may_raise() -> bool:
    """Whether we have CAP_SYS_RESOURCE in the first user namespace, whose numbers are all mapped to themselves."""
    with contextlib.suppress(FileNotFoundError), open("/proc/self/uid_map", encoding="ascii") as stream:
        if stream.read().split() != ["0", "0", str(2**32 - 1)]:
            return False
    with open("/proc/self/status", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return False


def _number(path: str) -> int:
    """What a file of the kernel's says; 0: not known."""
    try:
        with open(path, encoding="ascii") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return 0


def oom_score_adj() -> int:
    """What a container is told: 0, or ours where it may not be lowered."""
    if _may_raise():
        return 0
    with open("/proc/self/oom_score_adj", encoding="ascii") as stream:
        return max(0, int(stream.read()))


def limit_this_process() -> None:
    """The same limits for a process of ours. What is not allowed stays as it is."""
    for name, soft, hard in limits():
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (soft, hard))


def rlimits(given: t.Sequence[Limit]) -> t.List[t.Dict[str, t.Any]]:
    """process.rlimits of the runtime specification, which has no word for no limit but the largest number."""
    return [{"type": f"RLIMIT_{one.name}", "soft": one.soft % 2**64, "hard": one.hard % 2**64} for one in given]
