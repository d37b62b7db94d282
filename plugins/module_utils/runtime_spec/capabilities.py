# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Capabilities of Linux (capabilities(7)): their names, and which a container has, as in Docker."""

from __future__ import annotations

import typing as t

from ..errors import InvalidArgument, printable

#: In the order of their numbers (linux/capability.h).
NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST "
    "NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
    "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM "
    "BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
ALL = "ALL"
_DEFAULT = (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
)
#: What a container has that asks for nothing, with the names of a specification.
DEFAULT_CAPABILITIES = tuple(f"CAP_{name}" for name in _DEFAULT.split())


def parse_capability(text: object, option: str) -> str:
    """The name in capitals, without CAP_; ALL for all. InvalidArgument names option and value."""
    name = str(text).upper()
    name = name[4:] if name.startswith("CAP_") else name
    if name != ALL and name not in NAMES:
        raise InvalidArgument(f"{option}: {printable(text, 80)!r} is not a capability, such as NET_ADMIN, nor ALL")
    return name


def granted(add: t.Collection[str], drop: t.Collection[str], privileged: bool) -> t.List[str]:
    """The capabilities of a container, with the names of a specification. What is added is there even if it is also dropped."""
    if privileged:
        return possible()
    added, dropped = ([f"CAP_{name}" for name in names] for names in (add, drop))
    if ALL in add:
        return [name for name in possible() if name not in dropped]
    kept = [] if ALL in drop else [name for name in DEFAULT_CAPABILITIES if name not in dropped]
    return sorted({*kept, *added})


def possible() -> t.List[str]:
    """Those that this process can give to others: all that the kernel has, unless it runs in a container itself."""
    with open("/proc/self/status", encoding="utf-8") as stream:
        bounding = next((int(line.split()[1], 16) for line in stream if line.startswith("CapBnd:")), 0)
    return sorted(f"CAP_{name}" for number, name in enumerate(NAMES) if bounding >> number & 1)


def grant(spec: t.Mapping[str, t.Any], names: t.Sequence[str]) -> None:
    """Give capabilities to the process of a specification: never inheritable ones (CVE-2022-24769)."""
    spec["process"]["capabilities"] = {kind: list(names) for kind in ("bounding", "effective", "permitted")}
