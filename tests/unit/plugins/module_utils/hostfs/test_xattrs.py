# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extended attributes that a copy of a file keeps."""

from __future__ import annotations

import os
import pathlib
import struct
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.hostfs import xattrs
from ansible_collections.fleet.containerd.tests.support.stories.copying import ACL, CAPABLE

BASE = 100_000


def to_host(uid: int, gid: int) -> t.Tuple[int, int]:
    return BASE + uid, 2 * BASE + gid


def to_container(uid: int, gid: int) -> t.Tuple[int, int]:
    return max(0, uid - BASE), max(0, gid - 2 * BASE)


def test_only_those_that_belong_to_the_file(tmp_path: pathlib.Path) -> None:
    """Of a file that is open with O_PATH; what is not wanted goes, but a host's own words stay."""
    path = tmp_path / "file"
    path.write_text("a program")
    given = {"user.a": b"\0\xff", "user.b": b"", "security.capability": CAPABLE, "system.posix_acl_access": ACL}
    for name, value in {**given, "trusted.overlay.opaque": b"y"}.items():
        os.setxattr(path, name, value)
    fd = os.open(path, os.O_PATH)
    try:
        assert xattrs.read(fd) == given
        xattrs.write(fd, {"user.b": b"new", "user.c": b"c"})
        assert xattrs.read(fd) == {"user.b": b"new", "user.c": b"c"}
        assert os.getxattr(path, "trusted.overlay.opaque") == b"y"
        xattrs.write(fd, given)
        assert xattrs.read(fd) == given
    finally:
        os.close(fd)


def test_names_of_users_are_translated() -> None:
    """There and back; those of another namespace's root are kept apart."""
    given = {"user.a": b"a", "security.capability": CAPABLE, "system.posix_acl_access": ACL}
    there = xattrs.translated(given, to_host)
    assert struct.unpack("<IIIIII", there["security.capability"]) == (0x03000001, 1 << 13, 0, 0, 0, BASE)
    (tag, _permissions, user), (group_tag, _more, group) = (
        struct.unpack_from("<HHI", there["system.posix_acl_access"], at) for at in (12, 28)
    )
    assert (tag, user, group_tag, group) == (2, BASE + 7, 8, 2 * BASE + 7)
    assert xattrs.translated(there, to_container) == given
    own = xattrs.for_root(CAPABLE, 5)
    assert xattrs.root_of(xattrs.translated({"security.capability": own}, to_host)["security.capability"]) == BASE + 5


@pytest.mark.parametrize("value", [b"", b"\1", b"\1\0\0\1" + bytes(8), ACL[:-3]])
def test_damaged_values_are_no_error(value: bytes) -> None:
    """An attacker may have written them: the kernel says what it takes."""
    found = xattrs.translated({"security.capability": value, "system.posix_acl_access": value}, to_host)
    assert found["security.capability"] == value


def test_a_file_system_that_keeps_none() -> None:
    fd = os.open("/proc/self/status", os.O_PATH)
    try:
        assert xattrs.read(fd) == {}
        said = "its file system cannot keep the attribute user.a of the source: give archive=false"
        with pytest.raises(OSError, match=said):
            xattrs.check(fd, ["user.a"])
        with pytest.raises(OSError, match=said):
            xattrs.write(fd, {"user.a": b"a"})
    finally:
        os.close(fd)
