# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of a container (runtime-spec, config-linux.md: linux.resources), and what a runtime is told to change those of what runs.

A runtime leaves alone what an update does not name, so a limit that goes has to become "no limit" there.
"""

from __future__ import annotations

import contextlib
import typing as t

from .cgroups import version

Resources = t.Mapping[str, t.Any]
#: What can be changed while a container runs, and what it is without a limit. runc knows no others in an update.
_FREE: t.Mapping[str, t.Mapping[str, t.Any]] = {
    "cpu": {"shares": 1024, "quota": -1, "period": 100000, "cpus": "", "mems": ""},
    "memory": {"limit": -1, "swap": -1, "reservation": -1},
    "pids": {"limit": -1},
    "blockIO": {"weight": 100},
}
#: What has to be written in version 2, where runtimes make something else of the above: max, which protects all memory, and a weight of 39.
_FREE_2: t.Mapping[t.Tuple[str, str], t.Tuple[str, str]] = {
    ("memory", "reservation"): ("memory.low", "0"),
    ("cpu", "shares"): ("cpu.weight", "100"),
}
_ONLINE = {"cpus": "/sys/devices/system/cpu/online", "mems": "/sys/devices/system/node/online"}


def resources_of(spec: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    return (spec.get("linux") or {}).get("resources") or {}


def limit(spec: t.Dict[str, t.Any], section: str, **values: t.Any) -> None:
    """Write values of a section; None removes one."""
    resources = spec["linux"].setdefault("resources", {})
    left = {**(resources.pop(section, None) or {}), **values}
    left = {name: value for name, value in left.items() if value is not None}
    if left:
        resources[section] = left


def online(kind: str) -> str:
    """The processors (cpus) or memory nodes (mems) of the host, such as 0-3; empty if that cannot be known."""
    with contextlib.suppress(OSError), open(_ONLINE[kind], encoding="ascii") as stream:
        return stream.read().strip()
    return ""


def update_of(after: Resources, *before: Resources) -> t.Dict[str, t.Any]:
    """What a runtime is told so that a task gets these limits. before: those that it may have now."""
    found: t.Dict[str, t.Dict[str, t.Any]] = {}
    for section, free in _FREE.items():
        wanted = after.get(section) or {}
        had = {name for one in before for name in one.get(section) or ()}
        for name, nothing in free.items():
            if name in wanted:
                found.setdefault(section, {})[name] = wanted[name]
            elif name in had:
                place, value = (section, name), online(name) if name in _ONLINE else nothing
                if version() == 2 and place in _FREE_2:
                    place, value = ("unified", _FREE_2[place][0]), _FREE_2[place][1]
                found.setdefault(place[0], {})[place[1]] = value
    return found
