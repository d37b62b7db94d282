# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a container whose records or runtime are damaged or gone: found by its control group, and ended by hand.

A container's id is random and stands in the path of its control group, so nothing else of the host is ever met here.
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
    """All processes of a container. Who it is comes before where it is: a number that was given away meanwhile harms nobody."""
    found = (Process.of(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [one for one in found if one.started and belongs(one.pid, container_id)]


def find_init(container_id: str) -> Process:
    """The first process of a container, which is number 1 in the outermost process name space that is not the host's."""
    found = [(_levels(process.pid), process.started, process) for process in members(container_id)]
    firsts = [one for one in found if len(one[0]) > 1 and one[0][-1] == "1"]
    return min(firsts, key=lambda one: (len(one[0]), one[1]))[2] if firsts else Process(0, 0)


def _levels(pid: int) -> t.List[str]:
    """The numbers of a process, in the host's process name space and in those below it."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
            return next((line.split()[1:] for line in stream if line.startswith("NSpid:")), [])
    except (FileNotFoundError, ProcessLookupError):
        return []


def has_groups(container_id: str, config: str) -> bool:
    """Whether control groups are left, and perhaps processes in them. config: as for end()."""
    return any(map(os.path.isdir, _groups_of_config(config, container_id)))


def end(container_id: str, config: str) -> None:
    """Kill what is left, and remove its control groups. config: the path of config.json, which need not be there or whole."""
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
    """systemd's scopes have the id in their names."""
    return any(name == container_id or name.endswith(f"-{container_id}.scope") for name in path.split("/"))


def _directory(controller: str, path: str) -> str:
    """Where a control group is; version 2, which has no name here, may be the only one or one beside those of version 1."""
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
    """Where the runtime was told to make them, for a container without a process."""
    try:
        path = json.loads(read_file(config) or b"null")["linux"]["cgroupsPath"]
    except (EngineError, ValueError, RecursionError, TypeError, KeyError):
        return
    if isinstance(path, str) and path.startswith("/") and _ours(path, container_id) and ".." not in path.split("/"):
        for controller in ("", *os.listdir(_ROOT)):
            yield _directory(controller, path)


def thaw(pid: int) -> None:
    """Let the control group of a process go on."""
    groups = control_groups(pid)
    path, word = _directory("", groups.get("", "")) + "/cgroup.freeze", "0"
    if "freezer" in groups:
        path, word = _directory("freezer", groups["freezer"]) + "/freezer.state", "THAWED"
    with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as stream:
        stream.write(word)
