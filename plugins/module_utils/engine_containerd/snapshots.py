# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshotter over containerd's snapshot service."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ..engine.models import ACTIVE, COMMITTED, VIEW, Labels, Mount, SnapshotInfo, Usage
from ..errors import EngineError, FailedPrecondition, InvalidArgument, NotFound, Unimplemented, from_os_error, printable
from .values import Message, mounts_of, seconds

if t.TYPE_CHECKING:
    from ..rpc.channel import Channel

_KINDS = {1: VIEW, 2: ACTIVE, 3: COMMITTED}
_REMOVE_SECONDS = 600.0


def _info(message: Message) -> SnapshotInfo:
    return SnapshotInfo(
        message["name"],
        message["parent"],
        _KINDS.get(message["kind"], ""),
        dict(message["labels"]),
        seconds(message["created_at"]),
        seconds(message["updated_at"]),
    )


def _lowers(mounts: t.Sequence[Mount]) -> t.List[str]:
    """The directories below that of an active snapshot, where the mount is an overlay."""
    options = [option for mount in mounts if mount.type == "overlay" for option in mount.options]
    return next((option[9:].split(":") for option in options if option.startswith("lowerdir=")), [])


def _bind(path: str) -> t.List[Mount]:
    return [Mount("bind", path, ("ro", "rbind"))]


class SnapshotProxy:
    """One snapshotter of the daemon.

    rebases: containerd before 2.2 cannot give a snapshot its parent at commit. Where a snapshot is a directory of its own on this
    host, what is in it can be moved to one that has the parent.
    """

    def __init__(self, rpc: Channel, name: str, rebases: bool = False) -> None:
        self._rpc, self.name, self.rebases = rpc, name, rebases

    def _call(self, method: str, timeout: float = 60.0, **request: t.Any) -> Message:
        return self._rpc.call(f"snapshots.v1.Snapshots/{method}", {"snapshotter": self.name, **request}, timeout)

    def stat(self, key: str) -> SnapshotInfo:
        try:
            found = _info(self._call("Stat", key=key)["info"])
        except NotFound as error:
            raise NotFound(f"no snapshot {printable(key, 120)} in {self.name}") from error
        if self._rpc.lease:
            # What somebody relies on while a lease is open must stay, also when it was there before.
            resource = {"id": key, "type": f"snapshots/{self.name}"}
            self._rpc.call("leases.v1.Leases/AddResource", {"id": self._rpc.lease, "resource": resource})
        return found

    def mounts(self, key: str) -> t.List[Mount]:
        return mounts_of(self._call("Mounts", key=key)["mounts"])

    def look(self, name: str) -> t.List[Mount]:
        """The daemon tells where the layers of a container are, and so of the image that it was made from."""
        self.stat(name)
        filters = [f'parent=="{name}"']
        answers = list(self._rpc.stream("snapshots.v1.Snapshots/List", {"snapshotter": self.name, "filters": filters}))
        for child in (_info(one) for answer in answers for one in answer["info"]):
            trees = _lowers(self.mounts(child.name)) if child.kind == ACTIVE else []
            if all(map(os.path.isdir, trees)) and trees:
                return [Mount("overlay", "overlay", ("lowerdir=" + ":".join(trees),))] if trees[1:] else _bind(trees[0])
        raise Unimplemented(f"what is in the snapshot {printable(name, 120)} can only be seen by a view of it")

    def prepare(self, key: str, parent: str = "", labels: t.Optional[Labels] = None) -> t.List[Mount]:
        return self._make("Prepare", key, parent, labels)

    def view(self, key: str, parent: str = "", labels: t.Optional[Labels] = None) -> t.List[Mount]:
        return self._make("View", key, parent, labels)

    def _make(self, method: str, key: str, parent: str, labels: t.Optional[Labels]) -> t.List[Mount]:
        if not key:
            raise InvalidArgument("a snapshot's key is empty")
        return mounts_of(self._call(method, key=key, parent=parent, labels=dict(labels or {}))["mounts"])

    def commit(self, name: str, key: str, labels: t.Optional[Labels] = None, parent: t.Optional[str] = None) -> None:
        if not name:
            raise InvalidArgument("a snapshot's name is empty")
        if parent is not None and not self.rebases:
            raise InvalidArgument(f"{self.name} of this containerd cannot give a snapshot its parent at commit")
        own = _info(self._call("Stat", key=key)["info"])
        if own.kind != ACTIVE:
            raise FailedPrecondition(f"the snapshot {printable(key, 120)} is {own.kind}: only an active one can be committed")
        if parent is not None and own.parent not in ("", parent):
            raise InvalidArgument(f"the snapshot {printable(key, 120)} has the parent {own.parent} already")
        wanted = {**own.labels, **(labels or {})}
        if parent in (None, own.parent):
            self._call("Commit", _REMOVE_SECONDS, name=name, key=key, labels=wanted)
            return
        moved = f"{key} moved"
        try:
            self._move(key, self.prepare(moved, parent, wanted))
            self._call("Commit", _REMOVE_SECONDS, name=name, key=moved, labels=wanted)
        except EngineError:
            with contextlib.suppress(EngineError):
                self.remove(moved)
            raise
        self.remove(key)

    def _move(self, key: str, mounts: t.Sequence[Mount]) -> None:
        from ..hostfs.copy_tree import move_tree
        from ..layers.targets import apply_target

        source, target = apply_target(self.mounts(key)).root, apply_target(mounts).root
        try:
            move_tree(source, target)
        except OSError as error:
            raise from_os_error(error, f"moving {source} to {target}") from error

    def remove(self, key: str) -> None:
        self._call("Remove", _REMOVE_SECONDS, key=key)

    def walk(self) -> t.List[SnapshotInfo]:
        answers = self._rpc.stream("snapshots.v1.Snapshots/List", {"snapshotter": self.name})
        return [_info(one) for answer in answers for one in answer["info"]]

    def usage(self, key: str) -> Usage:
        found = self._call("Usage", key=key)
        return Usage(found["size"], found["inodes"])
