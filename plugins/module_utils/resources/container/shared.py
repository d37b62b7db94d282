# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers share with each other: namespaces, and the memory that belongs to that of IPC.

A start pins the namespaces of the other container in the directory of this one, by bind mounts. So the path in the specification
stays, and never leads to a process that has got the number of one that has ended: after a reboot it leads nowhere, and a start
without a task of ours fails. Docker's path is that of a process (/proc/<pid>/ns/ipc), which it looks up at each start.
"""

from __future__ import annotations

import os
import typing as t

from ...errors import FailedPrecondition, from_os_error
from ...runtime_spec.namespaces import JOINED, path_of

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container

HOST_MEMORY, HOST_QUEUES = "/dev/shm", "/dev/mqueue"
#: In the directory of a container: a tmpfs, and the directory in it that is shared. Without the mount there is no such directory.
_MEMORY = "shm"


def pin_path(directory: str, kind: str) -> str:
    """Where the namespace of another container is pinned. directory: of the container that uses it."""
    return os.path.join(directory, f"ns-{kind}")


def memory_of(directory: str, other: str = "") -> str:
    """The memory that a container shares; other: the id of another one."""
    place = os.path.join(os.path.dirname(directory), other) if other else directory
    return os.path.join(place, _MEMORY, _MEMORY)


def shares_memory(container: Container) -> bool:
    return any(is_memory(one) and f"/{container.id}/" in one["source"] for one in container.spec.get("mounts") or ())


def is_memory(mount: t.Mapping[str, t.Any]) -> bool:
    """Whether a mount of a specification is the shared memory of a container, which is there while that runs."""
    return mount.get("destination") == HOST_MEMORY and str(mount.get("source")).endswith(f"/{_MEMORY}/{_MEMORY}")


def _place(container: Container, engine: Engine) -> str:
    """Its directory if it shares something; else empty."""
    paths = [path_of(container.spec, kind) for kind in JOINED]
    return engine.container_dir(container.id) if any(paths) or shares_memory(container) else ""


def prepare(engine: Engine, container: Container) -> None:
    """Before a start: pin what it uses, and have the memory that it shares. FailedPrecondition when the other one does not run."""
    directory = _place(container, engine)
    if not directory:
        return
    from .options.namespaces import memory_size, others
    from .options.table import values_of

    values = values_of(container)
    for kind, other in others(values).items():
        if path_of(container.spec, kind) == pin_path(directory, kind):
            _pin(engine, other, kind, pin_path(directory, kind))
    if shares_memory(container):
        _have_memory(os.path.join(directory, _MEMORY), memory_size(values))


def _pin(engine: Engine, other: str, kind: str, path: str) -> None:
    from ...hostfs.mounts import mount, unmount
    from ...runtime.remains import belongs
    from .find import find_container, task_of

    task = task_of(engine, find_container(engine, other))
    try:
        fd = os.open(f"/proc/{task.pid if task else 0}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _not_running(kind, other) from error
    try:
        # Its number may be that of another process by now; what is open is that of a process which is still there after this.
        if not task or not belongs(task.pid, other):
            raise _not_running(kind, other)
        unmount(path, lazy=True)
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o444))
        mount("", f"/proc/self/fd/{fd}", path, ("bind",))
    except OSError as error:
        raise from_os_error(error, f"keeping a namespace at {path}") from error
    finally:
        os.close(fd)


def _not_running(kind: str, other: str) -> FailedPrecondition:
    return FailedPrecondition(f"the container {other[:12]} does not run, so its {kind} namespace cannot be used: start it first")


def _have_memory(point: str, size: int) -> None:
    from ...hostfs.atomic import make_dir
    from ...hostfs.mounts import mount_points, mount_tmpfs, unmount

    if point in mount_points(point) and os.path.isdir(os.path.join(point, _MEMORY)):
        return
    unmount(point, lazy=True)
    make_dir(point)
    mount_tmpfs(point, ("nosuid", "nodev", "noexec", f"size={size}"))
    try:
        os.mkdir(os.path.join(point, _MEMORY))
        os.chmod(os.path.join(point, _MEMORY), 0o1777)
    except OSError as error:
        raise from_os_error(error, f"making the shared memory {point}") from error


def release(engine: Engine, container: Container) -> None:
    """After a stop: nothing keeps the namespaces of others."""
    directory = _place(container, engine)
    if directory:
        from ...hostfs.mounts import unmount_below

        unmount_below(directory)
