# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What limits the kernel has for a process, in either version of the control groups."""

from __future__ import annotations

import pathlib
import typing as t

_ROOT = pathlib.Path("/sys/fs/cgroup")
#: Name: controller and file of version 1, file of version 2.
_FILES = {
    "memory": ("memory", "memory.limit_in_bytes", "memory.max"),
    "memory_swap": ("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"),
    "memory_reservation": ("memory", "memory.soft_limit_in_bytes", "memory.low"),
    "memory_swappiness": ("memory", "memory.swappiness", ""),
    "pids": ("pids", "pids.max", "pids.max"),
    "quota": ("cpu", "cpu.cfs_quota_us", "cpu.max"),
    "period": ("cpu", "cpu.cfs_period_us", "cpu.max"),
    "shares": ("cpu", "cpu.shares", "cpu.weight"),
    "cpus": ("cpuset", "cpuset.cpus", "cpuset.cpus"),
    "mems": ("cpuset", "cpuset.mems", "cpuset.mems"),
    "weight": ("blkio", "blkio.bfq.weight", "io.bfq.weight"),
    "read_bps": ("blkio", "blkio.throttle.read_bps_device", "io.max"),
    "write_bps": ("blkio", "blkio.throttle.write_bps_device", "io.max"),
    "read_iops": ("blkio", "blkio.throttle.read_iops_device", "io.max"),
    "write_iops": ("blkio", "blkio.throttle.write_iops_device", "io.max"),
}
#: What version 1 has for no limit.
_MOST = str(2**63 - 4096)


def version() -> int:
    return 2 if (_ROOT / "cgroup.controllers").exists() else 1


def group_of(pid: int, controller: str) -> pathlib.Path:
    """The directory of the control group of a process."""
    lines = [line.split(":", 2) for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    if version() == 2:
        (path,) = (path for number, _controllers, path in lines if number == "0")
        return _ROOT / path[1:]
    (path,) = (path for _number, controllers, path in lines if controller in controllers.split(","))
    return _ROOT / controller / path[1:]


def limits_of(pid: int, *names: str) -> t.Dict[str, t.Any]:
    """Numbers where the kernel has numbers; None for no limit. In version 2, memory_swap is memory and swap together, too, and shares
    are what runc makes a weight of."""
    return {name: _number(name, pid) for name in names}


def _number(name: str, pid: int) -> t.Any:
    controller, *files = _FILES[name]
    text = (group_of(pid, controller) / files[version() - 1]).read_text().strip()
    if version() == 2:
        if name in ("quota", "period"):
            text = text.split()[("quota", "period").index(name)]
        if name == "shares":
            return round((int(text) - 1) * 262142 / 9999 + 2)
        if name == "memory_swap" and text.isdigit():
            return int(text) + _number("memory", pid)
    if text in ("max", "-1", _MOST):
        return None
    return int(text) if text.isdigit() else text
