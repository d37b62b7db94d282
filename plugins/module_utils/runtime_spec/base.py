# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OCI runtime specification of a container without any options. The options of a task are written into it.

OCI runtime-spec 1.0.2, config.md and config-linux.md. Defaults are those of Docker and containerd.
"""

from __future__ import annotations

import os
import typing as t

from .capabilities import DEFAULT_CAPABILITIES
from .cgroups import HostFacts, cgroups_path
from .limits import rlimits
from .mounts import mount
from .seccomp import default_profile

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MASKED = (
    "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats "
    "/proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap"
).split()
_CPU = "/sys/devices/system/cpu"
_READ_ONLY = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger".split()


def base(container_id: str, namespace: str, host: HostFacts) -> t.Dict[str, t.Any]:
    """The contents of config.json for a process of root without arguments, in its own namespaces."""
    return {
        "ociVersion": "1.0.2",
        "process": _process(host),
        "root": {"path": "rootfs", "readonly": False},
        "hostname": container_id[:12],
        "mounts": _mounts(),
        "annotations": {},
        "linux": {
            "namespaces": _namespaces(host),
            "cgroupsPath": cgroups_path(namespace, container_id, host),
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "maskedPaths": [*_MASKED, *_temperatures()],
            "readonlyPaths": list(_READ_ONLY),
            "seccomp": default_profile(DEFAULT_CAPABILITIES),
        },
    }


def _temperatures() -> t.List[str]:
    """What tells when the processor is throttled, by which a program can guess what others do."""
    found = [f"{_CPU}/{name}/thermal_throttle" for name in os.listdir(_CPU) if name[:3] == "cpu" and name[3:].isdigit()]
    return sorted(filter(os.path.isdir, found))


def _process(host: HostFacts) -> t.Dict[str, t.Any]:
    return {
        "terminal": False,
        "user": {"uid": 0, "gid": 0, "additionalGids": [], "umask": 0o022},
        "args": [],
        "env": [f"PATH={DEFAULT_PATH}"],
        "cwd": "/",
        "capabilities": {kind: list(DEFAULT_CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
        "noNewPrivileges": False,
        "rlimits": rlimits(host.limits),
        "oomScoreAdj": host.oom_score_adj,
    }


def _mounts() -> t.List[t.Dict[str, t.Any]]:
    return [
        mount("/proc", "proc", "proc", "nosuid noexec nodev"),
        mount("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
        mount("/dev/pts", "devpts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5"),
        mount("/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro nosuid noexec nodev relatime"),
    ]


def _namespaces(host: HostFacts) -> t.List[t.Dict[str, str]]:
    """Its own cgroup namespace on version 2, the host's on version 1 (Docker's default)."""
    kinds = ["pid", "ipc", "uts", "mount", "network", *(["cgroup"] if host.cgroup == 2 else [])]
    return [{"type": kind} for kind in kinds]
