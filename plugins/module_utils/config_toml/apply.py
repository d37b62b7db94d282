# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put settings into a document or remove them: keys in the spelling of any version, types checked, lists merged."""

from __future__ import annotations

import typing as t

from ..errors import InvalidArgument, printable
from .edit import Document
from .names import matches, spell, spell_plugins, spell_value
from .values import Keys, describe, dotted, get, member, same

_PLUGIN_LISTS = (("disabled_plugins",), ("required_plugins",))


class Setting(t.NamedTuple):
    """One key with its value (which may be an empty table), and the option that named it."""

    option: str
    path: Keys
    value: t.Any

    @property
    def label(self) -> str:
        return f"{self.option}: {printable(dotted(self.path), 200)}"


def spelled(settings: t.Iterable[Setting], version: int, name: str) -> t.List[Setting]:
    """The settings in the spelling of a version. InvalidArgument for those that it does not have, and for contradictions."""
    found: t.Dict[Keys, Setting] = {}
    for one in settings:
        path = spell(one.path, version)
        try:
            if path is None:
                raise LookupError
            value = spell_value(one.path, path, one.value)
        except LookupError:
            raise InvalidArgument(
                f"{one.label} cannot be written in {name}, whose version is {version}: set migrate=true to bring that file to the "
                "version of the installed containerd"
            ) from None
        if path in _PLUGIN_LISTS and isinstance(value, list):
            value = spell_plugins(value, version)
        if path in found and not same(found[path].value, value):
            raise InvalidArgument(f"{one.label} and {found[path].label} are the same key here, and have different values")
        found[path] = Setting(one.option, path, value)
    return list(found.values())


def put_in(document: Document, settings: t.Iterable[Setting], append: bool) -> t.List[str]:
    """Merge settings in the document's spelling. append: lists get missing elements. Returns the changed keys as text."""
    changed = []
    for one in settings:
        _check_place(document, one)
        old = get(document.tree, one.path)
        value = one.value
        if append and isinstance(value, list) and isinstance(old, list):
            value = list(old)
            value += [item for item in _unique(one.value) if not member(item, old)]
        if (value == {} and isinstance(old, dict)) or (old is not None and same(old, value)):
            continue
        document.set(one.path, value)
        changed.append(dotted(one.path))
    return changed


def _unique(values: t.Sequence[t.Any]) -> t.List[t.Any]:
    found: t.List[t.Any] = []
    for value in values:
        if not member(value, found):
            found.append(value)
    return found


def _check_place(document: Document, one: Setting) -> None:
    """Raise InvalidArgument when a table would replace a value, or a value a table."""
    for size in range(1, len(one.path)):
        above = get(document.tree, one.path[:size])
        if above is not None and not isinstance(above, dict):
            raise InvalidArgument(
                f"{one.label}: {printable(dotted(one.path[:size]), 200)} is {describe(above)} in {document.name}, "
                f"and {printable(one.value, 100)!r} needs a table there: remove it first with state=absent"
            )
    old = get(document.tree, one.path)
    if old is None or isinstance(old, dict) == isinstance(one.value, dict):
        return
    raise InvalidArgument(
        f"{one.label}: {describe(one.value)} ({printable(one.value, 100)}) cannot take the place of {describe(old)} in "
        f"{document.name}: remove that first with state=absent"
    )


def take_out(document: Document, settings: t.Iterable[Setting], keys: t.Iterable[Keys], append: bool) -> t.List[str]:
    """Remove keys in any spelling. append: of lists in settings, remove only their elements. Returns the changed keys."""
    changed = []
    names = list(keys)
    for one in settings:
        if append and isinstance(one.value, list):
            changed += _shorten(document, one)
        else:
            names.append(one.path)
    for key in names:
        for path in list(_found(document.tree, key, ())):
            document.remove(path)
            changed.append(dotted(path))
    return changed


def _shorten(document: Document, one: Setting) -> t.List[str]:
    changed = []
    for path in list(_found(document.tree, one.path, ())):
        old = get(document.tree, path)
        gone = spell_value(one.path, path, one.value) if isinstance(old, list) else []
        kept = [item for item in old if not member(item, gone)] if isinstance(old, list) else old
        if not same(old, kept):
            document.set(path, kept)
            changed.append(dotted(path))
    return changed


def _found(tree: t.Mapping[str, t.Any], key: Keys, prefix: Keys) -> t.Iterator[Keys]:
    """The outermost keys of a tree that equal key or are below it."""
    for name, value in tree.items():
        path = (*prefix, name)
        if matches(path, key):
            yield path
        elif isinstance(value, dict):
            yield from _found(value, key, path)
