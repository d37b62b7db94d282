# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata database: SQLite, one file, durable at commit.

Rollback journal in TRUNCATE mode with synchronous=FULL: a transaction that was acknowledged survives a power cut, reading
creates no file, and a database on a read-only file system can be read.

To be able to remove something from a full disk, a file beside the database reserves the space for a journal. It becomes the journal
when there is no other space, and then keeps its size (PERSIST; if always used, each read would write to the inode of the file).
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import threading
import typing as t

from ..errors import DataLoss, EngineError, PermissionDenied, ResourceExhausted, Unavailable
from ..hostfs.atomic import make_dir, replacing

_BUSY_SECONDS = 60.0
_DISK = "look for errors of the disk in the kernel's log (dmesg), and keep the file: it may be intact"
_RESERVED_BYTES = 256 * 1024
_FIRST = """
CREATE TABLE content (
    namespace TEXT, digest TEXT, size INTEGER, labels TEXT, created_at REAL, synced INTEGER,
    PRIMARY KEY (namespace, digest)) WITHOUT ROWID;
CREATE INDEX content_digest ON content (digest);
CREATE TABLE images (
    namespace TEXT, name TEXT, target TEXT, labels TEXT, created_at REAL, updated_at REAL,
    PRIMARY KEY (namespace, name)) WITHOUT ROWID;
CREATE TABLE containers (
    namespace TEXT, id TEXT, name TEXT, image TEXT, labels TEXT, record TEXT, created_at REAL, updated_at REAL,
    PRIMARY KEY (namespace, id)) WITHOUT ROWID;
CREATE UNIQUE INDEX containers_name ON containers (namespace, name) WHERE name != '';
CREATE TABLE snapshots (
    number INTEGER PRIMARY KEY AUTOINCREMENT, snapshotter TEXT, namespace TEXT, key TEXT, parent TEXT, kind TEXT, labels TEXT,
    created_at REAL, updated_at REAL, UNIQUE (snapshotter, namespace, key));
CREATE INDEX snapshots_parent ON snapshots (snapshotter, namespace, parent);
CREATE TABLE leases (namespace TEXT, id TEXT, PRIMARY KEY (namespace, id)) WITHOUT ROWID;
CREATE TABLE lease_items (
    namespace TEXT, lease TEXT, kind TEXT, key TEXT, PRIMARY KEY (namespace, lease, kind, key)) WITHOUT ROWID;
"""
#: Step n makes version n + 1 from version n; a new file has version 0. Never change a step after its release.
_STEPS: t.Tuple[str, ...] = (_FIRST,)

Row = t.Tuple[t.Any, ...]


