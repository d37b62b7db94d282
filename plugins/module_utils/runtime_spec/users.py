# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users inside a root file system: names are looked up in its untrusted /etc/passwd and /etc/group."""

from __future__ import annotations

import os
import typing as t

from ..errors import InvalidArgument, from_os_error, printable
from ..hostfs.inside import open_file_inside

_FILE_LIMIT = 4 * 1024 * 1024
_ID_LIMIT = 2**31


class User(t.NamedTuple):
    """The user of a process. groups: the additional ones. home: empty if /etc/passwd does not tell."""

    uid: int = 0
    gid: int = 0
    groups: t.Tuple[int, ...] = ()
    home: str = ""


def read_inside(root_fd: int, path: str, limit: int = _FILE_LIMIT) -> bytes:
    """Read a regular file of a root file system, with links resolved inside it; empty without one. It never blocks on a fifo."""
    try:
        fd = open_file_inside(root_fd, path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        data = b""
        while len(data) < limit:
            block = os.read(fd, limit - len(data))
            if not block:
                break
            data += block
        return data
    except OSError as error:
        raise from_os_error(error, f"reading {path} of the image") from error
    finally:
        os.close(fd)


def _lines(data: bytes, fields: int) -> t.Iterator[t.List[str]]:
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        parts = line.split(":")
        if len(parts) >= fields and not line.startswith("#"):
            yield parts


def _id(text: str) -> int:
    """An id in /etc/passwd or /etc/group; -1 if it is not a number in the valid range."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 and int(text) < _ID_LIMIT else -1


def _number(text: str, what: str, option: str) -> t.Optional[int]:
    """A numeric id, or None for a name. Digits are taken as an id first."""
    if not text.isascii() or not text.lstrip("+-").isdigit():
        return None
    if not text.isdigit() or len(text.lstrip("0")) > 10 or int(text) >= _ID_LIMIT:
        raise InvalidArgument(f"{option}: the {what} {printable(text, 40)} is out of range: 0 to {_ID_LIMIT - 1}")
    return int(text)


#: How a file of a root file system is read, by its path.
Read = t.Callable[[int, str], bytes]


def resolve_user(root_fd: int, text: str, option: str = "user", read: Read = read_inside) -> User:
    """user[:group] in the root file system at root_fd. InvalidArgument names option and value."""
    if not text:
        text = "0"
    name, _colon, group = text.partition(":")
    passwd = list(_lines(read(root_fd, "etc/passwd"), 4))
    uid, gid, home = _number(name, "user id", option), 0, ""
    for entry in passwd:
        if (entry[0] == name if uid is None else _id(entry[2]) == uid) and _id(entry[2]) >= 0:
            name, uid, gid, home = entry[0], _id(entry[2]), max(0, _id(entry[3])), entry[5] if len(entry) > 5 else ""
            break
    if uid is None:
        raise InvalidArgument(f"{option}: the image has no user {printable(name, 80)!r} in its /etc/passwd")
    groups = list(_lines(read(root_fd, "etc/group"), 3))
    if group:
        number = _number(group, "group id", option)
        for entry in groups:
            if number is None and entry[0] == group and _id(entry[2]) >= 0:
                number = _id(entry[2])
        if number is None:
            raise InvalidArgument(f"{option}: the image has no group {printable(group, 80)!r} in its /etc/group")
        return User(uid, number, (number,), home)
    members = {_id(entry[2]) for entry in groups if len(entry) > 3 and name in entry[3].split(",") and _id(entry[2]) >= 0}
    return User(uid, gid, tuple(sorted(members | {gid})), home)


def resolve_groups(root_fd: int, texts: t.Iterable[str], option: str = "groups", read: Read = read_inside) -> t.List[int]:
    """The ids of groups, by name or number, in the root file system at root_fd. InvalidArgument names option and value."""
    by_name: t.Optional[t.Dict[str, int]] = None
    found = []
    for text in texts:
        number = _number(text, "group id", option)
        if number is None:
            if by_name is None:
                lines = list(_lines(read(root_fd, "etc/group"), 3))
                by_name = {entry[0]: _id(entry[2]) for entry in reversed(lines)}
            number = by_name.get(text, -1)
        if number < 0:
            raise InvalidArgument(f"{option}: the image has no group {printable(text, 80)!r} in its /etc/group")
        found.append(number)
    return found
