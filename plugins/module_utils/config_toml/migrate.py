# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrate a configuration from version 1 to 2, 3 and 4, key by key in its text: comments, order and unknown keys stay.

Keys move as in containerd's own migration (names.py names the source). The header of a table is renamed to the table that gets
most of its keys; the other keys are moved with the comments right above them.
"""

from __future__ import annotations

import collections
import typing as t

from .edit import Document
from .names import CRI, IMAGES, RENAMED, RUNTIME, SECTIONS, SNAPSHOT_KEYS, spell, spell_value, uri
from .values import Keys, Tree, dotted, get, leaves

_LISTS = ("disabled_plugins", "required_plugins")
Spelling = t.Callable[[Keys], t.Optional[Keys]]


def version_of(tree: t.Mapping[str, t.Any]) -> int:
    """The version of a file; 1 if it names none, as in containerd."""
    version = tree.get("version", 1)
    return version if isinstance(version, int) and not isinstance(version, bool) else 0


def migrate(document: Document, start: int, target: int) -> t.List[str]:
    """Bring a document from one version to another. Returns notes for the user."""
    warnings: t.List[str] = []
    for version in range(max(start, 1), target):
        if version == 1:
            _plugin_uris(document)
        elif version == 2:
            warnings += _notes(document)
            _move(document, lambda path: spell(path, 3))
        else:
            _server_sections(document)
    document.set(("version",), target)
    return warnings


def _plugin_uris(document: Document) -> None:
    _move(document, lambda path: ("plugins", uri(path[1]), *path[2:]) if path[0] == "plugins" and len(path) > 1 else path)
    for name in _LISTS:
        old = _listed(document, name)
        if old:
            document.set((name,), [uri(plugin) if isinstance(plugin, str) else plugin for plugin in old])


def unmoved(tree: Tree, path: Keys) -> bool:
    """True for a key of version 2 that containerd 2 forgets to move, when its table has no runtimes."""
    top = ("plugins", CRI, "containerd")
    return path[:3] == top and len(path) > 3 and path[3] in SNAPSHOT_KEYS and not isinstance(get(tree, (*top, "runtimes")), dict)


def _notes(document: Document) -> t.List[str]:
    """Notes: keys that take effect now, and names in the lists of plugins, which containerd does not translate."""
    late = [dotted(path) for path, _value in leaves(document.tree) if unmoved(document.tree, path)]
    notes = (
        [f"containerd 2 did not read {', '.join(late)} of {document.name} in version 2, and will in version 3"] if late else []
    )
    return notes + [
        f"{name} of {document.name} names {plugin}, which containerd 2 calls {RENAMED[plugin]}: its migration does not change that"
        for name in _LISTS
        for plugin in _listed(document, name)
        if plugin in RENAMED
    ]


def _listed(document: Document, name: str) -> t.List[t.Any]:
    value = document.tree.get(name)
    return value if isinstance(value, list) else []


def _move(document: Document, spelling: Spelling) -> None:
    for path in document.arrays():
        new = spelling(path)
        if new and new != path:
            value = get(document.tree, path)
            document.remove(path)
            document.set(new, value)
    renamed = _new_headers(document, spelling)
    moves: t.List[t.Tuple[Keys, t.Optional[Keys], Keys]] = []
    for path, table in document.pairs():
        there = renamed.get(table, table) + path[len(table) :]
        moves.append((path, _whole(document.tree, path, spelling), there))
    before = {path: get(document.tree, path) for path, _new, _there in moves}
    for table, new in renamed.items():
        document.rename(table, new)
    for path, whole, there in moves:
        if whole is None:
            document.remove(there)
            for leaf, value in leaves(before[path], path):
                _place(document, leaf, spelling(leaf) or leaf, value)
            continue
        if whole == path == there:
            continue
        value = spell_value(path, whole, before[path])
        if whole[-1] == "env" != path[-1] and not value:
            document.remove(there)
        elif whole == there or _free(document, whole, there):
            if whole != there:
                document.move(there, whole)
            document.set(whole, value)


def _free(document: Document, new: Keys, old: Keys) -> bool:
    """Make room at new: the older name wins in IMAGES and loses elsewhere, as in containerd. False: old was removed."""
    if get(document.tree, new) is None:
        return True
    if new[1] == IMAGES:
        document.remove(new)
        return True
    document.remove(old)
    return False


def _place(document: Document, path: Keys, new: Keys, value: t.Any) -> None:
    if get(document.tree, new) is None or new[1] == IMAGES:
        document.set(new, spell_value(path, new, value))


def _whole(tree: Tree, path: Keys, spelling: Spelling) -> t.Optional[Keys]:
    """The new path of a written key; None for an inline table whose keys go to different tables."""
    value = get(tree, path)
    if not isinstance(value, dict) or not value:
        return spelling(path) or path
    tops = set()
    for leaf, _value in leaves(value):
        new = spelling(path + leaf) or path + leaf
        tops.add(new[: -len(leaf)] if new[-len(leaf) :] == leaf else None)
    return tops.pop() if len(tops) == 1 else None


def _new_headers(document: Document, spelling: Spelling) -> t.Dict[Keys, Keys]:
    """The headers to rename: each gets the name of the table that most keys below it move to."""
    found: t.Dict[Keys, Keys] = {}
    pairs = document.pairs()
    for table in document.headers():
        votes: t.Counter[Keys] = collections.Counter()
        for path, home in pairs:
            new = _whole(document.tree, path, spelling)
            rest = path[len(table) :]
            if home == table and new and new[-len(rest) :] == rest:
                votes[new[: -len(rest)]] += 1
        new = votes.most_common(1)[0][0] if votes else spelling(table) or ("plugins", RUNTIME, *table[2:])
        if new != table and not document.defined(new) and new not in found.values():
            found[table] = new
    return found


def _server_sections(document: Document) -> None:
    """Version 4: the sections of the server become plugins. Empty values and 0 mean the default and are removed."""
    wanted = _server_plugins(document.tree)

    def spelling(path: Keys) -> t.Optional[Keys]:
        new = SECTIONS.get(path, path)
        return new if new == path or new in wanted else path

    for path in SECTIONS:
        if get(document.tree, path) is not None and spelling(path) == path:
            document.remove(path)
    _move(document, spelling)
    for path, value in wanted.items():
        document.set(path, value)


def _server_plugins(tree: Tree) -> t.Dict[Keys, t.Any]:
    """The plugins that stand for the server's sections, as serviceMigrate of containerd 2.3 makes them."""
    there = tree.get("plugins", {})
    old = {path: get(tree, path) for path in SECTIONS}
    kept = {path: value for path, value in old.items() if value}
    address = kept.get(("grpc", "address"))
    owner: t.Dict[Keys, int] = {("grpc", key): old["grpc", key] or 0 for key in ("uid", "gid")} if address else {}
    found = {SECTIONS[path]: value for path, value in {**kept, **owner}.items()}
    if address and ("ttrpc", "address") not in kept:
        found[SECTIONS["ttrpc", "address"]] = f"{address}.ttrpc"
    for key in ("uid", "gid"):
        if SECTIONS["ttrpc", "address"] in found:
            inherited = owner.get(("grpc", key), 0) if ("ttrpc", "address") not in kept else 0
            found[SECTIONS["ttrpc", key]] = kept.get(("ttrpc", key), inherited)
    tcp = SECTIONS["grpc", "tcp_address"]
    for key in ("max_recv_message_size", "max_send_message_size"):
        if tcp in found and ("grpc", key) in kept:
            found[(*tcp[:2], key)] = kept["grpc", key]
    lone = {tcp[1]: tcp, "io.containerd.server.v1.debug": SECTIONS["debug", "address"]}
    return {
        path: value for path, value in found.items() if path[1] not in there and (path[1] not in lone or lone[path[1]] in found)
    }
