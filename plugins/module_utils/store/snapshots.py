# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots: rows in the metadata database, with one directory for each. Two kinds: overlayfs and native (plain copies)."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import time
import typing as t

from ..engine.models import ACTIVE, COMMITTED, Labels, LayerTarget, Mount, SnapshotInfo
from ..errors import (
    AlreadyExists,
    EngineError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    from_os_error,
    printable,
)
from ..hostfs.atomic import make_dir
from ..hostfs.remove import rename_then_remove, sweep
from .database import Database, Row, dump

LeaseItem = t.Callable[[t.Any, str, str], None]
#: The kind of an active snapshot without a complete tree yet.
_FILLING = "filling"
_COLUMNS = "number, key, parent, kind, labels, created_at, updated_at"


class Snapshotter:
    """The common part of both kinds: the rows, the life cycle and the rules of engine/api.pyi."""

    name = ""
    rebases = False

    def __init__(
        self, root: str, database: Database, namespace: str, lease_item: LeaseItem, leased: t.Callable[[], bool]
    ) -> None:
        self._root, self._database, self._namespace = root, database, namespace
        self._lease_item, self._leased = lease_item, leased

    def directory(self, number: int) -> str:
        return os.path.join(self._root, str(number))

    def tree(self, number: int) -> str:
        """The directory with the files of one snapshot."""
        return os.path.join(self._root, str(number), "fs")

    def _row(self, key: str) -> Row:
        row = self._database.one(
            f"SELECT {_COLUMNS} FROM snapshots WHERE snapshotter=? AND namespace=? AND key=?", self.name, self._namespace, key
        )
        if row is None:
            raise NotFound(f"no snapshot {printable(key, 120)} in snapshotter {self.name}")
        return row

    def _info(self, row: Row) -> SnapshotInfo:
        return SnapshotInfo(row[1], row[2], row[3], json.loads(row[4]), row[5], row[6])

    def stat(self, key: str) -> SnapshotInfo:
        row = self._row(key)
        gone = next((number for number in self._needed(row) if not os.path.isdir(self.tree(number))), None)
        if gone is not None:
            raise NotFound(f"the snapshot {printable(key, 120)} is damaged: {self.tree(gone)} is not there")
        if self._leased():
            # A caller with a lease may rely on the snapshot until the end of the lease.
            with self._database.write() as connection:
                row = self._row(key)
                self._lease_item(connection, f"snapshots/{self.name}", key)
        return self._info(row)

    def _needed(self, row: Row) -> t.List[int]:
        """The numbers of the snapshots whose trees a snapshot needs."""
        return [row[0]]

    def walk(self) -> t.List[SnapshotInfo]:
        rows = self._database.query(
            f"SELECT {_COLUMNS} FROM snapshots WHERE snapshotter=? AND namespace=? ORDER BY number", self.name, self._namespace
        )
        return [self._info(row) for row in rows]

    def chain(self, parent: str) -> t.List[int]:
        """The numbers of a committed snapshot and its ancestors, top first."""
        numbers: t.List[int] = []
        while parent:
            row = self._row(parent)
            numbers.append(row[0])
            parent = row[2]
        return numbers

    def target(self, key: str) -> LayerTarget:
        """The directories of a snapshot."""
        row = self._row(key)
        lowers = tuple(self.tree(number) for number in self.chain(row[2]))
        return LayerTarget(self.tree(row[0]), lowers, self.rebases and bool(lowers))

    @contextlib.contextmanager
    def look(self, name: str, view: bool = False) -> t.Iterator[LayerTarget]:
        yield self.target(name)

    def prepare_layer(self, key: str, parent: str, labels: Labels) -> LayerTarget:
        """See layers/unpacking.py."""
        self.prepare(key, parent, labels)
        return self.target(key)

    def prepare(self, key: str, parent: str = "", labels: t.Optional[Labels] = None) -> t.List[Mount]:
        if not key:
            raise InvalidArgument("a snapshot needs a key")
        copies = bool(parent) and not self.rebases
        try:
            with self._database.write() as connection:
                if parent and self._row(parent)[3] != COMMITTED:
                    raise InvalidArgument(f"the parent {printable(parent, 120)} is not committed")
                number = self._insert(connection, key, parent, labels, _FILLING if copies else ACTIVE)
                parents = self.chain(parent)
                # A number is used again only after an undone transaction, so an existing directory is garbage.
                make_dir(self._root)
                rename_then_remove(self.directory(number))
                os.mkdir(self.directory(number), 0o700)
                if not copies:
                    self._fill(number, parents)
            if copies:
                self._fill_slowly(key, number, parents)
        except OSError as error:
            raise from_os_error(error, f"making the snapshot {printable(key, 120)} in {self._root}") from error
        return self.mounts(key)

    def _insert(self, connection: t.Any, key: str, parent: str, labels: t.Optional[Labels], kind: str) -> int:
        """Make the record. Returns its number."""
        now = time.time()
        try:
            row = connection.execute(
                "INSERT INTO snapshots (snapshotter, namespace, key, parent, kind, labels, created_at, updated_at) "
                "VALUES (?,?,?,?,?,?,?,?)",
                (self.name, self._namespace, key, parent, kind, dump(dict(labels or {})), now, now),
            )
        except sqlite3.IntegrityError as error:
            raise AlreadyExists(f"the snapshot {printable(key, 120)} exists already") from error
        self._lease_item(connection, f"snapshots/{self.name}", key)
        return t.cast(int, row.lastrowid)

    def _fill_slowly(self, key: str, number: int, parents: t.List[int]) -> None:
        """Copy a complete tree outside of the transaction, so that others can write to the database meanwhile."""
        try:
            self._fill(number, parents)
            with self._database.write() as connection:
                done = connection.execute("UPDATE snapshots SET kind=? WHERE number=?", (ACTIVE, number)).rowcount
            if not done:
                raise NotFound(f"the snapshot {printable(key, 120)} was removed while it was made")
        except (EngineError, OSError):
            with contextlib.suppress(EngineError):
                self.remove(key)
            raise

    def _fill(self, number: int, parents: t.List[int]) -> None:
        raise NotImplementedError

    def mounts(self, key: str) -> t.List[Mount]:
        row, found = self._row(key), self.target(key)
        if row[3] == COMMITTED:
            raise FailedPrecondition(f"the snapshot {printable(key, 120)} is committed: nobody may write to it")
        if not found.overlay:
            return [Mount("bind", found.root, ("rw", "rbind"))]
        work = os.path.join(self.directory(row[0]), "work")
        options = (f"workdir={work}", f"upperdir={found.root}", "lowerdir=" + ":".join(found.lowers))
        return [Mount("overlay", "overlay", options)]

    def commit(self, name: str, key: str, labels: t.Optional[Labels] = None, parent: t.Optional[str] = None) -> None:
        if not name:
            raise InvalidArgument("a committed snapshot needs a name")
        with self._database.write() as connection:
            row = self._row(key)
            if row[3] != ACTIVE:
                raise FailedPrecondition(f"the snapshot {printable(key, 120)} is not active")
            if parent is not None and row[2] not in ("", parent):
                raise InvalidArgument(f"the snapshot {printable(key, 120)} has the parent {row[2]} already")
            if parent is not None and parent and not self.rebases:
                raise InvalidArgument(f"the snapshotter {self.name} cannot give a snapshot a parent at commit")
            if parent and self._row(parent)[3] != COMMITTED:
                raise InvalidArgument(f"the parent {printable(parent, 120)} is not committed")
            self._drop_damaged(connection, name)
            try:
                connection.execute(
                    "UPDATE snapshots SET key=?, kind=?, labels=?, parent=?, updated_at=? WHERE number=?",
                    (name, COMMITTED, dump({**json.loads(row[4]), **(labels or {})}), parent or row[2], time.time(), row[0]),
                )
            except sqlite3.IntegrityError as error:
                raise AlreadyExists(f"the snapshot {printable(name, 120)} exists already") from error
            self._lease_item(connection, f"snapshots/{self.name}", name)

    def _drop_damaged(self, connection: t.Any, name: str) -> None:
        """Remove the record of a snapshot without a tree, to make place for a new one. Its children refer to it by name."""
        with contextlib.suppress(NotFound):
            number = self._row(name)[0]
            if not os.path.isdir(self.tree(number)):
                connection.execute("DELETE FROM snapshots WHERE number=?", (number,))

    def remove(self, key: str) -> None:
        """Remove the record first, then the data. On a full disk the data go first if no other snapshot can need them."""
        try:
            number = self._drop(key)
        except ResourceExhausted:
            row = self._row(key)
            if row[3] == COMMITTED:
                raise
            rename_then_remove(self.directory(row[0]))
            number = self._drop(key)
        rename_then_remove(self.directory(number))

    def _drop(self, key: str) -> int:
        """Remove the record. Returns the number of the snapshot."""
        with self._database.write() as connection:
            row = self._row(key)
            child = connection.execute(
                "SELECT key FROM snapshots WHERE snapshotter=? AND namespace=? AND parent=? LIMIT 1",
                (self.name, self._namespace, row[1]),
            ).fetchone()
            if child and row[3] == COMMITTED:
                raise FailedPrecondition(
                    f"the snapshot {printable(key, 120)} has children, for example {printable(child[0], 80)}"
                )
            connection.execute("DELETE FROM snapshots WHERE number=?", (row[0],))
        return t.cast(int, row[0])

    def own_files(self, key: str) -> t.List[str]:
        """What goes with a snapshot."""
        return [self.directory(self._row(key)[0])]

    def strangers(self) -> t.List[str]:
        """The directories without a row, which sweep() removes."""
        if not os.path.isdir(self._root):
            return []
        rows = self._database.query("SELECT number FROM snapshots WHERE snapshotter=?", self.name)
        known = {str(row[0]) for row in rows}
        return [os.path.join(self._root, name) for name in sorted(set(os.listdir(self._root)) - known)]

    def sweep(self) -> bool:
        """Remove directories without a row (of an interrupted prepare or remove). False when one could not be removed."""
        with contextlib.suppress(FileNotFoundError):
            with self._database.write() as connection:
                rows = connection.execute("SELECT number FROM snapshots WHERE snapshotter=?", (self.name,))
                known = {str(row[0]) for row in rows}
                for name in set(os.listdir(self._root)) - known:
                    if not name.startswith(".rm-"):
                        os.rename(os.path.join(self._root, name), os.path.join(self._root, f".rm-{name}-{os.urandom(4).hex()}"))
            # Removing trees takes long, so it must not block others that wait for the database.
            return sweep(self._root)
        return True


