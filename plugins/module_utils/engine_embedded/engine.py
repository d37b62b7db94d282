# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded engine: images and containers without a daemon, with only Python and an OCI runtime."""

from __future__ import annotations

import contextlib
import functools
import os
import typing as t

from ..engine.models import COMMITTED
from ..engine_host.leases import Leases
from ..engine_host.place import Place, check_absolute, sync
from ..errors import EngineError, NotFound, ResourceExhausted, Unavailable, printable
from ..hostfs.atomic import make_dir
from ..store.content import ContentStore
from ..store.database import Database
from .records import ContainerRecords, ImageRecords

if t.TYPE_CHECKING:
    from ..engine.holdings import Holdings, Node
    from ..engine.models import About
    from ..layers.unpacking import Unpacker
    from ..store.snapshots import Snapshotter
    from .gc import Collected
    from .tasks import EmbeddedTasks


class EmbeddedEngine:
    """One namespace of the store below data_root; run-time state is below state_root. See engine/api.pyi: Engine."""

    kind = "embedded"

    def __init__(self, namespace: str, data_root: str, state_root: str, snapshotter: str = "") -> None:
        self._place = Place(data_root, namespace, mend=self._mend, tidy=self._tidy)
        self.namespace, self.data_root = namespace, self._place.data_root
        self._state_root = check_absolute("state_root", state_root)
        self._default_snapshotter = snapshotter
        self._moved = False
        self._leases = Leases(self._place, self._begin_lease, self._end_lease)
        self.container_path, self.container_dir = self._place.container_path, self._place.container_dir
        self.lock, self.interrupted = self._place.lock, self._place.interrupted
        self._database = Database(os.path.join(self.data_root, "metadata.db"))
        self.content = ContentStore(os.path.join(self.data_root, "content"), self._database, namespace, self._lease_item)
        self.images = ImageRecords(self._database, namespace, self._settle, self.collect, self._image_moved)
        self.containers = ContainerRecords(self._database, namespace, self._has_task, self._place.removing, self._making)
        if snapshotter:
            self.snapshotter(snapshotter)

    @functools.cached_property
    def tasks(self) -> EmbeddedTasks:
        from .tasks import EmbeddedTasks

        return EmbeddedTasks(self.namespace, self.data_root, self._state_root, self._place)

    @functools.cached_property
    def _snapshotters(self) -> t.Dict[str, Snapshotter]:
        from ..store.snapshots import KINDS

        root = os.path.join(self.data_root, "snapshots")
        return {
            name: kind(os.path.join(root, name), self._database, self.namespace, self._lease_item, self._is_leased)
            for name, kind in KINDS.items()
        }

    def snapshotter(self, name: str = "") -> Snapshotter:
        wanted = name or self._default_snapshotter or self._used_snapshotter() or "overlayfs"
        if wanted not in self._snapshotters:
            raise NotFound(
                f"snapshotter: the embedded engine has no {printable(wanted, 80)!r}; it has {', '.join(sorted(self._snapshotters))}"
            )
        return self._snapshotters[wanted]

    def _used_snapshotter(self) -> str:
        """The snapshotter that has snapshots; empty for none."""
        there = (name for name in self._snapshotters if os.path.isdir(os.path.join(self.data_root, "snapshots", name)))
        return next(there, "")

    def unpacker(self, snapshotter: str = "") -> Unpacker:
        from ..layers.unpacking import Unpacker

        return Unpacker(lambda: self.snapshotter(snapshotter or self._best_snapshotter()), self.content.open, self._sync)

    def _best_snapshotter(self) -> str:
        """Choose the snapshotter for the first snapshots: overlayfs if kernel and file system support it. Empty: decided already."""
        if self._default_snapshotter or self._used_snapshotter() or not os.access(self.data_root, os.W_OK):
            return ""
        from ..store.snapshots import overlay_works

        name = "overlayfs" if overlay_works(self.data_root) else "native"
        # An image without layers makes no snapshot, but its containers do.
        make_dir(os.path.join(self.data_root, "snapshots", name))
        return name

    @contextlib.contextmanager
    def lease(self) -> t.Iterator[str]:
        if self._leases.name:
            yield self._leases.name
            return
        name = ""
        try:
            with self._leases.held() as name:
                yield name
        except Unavailable:
            raise
        except EngineError:
            # Another try would fail too, unless the space is freed.
            with contextlib.suppress(EngineError):
                self.collect(name)
            raise
        if self._leases.end_dead(self._end_all_leases) or self._moved:
            self._moved = False
            self.collect()
        else:
            self.content.drop_stale_ingests()

    def _begin_lease(self) -> str:
        name = f"lease-{os.urandom(8).hex()}"
        with self._database.write() as connection:
            connection.execute("INSERT INTO leases VALUES (?,?)", (self.namespace, name))
        self.content.bulk = True
        return name

    def _end_lease(self, name: str) -> None:
        self.content.bulk = False
        # On a full disk the row stays, and the next run recognises it as dead.
        with contextlib.suppress(ResourceExhausted), self._database.write() as connection:
            connection.execute("DELETE FROM leases WHERE namespace=? AND id=?", (self.namespace, name))
            connection.execute("DELETE FROM lease_items WHERE namespace=? AND lease=?", (self.namespace, name))

    def _end_all_leases(self) -> bool:
        """Returns whether there were any."""
        found = self._database.one("SELECT 1 FROM leases WHERE namespace=?", self.namespace) is not None
        if found:
            with self._database.write() as connection:
                connection.execute("DELETE FROM leases WHERE namespace=?", (self.namespace,))
                connection.execute("DELETE FROM lease_items WHERE namespace=?", (self.namespace,))
        return found

    def _image_moved(self) -> None:
        """Remove the old target of the name, unless something else needs it."""
        if self._leases.name:
            self._moved = True
        else:
            self.collect()

    def _mend(self) -> None:
        """See engine_host/place.py. What a killed run had chosen for its container can be chosen again."""
        with contextlib.suppress(EngineError), self._database.write():
            self._place.set_aside_strangers(self._container_ids)

    def _tidy(self) -> bool:
        """See engine_host/place.py. Objects under a lease have to wait for the end of the last lease."""
        whole = self._leases.end_dead(self._end_all_leases) is not None
        self.collect()
        return self.tasks.sweep() and whole and not self._place.rest

    def _container_ids(self) -> t.Set[str]:
        """The ids of existing containers, and of those in the making: these have their snapshots first."""
        rows = self._database.query("SELECT id FROM containers WHERE namespace=?", self.namespace)
        rows += self._database.query("SELECT key FROM snapshots WHERE namespace=? AND kind!=?", self.namespace, COMMITTED)
        return {row[0] for row in rows}

    def _making(self) -> t.ContextManager[t.Any]:
        """A transaction, unless a snapshot is a copy of all files, which takes too long for one."""
        return self._database.write() if self.snapshotter().rebases else self.lease()

    def _is_leased(self) -> bool:
        return bool(self._leases.name)

    def _lease_item(self, connection: t.Any, kind: str, key: str) -> None:
        if self._leases.name:
            item = (self.namespace, self._leases.name, kind, key)
            connection.execute("INSERT OR IGNORE INTO lease_items VALUES (?,?,?,?)", item)

    def collect(self, ended: str = "") -> Collected:
        """Remove everything that no image, container or lease needs. ended: a lease that has ended."""
        from .gc import collect

        found = collect(self._database, self.namespace, self.content, self._snapshotters, ended)
        with self._database.write():
            # No process makes a container meanwhile.
            aside = self._place.set_aside_strangers(self._container_ids)
        swept = self._place.sweep()
        self._place.rest = not (aside and swept and found.whole)
        return found

    def about(self) -> About:
        from ..engine.labels import VERSION
        from ..engine.models import About

        return About(VERSION, snapshotters=tuple(sorted(self._snapshotters)), root=self.data_root)

    def namespaces(self) -> t.List[str]:
        rows = self._database.query("SELECT namespace FROM content UNION SELECT namespace FROM images")
        rows += self._database.query("SELECT namespace FROM snapshots UNION SELECT namespace FROM containers")
        return sorted({row[0] for row in rows})

    def drop_namespace(self) -> None:
        from ..errors import FailedPrecondition

        self._end_all_leases()
        if self.namespace in self.namespaces():
            raise FailedPrecondition(f"the namespace {self.namespace} is not empty")

    def holdings(self) -> Holdings:
        from ..engine.holdings import LEASE
        from .gc import holdings

        found = holdings(self._database.query, self.namespace)
        if any(kind == LEASE for kind, _name in found.roots) and self._leases.nobody_holds_one():
            found = found._replace(roots={root: nodes for root, nodes in found.roots.items() if root[0] != LEASE})
        return found

    def disk_usage(self, nodes: t.Iterable[Node]) -> t.Mapping[Node, int]:
        from ..engine.holdings import CONTENT
        from ..hostfs.usage import disk_usage

        return {
            (kind, key): disk_usage(
                self.content.own_files(key) if kind == CONTENT else self._snapshotters[kind.partition("/")[2]].own_files(key)
            )
            for kind, key in nodes
        }

    def leftovers(self) -> t.List[str]:
        if not self._leases.nobody_holds_one():
            return []
        left = self._place.strangers(self._container_ids()) + self.content.strangers()
        return left + [path for snapshotter in self._snapshotters.values() for path in snapshotter.strangers()]

    def _settle(self) -> None:
        """Make stored data durable before a record refers to them."""
        if self.content.unsynced():
            self._sync()

    def _sync(self, _snapshotter: t.Any = None) -> None:
        """Write back data_root, which has everything."""
        written = self.content.unsynced()
        sync([self.data_root])
        self.content.mark_synced(written)

    def _has_task(self, container_id: str) -> bool:
        try:
            self.tasks.state(container_id)
        except NotFound:
            return False
        return True

    def places(self, snapshotter: str = "") -> t.Tuple[str, str]:
        return self.data_root, self.data_root

    def close(self) -> None:
        if "tasks" in self.__dict__:
            self.tasks.unexpect()
        self._database.close()
