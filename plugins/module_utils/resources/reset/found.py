# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is on a host that a reset removes: of the embedded engine all, of containerd what the task names. Only reads."""

from __future__ import annotations

import contextlib
import glob
import os
import typing as t

from ...engine.holdings import IMAGE
from ...errors import DataLoss, FailedPrecondition, Unavailable
from ...hostfs.lock import abandoned
from ...hostfs.usage import disk_usage
from ...kernel.bytecode import DIRECTORY
from ...kernel.engines import EngineOptions, choose, open_engine, used_engines
from ...network.conflist import ConfDir
from ...network.rules import LOCK
from ...network.strangers import left
from ...runtime.processes import Process, arguments_of, with_argument
from ...volume.store import Store, Volume
from ..network.find import find_network
from . import roots
from .values import DoomedContainer, DoomedSpace, FoundReset, WantedReset

if t.TYPE_CHECKING:
    from ...engine.api import Engine

_RUN = os.path.dirname(LOCK)
#: What tasks keep on a host: the code of the collection, and that of connections into containers; where they tell how far they are
#: (plugin_utils/progress.py); the lock of containerd_config.
_CACHES = (DIRECTORY, f"{DIRECTORY}-sessions", f"{_RUN}-progress", f"{_RUN}/config.lock")
#: What killed tasks have left that were reading layers (layers/outline.py).
_SCRATCH = "/var/tmp/.fleet-verify-*"


def look(want: WantedReset) -> FoundReset:
    """FailedPrecondition where a reset would remove what it must not, or could not remove what it should."""
    from ..container.starting import unit_of

    if os.geteuid() != 0:
        raise FailedPrecondition("a reset needs root on the target: set become=true")
    roots.check(want)
    doomed, spaces = containers(want), tuple(_spaces(want))
    networks, warnings = _networks(want)
    unit = unit_of(want.data_root)
    found = FoundReset(
        unit if os.path.lexists(unit) else "",
        tuple(doomed),
        tuple(_volumes(want)),
        spaces,
        tuple(_images(want)),
        tuple(networks),
        warnings=tuple(warnings),
    )
    # Tasks that are to come make it.
    made = [want.data_root] if (doomed or spaces) and not os.path.lexists(want.data_root) else []
    return found._replace(paths={path: disk_usage([path]) for path in [*_paths(want, bool(warnings)), *made]})


@contextlib.contextmanager
def opened(space: EngineOptions) -> t.Iterator[Engine]:
    with contextlib.closing(open_engine(space)) as engine:
        yield engine


def containers(want: WantedReset) -> t.List[DoomedContainer]:
    """Those that others use were made first, so they go last."""
    found: t.List[DoomedContainer] = []
    for space in [*embedded(want), *_daemon(want)]:
        with opened(space) as engine:
            records = sorted(_listed(engine.containers), key=lambda one: one.created_at, reverse=True)
            found += [DoomedContainer(space, one.id, one) for one in records]
            found += [DoomedContainer(space, one) for one in _lost(want, engine, {one.id for one in records})]
    return found


def _listed(store: t.Any) -> t.List[t.Any]:
    """All records. A damaged database goes like an intact one: what runs is found by its bundles."""
    try:
        return list(store.list())
    except DataLoss:
        return []


def _lost(want: WantedReset, engine: Engine, known: t.Collection[str]) -> t.Iterator[str]:
    """The ids of tasks without a record."""
    for task in engine.tasks.list():
        if task.container_id in known:
            continue
        bundle = os.path.join(want.state_root, engine.namespace, task.container_id)
        for _process, words in with_argument(bundle) if engine.kind == "embedded" else ():
            if not any(word.startswith(want.data_root + "/") for word in words):
                raise FailedPrecondition(
                    f"state_root: the container {task.container_id[:12]} in {want.state_root} belongs to another data_root than "
                    f"{want.data_root}: reset that one, or remove its containers first"
                )
        yield task.container_id


def embedded(want: WantedReset) -> t.List[EngineOptions]:
    """All namespaces of the embedded engine."""
    found = roots.namespaces(want)
    if os.path.exists(os.path.join(want.data_root, "metadata.db")):
        with opened(want.space("embedded", "default")) as engine, contextlib.suppress(DataLoss):
            found.update(engine.namespaces())
    return [want.space("embedded", one) for one in sorted(found)]


def _daemon(want: WantedReset) -> t.List[EngineOptions]:
    """The namespaces of the daemon that the task names, and that are there."""
    _check_ours(want)
    if not want.namespaces and not want.daemon_goes:
        return []
    address = want.options.address
    if not os.path.exists(address):
        _check_stopped(want, address)
        return []
    try:
        with opened(want.space("containerd", "default")) as engine:
            names = engine.namespaces()
    except Unavailable:
        # A daemon that was killed leaves its socket.
        if not want.daemon_goes:
            raise
        _check_stopped(want, address)
        return []
    if want.daemon_goes:
        _check_others(want, [one for one in names if one not in want.namespaces])
    return [want.space("containerd", one) for one in want.namespaces if one in names]


