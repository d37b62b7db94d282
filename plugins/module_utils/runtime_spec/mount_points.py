# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts as dictionaries, as in docker run --mount, and temporary file systems, as in docker run --tmpfs."""

from __future__ import annotations

import re
import typing as t

from ..errors import InvalidArgument, printable
from ..oci.sizes import parse_size
from ..oci.volume_name import check_name
from .mounts import mount

BIND, TMPFS, IMAGE, VOLUME = "bind", "tmpfs", "image", "volume"
_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
#: Which keys belong to which types.
_KEYS: t.Dict[str, t.Tuple[str, ...]] = {
    BIND: ("propagation", "create_mountpoint", "non_recursive", "read_only_non_recursive", "read_only_force_recursive"),
    TMPFS: ("tmpfs_size", "tmpfs_mode", "tmpfs_options"),
    IMAGE: (),
    VOLUME: ("no_copy", "labels", "subpath"),
}
_COMMON = ("target", "source", "type", "read_only")
#: Docker's for a tmpfs. An option takes the place of its opposite.
_TMPFS = ("nosuid", "nodev", "noexec")
_OPPOSITES = {"suid": "nosuid", "dev": "nodev", "exec": "noexec", "rw": "ro", "atime": "noatime", "diratime": "nodiratime"}
_FLAGS = {*_OPPOSITES, *_OPPOSITES.values(), "relatime", "norelatime", "strictatime", "nostrictatime", "sync", "async"}
_VALUES = {"size", "nr_inodes", "nr_blocks", "mode", "uid", "gid", "huge", "mpol"}


class MountPoint(t.NamedTuple):
    """kind: bind, tmpfs, image or volume. source: a path of the host, an image, or a volume; empty for tmpfs, and for a volume of the
    container alone. options: those of the specification, and nocopy.

    create: make the source, a directory, if it is missing. part: a path in a volume. force: read-only all the way down, or an error.
    labels: of a volume that the mount makes.
    """

    kind: str
    source: str
    target: str
    options: t.Tuple[str, ...] = ()
    create: bool = False
    part: str = ""
    force: bool = False
    labels: t.Tuple[t.Tuple[str, str], ...] = ()

    def to_json(self) -> t.Dict[str, t.Any]:
        return {**self._asdict(), "options": list(self.options), "labels": dict(self.labels)}

    @classmethod
    def of_json(cls, value: t.Mapping[str, t.Any]) -> MountPoint:
        labels = tuple((value.get("labels") or {}).items())
        return cls(**{**value, "options": tuple(value["options"]), "labels": labels})

    @property
    def binds(self) -> bool:
        return self.kind == BIND

    @property
    def of_image(self) -> bool:
        return self.kind == IMAGE

    @property
    def of_volume(self) -> bool:
        return self.kind == VOLUME

    @property
    def read_only(self) -> bool:
        return "ro" in self.options


def parse_mount(value: t.Mapping[str, t.Any], option: str) -> MountPoint:
    """A mount. InvalidArgument names option and value."""
    given = {key: item for key, item in value.items() if item is not None}
    kind, target = str(given.get("type", VOLUME)), absolute(given.get("target"), f"{option}.target")
    if kind not in _KEYS:
        raise InvalidArgument(f"{option}.type: {printable(kind, 80)!r} is none of {', '.join(_KEYS)}")
    for key in given:
        if key not in (*_COMMON, *_KEYS[kind]):
            raise InvalidArgument(f"{option}.{printable(key, 80)}: is not for a mount of type {kind} ({printable(target, 200)})")
    if kind == TMPFS:
        return _tmpfs(given, target, option)
    source = str(given.get("source") or "")
    if kind == VOLUME:
        return _volume(given, source, target, option)
    if kind == IMAGE:
        if not source:
            raise InvalidArgument(
                f"{option}.source: {printable(source, 200)!r} is not the name of an image (on {printable(target, 200)})"
            )
        return MountPoint(kind, source, target, ("ro",))
    return _bind(given, absolute(source, f"{option}.source"), target, option)


def _volume(given: t.Mapping[str, t.Any], source: str, target: str, option: str) -> MountPoint:
    words = [word for word, key in (("nocopy", "no_copy"), ("ro", "read_only")) if given.get(key)]
    for key in ("labels", "subpath"):
        if given.get(key) and not source:
            raise InvalidArgument(f"{option}.{key}: needs source, the name of a volume ({printable(target, 200)})")
    point = MountPoint(VOLUME, check_name(source, f"{option}.source") if source else "", target, tuple(words))
    if given.get("subpath") is not None:
        point = point._replace(part=_inside(given["subpath"], f"{option}.subpath"))
    return point._replace(labels=tuple(sorted((given.get("labels") or {}).items())))


def _inside(path: object, option: str) -> str:
    """A normalised path in a volume."""
    text = str(path)
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or not parts or ".." in parts or "\x00" in text:
        raise InvalidArgument(
            f"{option}: {printable(path, 200)!r} is not a path inside of a volume, such as pages/today, without .."
        )
    return "/".join(parts)


