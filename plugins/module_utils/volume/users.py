# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses which volumes: the containers of all engines, by a file in the directory of each; and processes, by their mounts.

So a user is known without its engine, and while a daemon is down.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import typing as t

from ..engine.models import VOLUMES_FILE
from ..errors import DataLoss, printable
from ..hostfs.atomic import read_file, write_file


class User(t.NamedTuple):
    """A container. path: of its file. name: its own. volumes: those that it uses, by name.

    fill: the paths in it at which volumes get the image's content at its first start; filled: that was done.
    """

    path: str
    name: str
    volumes: t.Tuple[str, ...] = ()
    fill: t.Tuple[str, ...] = ()
    filled: bool = False

    @classmethod
    def read(cls, path: str) -> t.Optional[User]:
        """None when there is no file. DataLoss."""
        raw = read_file(path)
        if raw is None:
            return None
        try:
            found = json.loads(raw)
            volumes, fill = (tuple(map(str, found[key])) for key in ("volumes", "fill"))
            return cls(path, str(found["name"]), volumes, fill, bool(found["filled"]))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DataLoss(f"{path}: which volumes a container uses cannot be read: {printable(error, 120)}") from error

    def text(self) -> bytes:
        """For its file."""
        known = self._asdict()
        del known["path"]
        return json.dumps(known).encode()

    def write(self) -> None:
        write_file(self.path, self.text(), 0o644, alone=True)

    @property
    def id(self) -> str:
        return os.path.basename(os.path.dirname(self.path))

    @property
    def engine(self) -> str:
        """embedded, or containerd with what tells daemons apart."""
        return self.path.split(os.sep)[-4]


class Users(t.NamedTuple):
    """Those of one namespace, and an error for each file that cannot be read: it could be a user's."""

    containers: t.Tuple[User, ...] = ()
    lost: t.Tuple[DataLoss, ...] = ()

    def of(self, volume: str) -> t.List[User]:
        """Who uses a volume."""
        return [one for one in self.containers if volume in one.volumes]


def find(data_root: str, namespace: str) -> Users:
    """All of a namespace that have their files below data_root."""
    users, lost = [], []
    for path in sorted(glob.glob(os.path.join(glob.escape(data_root), "containers", "*", namespace, "*", VOLUMES_FILE))):
        try:
            user = User.read(path)
            users += [user] if user else []
        except DataLoss as error:
            lost.append(error)
    return Users(tuple(sorted(users, key=lambda one: (one.name, one.path))), tuple(lost))


class Holder(t.NamedTuple):
    """A process that has a directory mounted."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command} (process {self.pid})"


def holders(path: str) -> t.List[Holder]:
    """The processes with a mount of path, or of something below it, in a mount namespace of their own: containers of any tool.

    One process of each namespace; what cannot be read (it has just ended) has none.
    """
    wanted = _place(os.path.realpath(path))
    found: t.Dict[str, Holder] = {_namespace("self"): Holder(0, "")}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):
        with contextlib.suppress(OSError):
            namespace = _namespace(str(pid))
            if namespace in found:
                continue
            found[namespace] = Holder(0, "")
            with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
                if wanted and any(_is_below(line, *wanted) for line in lines):
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
                        found[namespace] = Holder(pid, stream.read().strip())
    return [one for one in found.values() if one.pid]


def _namespace(pid: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/mnt")


def _place(path: str) -> t.Optional[t.Tuple[str, str]]:
    """The device of a path, and its path in that file system, as mountinfo has them."""
    best: t.Optional[t.Tuple[str, str, str]] = None
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            _id, _parent, device, root, point = line.split(" ", 5)[:5]
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and (best is None or len(point) >= len(best[2])):
                best = device, root, point
    if best is None:
        return None
    return best[0], os.path.normpath(f"{best[1]}/{path[len(best[2].rstrip('/')) :]}")


def _is_below(line: str, device: str, path: str) -> bool:
    _id, _parent, its_device, root = line.split(" ", 4)[:4]
    return its_device == device and (root == path or root.startswith(f"{path}/"))