def _check_ours(want: WantedReset) -> None:
    """Our files of containers go, so these must go, too."""
    for options, directory in used_engines(want.data_root):
        here = os.path.realpath(want.options.address) == options.address
        named = want.namespaces if here else ()
        others = [one for one in roots.names(directory) if one not in named and roots.names(os.path.join(directory, one))]
        if options.engine == "containerd" and others and (os.path.exists(options.address) or programs(want.data_root)):
            where = "" if here else f", with address={options.address}"
            raise FailedPrecondition(
                f"namespaces: this collection has made containers in {', '.join(others)} of the containerd at {options.address}, and "
                f"{want.data_root} has their logs and volumes: name what is to be emptied{where}, or remove these containers first"
            )


def _check_stopped(want: WantedReset, address: str) -> None:
    """Where nobody answers: the daemon has been removed, or an interrupted reset has stopped it."""
    if any(with_argument(address)):
        raise FailedPrecondition(f"containerd does not run (nobody answers at {address}), but its containers do: start it first")
    if not want.daemon_goes:
        choose(want.options._replace(engine="auto"))


def _check_others(want: WantedReset, others: t.Sequence[str]) -> None:
    used = []
    for one in others:
        with opened(want.space("containerd", one)) as engine:
            used += [one] if engine.containers.list() or engine.images.list() else []
    if used:
        raise FailedPrecondition(
            f"namespaces: containerd has containers or images in {', '.join(used)}, too, and is to be removed itself: name these "
            "namespaces if they may go, or keep the daemon"
        )


def programs(data_root: str) -> t.List[Process]:
    """The processes of ours that go with containers: shims, log writers, supervisors."""
    below = os.path.join(data_root, "libexec") + "/"
    numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [Process.of(pid) for pid in numbers if any(word.startswith(below) for word in arguments_of(pid))]


def _spaces(want: WantedReset) -> t.Iterator[DoomedSpace]:
    for space in _daemon(want):
        with opened(space) as engine:
            holdings = engine.holdings()
            images = tuple(name for kind, name in holdings.roots if kind == IMAGE)
            root = engine.about().root
            # Where the daemon's files go as a whole, they are counted there.
            whole = any(f"{root}/".startswith(f"{path}/") for path in want.paths)
            yield DoomedSpace(space, images, 0 if whole else sum(engine.disk_usage(holdings.edges).values()))


def _images(want: WantedReset) -> t.Iterator[str]:
    """Those of the embedded engine, which go with its files."""
    for space in embedded(want):
        with opened(space) as engine:
            yield from (f"{space.namespace}/{one.name}" for one in _listed(engine.images))


def _volumes(want: WantedReset) -> t.Iterator[t.Tuple[str, Volume]]:
    """Those with a name; the others are in the directories of their containers."""
    for namespace in roots.names(os.path.join(want.data_root, "volumes")):
        for one in Store(want.data_root, namespace).all():
            if not one.anonymous:
                yield namespace, one


def _networks(want: WantedReset) -> t.Tuple[t.List[t.Tuple[str, str]], t.List[str]]:
    """Those that we or nerdctl have made, unless containers of others are in them, and warnings about these."""
    found: t.Dict[str, t.Tuple[str, str]] = {}
    warnings, dead = t.cast(t.List[str], []), set(left(want.places))
    for namespace in ("", *want.namespaces):
        for name, conflist in sorted(ConfDir(want.places.conf_dir, namespace).read().networks.items()):
            if not conflist.id or conflist.path in found:
                continue
            users = [one for one in users_of(want, name, namespace) if one not in dead]
            if users:
                warnings.append(
                    f"the network {name} stays: it has containers that are not below {want.data_root} ({', '.join(users[:3])})"
                )
            else:
                found[conflist.path] = namespace, name
    return list(found.values()), list(dict.fromkeys(warnings))


def users_of(want: WantedReset, network: str, namespace: str) -> t.Sequence[str]:
    """The containers in a network that no reset of this data_root removes."""
    return find_network(network, want.places, namespace, want.data_root).others


def _paths(want: WantedReset, shared: bool) -> t.List[str]:
    found = list(filter(abandoned, sorted(glob.glob(_SCRATCH))))
    every = (*_CACHES, *want.paths, want.state_root, want.data_root)
    found += [one for path in every for one in roots.root_there(path, shared)]
    return list(dict.fromkeys(found))
