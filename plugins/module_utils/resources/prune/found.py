# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a prune would remove, and how many bytes that is. Only reads."""

from __future__ import annotations

import os
import typing as t

from ...engine.holdings import CONTAINER, IMAGE, Node
from ...engine.labels import DESIRED, NAME, STAGE
from ...engine.models import STOPPED, VOLUMES, Container
from ...errors import EngineError
from ...hostfs.mounts import mount_points
from ...hostfs.usage import disk_usage
from ...network.conflist import DEFAULT_NETWORK, ConfDir
from ...volume.store import Store, Volume
from ...volume.users import find as find_users
from ...volume.users import holders
from ..container.find import task_of
from ..network.find import find_network
from .filters import Filters
from .images import choose
from .values import Doomed, FoundPrune, WantedPrune

if t.TYPE_CHECKING:
    from ...engine.api import Engine


def find(want: WantedPrune, engine: Engine) -> FoundPrune:
    """Containers first, since they keep the others."""
    holdings, warnings = engine.holdings(), t.cast(t.List[str], [])
    stopped = [one for one in _containers(want.containers, engine) if (CONTAINER, one.id) in holdings.roots]
    gone: t.List[Node] = [(CONTAINER, one.id) for one in stopped]
    chosen, kept = choose(want.images, engine, holdings, gone) if want.images else ([], {})
    freed = holdings.freed_by([*gone, *((IMAGE, one.name) for one in chosen)])
    containers = [
        Doomed(one.labels[NAME], one, tuple(freed[CONTAINER, one.id]), tuple(_own_files(engine, one))) for one in stopped
    ]
    images = [Doomed(one.name, one, tuple(freed[IMAGE, one.name])) for one in chosen]
    ids = {one.id for one in stopped}
    networks = _networks(want, want.networks, ids, warnings) if want.networks else []
    volumes = _volumes(want, want.volumes, ids, warnings) if want.volumes else []
    collects = want.ingests is not None or bool(containers or images)
    found = FoundPrune(
        tuple(containers),
        tuple(images),
        tuple(networks),
        tuple(volumes),
        tuple(holdings.unneeded()) if collects else (),
        tuple((one.ref, one.offset) for one in engine.content.ingests() if one.updated_at < (want.ingests or 0.0)),
        tuple(_leftovers(want, engine)) if want.ingests is not None else (),
        want.ingests is not None and engine.interrupted(),
        kept,
        warnings=tuple(warnings),
    )
    return found._replace(sizes=_sizes(found, engine))


def _sizes(found: FoundPrune, engine: Engine) -> t.Dict[t.Union[Node, str], int]:
    every = (*found.containers, *found.images, *found.volumes)
    nodes = [*found.content, *(node for one in every for node in one.nodes)]
    paths = [*found.leftovers, *(path for one in every for path in one.paths)]
    sizes: t.Dict[t.Union[Node, str], int] = {path: disk_usage([path]) for path in paths}
    for node, size in engine.disk_usage(nodes).items() if nodes else ():
        sizes[node] = size
    return sizes


def _containers(filters: t.Optional[Filters], engine: Engine) -> t.List[Container]:
    """Stopped ones that we have made. One that is staged waits for a task, and one in the making belongs to another run."""
    if filters is None:
        return []
    found = []
    for one in engine.containers.list():
        ours = DESIRED in one.extensions and NAME in one.labels and STAGE not in one.labels
        if ours and filters.passes(one.created_at, one.labels) and is_stopped(engine, one):
            found.append(one)
    return sorted(found, key=lambda one: one.labels[NAME])


def is_stopped(engine: Engine, container: Container) -> bool:
    """Not where nobody can tell."""
    try:
        task = task_of(engine, container)
    except EngineError:
        return False
    return task is None or task.status == STOPPED


def _own_files(engine: Engine, container: Container) -> t.List[str]:
    """Its log and the like. Volumes that it has alone stay, as in docker container prune."""
    path = engine.container_path(container.id)
    volumes = os.path.join(path, VOLUMES)
    if not os.path.isdir(volumes):
        return [path] if os.path.isdir(path) else []
    return [os.path.join(path, name) for name in sorted(os.listdir(path)) if name != VOLUMES]


def _networks(want: WantedPrune, filters: Filters, gone: t.Collection[str], warnings: t.List[str]) -> t.List[Doomed]:
    """Those in which no container is, running or not. Networks of other tools, and the one that containers have by default, stay."""
    listing, found = ConfDir(want.places.conf_dir, want.namespace).read(), []
    for name, conflist in sorted(listing.networks.items()):
        if not conflist.id or name == DEFAULT_NETWORK:
            continue
        there = find_network(name, want.places, want.namespace, want.data_root)
        if there.lost:
            warnings.extend(str(one) for one in there.lost if str(one) not in warnings)
        elif all(one.id in gone for one in there.members) and not set(there.others) - set(gone):
            made = os.stat(conflist.path).st_mtime
            found += [Doomed(name)] if filters.passes(made, conflist.labels) else []
    return found


def _volumes(want: WantedPrune, filters: Filters, gone: t.Collection[str], warnings: t.List[str]) -> t.List[Doomed]:
    """Those that no container has, nor any process. Those with a name of their own only with the filter all."""
    store, users, found = Store(want.data_root, want.namespace), find_users(want.data_root, want.namespace), []
    warnings.extend(map(str, users.lost))
    for one in store.all() if not users.lost else ():
        wanted = not one.problem and (one.anonymous or filters.flag) and filters.passes(one.created, one.labels)
        if wanted and all(user.id in gone for user in users.of(one.name)) and not is_held(one):
            found.append(Doomed(one.name, one, (), (one.data if one.anonymous else os.path.dirname(one.data),)))
    return found


def is_held(volume: Volume) -> bool:
    """Whether a process has it mounted, or something is mounted in it."""
    return bool(holders(volume.data)) or (not volume.options and bool(mount_points(volume.data)))


def _leftovers(want: WantedPrune, engine: Engine) -> t.List[str]:
    return [*engine.leftovers(), *Store(want.data_root, want.namespace).leftovers()]
