# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extended attributes that belong to a file wherever it is: those of users (user.*), capabilities, and access control lists.

Others are words of a host's own (labels of SELinux, marks of overlayfs), and never leave it. A file is a descriptor, which may have been
opened with O_PATH.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import typing as t

CAPABILITY = "security.capability"
_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
#: Revisions of capabilities of files (capabilities(7)); the third one names who is root in the namespace where they are in effect.
_SECOND, _THIRD, _REVISION = 0x02000000, 0x03000000, 0xFF000000
#: Entries of an access control list that name somebody (linux/posix_acl_xattr.h): tag, permissions, id; after the version.
_ENTRY, _VERSION, _USER, _GROUP = struct.Struct("<HHI"), 4, 0x02, 0x08

#: From an owner and a group on one side of a copy to those on the other.
Translate = t.Callable[[int, int], t.Tuple[int, int]]


def read(fd: int) -> t.Dict[str, bytes]:
    """By name. OSError."""
    path, found = f"/proc/self/fd/{fd}", {}
    try:
        names = [one for one in os.listxattr(path) if one.startswith("user.") or one == CAPABILITY or one in _ACLS]
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        names = []
    for name in sorted(names):
        with contextlib.suppress(FileNotFoundError):
            try:
                found[name] = os.getxattr(path, name)
            except OSError as error:
                # Removed meanwhile.
                if error.errno != errno.ENODATA:
                    raise
    return found


def write(fd: int, wanted: t.Mapping[str, bytes]) -> None:
    """Have these, and no others that read() would tell. OSError tells what to do where the file system cannot keep one."""
    path, there = f"/proc/self/fd/{fd}", read(fd)
    for name in there.keys() - wanted.keys():
        os.removexattr(path, name)
    for name, value in wanted.items():
        if there.get(name) != value:
            try:
                os.setxattr(path, name, value)
            except OSError as error:
                raise _unsupported(error, name) from error


def check(fd: int, names: t.Iterable[str]) -> None:
    """The error of write() where the file system of a file or directory cannot keep attributes of these names."""
    for name in names:
        try:
            os.getxattr(f"/proc/self/fd/{fd}", name)
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                raise _unsupported(error, name) from error


def _unsupported(error: OSError, name: str) -> OSError:
    if error.errno != errno.ENOTSUP:
        return error
    return OSError(errno.ENOTSUP, f"its file system cannot keep the attribute {name} of the source: give archive=false")


def translated(attributes: t.Mapping[str, bytes], translate: Translate) -> t.Dict[str, bytes]:
    """With the users and groups that they name as the other side has them."""
    found = dict(attributes)
    for name, value in attributes.items():
        if name == CAPABILITY:
            found[name] = for_root(value, translate(root_of(value), 0)[0])
        elif name in _ACLS:
            found[name] = _acl(value, translate)
    return found


def root_of(capability: bytes) -> int:
    """The user for whose namespace capabilities are: struct vfs_ns_cap_data; 0 for those of revision 2, which are for this host."""
    return int(struct.unpack_from("<I", capability, 20)[0]) if len(capability) == 24 else 0


def for_root(capability: bytes, root: int) -> bytes:
    """The same capabilities for the namespace whose root is this user of the host. Older formats stay."""
    magic = struct.unpack_from("<I", capability)[0] if len(capability) in (20, 24) else 0
    if magic & _REVISION not in (_SECOND, _THIRD):
        return capability
    revision, tail = (_THIRD, struct.pack("<I", root)) if root else (_SECOND, b"")
    return struct.pack("<I", magic & ~_REVISION | revision) + capability[4:20] + tail


def _acl(value: bytes, translate: Translate) -> bytes:
    entries = []
    for tag, permissions, one in _ENTRY.iter_unpack(value[_VERSION : len(value) - (len(value) - _VERSION) % _ENTRY.size]):
        if tag == _USER:
            one = translate(one, 0)[0]
        elif tag == _GROUP:
            one = translate(0, one)[1]
        entries.append(_ENTRY.pack(tag, permissions, one))
    return value[:_VERSION] + b"".join(entries)
