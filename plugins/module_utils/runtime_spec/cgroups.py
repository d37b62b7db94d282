# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind of control groups on the host."""

from __future__ import annotations

import contextlib
import os
import typing as t

from .limits import Limit, limits, oom_score_adj

_ROOT = "/sys/fs/cgroup"
_FIRST, _BOOTED = "/proc/1/comm", "/run/systemd/system"


class HostFacts(t.NamedTuple):
    """cgroup: 1 or 2. systemd: it runs here and can be asked for cgroups. limits and oom_score_adj: those of new containers."""

    cgroup: int = 1
    systemd: bool = False
    limits: t.Tuple[Limit, ...] = ()
    oom_score_adj: int = 0


def host_facts() -> HostFacts:
    """The facts of this machine. Hybrid hierarchies count as version 1, as for runc."""
    return HostFacts(version(), systemd_runs(), limits(), oom_score_adj())


def version() -> int:
    """The version of the control groups, 1 or 2."""
    return 2 if _unified() else 1


def _unified() -> bool:
    return os.path.exists(os.path.join(_ROOT, "cgroup.controllers"))


def limits_swap() -> bool:
    """Whether the kernel can limit swap space. Version 2 shows that in no file of its first group."""
    if not _unified():
        return os.path.exists(f"{_ROOT}/memory/memory.memsw.limit_in_bytes")
    with open("/proc/cmdline", encoding="utf-8") as stream:
        return os.path.exists("/proc/swaps") and "swapaccount=0" not in stream.read().split()


def weighs_disks() -> bool:
    """Whether the kernel has a scheduler of disks with weights: CFQ or BFQ; in version 2 BFQ or the cost model."""
    if not _unified():
        with contextlib.suppress(OSError):
            return any(name.startswith(("blkio.bfq.", "blkio.leaf_weight")) for name in os.listdir(f"{_ROOT}/blkio"))
        return False
    below = (f"{entry.path}/io.bfq.weight" for entry in os.scandir(_ROOT) if entry.is_dir(follow_symlinks=False))
    return os.path.exists(f"{_ROOT}/io.cost.qos") or any(map(os.path.exists, below))


def systemd_runs() -> bool:
    """As sd_booted(3), and it must be process 1 here: a container may have the /run/systemd of its host."""
    try:
        with open(_FIRST, "rb") as stream:
            return stream.read() == b"systemd\n" and os.path.isdir(_BOOTED)
    except OSError:
        return False


def cgroups_path(namespace: str, container_id: str, host: HostFacts) -> str:
    """In systemd's form if systemd manages version 2; else an absolute path (a relative one would be below the caller's group)."""
    if host.cgroup == 2 and host.systemd:
        return f"system.slice:fleet-{namespace}:{container_id}"
    return f"/{namespace}/{container_id}"


def remove_parents(namespace: str) -> None:
    """Remove the parent groups of a namespace's containers if they are empty. The runtime makes them again."""
    paths = [_ROOT]
    if not _unified():
        with os.scandir(_ROOT) as entries:
            paths += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for path in paths:
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(path, namespace))


def made_by_systemd(spec: t.Mapping[str, t.Any]) -> bool:
    """Whether the cgroupsPath of a container has systemd's form, slice:prefix:name. Then the runtime must be told to ask systemd.

    Otherwise it takes the colons as part of a path, relative to the group of its caller.
    """
    path = str((spec.get("linux") or {}).get("cgroupsPath", ""))
    return not path.startswith("/") and path.count(":") == 2