class Overlay(Snapshotter):
    """overlayfs: one directory for each layer, stacked by the kernel."""

    name = "overlayfs"
    rebases = True

    def _needed(self, row: Row) -> t.List[int]:
        return [row[0], *self.chain(row[2])]

    def _fill(self, number: int, parents: t.List[int]) -> None:
        os.mkdir(self.tree(number), 0o755)
        if parents:
            found = os.stat(self.tree(parents[0]))
            os.chown(self.tree(number), found.st_uid, found.st_gid)
            os.chmod(self.tree(number), stat.S_IMODE(found.st_mode))
        os.mkdir(os.path.join(self.directory(number), "work"), 0o711)


class Native(Snapshotter):
    """Plain copies, for file systems without overlayfs. Each snapshot has the complete tree."""

    name = "native"

    def _fill(self, number: int, parents: t.List[int]) -> None:
        if parents:
            from ..hostfs.copy_tree import copy_tree

            copy_tree(self.tree(parents[0]), self.tree(number))
        else:
            os.mkdir(self.tree(number), 0o755)


KINDS: t.Mapping[str, t.Type[Snapshotter]] = {"overlayfs": Overlay, "native": Native}


def overlay_works(root: str) -> bool:
    """Try a real overlay mount below root (one of our directories). The remains of a killed try are removed."""
    from ..hostfs import mounts as host_mounts
    from ..hostfs.lock import locked
    from ..hostfs.remove import remove_tree

    base = os.path.join(root, "probe")
    with locked(root, "the probe for overlayfs"):
        host_mounts.unmount(os.path.join(base, "merged"), lazy=True)
        remove_tree(base)
        return _overlay_works(base)


def _overlay_works(base: str) -> bool:
    from ..hostfs import mounts as host_mounts
    from ..hostfs.remove import remove_tree

    make_dir(base)
    try:
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(os.path.join(base, name))
        options = tuple(f"{kind}dir={os.path.join(base, kind)}" for kind in ("lower", "upper", "work"))
        with host_mounts.mounted([Mount("overlay", "overlay", options)], os.path.join(base, "merged")):
            return True
    except EngineError:
        return False
    finally:
        remove_tree(base)
