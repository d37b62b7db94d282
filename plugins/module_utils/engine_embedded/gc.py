# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Garbage collection: remove everything that no image, container or lease reaches (containerd's rules: pkg/gc, metadata/gc.go).

Rows go first, in one transaction; files after it. References are the gc.ref labels of blobs and the parents of snapshots.
"""

from __future__ import annotations

import json
import typing as t

from ..engine.holdings import CONTAINER, CONTENT, IMAGE, LABEL, LEASE, Holdings, Node, references, snapshots
from ..engine.labels import GC_ROOT
from ..errors import ResourceExhausted
from ..store.content import ContentStore
from ..store.database import Database
from ..store.snapshots import Snapshotter

Query = t.Callable[..., t.Iterable[t.Any]]


class Collected(t.NamedTuple):
    """The removed objects. whole: False when some files could not be removed."""

    blobs: t.List[str]
    snapshots: t.List[str]
    whole: bool


def collect(
    database: Database, namespace: str, content: ContentStore, snapshotters: t.Mapping[str, Snapshotter], ended: str = ""
) -> Collected:
    """Remove everything unreachable in a namespace. ended: a lease that has ended."""
    try:
        found = _forget(database, namespace, ended)
    except ResourceExhausted:
        # The disk is too full to remove rows. Remove files first: a blob without its file counts as missing.
        content.clear(_unreachable(database.query, namespace, ended).blobs)
        content.sweep()
        found = _forget(database, namespace, ended)
    swept = [content.sweep(), *(snapshotter.sweep() for snapshotter in snapshotters.values())]
    content.drop_stale_ingests()
    return Collected(found.blobs, [key for _kind, key in found.snapshots], all(swept))


class _Unreachable(t.NamedTuple):
    """Unreachable digests, and snapshots with their snapshotters."""

    blobs: t.List[str]
    snapshots: t.List[Node]


def _forget(database: Database, namespace: str, ended: str) -> _Unreachable:
    """Remove the rows."""
    with database.write() as connection:
        connection.execute("DELETE FROM leases WHERE namespace=? AND id=?", (namespace, ended))
        connection.execute(
            "DELETE FROM lease_items WHERE namespace=? AND lease NOT IN (SELECT id FROM leases WHERE namespace=?)",
            (namespace, namespace),
        )
        found = _unreachable(lambda sql, *values: connection.execute(sql, values), namespace, ended)
        connection.executemany(
            "DELETE FROM content WHERE namespace=? AND digest=?", [(namespace, digest) for digest in found.blobs]
        )
        connection.executemany(
            "DELETE FROM snapshots WHERE namespace=? AND snapshotter=? AND key=?",
            [(namespace, kind.partition("/")[2], key) for kind, key in found.snapshots],
        )
    return found


def _unreachable(query: Query, namespace: str, ended: str) -> _Unreachable:
    dead = holdings(query, namespace, ended).unneeded()
    return _Unreachable([key for kind, key in dead if kind == CONTENT], [node for node in dead if node[0] != CONTENT])


def holdings(query: Query, namespace: str, ended: str = "") -> Holdings:
    """Everything that can be removed, and what keeps it. ended: a lease that has ended."""
    edges: t.Dict[Node, t.List[Node]] = {}
    roots: t.Dict[Node, t.List[Node]] = {}
    for digest, text in query("SELECT digest, labels FROM content WHERE namespace=?", namespace):
        labels = json.loads(text)
        node = (CONTENT, digest)
        edges[node] = [*references(labels)]
        if GC_ROOT in labels:
            roots[LABEL, digest] = [node]
    for snapshotter, key, parent, text in query(
        "SELECT snapshotter, key, parent, labels FROM snapshots WHERE namespace=?", namespace
    ):
        node = (snapshots(snapshotter), key)
        edges[node] = [(node[0], parent)] if parent else []
        if GC_ROOT in json.loads(text):
            roots[LABEL, key] = [node]
    for name, target in query("SELECT name, target FROM images WHERE namespace=?", namespace):
        roots[IMAGE, name] = [(CONTENT, json.loads(target)["digest"])]
    for container_id, text, labels in query("SELECT id, record, labels FROM containers WHERE namespace=?", namespace):
        record = json.loads(text)
        own = (snapshots(record["snapshotter"]), record["snapshot_key"])
        roots[CONTAINER, container_id] = [own, *references(json.loads(labels))]
    for lease, kind, key in query("SELECT lease, kind, key FROM lease_items WHERE namespace=? AND lease!=?", namespace, ended):
        roots.setdefault((LEASE, lease), []).append((kind, key))
    return Holdings(edges, roots)
