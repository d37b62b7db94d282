# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of the host in a container, and rules of its control group about devices."""

from __future__ import annotations

import os
import re
import stat
import typing as t

from ..errors import InvalidArgument, printable

_ACCESS = "rwm"
_CDI = r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*=[A-Za-z0-9_][A-Za-z0-9_.:-]*"
_RULE = r"([acb]) (\d{1,10}|\*):(\d{1,10}|\*) ([rwm]{1,3})"
#: Below /dev, and no devices of the host for everybody: mounts of the container's own.
_OWN = ("console", "fd", "mqueue", "pts", "shm", "ptmx")
#: A directory with more devices is a mistake.
_MOST = 4096
_DEPTH = 8


class Device(t.NamedTuple):
    """source: a device of the host, or a directory with devices; or the name of a CDI device, which has no target and access.

    access: of rwm (read, write, mknod).
    """

    source: str
    target: str = ""
    access: str = ""

    def __str__(self) -> str:
        return ":".join(part for part in self if part)

    @property
    def of_cdi(self) -> bool:
        return not self.source.startswith("/")


class DeviceRule(t.NamedTuple):
    """A rule of a control group: kind a, b or c; numbers, -1 for all."""

    kind: str
    major: int
    minor: int
    access: str

    def __str__(self) -> str:
        major, minor = ("*" if one < 0 else str(one) for one in (self.major, self.minor))
        return f"{self.kind} {major}:{minor} {self.access}"


def is_cdi(text: str) -> bool:
    return bool(re.fullmatch(_CDI, text))


def _ordered(access: str) -> str:
    return "".join(letter for letter in _ACCESS if letter in access)


def parse_device(text: object, option: str) -> Device:
    """source[:target][:access], or the name of a CDI device. InvalidArgument names option and value."""
    if isinstance(text, str) and is_cdi(text):
        return Device(text)
    parts = text.split(":") if isinstance(text, str) else []
    access = _ACCESS
    if len(parts) > 1 and parts[-1] and not set(parts[-1]) - set(_ACCESS):
        access = _ordered(parts.pop())
    if not 1 <= len(parts) <= 2 or not all(one.startswith("/") and "\x00" not in one for one in parts):
        raise InvalidArgument(
            f"{option}: {printable(text, 200)!r} is not a device: expected source[:target][:rwm], or a name of CDI (vendor.com/class=name)"
        )
    paths = ["/" + "/".join(part for part in one.split("/") if part not in ("", ".")) for one in parts]
    if any(".." in one.split("/") or one == "/" for one in paths):
        raise InvalidArgument(f"{option}: {printable(text, 200)!r} has a path that cannot be a device")
    return Device(paths[0], paths[-1], access)


def parse_device_rule(text: object, option: str) -> DeviceRule:
    """A rule such as c 42:* rmw."""
    found = re.fullmatch(_RULE, text) if isinstance(text, str) else None
    if not found:
        raise InvalidArgument(f"{option}: {printable(text, 200)!r} is not a rule such as c 42:* rwm")
    major, minor = (-1 if one == "*" else int(one) for one in found.group(2, 3))
    return DeviceRule(found.group(1), major, minor, _ordered(found.group(4)))


def check_device(device: Device, option: str) -> None:
    """Raise InvalidArgument when the host has no such device."""
    list(_nodes(device, option))


def add_device(spec: t.Mapping[str, t.Any], device: Device, option: str) -> None:
    """Add a device of the host, or those in a directory of it."""
    for target, found in _nodes(device, option):
        add_node(spec, node(target, found), device.access)


def node(target: str, found: os.stat_result) -> t.Dict[str, t.Any]:
    """An entry of linux.devices."""
    return {
        "path": target,
        "type": "b" if stat.S_ISBLK(found.st_mode) else "c",
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }


def add_node(spec: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any], access: str) -> None:
    """Add an entry of linux.devices instead of one with the same path; with access, the control group allows it."""
    linux = spec["linux"]
    linux["devices"] = [one for one in linux.get("devices") or () if one["path"] != entry["path"]] + [dict(entry)]
    if access:
        allow(spec, DeviceRule(entry["type"], entry["major"], entry["minor"], access))


def allow(spec: t.Mapping[str, t.Any], rule: DeviceRule) -> None:
    numbers = {key: value for key, value in (("major", rule.major), ("minor", rule.minor)) if value >= 0}
    spec["linux"]["resources"]["devices"].append({"allow": True, "type": rule.kind, **numbers, "access": rule.access})


def add_all_devices(spec: t.Mapping[str, t.Any]) -> None:
    """As for a privileged container: all that the host has, and all others."""
    spec["linux"]["resources"]["devices"] = [{"allow": True, "access": _ACCESS}]
    for target, found in _walk("/dev", "/dev", _DEPTH, _OWN):
        add_node(spec, node(target, found), "")


def _nodes(device: Device, option: str) -> t.Iterator[t.Tuple[str, os.stat_result]]:
    """The devices with their paths in the container."""
    try:
        found = os.stat(device.source)
    except OSError as error:
        raise InvalidArgument(f"{option}: {printable(device.source, 200)} cannot be used: {error.strerror}") from error
    if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        yield device.target, found
        return
    inside = list(_walk(os.path.realpath(device.source), device.target, _DEPTH)) if stat.S_ISDIR(found.st_mode) else []
    if not inside or len(inside) > _MOST:
        raise InvalidArgument(
            f"{option}: {printable(device.source, 200)} is no device, nor a directory with (at most {_MOST}) devices"
        )
    yield from inside


def _walk(source: str, target: str, depth: int, but: t.Collection[str] = ()) -> t.Iterator[t.Tuple[str, os.stat_result]]:
    """The devices below a directory; links in it are not followed. What goes meanwhile was not there."""
    try:
        entries = sorted(os.scandir(source), key=lambda one: one.name)
    except OSError:
        return
    for entry in entries:
        if entry.name in but or entry.name.startswith(".") or entry.is_symlink():
            continue
        path = os.path.join(target, entry.name)
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISDIR(found.st_mode) and depth:
            yield from _walk(entry.path, path, depth - 1)
        elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            yield path, found
