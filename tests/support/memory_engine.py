# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine in memory for the tests: plugins/module_utils/engine/api.pyi in its shortest form, held to the same conformance suites.

Only snapshots and container directories are real directories (below a temporary one), so that their mounts can be mounted.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gzip
import io
import os
import secrets
import shutil
import tarfile
import time
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.engine import labels as L
from ansible_collections.fleet.containerd.plugins.module_utils.engine.holdings import (
    CONTENT,
    Holdings,
    Node,
    references,
    snapshots,
)
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import (
    ACTIVE,
    COMMITTED,
    VOLUMES,
    About,
    Container,
    Image,
    Labels,
    LayerTarget,
    Mount,
    Plugin,
    SnapshotInfo,
)
from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    EngineError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.copy_tree import copy_tree
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.usage import disk_usage
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest

from .memory_store import MemoryContent, Space, World, carries

_UPDATABLE = ("labels", "spec", "extensions", "image")


class MemoryImages:
    def __init__(self, space: Space, collect: t.Callable[[], t.Any], moved: t.Callable[[], None]) -> None:
        self._space, self._collect, self._moved = space, collect, moved

    def get(self, name: str) -> Image:
        if name not in self._space.images:
            raise NotFound(f"no image {name}")
        return self._space.images[name]

    def list(self) -> t.List[Image]:
        return [image for _name, image in sorted(self._space.images.items())]

    def put(self, image: Image) -> Image:
        now = time.time()
        old = self._space.images.get(image.name)
        labels = L.merged(old.labels if old else {}, image.labels)
        moved = old is not None and old.target.digest != image.target.digest
        self._space.images[image.name] = image._replace(labels=labels, created_at=old.created_at if old else now, updated_at=now)
        if moved:
            self._moved()
        return self._space.images[image.name]

    def companions(self, image: Image, records: t.Sequence[Image]) -> t.List[str]:
        return []

    def delete(self, name: str, target: t.Optional[Digest] = None, collect: bool = True) -> None:
        if target is not None and self.get(name).target.digest != target:
            raise FailedPrecondition(f"the image {name} is {self.get(name).target.digest} by now")
        self.get(name)
        del self._space.images[name]
        if collect:
            self._collect()


class MemorySnapshotter:
    """Whole copies, as the native snapshotter makes them."""

    name = "native"

    def __init__(self, world: World, space: Space, lease_item: t.Callable[[Node], None]) -> None:
        self._world, self._space, self._lease_item = world, space, lease_item

    def stat(self, key: str) -> SnapshotInfo:
        if key not in self._space.snapshots:
            raise NotFound(f"no snapshot {key}")
        self._lease_item((f"snapshots/{self.name}", key))
        return self._space.snapshots[key]

    def mounts(self, key: str) -> t.List[Mount]:
        if self.stat(key).kind == COMMITTED:
            raise FailedPrecondition(f"the snapshot {key} is committed")
        return [Mount("bind", self._space.directories[key], ("rw", "rbind"))]

    @contextlib.contextmanager
    def look(self, name: str, view: bool = False) -> t.Iterator[LayerTarget]:
        self.stat(name)
        yield LayerTarget(self._space.directories[name])

    def prepare(self, key: str, parent: str = "", labels: t.Optional[Labels] = None) -> t.List[Mount]:
        if not key:
            raise InvalidArgument("a snapshot needs a key")
        if parent and self.stat(parent).kind != COMMITTED:
            raise InvalidArgument(f"the parent {parent} is not committed")
        if key in self._space.snapshots:
            raise AlreadyExists(f"the snapshot {key} exists already")
        directory = os.path.join(self._world.directory, secrets.token_hex(8))
        if parent:
            copy_tree(self._space.directories[parent], directory)
        else:
            os.mkdir(directory, 0o755)
        now = time.time()
        self._space.snapshots[key] = SnapshotInfo(key, parent, ACTIVE, dict(labels or {}), now, now)
        self._space.directories[key] = directory
        self._lease_item((f"snapshots/{self.name}", key))
        return self.mounts(key)

    def commit(self, name: str, key: str, labels: t.Optional[Labels] = None) -> None:
        old = self.stat(key)
        if not name:
            raise InvalidArgument("a snapshot needs a name")
        if old.kind != ACTIVE:
            raise FailedPrecondition(f"the snapshot {key} is not active")
        if name in self._space.snapshots:
            raise AlreadyExists(f"the snapshot {name} exists already")
        del self._space.snapshots[key]
        self._space.directories[name] = self._space.directories.pop(key)
        self._space.snapshots[name] = old._replace(
            name=name, kind=COMMITTED, labels={**old.labels, **(labels or {})}, updated_at=time.time()
        )
        self._lease_item((f"snapshots/{self.name}", name))

    def remove(self, key: str) -> None:
        self.stat(key)
        if any(other.parent == key for other in self._space.snapshots.values()):
            raise FailedPrecondition(f"the snapshot {key} has children")
        self.drop(key)

    def drop(self, key: str) -> None:
        del self._space.snapshots[key]
        shutil.rmtree(self._space.directories.pop(key))

    def walk(self) -> t.List[SnapshotInfo]:
        return list(self._space.snapshots.values())


