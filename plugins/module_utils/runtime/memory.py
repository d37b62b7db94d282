# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel has for a process: whether it could live with less memory (version 2 of the control groups does not ask: it kills), and
whether something else has changed its limits.
"""

from __future__ import annotations

import typing as t

from ..errors import FailedPrecondition
from ..oci.sizes import size_text
from .processes import control_groups

_ROOT = "/sys/fs/cgroup"
#: Controller and file of version 1, and file of version 2.
_FILES = {
    "memory": ("memory", "memory.limit_in_bytes", "memory.max"),
    "pids_limit": ("pids", "pids.max", "pids.max"),
    "cpu_quota": ("cpu", "cpu.cfs_quota_us", "cpu.max"),
}
_PERIOD, _PAGE, _PERCENT = 100000, 4096, 0.0101


def check_limit(pid: int, resources: t.Mapping[str, t.Any]) -> None:
    """FailedPrecondition if a process' control group uses more memory than these limits (linux.resources) give it.

    Caches of files do not count: the kernel takes them away.
    """
    wanted = (resources.get("memory") or {}).get("limit", -1)
    used = _in_use(pid) if wanted > 0 else 0
    if used > max(wanted, 0):
        raise FailedPrecondition(
            f"memory: the container uses {used >> 20}m now, so it cannot be limited to {size_text(wanted)}: give it more, or stop it first"
        )


def _in_use(pid: int) -> int:
    """Bytes; 0 if it cannot be known."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as stream:
            groups = [line.rstrip("\n").split(":", 2) for line in stream]
        for _number, controllers, path in groups:
            if "memory" in controllers.split(","):
                stat = _numbers(f"{_ROOT}/memory{path}/memory.stat")
                # The kernel decides in the end, and refuses what it cannot free.
                return stat.get("total_rss", 0) + stat.get("total_shmem", 0)
        (path,) = (path for number, _controllers, path in groups if number == "0")
        with open(f"{_ROOT}{path}/memory.current", encoding="ascii") as stream:
            current = int(stream.read())
        stat = _numbers(f"{_ROOT}{path}/memory.stat")
        return current - sum(stat.get(name, 0) for name in ("active_file", "inactive_file", "slab_reclaimable"))
    except (OSError, ValueError):
        return 0


def _numbers(path: str) -> t.Dict[str, int]:
    with open(path, encoding="ascii") as stream:
        return {name: int(number) for name, number in (line.split() for line in stream)}


def drifted(pid: int, resources: t.Mapping[str, t.Any]) -> t.List[str]:
    """The options whose limits are not those of the record any more. pid: the first process of the container.

    Processors and weights are left out: the kernel changes and rounds them itself.
    """
    wanted = {
        "memory": (resources.get("memory") or {}).get("limit", -1),
        "pids_limit": (resources.get("pids") or {}).get("limit", -1),
        "cpu_quota": (resources.get("cpu") or {}).get("quota", -1),
    }
    asked = {option: value for option, value in wanted.items() if value > 0}
    groups = control_groups(pid) if asked else {}
    if not groups:
        return []
    period = (resources.get("cpu") or {}).get("period") or _PERIOD
    return [option for option, value in asked.items() if not _has(groups, option, value, period)]


def _has(groups: t.Mapping[str, str], option: str, value: int, period: int) -> bool:
    """Whether a group has a limit. crun has the processes in a group below the one with the limits. Unknown limits are as asked."""
    controller, first, second = _FILES[option]
    if controller in groups:
        places = [f"{_ROOT}/{controller}{groups[controller]}/{first}"]
    else:
        path = f"{_ROOT}{groups.get('', '')}"
        places = [f"{path}/{second}", f"{path.rpartition('/')[0]}/{second}"]
    found = []
    for place in places:
        try:
            with open(place, encoding="ascii") as stream:
                words = stream.read().split()
            if option == "cpu_quota" and len(words) < 2:
                with open(place.replace("quota", "period"), encoding="ascii") as stream:
                    words += stream.read().split()
            found.append(_same(option, words, value, period))
        except (OSError, ValueError):
            continue
    return not found or any(found)


def _same(option: str, words: t.Sequence[str], value: int, period: int) -> bool:
    have = int(words[0]) if words[0] != "max" else -1
    if option == "cpu_quota":
        # systemd rounds to a percent of a processor.
        return have > 0 and abs(have / int(words[1]) - value / period) < _PERCENT
    return have // _PAGE == value // _PAGE if option == "memory" else have == value
