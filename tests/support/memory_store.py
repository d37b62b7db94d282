# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store behind the engine in memory: what several engines share, and its blobs."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tempfile
import threading
import time
import typing as t
import weakref

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import (
    Container,
    ContentInfo,
    Image,
    IngestStatus,
    Labels,
    SnapshotInfo,
)
from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    NotFound,
    Unavailable,
)
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest

from .memory_tasks import MemoryTasks

Node = t.Tuple[str, str]


class Space:
    """What one namespace has."""

    def __init__(self) -> None:
        self.content: t.Dict[Digest, ContentInfo] = {}
        self.ingests: t.Dict[str, t.Tuple[bytearray, t.Optional[Descriptor]]] = {}
        #: When they were last written to.
        self.touched: t.Dict[str, float] = {}
        self.images: t.Dict[str, Image] = {}
        self.snapshots: t.Dict[str, SnapshotInfo] = {}
        self.directories: t.Dict[str, str] = {}
        self.containers: t.Dict[str, Container] = {}
        self.leases: t.Set[str] = set()
        self.leased: t.Set[t.Tuple[str, Node]] = set()
        self.tasks = MemoryTasks()


class World:
    """The store that several engines, one a namespace, share. wait: seconds until a taken lock is Unavailable."""

    def __init__(self, wait: float = 5.0) -> None:
        self.wait = wait
        self.blobs: t.Dict[Digest, bytes] = {}
        self.spaces: t.Dict[str, Space] = {}
        self.locks: t.Dict[t.Tuple[str, ...], threading.Lock] = {}
        self.mutex = threading.RLock()
        self._directory = ""

    @property
    def directory(self) -> str:
        if not self._directory:
            # Nothing of it has to survive: no disk is waited for.
            self._directory = tempfile.mkdtemp(prefix="fleet-memory-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
            # Also where nobody closes it.
            self._remove = weakref.finalize(self, shutil.rmtree, self._directory)
        return self._directory

    @contextlib.contextmanager
    def locked(self, *name: str, wait: t.Optional[float] = None) -> t.Iterator[None]:
        with self.mutex:
            lock = self.locks.setdefault(name, threading.Lock())
        wait = self.wait if wait is None else wait
        if not lock.acquire(timeout=wait):
            raise Unavailable(f"{name[-1]} is locked for more than {wait:g} s")
        try:
            yield
        finally:
            lock.release()

    def close(self) -> None:
        if self._directory:
            self._remove()
            self._directory = ""


def carries(own: Labels, wanted: t.Optional[Labels]) -> bool:
    return all(key in own and value in ("", own[key]) for key, value in (wanted or {}).items())


def merged(own: Labels, more: t.Optional[Labels]) -> t.Dict[str, str]:
    return {key: value for key, value in {**own, **(more or {})}.items() if value}


class MemoryIngest:
    def __init__(self, store: MemoryContent, ref: str, expected: t.Optional[Descriptor]) -> None:
        self._store, self._ref, self._expected = store, ref, expected
        self._stack = contextlib.ExitStack()
        self._data = bytearray()

    @property
    def offset(self) -> int:
        return len(self._data)

    def __enter__(self) -> MemoryIngest:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._store.world.locked("ingest", self._store.namespace, self._ref))
            self._store.refuse_committed(self._expected)
            self._stack = stack.pop_all()
        ingests = self._store.space.ingests
        self._data = ingests.setdefault(self._ref, (bytearray(), self._expected))[0]
        if self._expected and self.offset > self._expected.size:
            self.truncate()
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._data:
            self._store.space.ingests.pop(self._ref, None)
        self._stack.close()

    def write(self, data: bytes) -> None:
        if self._expected and self.offset + len(data) > self._expected.size:
            raise FailedPrecondition(f"more than the {self._expected.size} bytes that were announced came")
        self._data += data
        self._store.space.touched[self._ref] = time.time()

    def truncate(self) -> None:
        del self._data[:]

    def commit(self, size: int, digest: Digest, labels: t.Optional[Labels] = None) -> None:
        data = bytes(self._data)
        found = f"{digest.algorithm}:{hashlib.new(digest.algorithm, data).hexdigest()}"
        if found != digest or (size and size != len(data)):
            self.truncate()
            raise FailedPrecondition(f"content does not match: expected {digest} with {size} bytes, got {found} with {len(data)}")
        self._store.world.blobs[digest] = data
        self._store.space.ingests.pop(self._ref, None)
        if not self._store.publish(digest, len(data), labels):
            raise AlreadyExists(f"content {digest} is there already")


class MemoryContent:
    def __init__(self, world: World, namespace: str, lease_item: t.Callable[[Node], None]) -> None:
        self.world, self.namespace, self._lease_item = world, namespace, lease_item
        self.space = world.spaces.setdefault(namespace, Space())

    def info(self, digest: Digest) -> ContentInfo:
        if digest not in self.space.content:
            raise NotFound(f"no content {digest} in namespace {self.namespace}")
        return self.space.content[digest]

    def walk(self, labels: t.Optional[Labels] = None) -> t.Iterator[ContentInfo]:
        return (info for _digest, info in sorted(self.space.content.items()) if carries(info.labels, labels))

    def open(self, descriptor: Descriptor) -> t.BinaryIO:
        if self.info(descriptor.digest).size != descriptor.size:
            raise DataLoss(f"the blob {descriptor.digest} does not have {descriptor.size} bytes")
        return io.BytesIO(self.world.blobs[descriptor.digest])

    def label(self, digest: Digest, labels: Labels) -> None:
        own = self.info(digest)
        self.space.content[digest] = own._replace(labels=merged(own.labels, labels))

    def delete(self, digest: Digest) -> None:
        self.info(digest)
        del self.space.content[digest]

    def publish(self, digest: Digest, size: int, labels: t.Optional[Labels]) -> bool:
        """Make the row; False when it was there (its labels are merged)."""
        with self.world.mutex:
            own = self.space.content.get(digest)
            fresh = own or ContentInfo(digest, size, time.time())
            self.space.content[digest] = fresh._replace(labels=merged(fresh.labels, labels))
            self._lease_item(("content", digest))
            return own is None

    def refuse_committed(self, expected: t.Optional[Descriptor]) -> None:
        """AlreadyExists when the blob is here, or in another namespace (then it is taken over)."""
        if expected and any(expected.digest in space.content for space in self.world.spaces.values()):
            self.publish(expected.digest, expected.size, None)
            raise AlreadyExists(f"content {expected.digest} is there already")

    def writer(self, ref: str, expected: t.Optional[Descriptor] = None) -> MemoryIngest:
        self.refuse_committed(expected)
        return MemoryIngest(self, ref, expected)

    def ingests(self) -> t.List[IngestStatus]:
        return [
            IngestStatus(ref, len(data), one.size if one else 0, str(one.digest) if one else "", self.space.touched.get(ref, 0.0))
            for ref, (data, one) in sorted(self.space.ingests.items())
        ]

    def ingest_file(self, ref: str) -> str:
        return ""

    def abort(self, ref: str) -> None:
        if self.space.ingests.pop(ref, None) is None:
            raise NotFound(f"no ingest {ref}")