class MemoryUnpacker:
    """Unpacker, and Unpacking too: one layer after another."""

    def __init__(self, content: MemoryContent, snapshotter: MemorySnapshotter) -> None:
        self._content, self.snapshotter = content, snapshotter
        self._pending: t.List[t.Tuple[str, str, concurrent.futures.Future[t.Any]]] = []

    def begin(self) -> MemoryUnpacker:
        return self

    def __enter__(self) -> MemoryUnpacker:
        return self

    def __exit__(self, *exc: t.Any) -> None:
        for key, _name, _written in self._pending:
            self.snapshotter.remove(key)
        self._pending = []

    def write(self, layer: Descriptor, diff_id: Digest, name: str, parent: str) -> concurrent.futures.Future[t.Any]:
        self.commit()
        written: concurrent.futures.Future[t.Any] = concurrent.futures.Future()
        key = f"extract-{secrets.token_hex(8)} {name}"
        root = self.snapshotter.prepare(key, parent, {L.SNAPSHOT_REF: name})[0].source
        self._pending.append((key, name, written))
        try:
            written.set_result(self._extract(layer, diff_id, root))
        except EngineError as error:
            written.set_exception(error)
        return written

    def _extract(self, layer: Descriptor, diff_id: Digest, root: str) -> None:
        with self._content.open(layer) as stream:
            data = stream.read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        if Digest.of(data) != diff_id:
            raise FailedPrecondition(f"the layer unpacks to {Digest.of(data)}", diff_id=str(Digest.of(data)))
        extract(data + bytes(-len(data) % 512), root)

    def commit(self) -> None:
        for key, name, written in self._pending:
            written.result()
            try:
                self.snapshotter.commit(name, key, {L.SNAPSHOT_REF: name})
            except AlreadyExists:
                self.snapshotter.remove(key)
        self._pending = []


class MemoryContainers:
    def __init__(self, engine: MemoryEngine, space: Space) -> None:
        self._engine, self._space = engine, space

    def making(self) -> t.ContextManager[t.Any]:
        return self._engine.lease()

    def get(self, container_id: str) -> Container:
        if container_id not in self._space.containers:
            raise NotFound(f"no container {container_id}")
        return self._space.containers[container_id]

    def list(self, labels: t.Optional[Labels] = None) -> t.List[Container]:
        return [container for container in self._space.containers.values() if carries(container.labels, labels)]

    def _check_name(self, container: Container) -> None:
        name = container.labels.get(L.NAME)
        if any(name and other.labels.get(L.NAME) == name and other.id != container.id for other in self.list()):
            raise AlreadyExists(f"a container with the name {name} exists already")

    def create(self, container: Container) -> Container:
        if container.id in self._space.containers:
            raise AlreadyExists(f"a container with the id {container.id[:12]} exists already")
        self._check_name(container)
        now = time.time()
        self._space.containers[container.id] = container._replace(created_at=now, updated_at=now)
        return self._space.containers[container.id]

    def update(self, container: Container, fields: t.Sequence[str]) -> Container:
        for field in fields:
            if field not in _UPDATABLE:
                raise InvalidArgument(f"{field} of a container cannot be updated")
        changed = self.get(container.id)._replace(**{field: getattr(container, field) for field in fields})
        self._check_name(changed)
        self._space.containers[container.id] = changed._replace(updated_at=time.time())
        return self._space.containers[container.id]

    def delete(self, container_id: str, keep_volumes: bool = False) -> None:
        self.get(container_id)
        if any(task.container_id == container_id for task in self._space.tasks.list()):
            raise FailedPrecondition(f"the container {container_id[:12]} has a task")
        del self._space.containers[container_id]
        path = self._engine.container_path(container_id)
        keep = keep_volumes and os.path.isdir(os.path.join(path, VOLUMES))
        for name in os.listdir(path) if os.path.isdir(path) else ():
            if not (keep and name == VOLUMES):
                shutil.rmtree(os.path.join(path, name)) if os.path.isdir(os.path.join(path, name)) else os.unlink(
                    os.path.join(path, name)
                )
        if not keep:
            shutil.rmtree(path, ignore_errors=True)


