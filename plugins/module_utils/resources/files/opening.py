# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a container as its processes see them, whether it runs or not."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ...engine.models import CREATED, PAUSED, RUNNING, Mount, TaskState
from ...errors import FailedPrecondition, Unavailable, from_os_error, printable
from ...hostfs.atomic import closing
from ...hostfs.put import Attributes, make_directory
from ...hostfs.view import Mounted, Spot, View
from ...runtime.rootfs import opened
from ...volume.store import check
from ..container.find import task_of
from ..container.volumes import pending, prepare

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container
    from ...volume.store import Volume

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PATH = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
#: A directory without files.
_EMPTY = Mount("tmpfs", "tmpfs", ("size=4k",))
#: Beginnings of the names of file systems where a program, or another host, answers: perhaps never.
_ANSWERED = ("fuse", "overlay", "nfs", "cifs", "smb", "9p", "ceph", "afs")
_ABSENT = "is on a {}, which has no files while the container does not run: start the container first"


@contextlib.contextmanager
def view_of(engine: Engine, container: Container, name: str, write: bool = False) -> t.Iterator[View]:
    """For reading, nothing on this host is changed, however short. Unavailable if it begins to run or ends while it is written to."""
    task = task_of(engine, container)
    if task and _runs(task):
        with _running(engine, container, task, name) as view:
            yield view
            if write and not _same(task, task_of(engine, container)):
                raise Unavailable(f"the container {name} ended while files were copied: run the task again")
        return
    mounts = engine.snapshotter(container.snapshotter).mounts(container.snapshot_key)
    if write:
        prepare(engine, container, mounts)
    with opened(mounts if write else list(map(_readonly, mounts))) as root, opened([_EMPTY]) as nothing:
        view = View(root, {}, bool((container.spec.get("root") or {}).get("readonly")))
        tree = _Tree(view, nothing, write, set() if write else pending(engine, container))
        with tree:
            for mount in container.spec.get("mounts") or ():
                tree.add(mount)
            yield view
            if write and _runs(task_of(engine, container)):
                raise Unavailable(f"the container {name} was started while files were copied: run the task again")


@contextlib.contextmanager
def view_of_volume(volume: Volume, write: bool = False) -> t.Iterator[View]:
    """For reading, one that is not mounted yet is not mounted for anybody else. DataLoss, NotFound."""
    driver = check(volume).driver
    if write:
        driver.ready(volume.name, volume.data)
    with contextlib.ExitStack() as stack:
        try:
            if driver.waits(volume.data):
                mount = driver.to_mount()
                root = stack.enter_context(opened([mount._replace(options=("ro", *mount.options))]))
                view = View(root, readonly=False)
            else:
                view = View(stack.enter_context(closing(os.open(volume.data, _DIRECTORY))))
        except OSError as error:
            raise from_os_error(error, f"looking into the volume {volume.name}") from error
        yield view


def _runs(task: t.Optional[TaskState]) -> bool:
    return bool(task and task.pid and task.status in (CREATED, RUNNING, PAUSED))


def _same(before: TaskState, after: t.Optional[TaskState]) -> bool:
    return after is not None and _runs(after) and after.pid == before.pid


@contextlib.contextmanager
def _running(engine: Engine, container: Container, task: TaskState, name: str) -> t.Iterator[View]:
    """By its first process. A descriptor of /proc/PID is of this process for ever, and it is the right one if the engine still has it after
    the opening.
    """
    ended = Unavailable(f"the container {name} has just ended: run the task again")
    with contextlib.ExitStack() as stack:
        try:
            process = stack.enter_context(closing(os.open(f"/proc/{task.pid}", _DIRECTORY)))
            # A process without mounts of its own is none of a container.
            own = os.path.samestat(os.stat("ns/mnt", dir_fd=process), os.stat("/proc/self/ns/mnt"))
            if own or not _same(task, task_of(engine, container)):
                raise ended
            root = stack.enter_context(closing(os.open("root", _PATH, dir_fd=process)))
            view = View(root, refused=_Mounts(process).problem)
        except (FileNotFoundError, ProcessLookupError) as error:
            raise ended from error
        except OSError as error:
            raise from_os_error(error, f"looking into the container {name}") from error
        yield view


