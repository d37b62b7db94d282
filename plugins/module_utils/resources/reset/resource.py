# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_reset: a host as if this collection had never been there. docs/adr/0058."""

from __future__ import annotations

import contextlib
import functools
import os
import time
import typing as t

from ...engine.models import SnapshotInfo
from ...errors import FailedPrecondition, NotFound, Unavailable
from ...hostfs.lock import locked
from ...hostfs.remove import remove_tree
from ...kernel.converge import Facts, Plan, Step
from ...network.attachment import Host, rules_of_host
from ...network.conflist import ConfDir
from ...network.networks import Networks
from ...network.strangers import sweep
from ...runtime_spec.cgroups import remove_parents
from ...volume.store import Store, Volume
from ...volume.users import holders
from ..container import steps
from ..container.jobs import container_lock
from . import found, roots
from .rest import tidy
from .values import DoomedContainer, DoomedSpace, FoundReset, WantedReset

if t.TYPE_CHECKING:
    from ...engine.api import Engine

#: Every host has it, and a lock on a directory leaves nothing.
_LOCK = "/run"
#: How long programs of ours may take to end after their containers.
_END_SECONDS, _LOOK_SECONDS = 15.0, 0.05
_RUNTIME_ROOT = "/run/containerd/runc"


class ResetResource:
    def desired(self, params: t.Mapping[str, t.Any], engine: None) -> WantedReset:
        return WantedReset.of(params)

    def observe(self, want: WantedReset, engine: None) -> FoundReset:
        return found.look(want)

    def lock(self, want: WantedReset, engine: None) -> t.ContextManager[t.Any]:
        """One reset at a time. Each thing is locked for its own removal, as its own module does it."""
        return locked(_LOCK, "the reset of this host")

    def plan(self, want: WantedReset, have: FoundReset, engine: None) -> Plan:
        work = _Work(want, bool(have.warnings))
        return Plan(
            work.steps(have),
            {"space": have.size, **have.names()},
            lambda _end: {"space": 0, **FoundReset().names()},
            lambda _end: Facts({**have.names(), "space_reclaimed": have.size}),
            warnings=have.warnings,
            around=work.tidied(have),
        )


class _Work:
    """The steps. Each can be repeated, and the root of the data, by which the rest is found, goes last. shared: see roots.py."""

    def __init__(self, want: WantedReset, shared: bool) -> None:
        self._want, self._shared = want, shared

    def steps(self, have: FoundReset) -> t.List[Step]:
        made: t.List[t.Tuple[str, t.Callable[[], t.Any]]] = []
        if have.unit:
            made.append((f"remove {have.unit}", self._unit))
        made += [(f"remove container {one.label}", functools.partial(self._container, one)) for one in have.containers]
        made += [
            (f"remove volume {namespace}/{one.name}", functools.partial(self._volume, namespace, one))
            for namespace, one in have.volumes
        ]
        made += [
            (f"empty the namespace {one.space.namespace} of containerd ({one.size} bytes)", functools.partial(self._space, one))
            for one in have.spaces
        ]
        made += [
            (f"remove network {name}", functools.partial(self._network, namespace, name)) for namespace, name in have.networks
        ]
        made += [(f"remove {path} ({size} bytes)", functools.partial(self._path, path)) for path, size in have.paths.items()]
        return [Step(title, run) for title, run in made]

    def _unit(self) -> None:
        from ..container.starting import uninstall

        uninstall(self._want.data_root)

    def _container(self, one: DoomedContainer) -> None:
        with found.opened(one.space) as engine:
            if one.container is None:
                with contextlib.suppress(NotFound):
                    engine.tasks.delete(one.id, force=True)
                return
            with container_lock(engine, one.name), contextlib.suppress(NotFound):
                container = engine.containers.get(one.id)
                steps.stop(engine, container, self._want.stop)
                steps.remove(engine, container)

    def _volume(self, namespace: str, volume: Volume) -> None:
        store = Store(self._want.data_root, namespace)
        with store.locked():
            users = holders(volume.data)
            if users:
                raise FailedPrecondition(f"the volume {volume.name} is mounted elsewhere, by {users[0]}: end that first")
            if not volume.problem:
                volume.driver.release(volume.data)
            doomed = store.set_aside(volume)
        if doomed:
            remove_tree(doomed)

    def _space(self, one: DoomedSpace) -> None:
        """Leases and labels of others keep nothing here: what a collection leaves goes by its name."""
        with found.opened(one.space) as engine:
            for image in engine.images.list():
                with contextlib.suppress(NotFound):
                    engine.images.delete(image.name, collect=False)
            for name in engine.about().snapshotters:
                _remove_snapshots(engine, name)
            for ingest in engine.content.ingests():
                with contextlib.suppress(NotFound):
                    engine.content.abort(ingest.ref)
            for blob in list(engine.content.walk()):
                with contextlib.suppress(NotFound):
                    engine.content.delete(blob.digest)
            engine.collect()
            engine.drop_namespace()
        remove_parents(one.space.namespace)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(_RUNTIME_ROOT, one.space.namespace))

    def _network(self, namespace: str, name: str) -> None:
        places, directory = self._want.places, ConfDir(self._want.places.conf_dir, namespace)
        rules = rules_of_host()
        # What died with its processes was not detached.
        sweep(places, rules)
        with directory.locked():
            users = found.users_of(self._want, name, namespace)
            if users:
                raise FailedPrecondition(
                    f"the container {users[0]} has come into the network {name} meanwhile: run the reset again"
                )
            Networks(directory, Host(rules, places.bin_dirs, places.cache_dir, places.data_dir)).remove(name)

    def _path(self, path: str) -> None:
        want = self._want
        roots.check_mounts(want, ours=False)
        if path in (want.data_root, want.state_root):
            self._ended()
        if path == want.data_root:
            tidy(want.places)
        roots.remove_root(path, self._shared)

    def _ended(self) -> None:
        """Nothing of ours runs any more. FailedPrecondition, Unavailable."""
        again = found.containers(self._want)
        if again:
            raise FailedPrecondition(f"the container {again[0].label} was made meanwhile: run the reset again")
        deadline = time.monotonic() + _END_SECONDS
        while True:
            left = [one for one in found.programs(self._want.data_root) if one.alive]
            if not left:
                return
            if time.monotonic() >= deadline:
                numbers = ", ".join(str(one.pid) for one in left)
                raise Unavailable(f"programs of {self._want.data_root} still run (processes {numbers}): end them first")
            time.sleep(_LOOK_SECONDS)

    @contextlib.contextmanager
    def tidied(self, have: FoundReset) -> t.Iterator[None]:
        """The places that all engines of a host share: after the last step, since steps use them, too."""
        yield
        if have != FoundReset(warnings=have.warnings):
            tidy(self._want.places)


def _remove_snapshots(engine: Engine, name: str) -> None:
    """The children first."""
    store = engine.snapshotter(name)
    known: t.Dict[str, SnapshotInfo] = {one.name: one for one in store.walk()}
    while known:
        parents = {one.parent for one in known.values()}
        leaves = [key for key in known if key not in parents]
        for key in leaves:
            # A collector that takes a child before its container's removal does, leaves it counted: it takes the parent, too.
            with contextlib.suppress(NotFound, FailedPrecondition):
                store.remove(key)
            del known[key]
