# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The formats of logs: docker's json-file (ours, and nerdctl's), and the kubelet's (CRI)."""

from __future__ import annotations

import calendar
import json
import re
import typing as t

from ...errors import InvalidArgument, printable

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9})\d*)?)?)?(Z|[+-]\d\d:?\d\d)?\Z", re.IGNORECASE | re.ASCII
)
_SECOND = 10**9


class Record(t.NamedTuple):
    """A line, or a piece of one. ends: it is the last piece; text is without the end of the line."""

    time: str
    stream: str
    text: str
    ends: bool

    @property
    def nanoseconds(self) -> int:
        """Since the epoch; 0 for a time that is none."""
        return nanoseconds(self.time) or 0


def nanoseconds(text: str) -> t.Optional[int]:
    """Those since the epoch of an RFC 3339 time, or a date; UTC when it does not say. None for anything else."""
    found = _TIME.match(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(one or 0) for one in found.group(1, 2, 3, 4, 5, 6))
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        return None
    zone = found[8] or "Z"
    offset = 0 if zone in "Zz" else (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60) * (-1 if zone[0] == "-" else 1)
    seconds = calendar.timegm((year, month, day, hour, minute, second)) - offset
    return seconds * _SECOND + int((found[7] or "0").ljust(9, "0"))


def from_json(line: bytes) -> t.Optional[Record]:
    """Of a json-file log; None for a line that is damaged, as the last one of a writer that was killed."""
    try:
        entry = json.loads(line)
        text = entry["log"]
        ends = text.endswith("\n")
        return Record(str(entry.get("time", "")), str(entry["stream"]), text[:-1] if ends else text, ends)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def from_cri(line: bytes) -> t.Optional[Record]:
    """Of the kubelet's log: the time, the stream, tags (P: more follows), the text (kubernetes, pkg/kubelet/kuberuntime/logs)."""
    parts = line.decode("utf-8", "replace").split(" ", 3)
    if len(parts) < 3 or parts[1] not in ("stdout", "stderr"):
        return None
    return Record(parts[0], parts[1], parts[3] if len(parts) > 3 else "", "P" not in parts[2].split(":"))


def joined(records: t.Iterable[Record]) -> t.Iterator[Record]:
    """Whole lines from their pieces, which are in order; what has no end comes last."""
    pieces: t.Dict[str, t.List[Record]] = {}
    for one in records:
        pieces.setdefault(one.stream, []).append(one)
        if one.ends:
            yield _line(pieces.pop(one.stream))
    for rest in pieces.values():
        yield _line(rest)


def _line(pieces: t.Sequence[Record]) -> Record:
    return pieces[0] if len(pieces) == 1 else pieces[0]._replace(text="".join(one.text for one in pieces), ends=pieces[-1].ends)


def parse_moment(value: t.Any, option: str, now: int, start: int) -> t.Optional[int]:
    """Nanoseconds since the epoch: an RFC 3339 time, seconds since the epoch, start (of the container), or how long ago (10m)."""
    from ...oci.durations import parse_duration

    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if text == "start":
        return start
    if re.fullmatch(r"\d{9,11}(\.\d{1,9})?", text):
        seconds, _dot, fraction = text.partition(".")
        return int(seconds) * _SECOND + int(fraction.ljust(9, "0"))
    moment = nanoseconds(text)
    if moment is None:
        try:
            moment = now - parse_duration(text, option)
        except InvalidArgument as error:
            raise InvalidArgument(
                f"{option}: {printable(value, 80)!r} is neither a time such as 2026-11-28T09:00:00Z, nor a duration such as 10m"
            ) from error
    return moment
