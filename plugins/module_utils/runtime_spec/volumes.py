# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes: [source:]target[:options], as in docker run --volume."""

from __future__ import annotations

import typing as t

from ..errors import InvalidArgument, printable
from ..oci.volume_name import check_name

_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_KNOWN = ("ro", "rw", "z", "Z", "nocopy", *_PROPAGATION)


class Volume(t.NamedTuple):
    """source: an absolute path of the host, the name of a volume, or empty for a volume of the container alone. target: an absolute path.

    Both are normalised. options: sorted, without rw, which is the default. part: a path in the volume, which is mounted in its place
    (mounts only).
    """

    source: str
    target: str
    options: t.Tuple[str, ...] = ()
    part: str = ""

    def to_json(self) -> t.Dict[str, t.Any]:
        return {"source": self.source, "target": self.target, "options": list(self.options)}

    @classmethod
    def of_json(cls, value: t.Mapping[str, t.Any]) -> Volume:
        return cls(value["source"], value["target"], tuple(value["options"]))

    def __str__(self) -> str:
        return ":".join(part for part in (self.source, self.target, ",".join(self.options)) if part)

    @property
    def named(self) -> bool:
        return not (self.anonymous or self.of_host)

    @property
    def anonymous(self) -> bool:
        return not self.source

    @property
    def of_host(self) -> bool:
        return self.source.startswith("/")


def _normal(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def parse_volume(text: object, option: str = "volumes") -> Volume:
    """Parse a volume. InvalidArgument names option and value."""
    parts = text.split(":") if isinstance(text, str) else []
    if not 1 <= len(parts) <= 3 or not all(parts) or "\x00" in str(text):
        raise InvalidArgument(f"{option}: {printable(text, 200)!r} is not a volume: expected [source:]target[:options]")
    source, target = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    if source.startswith((".", "~")):
        raise InvalidArgument(
            f"{option}: the source of {printable(text, 200)!r} is neither an absolute path nor the name of a volume"
        )
    if source and not source.startswith("/"):
        check_name(source, f"{option}: {printable(text, 200)!r}")
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
    if "nocopy" in options and source.startswith("/"):
        raise InvalidArgument(
            f"{option}: {printable(text, 200)!r}: nocopy is for named volumes, since nothing is copied into paths of the host"
        )
    if {"ro", "rw"} <= set(options) or len(set(options) & set(_PROPAGATION)) > 1:
        raise InvalidArgument(f"{option}: the options of {printable(text, 200)!r} contradict each other")
    return Volume(_normal(source) if source.startswith("/") else source, _normal(target), tuple(sorted(set(options) - {"rw"})))