def dump(value: t.Any) -> str:
    """JSON in the stored form."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


class Database:
    """A connection: opened on first use; the first write makes the file. Safe to share between threads.

    Every method raises DataLoss for a damaged file, Unavailable when another process keeps it locked.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: t.Optional[sqlite3.Connection] = None
        self._writable = False
        self._lock = threading.RLock()
        self._depth = 0

    def close(self) -> None:
        with self._lock:
            if self._connection:
                self._connection.close()
                self._connection = None

    def query(self, sql: str, *values: t.Any) -> t.List[Row]:
        """The rows; none when the database does not exist yet."""
        with self._lock, self._errors():
            try:
                connection = self._connection or self._open_for_reading()
                if connection is self._connection:
                    return connection.execute(sql, values).fetchall() if connection else []
                with contextlib.closing(t.cast(sqlite3.Connection, connection)) as copy:
                    return copy.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if self._writable or "readonly" not in str(error):
                    raise
                # A process was killed in a transaction, and undoing that needs write access.
                return self._open_for_writing().execute(sql, values).fetchall()

    def one(self, sql: str, *values: t.Any) -> t.Optional[Row]:
        """The first row."""
        found = self.query(sql, *values)
        return found[0] if found else None

    @contextlib.contextmanager
    def write(self) -> t.Iterator[sqlite3.Connection]:
        """A transaction: it is completed, or undone after an exception. Nested contexts are one transaction."""
        with self._lock:
            with self._errors():
                connection = self._open_for_writing()
                if self._depth == 0:
                    self._begin(connection)
            self._depth += 1
            done = False
            try:
                with self._errors():
                    yield connection
                done = True
            finally:
                self._depth -= 1
                if self._depth == 0:
                    with self._errors():
                        try:
                            if done:
                                connection.execute("COMMIT")
                        finally:
                            # SQLite itself undoes what it cannot finish, for example on a full disk.
                            if connection.in_transaction:
                                connection.execute("ROLLBACK")

    def _begin(self, connection: sqlite3.Connection) -> None:
        short = self._is_short_of_room()
        if short:
            connection.execute("PRAGMA journal_mode=PERSIST")
        connection.execute("BEGIN IMMEDIATE")
        if short:
            self._use_reserve()

    def _open_for_reading(self) -> t.Optional[sqlite3.Connection]:
        if not os.path.exists(self._path):
            return None
        connection = self._connect("ro")
        version = self._version(connection)
        if version == 0:
            connection.close()
            return None
        if version < len(_STEPS):
            # The file is from an older release. Reading must not change it, so read an upgraded copy, a new one for each query.
            with contextlib.closing(connection) as old:
                connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                old.backup(connection)
            self._bring_up(connection)
            return connection
        self._connection = connection
        return connection

    def _bring_up(self, connection: sqlite3.Connection) -> None:
        """Run each step in one transaction, so that a killed process leaves a valid file of an earlier version."""
        while self._version(connection) < len(_STEPS):
            connection.execute("BEGIN IMMEDIATE")
            # While we waited for the lock, another process may have done the step.
            version = self._version(connection)
            if version < len(_STEPS):
                for statement in _STEPS[version].split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={version + 1}")
            connection.execute("COMMIT")

    def _version(self, connection: sqlite3.Connection) -> int:
        """The schema of the file. A newer one than ours is refused."""
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.Error:
            connection.close()
            raise
        if version > len(_STEPS):
            connection.close()
            raise DataLoss(
                f"{self._path} was written by a newer release (schema {version}, this one knows {len(_STEPS)}): update the collection"
            )
        return version

    def _open_for_writing(self) -> sqlite3.Connection:
        if self._connection and self._writable:
            return self._connection
        if self._connection:
            self._connection.close()
            self._connection = None
        make_dir(os.path.dirname(self._path))
        # SQLite gives its own files the mode of this one. We do not open it: to close it would drop the locks of other connections.
        with contextlib.suppress(OSError):  # SQLite says what is wrong, when it opens it
            os.mknod(self._path, stat.S_IFREG | 0o600)
        connection = self._connect("rw")
        self._version(connection)
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute(f"PRAGMA journal_size_limit={_RESERVED_BYTES}")
        connection.execute("PRAGMA synchronous=FULL")
        self._keep_reserve()
        self._bring_up(connection)
        self._connection, self._writable = connection, True
        return connection

    def _is_short_of_room(self) -> bool:
        found = os.statvfs(os.path.dirname(self._path))
        return found.f_blocks > 0 and found.f_bavail * found.f_frsize < 2 * _RESERVED_BYTES

    def _keep_reserve(self) -> None:
        """Write zeros, since a hole would reserve no space. If that fails, a later run tries again."""
        path = f"{self._path}-reserve"
        if not os.path.exists(path) and not self._is_short_of_room():
            with contextlib.suppress(EngineError), replacing(path, durable=False, unnamed=True) as stream:
                stream.write(bytes(_RESERVED_BYTES))

    def _use_reserve(self) -> None:
        """Call it in a transaction that has written nothing yet, so that the journal is not in use. For SQLite zeros are no journal."""
        journal, reserve = f"{self._path}-journal", f"{self._path}-reserve"
        with contextlib.suppress(OSError):
            if not os.path.exists(journal) or os.stat(journal).st_size < os.stat(reserve).st_size:
                os.rename(reserve, journal)

    def _connect(self, mode: str) -> sqlite3.Connection:
        path = self._path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        return sqlite3.connect(
            f"file:{path}?mode={mode}", uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )

    @contextlib.contextmanager
    def _errors(self) -> t.Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._translate(error) from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)):
                raise
            raise self._damaged(error) from error

    def _damaged(self, error: sqlite3.Error) -> EngineError:
        """Tell a disk error from a damaged file: SQLite reports both as damage."""
        refused = self._unreadable()
        if refused is not None:
            return EngineError(f"the metadata database {self._path} cannot be read ({refused}): {_DISK}")
        return DataLoss(
            f"the metadata database {self._path} is damaged ({error}): stop the containers, move the file away and pull the images "
            f"again; the volumes of containers stay in {os.path.dirname(self._path)}/containers/embedded/<namespace>/<id>/volumes"
        )

    def _unreadable(self) -> t.Optional[str]:
        """The disk's error, unless the file is known to be damaged."""
        try:
            with open(self._path, "rb") as stream:
                while stream.read(1024 * 1024):
                    pass
            with contextlib.closing(self._connect("ro")) as connection:
                whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        except OSError as error:
            return error.strerror
        except sqlite3.Error:
            return None
        return "a read that failed, and succeeds when it is tried again" if whole else None

    def _translate(self, error: sqlite3.OperationalError) -> EngineError:
        text = str(error)
        if "locked" in text or "busy" in text:
            return Unavailable(
                f"the metadata database {self._path} is locked by another process for more than {_BUSY_SECONDS:g} s"
            )
        if "full" in text:
            return ResourceExhausted(f"writing {self._path}: no space left on device")
        if "readonly" in text or "unable to open" in text:
            return PermissionDenied(f"the metadata database {self._path} cannot be written or opened: {text}")
        if "no such table" in text or "no such column" in text or "malformed" in text:
            return self._damaged(error)
        if "I/O" in text:
            return EngineError(f"the metadata database {self._path}: {text}: {_DISK}")
        return EngineError(f"the metadata database {self._path}: {text}")
