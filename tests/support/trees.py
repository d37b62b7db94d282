# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing directory trees entry by entry: everything that a user of the files could tell apart."""

from __future__ import annotations

import hashlib
import os
import pathlib
import stat
import typing as t

#: Set by file systems and mounts, not by what was unpacked.
_FOREIGN_XATTRS = ("security.selinux", "trusted.overlay.", "user.overlay.")


class Node(t.NamedTuple):
    """One entry. links: the paths of its hard links in the tree, in order, when there are several."""

    type: str
    mode: str
    uid: int
    gid: int
    size: int
    mtime_ns: int
    xattrs: t.Tuple[t.Tuple[str, bytes], ...]
    target: str
    sha256: str
    links: t.Tuple[str, ...]
    rdev: t.Tuple[int, int]


Tree = t.Dict[str, Node]
_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFSOCK: "socket",
}


def snapshot(path: t.Union[str, pathlib.Path], skip: t.Collection[str] = ()) -> Tree:
    """The entries below path by their path relative to it ("." is path itself). skip: relative paths to leave out, whole."""
    top = os.fspath(path)
    found: t.Dict[str, os.stat_result] = {".": os.lstat(top)}
    pending = ["."]
    while pending:
        directory = pending.pop()
        for name in os.listdir(os.path.join(top, directory)):
            relative = os.path.normpath(os.path.join(directory, name))
            if relative in skip:
                continue
            found[relative] = status = os.lstat(os.path.join(top, relative))
            if stat.S_ISDIR(status.st_mode):
                pending.append(relative)
    groups: t.Dict[t.Tuple[int, int], t.List[str]] = {}
    for relative in sorted(found):
        if not stat.S_ISDIR(found[relative].st_mode) and found[relative].st_nlink > 1:
            groups.setdefault((found[relative].st_dev, found[relative].st_ino), []).append(relative)
    return {name: _node(os.path.join(top, name), found[name], groups) for name in sorted(found)}


def _node(path: str, status: os.stat_result, groups: t.Mapping[t.Tuple[int, int], t.List[str]]) -> Node:
    kind = stat.S_IFMT(status.st_mode)
    links = groups.get((status.st_dev, status.st_ino), [])
    xattrs = sorted(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in os.listxattr(path, follow_symlinks=False)
        if not name.startswith(_FOREIGN_XATTRS)
    )
    device = kind in (stat.S_IFCHR, stat.S_IFBLK)
    return Node(
        type=_TYPES[kind],
        mode=oct(stat.S_IMODE(status.st_mode)),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if kind in (stat.S_IFREG, stat.S_IFLNK) else 0,
        mtime_ns=status.st_mtime_ns,
        xattrs=tuple(xattrs),
        target=os.readlink(path) if kind == stat.S_IFLNK else "",
        sha256=_hash(path) if kind == stat.S_IFREG else "",
        links=tuple(links) if len(links) > 1 else (),
        rdev=(os.major(status.st_rdev), os.minor(status.st_rdev)) if device else (0, 0),
    )


def _hash(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while True:
            piece = stream.read(1 << 20)
            if not piece:
                return digest.hexdigest()
            digest.update(piece)


def differences(
    left: Tree, right: Tree, ignore: t.Collection[str] = (), names: t.Tuple[str, str] = ("left", "right")
) -> t.List[str]:
    """One line for everything that differs. ignore: fields of Node, or "path:field" for one entry."""
    lines = []
    for path in sorted({*left, *right}):
        if path not in left or path not in right:
            lines.append(f"{path!r} is only in {names[0] if path in left else names[1]}")
            continue
        for field, one, other in zip(Node._fields, left[path], right[path]):
            if one != other and field not in ignore and f"{path}:{field}" not in ignore:
                lines.append(f"{path!r}: {field} is {one!r} in {names[0]}, {other!r} in {names[1]}")
    return lines


def assert_same(left: Tree, right: Tree, ignore: t.Collection[str] = (), names: t.Tuple[str, str] = ("left", "right")) -> None:
    """Fail with the first differences."""
    lines = differences(left, right, ignore, names)
    assert not lines, "\n".join([f"{len(lines)} differences", *lines[:40]])
