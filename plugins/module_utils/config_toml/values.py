# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values between YAML, TOML and trees: write and check values, compare trees."""

from __future__ import annotations

import json
import re
import typing as t

from ..errors import InvalidArgument, printable

Keys = t.Tuple[str, ...]
Tree = t.Dict[str, t.Any]

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_DEPTH = 32


def key_text(part: str, literal: bool = False) -> str:
    """One part of a key as TOML writes it. literal: with single quotes, where quotes are needed and single ones are possible."""
    return part if _BARE.match(part) else string_text(part, literal)


def dotted(path: t.Iterable[t.Union[str, int]], literal: bool = False) -> str:
    """A key as TOML writes it."""
    return ".".join(key_text(part, literal) for part in path if isinstance(part, str))


def string_text(value: str, literal: bool = False) -> str:
    if literal and "'" not in value and value.isprintable():
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def value_text(value: t.Any, literal: bool = False) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return string_text(value, literal)
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{key_text(key, literal)} = {value_text(item, literal)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(value_text(item, literal) for item in value) + "]"
    return str(value.isoformat())  # dates and times, which come out of a file only


def describe(value: t.Any) -> str:
    """The kind of a value, for messages."""
    if value is None:
        return "null"
    kinds = (
        (bool, "a boolean"),
        (int, "an integer"),
        (float, "a number"),
        (str, "a string"),
        (dict, "a table"),
        (list, "a list"),
    )
    return next((word for kind, word in kinds if isinstance(value, kind)), "a date")


def check_value(value: t.Any, option: str, path: Keys, allow_null: bool = False) -> None:
    """Raise InvalidArgument for a value that TOML or containerd does not have. allow_null: for values that only name a key."""
    where = f"{option}: {printable(dotted(path), 200)}" if path else option
    if len(path) > _DEPTH:
        raise InvalidArgument(f"{option}: {printable(dotted(path[:4]), 200)}...: tables are nested more than {_DEPTH} deep")
    if isinstance(value, dict):
        for key, item in value.items():
            _check_text(str(key), where)
            check_value(item, option, (*path, str(key)), allow_null)
    elif isinstance(value, (list, tuple)):
        kinds = sorted({describe(item) for item in value})
        if len(kinds) > 1:
            raise InvalidArgument(f"{where}: a list may not mix {' and '.join(kinds)}: {printable(list(value), 100)}")
        for number, item in enumerate(value):
            check_value(item, option, (*path, str(number)))
    elif value is None:
        if not allow_null:
            raise InvalidArgument(f"{where}: TOML has no null: to remove the key, name it in a task with state=absent")
    elif isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InvalidArgument(f"{where}: {value} does not fit into 64 bits")
    elif not isinstance(value, (int, float)):
        raise InvalidArgument(f"{where}: {printable(value, 100)!r} is not a value that TOML can have")


def _check_text(value: str, where: str) -> None:
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise InvalidArgument(f"{where}: {printable(value, 100)} is not valid Unicode")


def same(one: t.Any, other: t.Any) -> bool:
    """Equality as TOML sees it: true is not 1, and 1 is not 1.0."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(same(left, right) for left, right in zip(one, other))
    return type(one) is type(other) and bool(one == other)


def member(value: t.Any, values: t.Iterable[t.Any]) -> bool:
    return any(same(value, other) for other in values)


def get(tree: t.Any, path: t.Iterable[t.Union[str, int]], default: t.Any = None) -> t.Any:
    """The value at a path; default where there is none."""
    for key in path:
        if isinstance(tree, dict):
            tree = tree.get(t.cast(str, key), default)
        elif isinstance(tree, list) and isinstance(key, int) and key < len(tree):
            tree = tree[key]
        else:
            return default
        if tree is default:
            return default
    return tree


def put(tree: Tree, path: Keys, value: t.Any) -> None:
    """Set a value, and make the tables on the way."""
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value


def drop(tree: Tree, path: Keys) -> t.Any:
    """Remove a value from a tree, with the tables that become empty. Returns the value."""
    trail = [tree]
    for key in path[:-1]:
        trail.append(trail[-1][key])
    found = trail[-1].pop(path[-1])
    for number in range(len(path) - 1, 0, -1):
        if trail[number]:
            break
        del trail[number - 1][path[number - 1]]
    return found


def leaves(tree: t.Mapping[str, t.Any], prefix: Keys = ()) -> t.Iterator[t.Tuple[Keys, t.Any]]:
    """The keys with a value, in order. An empty table is a value."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def without_empty(tree: t.Any) -> t.Any:
    """A tree without its empty tables."""
    if not isinstance(tree, dict):
        return tree
    pruned = ((key, without_empty(value)) for key, value in tree.items())
    return {key: value for key, value in pruned if value != {}}


def copy(value: t.Any) -> t.Any:
    """A copy of a tree."""
    if isinstance(value, dict):
        return {key: copy(item) for key, item in value.items()}
    return [copy(item) for item in value] if isinstance(value, list) else value
