# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the remains of a container whose records or runtime are damaged or missing, by its control group, and end them.

A container's id is random and is in the path of its control group, so no other process of the host is ever affected.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from ..errors import EngineError
from ..hostfs.atomic import read_file
from .processes import Process, control_groups, frozen

_ROOT = "/sys/fs/cgroup"
_KILL, _TURNS, _SECONDS = 9, 50, 10.0


def belongs(pid: int, container_id: str) -> bool:
    """Whether a process is in the container's control group, or below it."""
    return any(_ours(path, container_id) for path in control_groups(pid, container_id).values())


def members(container_id: str) -> t.List[Process]:
    """All processes of a container. Each is identified before its group is read, so a reused number does no harm."""
    found = (Process.of(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [one for one in found if one.started and belongs(one.pid, container_id)]


def find_init(container_id: str) -> Process:
    """The first process of a container: number 1 in the outermost process namespace below the host's."""
    found = [(_levels(process.pid), process.started, process) for process in members(container_id)]
    firsts = [one for one in found if len(one[0]) > 1 and one[0][-1] == "1"]
    return min(firsts, key=lambda one: (len(one[0]), one[1]))[2] if firsts else Process(0, 0)


def _levels(pid: int) -> t.List[str]:
    """The numbers of a process in the host's process namespace and in those below."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
            return next((line.split()[1:] for line in stream if line.startswith("NSpid:")), [])
    except (FileNotFoundError, ProcessLookupError):
        return []


def has_groups(container_id: str, config: str) -> bool:
    """Whether control groups remain, perhaps with processes. config: as for end()."""
    return any(map(os.path.isdir, _groups_of_config(config, container_id)))


def end(container_id: str, config: str) -> None:
    """Kill the remaining processes, and remove their control groups. config: the path of config.json, which may be missing or damaged."""
    groups = set(_groups_of_config(config, container_id))
    for _turn in range(_TURNS):
        found = members(container_id)
        for process in found:
            groups.update(_groups_of(process.pid, container_id))
            process.signal(_KILL)
            if frozen(process.pid):
                thaw(process.pid)
        if not found or not all(process.wait(_SECONDS) for process in found):
            break
    for group in groups:
        for base, _directories, _files in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(base)


def _ours(path: str, container_id: str) -> bool:
    """Whether a path is that of the container; scopes of systemd have the id in their names."""
    return any(name == container_id or name.endswith(f"-{container_id}.scope") for name in path.split("/"))


def _directory(controller: str, path: str) -> str:
    """The top directory of a controller. Version 2, which has no name here, may be alone or beside version 1."""
    if not controller:
        top = _ROOT if os.path.exists(f"{_ROOT}/cgroup.controllers") else f"{_ROOT}/unified"
    else:
        top = f"{_ROOT}/{controller.partition('=')[2] or controller}"
    return top + path


def _groups_of(pid: int, container_id: str) -> t.Iterator[str]:
    """The directories of the container's control groups that a process is in."""
    for controller, path in control_groups(pid).items():
        parts = path.split("/")
        for number, name in enumerate(parts):
            if _ours(name, container_id):
                yield _directory(controller, "/".join(parts[: number + 1]))


def _groups_of_config(config: str, container_id: str) -> t.Iterator[str]:
    """The directories from config.json, for a container without a process."""
    try:
        path = json.loads(read_file(config) or b"null")["linux"]["cgroupsPath"]
    except (EngineError, ValueError, RecursionError, TypeError, KeyError):
        return
    if isinstance(path, str) and path.startswith("/") and _ours(path, container_id) and ".." not in path.split("/"):
        for controller in ("", *os.listdir(_ROOT)):
            yield _directory(controller, path)


def thaw(pid: int) -> None:
    """Resume the control group of a process."""
    groups = control_groups(pid)
    path, word = _directory("", groups.get("", "")) + "/cgroup.freeze", "0"
    if "freezer" in groups:
        path, word = _directory("freezer", groups["freezer"]) + "/freezer.state", "THAWED"
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as stream:
        stream.write(word)
