# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_prune: remove what nobody needs, and say beforehand what that is and how much it frees."""

from __future__ import annotations

import contextlib
import functools
import typing as t

from ...engine.holdings import CONTENT
from ...engine.labels import NAME
from ...engine.models import Container, Image
from ...errors import EngineError, FailedPrecondition, NotFound, Unavailable
from ...hostfs.remove import remove_tree
from ...kernel.converge import Facts, Plan, Step
from ...network.attachment import Host, rules_of_host
from ...network.conflist import ConfDir
from ...network.networks import Networks
from ...volume.store import Store, Volume
from ...volume.users import find as find_users
from ..container.jobs import container_lock
from ..container.steps import remove
from ..network.find import find_network
from .found import find, is_held, is_stopped
from .values import Doomed, FoundPrune, WantedPrune

if t.TYPE_CHECKING:
    from ...engine.api import Engine

#: The kinds of things that have names, with their words; in the order in which they go.
_KINDS = ("container", "image", "network", "volume")


class PruneResource:
    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> WantedPrune:
        return WantedPrune.of(params)

    def observe(self, want: WantedPrune, engine: Engine) -> FoundPrune:
        return find(want, engine)

    def lock(self, want: WantedPrune, engine: Engine) -> t.ContextManager[t.Any]:
        """One prune at a time. Each thing is locked for its own removal, as its own module does it."""
        return engine.lock("prune")

    def plan(self, want: WantedPrune, have: FoundPrune, engine: Engine) -> Plan:
        work = _Work(want, have, engine)
        before = {"space": _bytes(have, work.failed), **_names(have, set())}
        steps = work.steps()
        return Plan(
            steps,
            before,
            lambda _end: {"space": 0, **{f"{kind}s": work.left(kind) for kind in _KINDS}, "content": [], "leftovers": []},
            lambda _end: work.facts(),
            warnings=have.warnings,
            around=work.collected(),
        )


