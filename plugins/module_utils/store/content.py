# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content store: blobs in the layout of an OCI image directory, with ingests that can be resumed.

A blob's file gets its final name only after its bytes were verified. Its row in the database makes it visible in a namespace.
Namespaces share the files, but not the rows.

Bulk ingests (durable=False) leave the fsync to the engine's sync. Until then the row has synced=0, and a process that did not write the
blob itself reads it again before it trusts it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import time
import typing as t

from ..engine.models import ContentInfo, IngestStatus, Labels
from ..errors import AlreadyExists, DataLoss, EngineError, FailedPrecondition, NotFound, from_os_error, printable
from ..hostfs.atomic import fsync_dir, make_dir, read_file, write_file
from ..hostfs.lock import locked
from ..hostfs.remove import remove_tree
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from .database import Database, dump

_BLOCK = 1024 * 1024
_STALE_SECONDS = 24 * 3600.0
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'

LeaseItem = t.Callable[[t.Any, str, str], None]


class ContentStore:
    """Blobs below root, visible in one namespace. lease_item(connection, kind, key) adds new blobs to the lease."""

    def __init__(self, root: str, database: Database, namespace: str, lease_item: LeaseItem) -> None:
        self._root, self._database, self._namespace, self._lease_item = root, database, namespace, lease_item
        self._ours: t.Set[str] = set()
        self._checked: t.Set[str] = set()
        self._unsynced: t.Set[str] = set()
        #: True under a lease: whoever writes a record that refers to new blobs syncs them first.
        self.bulk = False

    def blob_path(self, digest: Digest) -> str:
        return os.path.join(self._root, "blobs", digest.algorithm, digest.hex)

    @property
    def gc_lock(self) -> str:
        """The lock that is held shared while a blob is made visible, exclusively while files are removed."""
        return os.path.join(self._root, "gc.lock")

    def info(self, digest: Digest) -> ContentInfo:
        row = self._database.one(
            "SELECT size, created_at, labels, synced FROM content WHERE namespace=? AND digest=?", self._namespace, str(digest)
        )
        if row is None or not self._whole(digest, row[0]) or not self._trusted(digest, row[0], row[3]):
            raise NotFound(f"no content {digest} in namespace {self._namespace}")
        return ContentInfo(digest, row[0], row[1], json.loads(row[2]))

    def walk(self, labels: t.Optional[Labels] = None) -> t.Iterator[ContentInfo]:
        rows = self._database.query(
            "SELECT digest, size, created_at, labels FROM content WHERE namespace=? ORDER BY digest", self._namespace
        )
        for digest, size, created_at, text in rows:
            own = json.loads(text)
            if all(key in own and value in ("", own[key]) for key, value in (labels or {}).items()):
                yield ContentInfo(Digest(digest), size, created_at, own)

    def open(self, descriptor: Descriptor) -> t.BinaryIO:
        info = self.info(descriptor.digest)
        path = self.blob_path(descriptor.digest)
        try:
            stream = open(path, "rb")
        except FileNotFoundError as error:
            raise DataLoss(f"the blob {descriptor.digest} is missing on disk: pull the image again") from error
        except OSError as error:
            raise from_os_error(error, f"reading {path}") from error
        size = os.fstat(stream.fileno()).st_size
        if size != info.size or size != descriptor.size:
            stream.close()
            raise DataLoss(f"the blob {descriptor.digest} has {size} bytes on disk, not {descriptor.size}: pull the image again")
        return stream

    def label(self, digest: Digest, labels: Labels) -> None:
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT labels FROM content WHERE namespace=? AND digest=?", (self._namespace, str(digest))
            ).fetchone()
            if row is None:
                raise NotFound(f"no content {digest} in namespace {self._namespace}")
            merged = {key: value for key, value in {**json.loads(row[0]), **labels}.items() if value}
            connection.execute(
                "UPDATE content SET labels=? WHERE namespace=? AND digest=?", (dump(merged), self._namespace, str(digest))
            )

    def delete(self, digest: Digest) -> None:
        """Delete the row first, then the file, unless another namespace has the blob too."""
        with self._database.write() as connection:
            found = connection.execute(
                "DELETE FROM content WHERE namespace=? AND digest=?", (self._namespace, str(digest))
            ).rowcount
        if not found:
            raise NotFound(f"no content {digest} in namespace {self._namespace}")
        with locked(self.gc_lock, "the content store"):
            if self._database.one("SELECT 1 FROM content WHERE digest=?", str(digest)) is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.blob_path(digest))

    def clear(self, digests: t.Iterable[str]) -> None:
        """Remove the files of blobs that no other namespace has, to make room for removing their rows."""
        with locked(self.gc_lock, "the content store"):
            for digest in digests:
                if self._database.one("SELECT 1 FROM content WHERE digest=? AND namespace!=?", digest, self._namespace) is None:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self.blob_path(Digest(digest)))

    def sweep(self) -> bool:
        """Remove the files of blobs that no namespace has, including those of an interrupted commit or removal.

        False when one could not be removed.
        """
        clean = True
        if not os.path.isdir(self._root):
            return clean
        with locked(self.gc_lock, "the content store"):
            for path in self.strangers():
                clean = _unlink(path) and clean
        return clean

    def own_files(self, digest: str) -> t.List[str]:
        """The files that go with a blob: none where another namespace has it, too."""
        shared = self._database.one("SELECT 1 FROM content WHERE digest=? AND namespace!=?", digest, self._namespace)
        return [] if shared else [self.blob_path(Digest(digest))]

    def strangers(self) -> t.List[str]:
        """The files of blobs that no namespace has, which sweep() removes."""
        root = os.path.join(self._root, "blobs")
        known = {row[0] for row in self._database.query("SELECT digest FROM content")}
        found = [(algorithm, name) for algorithm in _names(root) for name in _names(os.path.join(root, algorithm))]
        return [os.path.join(root, *one) for one in found if ":".join(one) not in known]

    def writer(self, ref: str, expected: t.Optional[Descriptor] = None) -> Ingest:
        if expected is not None and self.adopt(expected):
            raise AlreadyExists(f"content {expected.digest} is there already")
        make_dir(os.path.join(self._root, "ingest"))
        return Ingest(self, ref, self._ingest_dir(ref), expected)

    def ingests(self) -> t.List[IngestStatus]:
        found = []
        for name in _names(os.path.join(self._root, "ingest")):
            directory = os.path.join(self._root, "ingest", name)
            if name.endswith(".lock"):
                continue
            about = read_file(os.path.join(directory, "about"))
            if about and json.loads(about)["namespace"] == self._namespace:
                data = json.loads(about)
                with contextlib.suppress(FileNotFoundError):
                    stat = os.stat(os.path.join(directory, "data"))
                    found.append(IngestStatus(data["ref"], stat.st_size, data["total"], data["expected"], stat.st_mtime))
        return found

    def ingest_file(self, ref: str) -> str:
        path = os.path.join(self._ingest_dir(ref), "data")
        return path if os.path.exists(path) else ""

    def abort(self, ref: str) -> None:
        path = self._ingest_dir(ref)
        if not os.path.isdir(path):
            raise NotFound(f"no ingest {printable(ref, 120)}")
        with locked(path + ".lock", f"the ingest {printable(ref, 120)}", wait=0):
            remove_tree(path)
            with contextlib.suppress(OSError):
                os.unlink(path + ".lock")

    def drop_stale_ingests(self) -> None:
        """Remove ingests that no process has touched for a day, and those that were interrupted after the commit."""
        directory = os.path.join(self._root, "ingest")
        for name in sorted({name.partition(".")[0] for name in _names(directory)}):
            path = os.path.join(directory, name)
            # A writer holds the lock, so that ingest is alive, however old. The others are stale the next time too.
            with contextlib.suppress(EngineError, OSError), locked(path + ".lock", "the ingest", wait=0):
                if self._age(os.path.join(path, "data")) > _STALE_SECONDS:
                    remove_tree(path)
                    os.unlink(path + ".lock")

    @staticmethod
    def _age(path: str) -> float:
        """Seconds since a file was written; infinite when it is missing."""
        try:
            return time.time() - os.stat(path).st_mtime
        except FileNotFoundError:
            return float("inf")

    def _ingest_dir(self, ref: str) -> str:
        name = hashlib.sha256(f"{self._namespace}\0{ref}".encode("utf-8", "surrogateescape")).hexdigest()
        return os.path.join(self._root, "ingest", name)

    def _whole(self, digest: Digest, size: int) -> bool:
        """Whether the file exists with its size. A damaged blob counts as missing, so that the next pull fetches it again."""
        try:
            return os.stat(self.blob_path(digest)).st_size == size
        except OSError:
            return False

    def _trusted(self, digest: Digest, size: int, synced: int) -> bool:
        """Whether a row can be trusted. If it was never synced, the file is read, and made durable unless we only read."""
        if synced or digest in self._ours:
            return True
        if digest not in self._checked and not self.verify(digest, size):
            return False
        self._checked.add(digest)
        if self.bulk:
            _fsync_file(self.blob_path(digest))
            with self._database.write() as connection:
                connection.execute("UPDATE content SET synced=1 WHERE digest=?", (str(digest),))
            self._ours.add(digest)
        return True

    def verify(self, digest: Digest, size: int) -> bool:
        """Read the complete blob: True when size and digest are right."""
        hasher, total = digest.hasher(), 0
        try:
            with open(self.blob_path(digest), "rb") as stream:
                for block in iter(lambda: stream.read(_BLOCK), b""):
                    hasher.update(block)
                    total += len(block)
        except OSError:
            return False
        return total == size and hasher.hexdigest() == digest.hex

    def adopt(self, expected: Descriptor) -> bool:
        """True when the blob is complete, in this namespace or in another one, from which it is then adopted."""
        row = self._database.one("SELECT size, synced FROM content WHERE digest=? LIMIT 1", str(expected.digest))
        if row is None or not self._whole(expected.digest, row[0]) or not self._trusted(expected.digest, row[0], row[1]):
            return False
        with locked(self.gc_lock, "the content store", shared=True):
            known = self._database.one("SELECT min(synced) FROM content WHERE digest=?", str(expected.digest))
            if known is None or known[0] is None or not self._whole(expected.digest, row[0]):
                return False
            self._insert(expected.digest, row[0], {}, bool(known[0]))
        return True

    def _insert(self, digest: Digest, size: int, labels: Labels, synced: bool) -> bool:
        """Make the row; False when it exists (then its labels are merged)."""
        with self._database.write() as connection:
            own = connection.execute(
                "SELECT labels FROM content WHERE namespace=? AND digest=?", (self._namespace, str(digest))
            ).fetchone()
            merged = {key: value for key, value in {**(json.loads(own[0]) if own else {}), **labels}.items() if value}
            connection.execute(
                "INSERT INTO content VALUES (?,?,?,?,?,?) ON CONFLICT (namespace, digest) DO UPDATE SET labels=excluded.labels, "
                "size=excluded.size, synced=excluded.synced",
                (self._namespace, str(digest), size, dump(merged), time.time(), int(synced)),
            )
            if not synced:
                # All namespaces share the file, and it is new.
                connection.execute("UPDATE content SET synced=0 WHERE digest=?", (str(digest),))
            self._lease_item(connection, "content", str(digest))
        return own is None

    def publish(self, data: str, digest: Digest, size: int, labels: Labels, durable: bool) -> bool:
        """Give a verified file its name and its row; False when the row existed already."""
        path = self.blob_path(digest)
        make_dir(os.path.dirname(path))
        if not os.path.exists(os.path.join(self._root, "oci-layout")):
            write_file(os.path.join(self._root, "oci-layout"), _LAYOUT, 0o644, durable=False)
        with locked(self.gc_lock, "the content store", shared=True):
            if os.path.isdir(path) and not os.path.islink(path):
                remove_tree(path)
            os.rename(data, path)
            if durable:
                fsync_dir(os.path.dirname(path))
            self._ours.add(digest)
            if not durable:
                self._unsynced.add(digest)
            return self._insert(digest, size, labels, durable)

    def unsynced(self) -> t.Set[str]:
        """The blobs that this process has made visible, but not durable yet. Call it before the syncfs."""
        return self._unsynced.copy()

    def mark_synced(self, digests: t.Set[str]) -> None:
        """Record that these are durable now."""
        if digests:
            with self._database.write() as connection:
                connection.executemany("UPDATE content SET synced=1 WHERE digest=?", [(digest,) for digest in digests])
            self._unsynced -= digests


