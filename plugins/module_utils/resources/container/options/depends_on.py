# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option depends_on: the containers that have to run, or to be healthy, before a container is started. docs/adr/0053."""

from __future__ import annotations

import typing as t

from ....engine import labels as L
from ....errors import InvalidArgument, NotFound, printable
from ....kernel.field import Field
from .row import Context, Draft, Host, Live, Row, Seen, Value, Values, bad, fixed

if t.TYPE_CHECKING:
    from ....engine.api import Engine

STARTED, HEALTHY = "started", "healthy"
#: Also in the words of Compose.
_CONDITIONS = {STARTED: STARTED, HEALTHY: HEALTHY, "service_started": STARTED, "service_healthy": HEALTHY}
_KEYS = ("name", "condition", "restart")


def parse_needs(value: Value, option: str) -> t.List[t.Dict[str, t.Any]]:
    """By name, since their order says nothing."""
    found: t.Dict[str, t.Dict[str, t.Any]] = {}
    for number, item in enumerate(value):
        one = {"name": item} if isinstance(item, str) else item
        if not isinstance(one, dict) or not isinstance(one.get("name"), str) or not one["name"] or not one["name"].isprintable():
            raise bad(f"{option}[{number}]", item, "the name of a container, or a dictionary with name, condition and restart")
        unknown = sorted(map(str, set(one) - set(_KEYS)))
        if unknown:
            raise InvalidArgument(f"{option}[{number}]: unknown key {printable(unknown[0], 80)!r}, known are {', '.join(_KEYS)}")
        condition, restart = one.get("condition") or STARTED, one.get("restart", True)
        if condition not in _CONDITIONS:
            raise bad(f"{option}[{number}].condition", condition, "started or healthy")
        if not isinstance(restart, bool):
            raise bad(f"{option}[{number}].restart", restart, "true or false")
        if one["name"] in found:
            raise InvalidArgument(f"{option}: {printable(one['name'], 100)} is given twice")
        found[one["name"]] = {"name": one["name"], "condition": _CONDITIONS[condition], "restart": restart}
    return [found[name] for name in sorted(found)]


def needs_of(values: Values) -> t.List[t.Tuple[str, str]]:
    """Name and condition of each container that has to be there before."""
    return [(one["name"], one["condition"]) for one in values.get("depends_on") or ()]


def _known(engine: Engine, own: str, value: Value) -> t.List[t.Dict[str, t.Any]]:
    """With names where a task gives ids. InvalidArgument for a circle."""
    from ..find import find_container

    found = []
    for one in value:
        other = find_container(engine, one["name"])
        name = (other.labels.get(L.NAME) if other else None) or one["name"]
        circle = _way(engine, name, own, (own,))
        if circle:
            raise InvalidArgument(f"depends_on: {' needs '.join(circle)}: this is a circle, so none of them could be the first")
        found.append({**one, "name": name})
    return found


def _way(engine: Engine, name: str, to: str, way: t.Tuple[str, ...]) -> t.Tuple[str, ...]:
    """How one container needs another one, if it does."""
    from ..find import find_container
    from .table import values_of

    if name in way:
        return (*way, name) if name == to else ()
    other = find_container(engine, name)
    for need, _condition in needs_of(values_of(other)) if other else ():
        found = _way(engine, need, to, (*way, name))
        if found:
            return found
    return ()


def _check(host: Host, value: t.Optional[Value]) -> None:
    """That they are there, and can become what is asked for."""
    from ..find import find_container
    from .supervision import supervision_of
    from .table import values_of

    for one in value or ():
        other = find_container(host.engine, one["name"])
        if other is None:
            raise NotFound(f"depends_on: there is no container {printable(one['name'], 100)}: make it first")
        if one["condition"] == HEALTHY and supervision_of({}, values_of(other)).health is None:
            raise InvalidArgument(f"depends_on: {one['name']} is to be healthy, and has no health check")


def _labels(draft: Draft, value: Value, context: Context) -> None:
    """By these a container finds who depends on it."""
    kept = {key: item for key, item in draft.labels.items() if not key.startswith(L.NEEDS)}
    draft.labels = {**kept, **{L.NEEDS + one["name"]: "true" for one in value if one["restart"]}}


def _seen(seen: Seen) -> t.List[t.Dict[str, t.Any]]:
    return [dict(one) for one in seen.values.get("depends_on") or ()]


ROWS = (
    Row(
        Field("depends_on", "set"),
        parse_needs,
        fixed([]),
        _labels,
        Live.SUPERVISOR,
        {"Containerd.DependsOn": _seen},
        host=_check,
        known=_known,
    ),
)
