# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing what is wanted with what is there: one row an option, one comparer a kind."""

from __future__ import annotations

import typing as t

STRICT, IGNORE, MORE = "strict", "ignore", "allow_more_present"


class Field(t.NamedTuple):
    """How one option is compared.

    kind: value, list (ordered), set (order and doubles do not count) or dict. mode: strict, ignore, or allow_more_present
    (what is there may have more; an explicitly empty value still means "must be empty"). show: the value as a diff has it.
    secret: it never shows there.
    """

    option: str
    kind: str = "value"
    mode: str = STRICT
    show: t.Callable[[t.Any], t.Any] = lambda value: value
    secret: bool = False


class Change(t.NamedTuple):
    """One option that differs."""

    field: Field
    before: t.Any
    after: t.Any


def outcome(change: Change) -> t.Any:
    """What there is after the change: allow_more_present leaves in a dictionary what nobody asks for."""
    more = change.field.kind == "dict" and change.field.mode == MORE
    return {**(change.before or {}), **change.after} if more else change.after


def ignored(option: str, modes: t.Mapping[str, str]) -> bool:
    """Whether a task wants no comparison of an option. modes: by option, and by "*" for all that have none."""
    return modes.get(option, modes.get("*")) == IGNORE


def _frozen(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value


def same(kind: str, mode: str, want: t.Any, have: t.Any) -> bool:
    """True when have is as wanted, by the rules of Field."""
    if mode == IGNORE or want == have:
        return True
    if kind == "value" or have is None:
        return not want and not have if kind != "value" else False
    more = mode == MORE and bool(want)
    if kind == "set":
        wanted, there = {_frozen(item) for item in want}, {_frozen(item) for item in have}
        return wanted <= there if more else wanted == there
    if kind == "dict":
        return more and all(key in have and have[key] == value for key, value in want.items())
    left = iter(have)
    return more and all(any(item == other for other in left) for item in want)


def compare(fields: t.Iterable[Field], want: t.Mapping[str, t.Any], have: t.Mapping[str, t.Any]) -> t.List[Change]:
    """The options of want (None: not asked for) that differ from have."""
    return [
        Change(field, have.get(field.option), want[field.option])
        for field in fields
        if want.get(field.option) is not None and not same(field.kind, field.mode, want[field.option], have.get(field.option))
    ]


def render(changes: t.Iterable[Change]) -> t.Tuple[t.Dict[str, t.Any], t.Dict[str, t.Any]]:
    """The before and after of a diff; secrets are replaced."""
    before: t.Dict[str, t.Any] = {}
    after: t.Dict[str, t.Any] = {}
    for change in changes:
        field = change.field
        before[field.option] = None if change.before is None else "(secret)" if field.secret else field.show(change.before)
        after[field.option] = "(secret, changed)" if field.secret else field.show(change.after)
    return before, after
