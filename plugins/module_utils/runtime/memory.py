# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a container could live with less memory. On version 2 of the control groups the kernel does not ask: it kills."""

from __future__ import annotations

import typing as t

from ..errors import FailedPrecondition
from ..oci.sizes import size_text

_ROOT = "/sys/fs/cgroup"


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