class MemoryEngine:
    """One namespace of a World. kind: what the tests want it to pass for."""

    def __init__(self, namespace: str = "default", world: t.Optional[World] = None, kind: str = "embedded") -> None:
        self.kind, self.namespace, self.world, self._lease = kind, namespace, world or World(), ""
        self._moved = False
        self.content = MemoryContent(self.world, namespace, self._lease_item)
        self._space = self.content.space
        self.images = MemoryImages(self._space, self.collect, self._image_moved)
        self.containers = MemoryContainers(self, self._space)
        self.tasks = self._space.tasks
        self.tasks.directory = self.container_path
        self._snapshotter = MemorySnapshotter(self.world, self._space, self._lease_item)

    def snapshotter(self, name: str = "") -> MemorySnapshotter:
        if name not in ("", self._snapshotter.name):
            raise NotFound(f"snapshotter: the engine has no {name!r}")
        return self._snapshotter

    def unpacker(self, snapshotter: str = "") -> MemoryUnpacker:
        return MemoryUnpacker(self.content, self.snapshotter(snapshotter))

    def _lease_item(self, node: Node) -> None:
        if self._lease:
            self._space.leased.add((self._lease, node))

    @contextlib.contextmanager
    def lease(self) -> t.Iterator[str]:
        outer = self._lease
        self._lease = outer or f"lease-{secrets.token_hex(8)}"
        self._space.leases.add(self._lease)
        try:
            yield self._lease
        finally:
            if not outer:
                self._space.leases.discard(self._lease)
            self._lease = outer
        if self._moved and not outer:
            self.collect()

    def _image_moved(self) -> None:
        self._moved = True
        if not self._lease:
            self.collect()

    def collect(self) -> None:
        """Remove what no image, container or lease needs."""
        with self.world.mutex:
            space = self._space
            space.leased = {item for item in space.leased if item[0] in space.leases}
            for kind, key in self.holdings().unneeded():
                if kind == CONTENT:
                    del space.content[Digest(key)]
                else:
                    self._snapshotter.drop(key)

    def about(self) -> About:
        return About("0.1.0", plugins=(Plugin("test", "memory"),), snapshotters=(self._snapshotter.name,), root=self.data_root)

    def namespaces(self) -> t.List[str]:
        return sorted(name for name, one in self.world.spaces.items() if one.content or one.images or one.containers)

    def drop_namespace(self) -> None:
        if self.namespace in self.namespaces():
            raise FailedPrecondition(f"the namespace {self.namespace} is not empty")

    def holdings(self) -> Holdings:
        space, store = self._space, snapshots(self._snapshotter.name)
        edges: t.Dict[Node, t.List[Node]] = {
            (CONTENT, str(digest)): list(references(info.labels)) for digest, info in space.content.items()
        }
        edges.update({(store, key): [(store, one.parent)] if one.parent else [] for key, one in space.snapshots.items()})
        roots: t.Dict[Node, t.List[Node]] = {
            ("image", name): [(CONTENT, one.target.digest)] for name, one in space.images.items()
        }
        for one in space.containers.values():
            roots["container", one.id] = [(snapshots(one.snapshotter), one.snapshot_key), *references(one.labels)]
        for lease, node in space.leased:
            if lease in space.leases:
                roots.setdefault(("lease", lease), []).append(node)
        roots.update({("label", digest): [(CONTENT, digest)] for digest, one in space.content.items() if L.GC_ROOT in one.labels})
        roots.update({("label", key): [(store, key)] for key, info in space.snapshots.items() if L.GC_ROOT in info.labels})
        return Holdings(edges, roots)

    def disk_usage(self, nodes: t.Iterable[Node]) -> t.Dict[Node, int]:
        """Blobs are not on a disk: their lengths."""
        found: t.Dict[Node, int] = {}
        for kind, key in nodes:
            others = any(Digest(key) in one.content for one in self.world.spaces.values() if one is not self._space)
            if kind == CONTENT:
                found[kind, key] = 0 if others else self._space.content[Digest(key)].size
            else:
                found[kind, key] = disk_usage([self._space.directories[key]])
        return found

    def leftovers(self) -> t.List[str]:
        return []

    @property
    def data_root(self) -> str:
        return self.world.directory

    def places(self, snapshotter: str = "") -> t.Tuple[str, str]:
        return "", self.world.directory

    def container_path(self, container_id: str) -> str:
        return os.path.join(self.world.directory, "containers", "memory", self.namespace, container_id)

    def container_dir(self, container_id: str) -> str:
        os.makedirs(self.container_path(container_id), exist_ok=True)
        return self.container_path(container_id)

    def lock(self, name: str, wait: t.Optional[float] = None) -> t.ContextManager[None]:
        return self.world.locked("lock", self.namespace, name, wait=wait)

    def interrupted(self) -> bool:
        return False

    def close(self) -> None:
        """The World outlives its engines."""


def extract(data: bytes, root: str) -> None:
    """A layer of the tests' own making into a directory, by tarfile: first what its whiteouts hide, then its members."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        for member in members:
            directory, name = os.path.split(os.path.join(root, os.path.normpath(member.name)))
            if name == ".wh..wh..opq":
                for hidden in os.listdir(directory):
                    _remove(os.path.join(directory, hidden))
            elif name.startswith(".wh."):
                _remove(os.path.join(directory, name[4:]))
        for member in members:
            path = os.path.join(root, member.name)
            if os.path.basename(path).startswith(".wh."):
                continue
            if not (member.isdir() and os.path.isdir(path)):
                _remove(path)
            archive.extract(member, root, numeric_owner=True)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
