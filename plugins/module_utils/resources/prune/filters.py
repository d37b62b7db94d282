# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of containerd_prune, by the names of docker system prune --filter: until, label, label!, dangling and all."""

from __future__ import annotations

import datetime
import re
import time
import typing as t

from ...errors import InvalidArgument, printable
from ...oci.durations import SECOND, parse_duration

_FLAGS = ("dangling", "all")
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?\Z",
)
Pairs = t.Tuple[t.Tuple[str, t.Optional[str]], ...]


class Filters(t.NamedTuple):
    """until: only what was made before, in seconds since the epoch; 0.0 for all. labels: all of these have to be there; without: none of
    these may be there (a value of None: any). flag: dangling, or all; None when it is not given.
    """

    until: float = 0.0
    labels: Pairs = ()
    without: Pairs = ()
    flag: t.Optional[bool] = None

    @property
    def any(self) -> bool:
        return bool(self.until or self.labels or self.without)

    def passes(self, made: float, labels: t.Mapping[str, str]) -> bool:
        """made: seconds since the epoch."""
        return (
            (not self.until or made < self.until)
            and all(_has(labels, pair) for pair in self.labels)
            and not any(_has(labels, pair) for pair in self.without)
        )


def parse_filters(option: str, given: t.Optional[t.Mapping[str, t.Any]], known: t.Sequence[str]) -> Filters:
    """The value of an option. known: the filters that it has. InvalidArgument names option and value."""
    found = Filters()
    for key, value in (given or {}).items():
        what = f"{option}: {key}"
        if key not in known:
            raise InvalidArgument(f"{option}: {printable(key, 80)} is none of {', '.join(known)}")
        if key == "until":
            found = found._replace(until=parse_moment(value, what))
        elif key in _FLAGS:
            found = found._replace(flag=_flag(value, what))
        elif key == "label":
            found = found._replace(labels=_pairs(value, what))
        else:
            found = found._replace(without=_pairs(value, what))
    return found


def parse_moment(value: t.Any, what: str) -> float:
    """Seconds since the epoch: of a number of them, a time as 2026-11-28T09:00:00Z, or a duration before now, as 36h."""
    text = str(value).strip()
    if re.fullmatch(r"\d{9,11}(\.\d+)?", text):
        return float(text)
    moment = _MOMENT.match(text)
    if moment:
        day, clock, zone = moment.groups()
        zone = "+0000" if zone in (None, "Z") else zone.replace(":", "")
        clock = clock or "00:00"
        clock += ":00" if len(clock) == 5 else ""
        try:
            return datetime.datetime.strptime(f"{day} {clock} {zone}", "%Y-%m-%d %H:%M:%S %z").timestamp()
        except ValueError as error:
            raise InvalidArgument(f"{what}: {printable(value, 80)!r} is no time: {error}") from error
    try:
        return time.time() - parse_duration(value, what) / SECOND
    except InvalidArgument as error:
        raise InvalidArgument(f"{error}, nor a time such as 2026-11-28T09:00:00Z, nor seconds since 1970") from error


def _flag(value: t.Any, what: str) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise InvalidArgument(f"{what}: {printable(value, 80)!r} is neither true nor false")
    return str(value).lower() in ("true", "1", "yes")


def _pairs(value: t.Any, what: str) -> Pairs:
    if isinstance(value, dict):
        return tuple((str(name), None if one in (None, "") else str(one)) for name, one in value.items())
    found = []
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, str) or not one:
            raise InvalidArgument(f"{what}: {printable(one, 80)!r} is no label: give name or name=value")
        name, equals, text = one.partition("=")
        found.append((name, text if equals else None))
    return tuple(found)


def _has(labels: t.Mapping[str, str], pair: t.Tuple[str, t.Optional[str]]) -> bool:
    name, value = pair
    return name in labels and value in (None, labels[name])
