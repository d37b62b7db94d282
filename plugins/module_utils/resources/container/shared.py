# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces of other containers, memory that containers share, and parts of volumes: what is mounted for containers while they run.

A user of a namespace pins that of the other container in its own directory, by bind mounts. So the path in the specification never
leads to a process that has got the number of one that has ended: after a reboot it leads nowhere, and a start without us fails.
Docker's path is that of a process (/proc/<pid>/ns/ipc), which it looks up at each start.
"""

from __future__ import annotations

import copy
import os
import typing as t

from ...errors import from_os_error
from ...runtime_spec.namespaces import JOINED, join
from .volumes import parts

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container
    from .joined import Joined

HOST_MEMORY, HOST_QUEUES = "/dev/shm", "/dev/mqueue"
#: In the directory of a container: a tmpfs, and the directory in it that is shared. Without the mount there is no such directory.
_MEMORY = "shm"
#: How the names of pins begin there.
_PIN = "ns-"


def pin_path(directory: str, kind: str, other: str) -> str:
    """Where the namespace of another container is pinned. directory: of the container that uses it; other: the id of the other one."""
    return os.path.join(directory, f"{_PIN}{kind}-{other}")


def memory_of(directory: str, other: str = "") -> str:
    """The memory that a container shares; other: the id of another one."""
    place = os.path.join(os.path.dirname(directory), other) if other else directory
    return os.path.join(place, _MEMORY, _MEMORY)


def shares_memory(container: Container) -> bool:
    return any(is_memory(one) and f"/{container.id}/" in one["source"] for one in container.spec.get("mounts") or ())


def is_memory(mount: t.Mapping[str, t.Any]) -> bool:
    """Whether a mount of a specification is the shared memory of a container, which is there while that runs."""
    return mount.get("destination") == HOST_MEMORY and str(mount.get("source")).endswith(f"/{_MEMORY}/{_MEMORY}")


def prepare(engine: Engine, container: Container) -> Container:
    """Before a start: pin what it uses, which may be of a container that was made anew, and have the memory that it shares. The container
    as it is to be started. FailedPrecondition when the other one does not run.
    """
    from .joined import joined
    from .options.kernel import memory_size
    from .options.table import values_of

    directory, values = engine.container_path(container.id), values_of(container)
    _unpin(directory)
    spec = copy.deepcopy(dict(container.spec))
    for one in joined(engine, values, JOINED):
        other = one.container.id if one.container else ""
        path = pin_path(directory, one.kind, other)
        _pin(one, other, path)
        join(spec, one.kind, path)
        for mount in spec["mounts"]:
            if one.kind == "ipc" and is_memory(mount):
                mount["source"] = memory_of(directory, other)
    if parts(container):
        from .parts import prepare as prepare_parts

        prepare_parts(engine, container)
    if shares_memory(container):
        _have_memory(os.path.join(directory, _MEMORY), memory_size(values))
    return container if spec == container.spec else engine.containers.update(container._replace(spec=spec), ["spec"])


def _pin(one: Joined, other: str, path: str) -> None:
    from ...hostfs.atomic import closing
    from ...hostfs.mounts import mount
    from ...runtime.remains import belongs

    one.check()
    try:
        with closing(os.open(one.path, os.O_RDONLY | os.O_CLOEXEC)) as fd:
            # Its number may be that of another process by now; what is open is that of a process which is still there after this.
            if not belongs(one.pid, other):
                raise one.missing()
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o444))
            mount("", f"/proc/self/fd/{fd}", path, ("bind",))
    except OSError as error:
        raise from_os_error(error, f"keeping a namespace at {path}") from error


def _unpin(directory: str) -> None:
    from ...hostfs.mounts import unmount

    try:
        for name in os.listdir(directory):
            if name.startswith(_PIN):
                unmount(os.path.join(directory, name), lazy=True)
                os.unlink(os.path.join(directory, name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_os_error(error, f"giving back namespaces in {directory}") from error


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
    """After a stop: nothing keeps the namespaces of others and parts of volumes, and nobody the memory that it has shared."""
    directory = engine.container_path(container.id)
    _unpin(directory)
    if parts(container):
        from .parts import release as release_parts

        release_parts(engine, container)
    if shares_memory(container):
        from ...hostfs.mounts import unmount

        unmount(os.path.join(directory, _MEMORY), lazy=True)