def absolute(path: object, option: str) -> str:
    """A normalised path below /."""
    text = path if isinstance(path, str) else ""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not text.startswith("/") or ".." in parts or "\x00" in text or (not parts and not option.endswith("source")):
        raise InvalidArgument(f"{option}: {printable(path, 200)!r} is not an absolute path below /")
    return "/" + "/".join(parts)


def _bind(given: t.Mapping[str, t.Any], source: str, target: str, option: str) -> MountPoint:
    propagation = str(given.get("propagation", "rprivate"))
    if propagation not in _PROPAGATION:
        raise InvalidArgument(f"{option}.propagation: {printable(propagation, 80)!r} is none of {', '.join(_PROPAGATION)}")
    top, force = given.get("read_only_non_recursive", False), given.get("read_only_force_recursive", False)
    if (top or force) and (not given.get("read_only") or (top and force)):
        key = "read_only_non_recursive" if top else "read_only_force_recursive"
        why = "needs read_only" if not given.get("read_only") else "contradicts read_only_force_recursive"
        raise InvalidArgument(f"{option}.{key}: {why} ({printable(target, 200)})")
    binds = "bind" if given.get("non_recursive") else "rbind"
    ways = ["ro", *([] if top or binds == "bind" else ["rro"])] if given.get("read_only") else []
    return MountPoint(
        BIND, source, target, (binds, *ways, propagation), create=bool(given.get("create_mountpoint")), force=bool(force)
    )


def _tmpfs(given: t.Mapping[str, t.Any], target: str, option: str) -> MountPoint:
    if given.get("source"):
        raise InvalidArgument(
            f"{option}.source: {printable(given['source'], 200)!r}: a tmpfs has no source ({printable(target, 200)})"
        )
    words: t.List[str] = []
    for one in given.get("tmpfs_options") or ():
        pairs = one.items() if isinstance(one, dict) else [(str(one).partition("=")[::2])]
        words += [f"{key}={item}" if item not in (None, "") else str(key) for key, item in pairs]
    if given.get("tmpfs_size") is not None:
        words.append(f"size={given['tmpfs_size']}")
    if given.get("tmpfs_mode") is not None:
        words.append(f"mode={given['tmpfs_mode']}")
    if given.get("read_only"):
        words.append("ro")
    return MountPoint(TMPFS, "", target, tmpfs_options(words, f"{option} ({printable(target, 200)})"))


def parse_tmpfs(text: object, option: str) -> MountPoint:
    """path[:option,...]."""
    path, _colon, words = text.partition(":") if isinstance(text, str) else ("", "", "")
    target = absolute(path or text, option)
    return MountPoint(
        TMPFS, "", target, tmpfs_options([one for one in words.split(",") if one], f"{option}: {printable(text, 200)!r}")
    )


def tmpfs_options(words: t.Iterable[str], what: str) -> t.Tuple[str, ...]:
    """The options of a tmpfs with the defaults, sorted, with sizes in bytes."""
    found = dict.fromkeys(_TMPFS, "")
    for word in words:
        key, _equals, value = word.partition("=")
        if key not in (_VALUES if value else _FLAGS):
            raise InvalidArgument(f"{what}: {printable(word, 80)!r} is not an option of a tmpfs")
        if key in _OPPOSITES:
            found.pop(_OPPOSITES[key], None)
        if key == "size" and not re.fullmatch(r"\d{1,3}%", value):
            value = str(parse_size(value, f"{what}: size"))
        if key == "mode" and not re.fullmatch(r"0?[0-7]{1,4}", value):
            raise InvalidArgument(f"{what}: {printable(word, 80)!r} is not an octal mode such as mode=1777")
        if key in ("uid", "gid", "nr_inodes", "nr_blocks") and not re.fullmatch(r"\d{1,10}[kmg]?", value):
            raise InvalidArgument(f"{what}: {printable(word, 80)!r} is not a number")
        if key not in _OPPOSITES:
            found[key] = value
        elif key != "rw":
            found[key] = ""
    return tuple(sorted(f"{key}={value}" if value else key for key, value in found.items()))


def add_mount(spec: t.Mapping[str, t.Any], point: MountPoint, recursive: bool) -> None:
    """Add a bind or a tmpfs. recursive: whether the kernel can make what is mounted below the source read-only, too."""
    options = [one for one in point.options if recursive or one != "rro"]
    source = point.source or "tmpfs"
    spec["mounts"].append(mount(point.target, point.kind, source, " ".join(options)))


def arrange(spec: t.Mapping[str, t.Any]) -> None:
    """Order the mounts so that none hides another; what a task mounts takes the place of what is always mounted there."""
    last = {one["destination"]: one for one in spec["mounts"]}
    spec["mounts"][:] = sorted(last.values(), key=lambda one: str(one["destination"]).count("/"))
    if any({"shared", "rshared"} & set(one["options"]) for one in spec["mounts"]):
        # Otherwise the runtime cuts the way back to the host.
        spec["linux"]["rootfsPropagation"] = "shared"
