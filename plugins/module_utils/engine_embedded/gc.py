# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Garbage collection: remove everything that no image, container or lease reaches (containerd's rules: pkg/gc, metadata/gc.go).

Rows go first, in one transaction; files after it. References are the gc.ref labels of blobs and the parents of snapshots.
"""

from __future__ import annotations

import json
import typing as t

from ..engine.labels import GC_REF_CONTENT, GC_REF_SNAPSHOT, GC_ROOT
from ..errors import ResourceExhausted
from ..store.content import ContentStore
from ..store.database import Database
from ..store.snapshots import Snapshotter

Node = t.Tuple[str, str]
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
    edges, roots = _graph(query, namespace, ended)
    live: t.Set[Node] = set()
    todo = list(roots)
    while todo:
        node = todo.pop()
        if node not in live:
            live.add(node)
            todo.extend(edges.get(node, ()))
    dead = [node for node in edges if node not in live]
    return _Unreachable([key for kind, key in dead if kind == "content"], [node for node in dead if node[0] != "content"])


def _graph(query: Query, namespace: str, ended: str) -> t.Tuple[t.Dict[Node, t.List[Node]], t.List[Node]]:
    """Everything that can be removed, with its references; and the roots."""
    edges: t.Dict[Node, t.List[Node]] = {}
    roots: t.List[Node] = []
    for digest, text in query("SELECT digest, labels FROM content WHERE namespace=?", namespace):
        labels = json.loads(text)
        node = ("content", digest)
        edges[node] = [*_references(labels)]
        if GC_ROOT in labels:
            roots.append(node)
    for snapshotter, key, parent, text in query(
        "SELECT snapshotter, key, parent, labels FROM snapshots WHERE namespace=?", namespace
    ):
        node = (f"snapshots/{snapshotter}", key)
        edges[node] = [(node[0], parent)] if parent else []
        if GC_ROOT in json.loads(text):
            roots.append(node)
    for (target,) in query("SELECT target FROM images WHERE namespace=?", namespace):
        roots.append(("content", json.loads(target)["digest"]))
    for text, labels in query("SELECT record, labels FROM containers WHERE namespace=?", namespace):
        record = json.loads(text)
        roots += [(f"snapshots/{record['snapshotter']}", record["snapshot_key"]), *_references(json.loads(labels))]
    for kind, key in query("SELECT kind, key FROM lease_items WHERE namespace=? AND lease!=?", namespace, ended):
        roots.append((kind, key))
    return edges, roots


def _references(labels: t.Mapping[str, str]) -> t.Iterator[Node]:
    for key, value in labels.items():
        if key.startswith(GC_REF_CONTENT) or key == GC_REF_CONTENT.rstrip("."):
            yield ("content", value)
        elif key.startswith(GC_REF_SNAPSHOT):
            yield (f"snapshots/{key[len(GC_REF_SNAPSHOT) :].partition('/')[0]}", value)
