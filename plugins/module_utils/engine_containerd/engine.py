# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The containerd engine: one namespace of a daemon behind its socket. See engine/api.pyi: Engine."""

from __future__ import annotations

import contextlib
import functools
import os
import typing as t

from ..engine.labels import DESIRED
from ..engine.models import Container
from ..engine_host.leases import Leases
from ..engine_host.place import Place, check_absolute, sync
from ..errors import EngineError, FailedPrecondition, InvalidArgument, NotFound, printable
from ..oci.descriptor import Descriptor
from ..rpc.channel import Channel
from .containers import ContainerProxy
from .content import ContentProxy
from .images import ImageProxy
from .leases import begin, collect, end, end_all, prefix
from .snapshots import SnapshotProxy
from .values import Message, descriptor_message, descriptor_of, mount_messages

if t.TYPE_CHECKING:
    from ..engine.api import Snapshotter
    from ..engine.holdings import Holdings, Node
    from ..engine.models import About
    from ..layers.diff_apply import Applied
    from ..layers.unpacking import Unpacker
    from .tasks import TaskProxy

_SNAPSHOTTER, _CONTENT = "io.containerd.snapshotter.v1", "io.containerd.content.v1"
_BEST = ("overlayfs", "native")
_APPLY_SECONDS = 3600.0


