# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine has, and what keeps it: the rules of garbage collection as a value, so that it can be told beforehand what goes."""

from __future__ import annotations

import typing as t

from .labels import GC_REF_CONTENT, GC_REF_SNAPSHOT

#: A blob is ("content", digest), a snapshot (snapshots(snapshotter), key).
Node = t.Tuple[str, str]
CONTENT = "content"
#: Kinds of what keeps nodes.
IMAGE, CONTAINER, LEASE, LABEL = "image", "container", "lease", "label"


class Holdings(t.NamedTuple):
    """edges: every node, with the nodes that it keeps. roots: what keeps nodes (its kind, and its name or id), with these nodes."""

    edges: t.Mapping[Node, t.Sequence[Node]]
    roots: t.Mapping[Node, t.Sequence[Node]]

    def unneeded(self, without: t.Collection[Node] = ()) -> t.List[Node]:
        """The nodes that nothing keeps when these roots are gone, too."""
        gone = set(without)
        live = self.kept_by(root for root in self.roots if root not in gone)
        return [node for node in self.edges if node not in live]

    def kept_by(self, roots: t.Iterable[Node]) -> t.Set[Node]:
        """The nodes that some roots keep."""
        live: t.Set[Node] = set()
        for root in roots:
            self._reach(root, live)
        return live

    def freed_by(self, roots: t.Sequence[Node]) -> t.Dict[Node, t.List[Node]]:
        """What goes with each of these roots when they go in this order: the nodes that it is the last one to keep."""
        gone = set(roots)
        live = self.kept_by(root for root in self.roots if root not in gone)
        return {root: self._reach(root, live) for root in reversed(roots)}

    def _reach(self, root: Node, live: t.Set[Node]) -> t.List[Node]:
        """The nodes that a root keeps and that are not live yet; they are now."""
        fresh, todo = [], list(self.roots[root])
        while todo:
            node = todo.pop()
            if node not in live and node in self.edges:
                live.add(node)
                fresh.append(node)
                todo.extend(self.edges[node])
        return fresh


def snapshots(snapshotter: str) -> str:
    """The kind of its nodes."""
    return f"snapshots/{snapshotter}"


def references(labels: t.Mapping[str, str]) -> t.Iterator[Node]:
    """What labels of a blob, a snapshot, an image or a container keep."""
    for key, value in labels.items():
        if key.startswith(GC_REF_CONTENT) or key == GC_REF_CONTENT.rstrip("."):
            yield (CONTENT, value)
        elif key.startswith(GC_REF_SNAPSHOT):
            yield (snapshots(key[len(GC_REF_SNAPSHOT) :].partition("/")[0]), value)
