# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option volumes_from: a container gets what others have mounted, as it is when it is made."""

from __future__ import annotations

import typing as t

from ....engine import labels as L
from ....errors import FailedPrecondition, InvalidArgument, NotFound, printable
from ....kernel.field import MORE, Field
from ..volumes import in_volume, unowned
from .row import Host, Live, Row, Value, Values, bad, fixed, nothing

if t.TYPE_CHECKING:
    from ....engine.api import Engine

_MODES = {"ro": True, "rw": False}


class Lender(t.NamedTuple):
    """Another container, and what it has mounted. mounts: target, source and options of each; None while there is no such container."""

    name: str
    read_only: bool = False
    mounts: t.Optional[t.Tuple[t.Tuple[str, str, t.Tuple[str, ...]], ...]] = None

    def to_json(self) -> t.Dict[str, t.Any]:
        return self._asdict()

    @classmethod
    def of_json(cls, value: t.Mapping[str, t.Any]) -> Lender:
        mounts = tuple((target, source, tuple(options)) for target, source, options in value["mounts"] or ())
        return cls(value["name"], value["read_only"], mounts)

    def __str__(self) -> str:
        return f"{self.name}:ro" if self.read_only else self.name


def parse_lenders(value: Value, option: str) -> t.List[Lender]:
    found: t.Dict[str, Lender] = {}
    for item in value:
        name, colon, mode = str(item).partition(":")
        if not name or (colon and mode not in _MODES):
            raise bad(option, item, "a container: expected NAME, NAME:ro or NAME:rw")
        if name in found:
            raise InvalidArgument(f"{option}: {printable(name, 100)} is given twice")
        found[name] = Lender(name, _MODES.get(mode, False))
    return list(found.values())


def _known(engine: Engine, own: str, value: t.Sequence[Lender]) -> t.List[Lender]:
    return [_looked_up(engine, own, one) for one in value]


def _looked_up(engine: Engine, own: str, lender: Lender) -> Lender:
    from ..find import find_container
    from .storage import mounted
    from .table import values_of

    found = find_container(engine, lender.name)
    name = (found.labels.get(L.NAME) if found else None) or lender.name
    if own in (name, lender.name):
        raise InvalidArgument(
            f"volumes_from: {printable(lender.name, 100)} is the container itself: give the name of another one"
        )
    if found is None:
        return lender
    if L.DESIRED not in found.extensions:
        raise FailedPrecondition(
            f"volumes_from: the container {name} was not made by this collection, so nobody knows which of its mounts are its volumes: "
            "give them in volumes"
        )
    mounts = ((one["destination"], unowned(one["source"]), tuple(one["options"])) for one in mounted(found, values_of(found)))
    return lender._replace(name=name, mounts=tuple(sorted(mounts)))


def _fit(there: t.Sequence[Lender], values: Values, made: Values, mode: str) -> t.List[Lender]:
    """One that is not there any more has lent what the container has from it."""
    had = {(one.name, one.read_only): one for one in there}
    wanted = [had.get(one[:2], one) if one.mounts is None else one for one in values["volumes_from"]]
    names = {one.name for one in wanted}
    return [*wanted, *(one for one in there if one.name not in names and mode == MORE)]


def _check(host: Host, value: t.Optional[t.Sequence[Lender]]) -> None:
    for one in value or ():
        if one.mounts is None:
            raise NotFound(f"volumes_from: there is no container {printable(one.name, 100)}: make it first")


def borrowed(values: Values) -> t.List[t.Dict[str, t.Any]]:
    """The mounts that a container with these values has from others, as in a specification. Its own options take their targets."""
    own = {one.target for option in ("volumes", "mounts", "tmpfs") for one in values.get(option) or ()}
    found: t.Dict[str, t.Dict[str, t.Any]] = {}
    for lender in values.get("volumes_from") or ():
        for target, source, options in lender.mounts or ():
            more = ["ro"] if lender.read_only and "ro" not in options else []
            kept = [one for one in options if not (more and one == "rw")]
            found[target] = {"destination": target, "type": "bind", "source": source, "options": [*kept, *more]}
    return [mount for target, mount in found.items() if target not in own]


def _as_json(value: t.Sequence[Lender]) -> t.List[t.Dict[str, t.Any]]:
    return [one.to_json() for one in value]


def _shown(value: t.Sequence[Lender]) -> t.Dict[str, t.Any]:
    """What each gives, by target."""
    return {str(one): {target: in_volume(source) for target, source, _options in one.mounts or ()} for one in value}


#: Rendered with the volumes (storage.py).
ROWS = (
    Row(
        Field("volumes_from", "set", MORE, _shown),
        parse_lenders,
        fixed([]),
        nothing,
        Live.NEVER,
        {"HostConfig.VolumesFrom": lambda seen: [str(one) for one in seen.values.get("volumes_from") or ()] or None},
        dump=_as_json,
        load=lambda found: [Lender.of_json(one) for one in found],
        fit=_fit,
        host=_check,
        known=_known,
    ),
)
