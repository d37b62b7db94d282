# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource limits of containers and their shims, which do not depend on the caller of the task (setrlimit(2)).

The values are those of services of systemd and of the kernel's first process. Docker 29 uses the same, since its unit sets none.
The limit of 1024 descriptors, which a program may raise to 524288, is safe for programs that use select(2) or close all descriptors.

Root may raise limits. But root in another container may not have the capability, or have it only in a user namespace, where it has no
effect: then its own limits are the highest.
"""

from __future__ import annotations

import contextlib
import resource
import typing as t

from ..hostfs.syscalls import CAP_SYS_RESOURCE, capable

_UNLIMITED = resource.RLIM_INFINITY
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
#: All that a process can have.
NAMES = {*_LIMITS, "LOCKS", "SIGPENDING"}


class Limit(t.NamedTuple):
    """name: the part after RLIMIT_."""

    name: str
    soft: int
    hard: int


def limits() -> t.Tuple[Limit, ...]:
    """The limits that this process may give to others."""
    wanted = dict(_LIMITS)
    # The number of pending signals of a user depends on the size of the memory (kernel/fork.c).
    signals = _number("/proc/sys/kernel/threads-max") // 2
    if signals:
        wanted["SIGPENDING"] = (signals, signals)
    # No process may have more descriptors than that.
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
    """Whether we have CAP_SYS_RESOURCE in the first user namespace, where all ids are mapped to themselves."""
    with contextlib.suppress(FileNotFoundError), open("/proc/self/uid_map", encoding="ascii") as stream:
        if stream.read().split() != ["0", "0", str(2**32 - 1)]:
            return False
    return capable(CAP_SYS_RESOURCE)


def _number(path: str) -> int:
    """The number in a file of the kernel; 0 if it is not known."""
    try:
        with open(path, encoding="ascii") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return 0


def oom_score_adj() -> int:
    """The value for containers: 0, or our own one if we may not lower it."""
    if _may_raise():
        return 0
    with open("/proc/self/oom_score_adj", encoding="ascii") as stream:
        return max(0, int(stream.read()))


def limit_this_process() -> None:
    """Set the same limits for one of our processes. Limits that we may not set stay."""
    for name, soft, hard in limits():
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (soft, hard))


def highest(name: str) -> int:
    """The highest value that this process may give to others; -1: no limit."""
    most = _number("/proc/sys/fs/nr_open") if name == "NOFILE" else 0
    own = _UNLIMITED if _may_raise() or name == "LOCKS" else resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
    return min(most, own) if most and own != _UNLIMITED else most or own


def rlimits(given: t.Sequence[Limit]) -> t.List[t.Dict[str, t.Any]]:
    """process.rlimits of the runtime specification."""
    return [in_specification(f"RLIMIT_{one.name}", one.soft, one.hard) for one in given]


def in_specification(kind: str, soft: int, hard: int) -> t.Dict[str, t.Any]:
    """One of process.rlimits; there, the largest number means no limit."""
    return {"type": kind, "soft": soft % 2**64, "hard": hard % 2**64}
