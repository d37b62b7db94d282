# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshotter over containerd's snapshot service."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ..engine.models import ACTIVE, COMMITTED, VIEW, Labels, LayerTarget, Mount, SnapshotInfo
from ..errors import EngineError, FailedPrecondition, InvalidArgument, NotFound, Unimplemented, from_os_error, printable
from .values import Message, mounts_of, seconds, target_of

if t.TYPE_CHECKING:
    from ..rpc.channel import Channel

_KINDS = {1: VIEW, 2: ACTIVE, 3: COMMITTED}
_REMOVE_SECONDS = 600.0
#: A daemon that was killed while it made a snapshot left the directory for the next one. The next try fails, and removes it.
_IN_THE_WAY = "failed to rename"


def _info(message: Message) -> SnapshotInfo:
    return SnapshotInfo(
        message["name"],
        message["parent"],
        _KINDS.get(message["kind"], ""),
        dict(message["labels"]),
        seconds(message["created_at"]),
        seconds(message["updated_at"]),
    )


class SnapshotProxy:
    """One snapshotter of the daemon.

    rebases: containerd before 2.2 cannot give a snapshot its parent at the commit. But if snapshots are directories of this
    host, the content can be moved to one with the parent. held: a context with a lease.
    """

    def __init__(self, rpc: Channel, name: str, rebases: bool, held: t.Callable[[], t.ContextManager[t.Any]]) -> None:
        self._rpc, self.name, self.rebases, self._held = rpc, name, rebases, held

    def _call(self, method: str, timeout: float = 60.0, **request: t.Any) -> Message:
        return self._rpc.call(f"snapshots.v1.Snapshots/{method}", {"snapshotter": self.name, **request}, timeout)

    def stat(self, key: str) -> SnapshotInfo:
        try:
            found = _info(self._call("Stat", key=key)["info"])
        except NotFound as error:
            raise NotFound(f"no snapshot {printable(key, 120)} in {self.name}") from error
        if self._rpc.lease:
            # A snapshot that is used under an open lease must stay, even if it existed before.
            resource = {"id": key, "type": f"snapshots/{self.name}"}
            self._rpc.call("leases.v1.Leases/AddResource", {"id": self._rpc.lease, "resource": resource})
        return found

    def mounts(self, key: str) -> t.List[Mount]:
        return mounts_of(self._call("Mounts", key=key)["mounts"])

    @contextlib.contextmanager
    def look(self, name: str, view: bool = False) -> t.Iterator[LayerTarget]:
        parent = self.stat(name).parent
        with contextlib.ExitStack() as stack:
            target = self._seen(name) or (self._viewed(name, stack) if view else None)
            if target is None:
                raise Unimplemented(f"what is in the snapshot {printable(name, 120)} can only be seen by a view of it")
            if view and parent and not target.overlay:
                below = self._seen(parent) or self._viewed(parent, stack)
                target = target._replace(lowers=(below.root,))
            yield target

    def _seen(self, name: str) -> t.Optional[LayerTarget]:
        """Find the layers of the image through one of its containers, whose layers the daemon tells."""
        answers = self._rpc.stream("snapshots.v1.Snapshots/List", {"snapshotter": self.name, "filters": [f'parent=="{name}"']})
        for child in [_info(one) for answer in answers for one in answer["info"]]:
            found = target_of(self.mounts(child.name)) if child.kind == ACTIVE else None
            if found and found.lowers and all(map(os.path.isdir, found.lowers)):
                return LayerTarget(found.lowers[0], found.lowers[1:], len(found.lowers) > 1)
        return None

    def _viewed(self, name: str, stack: contextlib.ExitStack) -> LayerTarget:
        """Find them through a view, which is removed when the stack ends."""
        stack.enter_context(self._held())
        key = f"verify-{os.urandom(8).hex()}"
        mounts = self._make("View", key, name, None)
        stack.callback(self.remove, key)
        target = target_of(mounts)
        if target is None:
            raise Unimplemented("the daemon's snapshots are not on this host")
        return target

    def prepare(self, key: str, parent: str = "", labels: t.Optional[Labels] = None) -> t.List[Mount]:
        return self._make("Prepare", key, parent, labels)

    def prepare_layer(self, key: str, parent: str, labels: Labels) -> t.Optional[LayerTarget]:
        """See layers/unpacking.py."""
        return target_of(self.prepare(key, parent, labels))

    def _make(self, method: str, key: str, parent: str, labels: t.Optional[Labels]) -> t.List[Mount]:
        if not key:
            raise InvalidArgument("a snapshot's key is empty")
        request: t.Dict[str, t.Any] = {"key": key, "parent": parent, "labels": dict(labels or {})}
        try:
            made = self._call(method, **request)
        except EngineError as error:
            if _IN_THE_WAY not in str(error):
                raise
            made = self._call(method, **request)
        return mounts_of(made["mounts"])

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
            self.prepare(moved, parent, wanted)
            self._move(key, moved)
            self._call("Commit", _REMOVE_SECONDS, name=name, key=moved, labels=wanted)
        except EngineError:
            with contextlib.suppress(EngineError):
                self.remove(moved)
            raise
        self.remove(key)

    def _move(self, key: str, other: str) -> None:
        from ..hostfs.copy_tree import move_tree

        source, target = target_of(self.mounts(key)), target_of(self.mounts(other))
        if source is None or target is None:
            raise Unimplemented(f"{self.name} has its snapshots in no directory of this host")
        try:
            move_tree(source.root, target.root)
        except OSError as error:
            raise from_os_error(error, f"moving {source.root} to {target.root}") from error

    def remove(self, key: str) -> None:
        self._call("Remove", _REMOVE_SECONDS, key=key)

    def walk(self) -> t.List[SnapshotInfo]:
        answers = self._rpc.stream("snapshots.v1.Snapshots/List", {"snapshotter": self.name})
        return [_info(one) for answer in answers for one in answer["info"]]