class _Work:
    """The steps. failed: what could not be removed, by kind and name."""

    def __init__(self, want: WantedPrune, have: FoundPrune, engine: Engine) -> None:
        self._want, self._have, self._engine = want, have, engine
        self.failed: t.Set[t.Tuple[str, str]] = set()
        self._rest = False

    def _doomed(self, kind: str) -> t.Sequence[Doomed]:
        return t.cast(t.Sequence[Doomed], getattr(self._have, f"{kind}s"))

    def left(self, kind: str) -> t.List[str]:
        return [one.name for one in self._doomed(kind) if (kind, one.name) in self.failed]

    def steps(self) -> t.List[Step]:
        ways: t.Mapping[str, t.Callable[[t.Any], None]] = {
            "container": self._container,
            "image": self._image,
            "network": self._network,
            "volume": self._volume,
        }
        steps = [
            Step(f"remove {kind} {one.name}", functools.partial(self._run, kind, one, ways[kind]), alone=True)
            for kind in _KINDS
            for one in self._doomed(kind)
        ]
        have = self._have
        if have.ingests:
            steps.append(Step(f"remove {len(have.ingests)} interrupted transfers", self._ingests, alone=True))
        rest = have.content or have.leftovers or have.marks
        if rest and self._want.ingests is not None:
            steps.append(Step(f"remove what nothing needs ({_rest(have)})", self._collect, alone=True))
        return steps

    def _run(self, kind: str, one: Doomed, way: t.Callable[[t.Any], None]) -> None:
        try:
            way(one.what or one.name)
        except EngineError:
            self.failed.add((kind, one.name))
            raise

    def _container(self, container: Container) -> None:
        name, engine = container.labels[NAME], self._engine
        with container_lock(engine, name), contextlib.suppress(NotFound):
            found = engine.containers.get(container.id)
            if not is_stopped(engine, found):
                raise FailedPrecondition(f"the container {name} was started meanwhile: it stays")
            remove(engine, found, keep_volumes=True)
        self._rest = True

    def _image(self, image: Image) -> None:
        engine = self._engine
        with engine.lock(f"image {image.name}"):
            users = [one for one in engine.containers.list() if one.image == image.name]
            if users:
                raise FailedPrecondition(f"the image {image.name} was taken for a container meanwhile: it stays")
            # Some of the kubelet's records are removed with another one.
            with contextlib.suppress(NotFound):
                engine.images.delete(image.name, image.target.digest, collect=False)
        self._rest = True

    def _network(self, name: str) -> None:
        want = self._want
        directory = ConfDir(want.places.conf_dir, want.namespace)
        with directory.locked():
            there = find_network(name, want.places, want.namespace, want.data_root)
            if there.members or there.others or there.lost:
                raise FailedPrecondition(f"the network {name} got a member meanwhile: it stays")
            host = Host(rules_of_host(), want.places.bin_dirs, want.places.cache_dir, want.places.data_dir)
            Networks(directory, host).remove(name)

    def _volume(self, volume: Volume) -> None:
        """Its name goes at once. Its files may take long, and others need not wait for that."""
        store = Store(self._want.data_root, self._want.namespace)
        with store.locked():
            users = find_users(store.data_root, store.namespace)
            if users.of(volume.name) or users.lost or is_held(volume):
                raise FailedPrecondition(f"the volume {volume.name} was taken by a container meanwhile: it stays")
            volume.driver.release(volume.data)
            doomed = store.set_aside(volume)
        if doomed:
            remove_tree(doomed)
        if volume.anonymous:
            store.forget_container(volume)

    def _ingests(self) -> None:
        for ref, _size in self._have.ingests:
            # One that is gone, or that somebody goes on with.
            with contextlib.suppress(NotFound, Unavailable):
                self._engine.content.abort(ref)

    def _collect(self) -> None:
        """The end of the lock on the prune removes what killed runs have left."""
        store = Store(self._want.data_root, self._want.namespace)
        leftovers = store.leftovers()
        if leftovers:
            with store.locked():
                for path in store.leftovers():
                    remove_tree(path)
        self._rest = True

    @contextlib.contextmanager
    def collected(self) -> t.Iterator[None]:
        """One collection for all that was removed. The end of the lease ends those of killed runs."""
        try:
            yield
        finally:
            if self._rest:
                with self._engine.lease():
                    pass
                self._engine.collect()

    def facts(self) -> Facts:
        have, failed = self._have, self.failed
        out: t.Dict[str, t.Any] = {**_names(have, failed), "space_reclaimed": _bytes(have, failed)}
        for kind in ("container", "image", "volume"):
            out[f"{kind}s_space_reclaimed"] = _sum(have, kind, failed)
        out["content_space_reclaimed"] = _content_bytes(have)
        out["images_kept"] = dict(sorted(have.kept.items()))
        return Facts(out)


def _rest(have: FoundPrune) -> str:
    blobs = sum(kind == CONTENT for kind, _key in have.content)
    counts = {"blobs": blobs, "snapshots": len(have.content) - blobs, "leftovers of killed runs": len(have.leftovers)}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "the locks of killed runs"


def _names(have: FoundPrune, failed: t.Collection[t.Tuple[str, str]]) -> t.Dict[str, t.List[str]]:
    names = {f"{kind}s": [one.name for one in getattr(have, f"{kind}s") if (kind, one.name) not in failed] for kind in _KINDS}
    content = [key if kind == CONTENT else f"{kind}/{key}" for kind, key in have.content]
    return {**names, "content": [*content, *(ref for ref, _size in have.ingests)], "leftovers": list(have.leftovers)}


def _sum(have: FoundPrune, kind: str, failed: t.Collection[t.Tuple[str, str]]) -> int:
    return sum(have.bytes_of(one.nodes, one.paths) for one in getattr(have, f"{kind}s") if (kind, one.name) not in failed)


def _content_bytes(have: FoundPrune) -> int:
    return have.bytes_of(have.content, have.leftovers) + sum(size for _ref, size in have.ingests)


def _bytes(have: FoundPrune, failed: t.Collection[t.Tuple[str, str]]) -> int:
    return sum(_sum(have, kind, failed) for kind in ("container", "image", "volume")) + _content_bytes(have)
