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
        live = self.kept_by(root for root in self.roots if root not in without)
        return [node for node in self.edges if node not in live]

    def kept_by(self, roots: t.Iterable[Node]) -> t.Set[Node]:
        """The nodes that some roots keep."""
        live: t.Set[Node] = set()
        todo = [node for root in roots for node in self.roots[root]]
        while todo:
            node = todo.pop()
            if node not in live and node in self.edges:
                live.add(node)
                todo.extend(self.edges[node])
        return live


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