class _Mounts:
    """The mounts of a process with mounts of its own. process: a descriptor of its directory in /proc."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._kinds: t.Dict[str, t.Tuple[str, str]] = {}

    def problem(self, mount: str) -> str:
        """Why nothing may be asked of a file system: the container itself has mounted it, and may let us wait for its answer for ever, so
        that nobody can even kill us. Those that this host has mounted are the operator's.
        """
        with contextlib.suppress(OSError):
            if mount not in self._kinds:
                self._kinds = {one: (device, kind) for one, device, kind in _mounts("mountinfo", self._process)}
        device, kind = self._kinds.get(mount, ("", ""))
        if not device:
            return "was mounted or unmounted meanwhile: run the task again"
        if not kind.startswith(_ANSWERED) or device in {one for _mount, one, _kind in _mounts("/proc/self/mountinfo")}:
            return ""
        return f"is on a file system that the container itself has mounted ({kind}), which may never answer: copy another path"


def _mounts(path: str, directory: t.Optional[int] = None) -> t.Iterator[t.Tuple[str, str, str]]:
    """Id, device and kind of each mount in a file of proc(5)."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    with open(fd, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.split(" ")
            yield fields[0], fields[2], fields[fields.index("-") + 1]


def _readonly(mount: Mount) -> Mount:
    """The same files, without the right to change them. An overlay then has no directory to write to, so it also makes none."""
    upper = next((one[len("upperdir=") :] for one in mount.options if one.startswith("upperdir=")), "")
    if not upper:
        return mount._replace(options=("ro", *(one for one in mount.options if one != "rw")))
    options = []
    for one in mount.options:
        key, _equals, value = one.partition("=")
        if key == "lowerdir":
            options.append(f"lowerdir={upper}:{value}")
        elif key not in ("upperdir", "workdir"):
            options.append(one)
    return mount._replace(options=tuple(options))


class _Tree:
    """What the runtime would mount at a start. nothing: a directory without files. waiting: the paths of volumes that the start fills."""

    def __init__(self, view: View, nothing: int, write: bool, waiting: t.Collection[str]) -> None:
        self._view, self._nothing, self._write, self._waiting = view, nothing, write, waiting
        self._open = contextlib.ExitStack()

    def __enter__(self) -> None:
        self._open.__enter__()

    def __exit__(self, *exc: t.Any) -> None:
        self._open.__exit__(*exc)

    def add(self, mount: t.Mapping[str, t.Any]) -> None:
        path = self._place(str(mount["destination"]))
        options = mount.get("options") or ()
        kind = "bind" if {"bind", "rbind"} & set(options) else str(mount.get("type"))
        if kind != "bind":
            what = "tmpfs" if kind == "tmpfs" else f"file system of its own ({printable(kind, 40)})"
            self._view.mounts[path] = Mounted(self._nothing, problem=_ABSENT.format(what))
        elif mount["destination"] not in self._waiting:
            self._view.mounts[path] = self._source(str(mount["source"]), "ro" in options)
        elif not self._is_there(path):
            self._view.mounts[path] = Mounted(self._nothing)

    def _is_there(self, path: str) -> bool:
        try:
            with self._view.find(path) as spot:
                return spot.found is not None
        except (FailedPrecondition, OSError):
            return False

    def _source(self, path: str, readonly: bool) -> Mounted:
        try:
            return Mounted(self._open.enter_context(closing(os.open(path, os.O_PATH | os.O_CLOEXEC))), readonly)
        except OSError as error:
            return Mounted(
                self._nothing, problem=f"is on {printable(path, 200)} of this host, which cannot be opened: {error.strerror}"
            )

    def _place(self, destination: str) -> str:
        """The real path. The directories above are there then, as the runtime makes them."""
        names, path = [one for one in destination.split("/") if one], "/"
        for number in range(len(names)):
            last = number + 1 == len(names)
            try:
                with self._view.find(f"{path.rstrip('/')}/{names[number]}", follow=True) as spot:
                    path = spot.path
                    if not spot.found and not last:
                        self._make(spot)
            except (FailedPrecondition, OSError):
                # Below what cannot be seen, or what the start will refuse.
                return "/".join([path.rstrip("/"), *names[number:]])
        return path

    def _make(self, spot: Spot) -> None:
        if self._write:
            root = os.fstat(self._view.root)
            make_directory(spot, Attributes(root.st_uid, root.st_gid, 0o755))
        else:
            self._view.mounts[spot.path] = Mounted(self._nothing)
