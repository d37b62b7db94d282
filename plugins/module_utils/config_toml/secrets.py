# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secret values: find them, and hide them in texts and messages."""

from __future__ import annotations

import typing as t

from .names import matches
from .scan import PAIR, split
from .values import Keys, Tree, get, leaves, same

HIDDEN, CHANGED = "(secret)", "(secret, changed)"
#: Secret keys of the CRI plugin's registry section and of hosts.toml.
_CREDENTIALS = {"password", "auth", "identitytoken"}
_SHORTEST = 4


class Secrets(t.NamedTuple):
    """The keys with secret values, in any spelling. Credentials for registries are always secret."""

    keys: t.Tuple[Keys, ...]

    def hides(self, path: Keys) -> bool:
        known = "registry" in path and (path[-1] in _CREDENTIALS or "headers" in path)
        return known or any(matches(path, key) for key in self.keys)

    def values(self, tree: t.Mapping[str, t.Any]) -> t.Set[str]:
        """The secret strings of a tree that are long enough to be distinguished from other text."""
        found: t.Set[str] = set()
        for path, value in leaves(tree):
            if self.hides(path):
                found.update(one for one in strings(value) if len(one) >= _SHORTEST)
        return found

    def present(self, tree: t.Mapping[str, t.Any]) -> bool:
        """True when a tree has a secret key with a value that is not empty."""
        return any(self.hides(path) for path, value in leaves(tree) if value not in ({}, [], ""))

    def masked(self, text: str, tree: Tree, other: t.Optional[Tree] = None) -> str:
        """A TOML text (with its tree) for a diff. other: the tree to compare with; secrets that differ there are marked."""
        shown = []
        for piece in split(text):
            value = get(tree, piece.path)
            line = piece.text
            if piece.kind == PAIR and self._within(tuple(key for key in piece.path if isinstance(key, str)), value):
                before = get(other, piece.path)
                begin, end = piece.value
                mark = HIDDEN if before is None or same(before, value) else CHANGED
                line = f'{line[:begin]}"{mark}"{line[end:]}'
            shown.append(line)
        return "".join(shown)

    def _within(self, path: Keys, value: t.Any) -> bool:
        """True when the key, or a key in its inline table, is secret."""
        below = leaves(value, path) if isinstance(value, dict) and value else iter([(path, value)])
        return any(self.hides(one) for one, _value in below)


def strings(value: t.Any) -> t.Iterator[str]:
    """All strings in a value, as text."""
    if isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def without(text: str, values: t.Iterable[str]) -> str:
    """The message without the secret values."""
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text
