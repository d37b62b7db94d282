# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a namespace of the daemon has and what keeps it (containerd's rules: metadata/gc.go), and the disk that it takes."""

from __future__ import annotations

import contextlib
import datetime
import os
import typing as t

from ..engine.holdings import CONTAINER, CONTENT, IMAGE, LABEL, LEASE, Holdings, Node, references, snapshots
from ..engine.labels import GC_ROOT
from ..engine.models import SnapshotInfo
from ..errors import EngineError, NotFound
from ..hostfs.usage import disk_usage
from ..rpc.channel import Channel

_EXPIRE = "containerd.io/gc.expire"

if t.TYPE_CHECKING:
    from .engine import ContainerdEngine


def holdings(engine: ContainerdEngine, rpc: Channel, snapshotters: t.Iterable[str], dead: t.Callable[[str], bool]) -> Holdings:
    """dead: whether a lease, by its id, is one of a killed run of ours."""
    edges: t.Dict[Node, t.Sequence[Node]] = {}
    roots: t.Dict[Node, t.Sequence[Node]] = {}
    for blob in engine.content.walk():
        node = (CONTENT, str(blob.digest))
        edges[node] = list(references(blob.labels))
        if GC_ROOT in blob.labels:
            roots[LABEL, node[1]] = [node]
    for name in snapshotters:
        for one in _walk(engine, name):
            node = (snapshots(name), one.name)
            edges[node] = [*([(node[0], one.parent)] if one.parent else []), *references(one.labels)]
            if GC_ROOT in one.labels:
                roots[LABEL, one.name] = [node]
    for image in engine.images.list():
        roots[IMAGE, image.name] = [(CONTENT, str(image.target.digest)), *references(image.labels)]
    for container in engine.containers.list():
        own = (snapshots(container.snapshotter), container.snapshot_key)
        roots[CONTAINER, container.id] = [own, *references(container.labels)]
    for lease in rpc.call("leases.v1.Leases/List")["leases"]:
        if not dead(lease["id"]) and not _expired(lease["labels"].get(_EXPIRE, "")):
            with contextlib.suppress(NotFound):
                found = rpc.call("leases.v1.Leases/ListResources", {"id": lease["id"]})["resources"]
                roots[LEASE, lease["id"]] = [(one["type"], one["id"]) for one in found]
    return Holdings(edges, roots)


def _walk(engine: ContainerdEngine, name: str) -> t.List[SnapshotInfo]:
    try:
        return engine.snapshotter(name).walk()
    except EngineError:
        # A snapshotter that is broken, or is a proxy that does not run: nothing of it is collected, either.
        return []


def _expired(moment: str) -> bool:
    """Whether a lease with this label counts no more. The daemon does not heed what it cannot read."""
    try:
        # Python 3.9 reads neither Z nor nanoseconds.
        found = datetime.datetime.strptime(moment[:19] + "+0000", "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return False
    return moment.endswith("Z") and found < datetime.datetime.now(datetime.timezone.utc)


def namespaces(rpc: Channel) -> t.List[str]:
    """All of the daemon."""
    return sorted(one["name"] for one in rpc.call("namespaces.v1.Namespaces/List")["namespaces"])


def usage(rpc: Channel, content_root: str, nodes: t.Iterable[Node]) -> t.Dict[Node, int]:
    """The bytes on the disk that go with each node. A blob that another namespace has, too, stays, so it counts as nothing."""
    found: t.Dict[Node, int] = {}
    nodes = list(nodes)
    shared = _digests_of_others(rpc) if any(kind == CONTENT for kind, _key in nodes) else set()
    for kind, key in nodes:
        if kind == CONTENT:
            path = os.path.join(content_root, "blobs", *key.split(":", 1))
            found[kind, key] = 0 if key in shared else disk_usage([path])
        else:
            with contextlib.suppress(NotFound):
                request = {"snapshotter": kind.partition("/")[2], "key": key}
                found[kind, key] = rpc.call("snapshots.v1.Snapshots/Usage", request)["size"]
    return found


def _digests_of_others(rpc: Channel) -> t.Set[str]:
    digests: t.Set[str] = set()
    for name in namespaces(rpc):
        if name != rpc.namespace:
            with contextlib.closing(Channel(rpc.address, name)) as other:
                for answer in other.stream("content.v1.Content/List", {"filters": []}):
                    digests.update(info["digest"] for info in answer["info"])
    return digests