class ContainerdEngine:
    """address: the socket, a path or unix://path. data_root: the directory of our logs and locks. state_root: for files that are
    needed only until the next reboot."""

    kind = "containerd"

    def __init__(
        self,
        address: str,
        namespace: str,
        snapshotter: str = "",
        data_root: str = "/var/lib/fleet-containerd",
        state_root: str = "/run/fleet-containerd",
    ) -> None:
        path = address[len("unix://") :] if address.startswith("unix://") else address
        check_absolute("address", path)
        self._place = Place(data_root, namespace, path, self._mend, self._tidy)
        self.namespace, self.data_root, self._default_snapshotter = namespace, self._place.data_root, snapshotter
        self._state_root = check_absolute("state_root", state_root)
        self._rpc = Channel(path, namespace)
        self._leases = Leases(self._place, lambda: begin(self._rpc, self._place.leases), lambda name: end(self._rpc, name))
        self.container_path, self.container_dir = self._place.container_path, self._place.container_dir
        self.lock, self.interrupted = self._place.lock, self._place.interrupted
        self.content = ContentProxy(self._rpc, self._collect, lambda: self._root(_CONTENT, "content"))
        self.images = ImageProxy(self._rpc, self._settle, self._end_dead_leases)
        self.containers = ContainerProxy(self._rpc, self._place.removing, self.lease)

    @functools.cached_property
    def tasks(self) -> TaskProxy:
        from .tasks import TaskProxy

        return TaskProxy(self._rpc, self._place, self.data_root, self._state_root, self._end_dead_leases)

    @functools.cached_property
    def _plugins(self) -> t.Dict[t.Tuple[str, str], Message]:
        """The working snapshotters and the content store of the daemon, by type and id."""
        filters = [f"type=={_SNAPSHOTTER}", f"type=={_CONTENT}"]
        found = self._rpc.call("introspection.v1.Introspection/Plugins", {"filters": filters})["plugins"]
        return {(one["type"], one["id"]): one for one in found if one["init_err"] is None}

    def snapshotter(self, name: str = "") -> SnapshotProxy:
        wanted = name or self._default_snapshotter
        names = sorted(plugin for kind, plugin in self._plugins if kind == _SNAPSHOTTER)
        if not wanted:
            wanted = next((best for best in _BEST if best in names), "")
        if wanted not in names:
            raise NotFound(f"snapshotter: this containerd has no {printable(wanted, 80)!r} that works; it has {', '.join(names)}")
        return self._proxy(wanted, wanted == "overlayfs" and os.path.isdir(self._root(_SNAPSHOTTER, wanted)))

    def _proxy(self, name: str, rebases: bool = False) -> SnapshotProxy:
        return SnapshotProxy(self._rpc, name, rebases, self._leases.held)

    def unpacker(self, snapshotter: str = "") -> Unpacker:
        """Our own unpacker if the snapshots are directories of this host; else the daemon writes the layers."""
        from ..layers.unpacking import Unpacker

        return Unpacker(lambda: self.snapshotter(snapshotter), self.content.open_layer, self._sync, self._apply_there)

    @contextlib.contextmanager
    def lease(self) -> t.Iterator[str]:
        outermost = not self._leases.name
        with self._leases.held() as name:
            yield name
        if outermost:
            self._end_dead_leases()

    def _end_dead_leases(self) -> bool:
        """End the leases of killed runs, which would keep garbage. False when a living process holds a lease."""
        if self._leases.name or not self._leases.end_dead(self._end_all_leases):
            return False
        if not self._place.sweep():
            self._place.rest = True
        return True

    def _tidy(self) -> bool:
        """See engine_host/place.py."""
        self._forget_unused()
        whole = self._end_dead_leases() and not self._place.rest
        self._collect()
        return whole

    def _mend(self) -> None:
        """See engine_host/place.py. What a killed run had chosen for its container can be chosen again."""
        self._forget_unused()
        with contextlib.suppress(EngineError):
            self._end_dead_leases()

    def _forget_unused(self) -> None:
        """Remove our records that were never used and have no snapshot: the daemon made them, and we did not get its answer.

        A record with logs or volumes whose snapshot was lost stays, for its owner to decide.
        """
        for container in self.containers.list():
            # A failure here must not stop the caller's own work.
            with contextlib.suppress(EngineError):
                if DESIRED in container.extensions and self._place.never_used(container.id) and not self._exists(container):
                    with contextlib.suppress(NotFound, FailedPrecondition):
                        self.tasks.delete(container.id)
                    self.containers.delete(container.id)

    def _exists(self, container: Container) -> bool:
        try:
            self._proxy(container.snapshotter).stat(container.snapshot_key)
        except NotFound:
            return False
        except InvalidArgument:
            # The daemon no longer has this snapshotter.
            return True
        return True

    def _end_all_leases(self) -> bool:
        """End them, and set aside the directories of unknown containers: no process makes one now, since that needs a lease."""
        end_all(self._rpc, self._place.leases)
        with contextlib.suppress(EngineError):
            self._place.rest = not self._place.set_aside_strangers(lambda: {one.id for one in self.containers.list()})
        return True

    def collect(self) -> None:
        self._end_dead_leases()
        self._collect()

    def _collect(self) -> None:
        collect(self._rpc, self._place.leases)

    def about(self) -> About:
        from .about import about

        return about(self._rpc)

    def namespaces(self) -> t.List[str]:
        from .holdings import namespaces

        return namespaces(self._rpc)

    def drop_namespace(self) -> None:
        with contextlib.suppress(NotFound):
            self._rpc.call("namespaces.v1.Namespaces/Delete", {"name": self.namespace})

    def holdings(self) -> Holdings:
        from .holdings import holdings

        ours = prefix(self._place.leases_path)
        ended = self._leases.nobody_holds_one()
        names = sorted(plugin for kind, plugin in self._plugins if kind == _SNAPSHOTTER)
        return holdings(self, self._rpc, names, lambda lease: ended and lease.startswith(ours))

    def disk_usage(self, nodes: t.Iterable[Node]) -> t.Mapping[Node, int]:
        from .holdings import usage

        return usage(self._rpc, self._root(_CONTENT, "content"), nodes)

    def leftovers(self) -> t.List[str]:
        return self._place.strangers({one.id for one in self.containers.list()}) if self._leases.nobody_holds_one() else []

    def _root(self, kind: str, name: str) -> str:
        """The directory of a plugin of the daemon; empty if it tells none."""
        plugin = self._plugins.get((kind, name))
        return str(plugin["exports"].get("root", "")) if plugin else ""

    def _apply_there(self, store: Snapshotter, layer: Descriptor, key: str) -> Applied:
        from ..layers.diff_apply import Applied

        request = {"diff": descriptor_message(layer), "mounts": mount_messages(store.mounts(key)), "sync_fs": True}
        done = descriptor_of(self._rpc.call("diff.v1.Diff/Apply", request, _APPLY_SECONDS)["applied"])
        return Applied(done.digest, done.size)

    def _settle(self) -> None:
        """Make blobs durable: the daemon syncs their bytes, but not the directory with their names."""
        if self.content.written:
            self._sync()

    def _sync(self, store: t.Optional[Snapshotter] = None) -> None:
        """Make the blobs durable, and the snapshots of this snapshotter."""
        written, self.content.written = self.content.written, False
        places = [(_CONTENT, "content"), *([(_SNAPSHOTTER, store.name)] if store else [])]
        try:
            sync(self._root(*place) for place in places)
        except EngineError:
            self.content.written = written or self.content.written
            raise

    def places(self, snapshotter: str = "") -> t.Tuple[str, str]:
        roots = self._root(_CONTENT, "content"), self._root(_SNAPSHOTTER, self.snapshotter(snapshotter).name)
        blobs, layers = (root if os.path.isdir(root) else "" for root in roots)
        return blobs, layers

    def close(self) -> None:
        self._rpc.close()