def _fsync_file(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        fsync_dir(os.path.dirname(path))
    except OSError as error:
        raise from_os_error(error, f"writing back {path}") from error


def _unlink(path: str) -> bool:
    """Remove a file; False when it still exists."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def _names(directory: str) -> t.List[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


class Ingest:
    """One blob being written (engine/api.pyi: Ingest). Not durable (bulk): the engine's sync does the fsync."""

    def __init__(self, store: ContentStore, ref: str, directory: str, expected: t.Optional[Descriptor]) -> None:
        self._store, self._directory, self._expected = store, directory, expected
        self.ref, self.offset, self.durable = ref, 0, not store.bulk
        self._data = os.path.join(directory, "data")
        self._fd = -1
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Ingest:
        what = f"the ingest {printable(self.ref, 120)}"
        self._stack.enter_context(locked(self._directory + ".lock", what))
        try:
            if self._expected and self._store.adopt(self._expected):
                raise AlreadyExists(f"content {self._expected.digest} is there by now")
            self._open()
        except EngineError:
            self.__exit__()
            raise
        except OSError as error:
            self.__exit__()
            raise from_os_error(error, f"writing {self._data}") from error
        return self

    def _open(self) -> None:
        os.makedirs(self._directory, 0o700, exist_ok=True)
        about = {
            "ref": self.ref,
            "namespace": self._store._namespace,
            "total": self._expected.size if self._expected else 0,
            "expected": str(self._expected.digest) if self._expected else "",
        }
        if not os.path.exists(os.path.join(self._directory, "about")):
            write_file(os.path.join(self._directory, "about"), dump(about).encode(), durable=False)
        self._fd = os.open(self._data, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._hasher = self._expected.digest.hasher() if self._expected else hashlib.sha256()
        self.offset = self._hash_rest()
        if self._expected and self.offset > self._expected.size:
            self.truncate()
        if self._expected:
            self._check_room(self._expected.size - self.offset)

    def _check_room(self, size: int) -> None:
        """Do not begin a blob that cannot fit."""
        found = os.fstatvfs(self._fd)
        if size > found.f_bfree * found.f_frsize:
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} for {size} bytes")

    def _hash_rest(self) -> int:
        """Hash the bytes from the current position to the end. Returns their number."""
        total = 0
        for block in iter(lambda: os.read(self._fd, _BLOCK), b""):
            self._hasher.update(block)
            total += len(block)
        return total

    def __exit__(self, *exc: object) -> None:
        """Keep the bytes for a resume; without bytes keep nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with contextlib.suppress(OSError, EngineError):
            if self.offset == 0 or not os.path.exists(self._data):
                remove_tree(self._directory)
            if not os.path.exists(self._data):
                os.unlink(self._directory + ".lock")
        self._stack.close()

    def write(self, data: bytes) -> None:
        if self._expected and self.offset + len(data) > self._expected.size:
            raise FailedPrecondition(
                f"more than the {self._expected.size} bytes that were announced came for {self._expected.digest}"
            )
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self.truncate()
            raise from_os_error(error, f"writing {self._data}") from error
        self._hasher.update(data)
        self.offset += len(data)

    def truncate(self) -> None:
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hasher = self._expected.digest.hasher() if self._expected else hashlib.sha256()
        self.offset = 0

    def commit(self, size: int, digest: Digest, labels: t.Optional[Labels] = None) -> None:
        if self._hasher.name != digest.algorithm:
            self._hasher = digest.hasher()
            os.lseek(self._fd, 0, os.SEEK_SET)
            self._hash_rest()
        found = Digest(f"{digest.algorithm}:{self._hasher.hexdigest()}")
        if self._hasher.name != digest.algorithm or found != digest or (size and size != self.offset):
            total = self.offset
            self.truncate()
            raise FailedPrecondition(
                f"content does not match: expected {digest} with {size} bytes, got {found} with {total} bytes"
            )
        try:
            if self.durable:
                os.fsync(self._fd)
            made = self._store.publish(self._data, digest, self.offset, labels or {}, self.durable)
        except OSError as error:
            if os.path.exists(self._data):
                self.truncate()
            raise from_os_error(error, f"writing {self._data}") from error
        remove_tree(self._directory)
        if not made:
            raise AlreadyExists(f"content {digest} is there already")
