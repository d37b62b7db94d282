# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers have left that ended without being detached: killed programs of ours, a reboot, a removal by somebody else.

An attachment has a file of CNI's library, which names its namespace: ours begin as our pins do. So it is known whatever engine, namespace
and data_root the container was of, and nothing of other tools is looked at.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from ..errors import EngineError, Unavailable
from ..hostfs.atomic import read_file
from ..hostfs.syscalls import CAP_SYS_PTRACE, capable
from .connected import Connected, Endpoint, alone, pinned
from .container import Connection
from .places import Places
from .result import directory_of
from .rules import Rules

_Inode = t.Tuple[int, int]


def sweep(places: Places, rules: t.Optional[Rules] = None, wait: float = 0) -> t.List[str]:
    """Detach whose namespace no process is in any more, and give back addresses and ports. The ids of the containers.

    One that another process works on for longer than that (seconds) is left to that one.
    """
    found: t.List[str] = []
    for container_id in left(places):
        with contextlib.suppress(Unavailable), alone(container_id, places, wait):
            # It may have been started since.
            if not in_use(_pin(container_id, places)):
                endpoints = tuple(_attachments(places).get(container_id, ()))
                Connection(Connected(container_id, (), endpoints, places=places), rules).down()
                found.append(container_id)
    return found


def left(places: Places) -> t.List[str]:
    """The ids of the containers whose namespace no process is in any more."""
    ids = sorted({*_pins(places), *_attachments(places)})
    used = _namespaces() if ids else set()
    return [one for one in ids if not in_use(_pin(one, places), used)]


def in_use(pin: str, used: t.Optional[t.Set[_Inode]] = None) -> bool:
    """Whether a process is in the namespace of a pin, or may be. used: what _namespaces() gave."""
    try:
        inode = _inode(pin)
    except FileNotFoundError:
        return False
    found = _namespaces() if used is None else used
    return not found or inode in found


def _inode(path: str) -> _Inode:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _namespaces() -> t.Set[_Inode]:
    """Those of all processes; empty where those of other users cannot be looked at: they could be in any."""
    found = set()
    if capable(CAP_SYS_PTRACE):
        for name in os.listdir("/proc"):
            if name.isdigit():
                # It has ended, is a zombie, which is in none, or is guarded from root, too, and none of a container.
                with contextlib.suppress(OSError):
                    found.add(_inode(f"/proc/{name}/ns/net"))
    return found


def _pin(container_id: str, places: Places) -> str:
    return Connected(container_id, (), (), places=places).pin


def _pins(places: Places) -> t.List[str]:
    with contextlib.suppress(FileNotFoundError):
        return [one for one in map(pinned, os.listdir(places.pin_dir)) if one]
    return []


def _attachments(places: Places) -> t.Dict[str, t.List[Endpoint]]:
    """By container: what has been begun, with a namespace of ours."""
    found: t.Dict[str, t.List[Endpoint]] = {}
    directory = directory_of(places.cache_dir)
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(directory)):
            try:
                one = json.loads(read_file(os.path.join(directory, name)) or b"{}")
                container_id, endpoint = str(one["containerId"]), Endpoint(str(one["networkName"]), interface=str(one["ifName"]))
                if one["netns"] == _pin(container_id, places):
                    found.setdefault(container_id, []).append(endpoint)
            except (EngineError, ValueError, TypeError, KeyError, RecursionError):
                continue
    return found
