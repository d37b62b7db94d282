# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes: source:target[:options], as in docker run --volume. So far only host paths."""

from __future__ import annotations

import typing as t

from ..errors import InvalidArgument, Unimplemented, printable

_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_KNOWN = ("ro", "rw", "z", "Z", *_PROPAGATION)


class Volume(t.NamedTuple):
    """source and target: absolute, normalised paths. options: sorted, without rw, which is the default."""

    source: str
    target: str
    options: t.Tuple[str, ...] = ()

    def to_json(self) -> t.Dict[str, t.Any]:
        return {"source": self.source, "target": self.target, "options": list(self.options)}

    @classmethod
    def of_json(cls, value: t.Mapping[str, t.Any]) -> Volume:
        return cls(value["source"], value["target"], tuple(value["options"]))

    def __str__(self) -> str:
        return ":".join([self.source, self.target, *([",".join(self.options)] if self.options else [])])


def _normal(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def parse_volume(text: object, option: str = "volumes") -> Volume:
    """Parse a volume. InvalidArgument names option and value."""
    parts = text.split(":") if isinstance(text, str) else []
    if not 2 <= len(parts) <= 3 or not all(parts) or "\x00" in str(text):
        raise InvalidArgument(f"{option}: {printable(text, 200)!r} is not a volume: expected source:target[:options]")
    source, target = parts[0], parts[1]
    if not source.startswith("/"):
        if source.startswith((".", "~")):
            raise InvalidArgument(f"{option}: the source of {printable(text, 200)!r} is not an absolute path")
        raise Unimplemented(
            f"{option}: {printable(text, 200)!r} names a volume; so far only directories and files of the host work"
        )
    if not target.startswith("/") or _normal(target) == "/":
        raise InvalidArgument(f"{option}: the target of {printable(text, 200)!r} is not an absolute path below /")
    if ".." in source.split("/") or ".." in target.split("/"):
        raise InvalidArgument(f"{option}: {printable(text, 200)!r} has .. in a path")
    options = [item for item in parts[2].split(",") if item] if len(parts) == 3 else []
    for item in options:
        if item not in _KNOWN:
            raise InvalidArgument(
                f"{option}: {printable(text, 200)!r} has the unknown option {printable(item, 40)!r}; known are {', '.join(_KNOWN)}"
            )
    if {"ro", "rw"} <= set(options) or len(set(options) & set(_PROPAGATION)) > 1:
        raise InvalidArgument(f"{option}: the options of {printable(text, 200)!r} contradict each other")
    return Volume(_normal(source), _normal(target), tuple(sorted(set(options) - {"rw"})))
