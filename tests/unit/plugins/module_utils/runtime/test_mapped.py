# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of an image with the owners that a container's users are on the host."""

from __future__ import annotations

import os
import pathlib
import socket
import stat
import struct

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.mapped import map_owners
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.user_namespace import Mapping
from ansible_collections.fleet.containerd.tests.support.trees import snapshot

MAPPING = Mapping(100000, 300000, 65536)
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)


def give(root: pathlib.Path) -> None:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        map_owners(fd, MAPPING)
    finally:
        os.close(fd)


def owner(path: pathlib.Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    root = tmp_path / "tree"
    (root / "sub/below").mkdir(parents=True)
    (root / "sub/below/file").write_text("text")
    os.chown(root / "sub/below/file", 65535, 7)
    os.link(root / "sub/below/file", root / "hard")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").touch()
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "sub/dangling").symlink_to("/nowhere")
    os.mkfifo(root / "fifo")
    os.mknod(root / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    for name, mode in (("setuid", 0o4755), ("setgid", 0o2711), ("capable", 0o755)):
        (root / name).write_text("a program\n")
        (root / name).chmod(mode)
    (root / "sub").chmod(0o3770)
    os.setxattr(root / "capable", "security.capability", CAPABILITY)
    return root


def test_every_file_once_and_no_other(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    outside = snapshot(tmp_path / "outside")
    modes = {path: path.lstat().st_mode for path in tree.rglob("*")}
    give(tree)
    owners = {path.relative_to(tree).as_posix(): owner(path) for path in tree.rglob("*")}
    mapped = (MAPPING.uid + 65535, MAPPING.gid + 7)
    assert {name: one for name, one in owners.items() if one != (MAPPING.uid, MAPPING.gid)} == {
        "hard": mapped,
        "sub/below/file": mapped,
    }
    assert owner(tree) == (MAPPING.uid, MAPPING.gid)
    assert {path: path.lstat().st_mode for path in tree.rglob("*")} == modes
    found = os.getxattr(tree / "capable", "security.capability")
    assert struct.unpack("<IIIIII", found) == (0x03000001, 1 << 10, 0, 0, 0, MAPPING.uid)
    assert snapshot(tmp_path / "outside") == outside
    before = snapshot(tree)
    give(tree)
    assert snapshot(tree) == before


def test_a_directory_of_many_levels(tmp_path: pathlib.Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    for _level in range(700):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    give(tmp_path)
    try:
        assert os.fstat(here).st_uid == MAPPING.uid
    finally:
        os.close(here)


def test_an_owner_that_the_container_has_not(tree: pathlib.Path) -> None:
    os.chown(tree / "fifo", 0, 65536)
    words = r"userns_mode: the container has the groups 0 to 65535, and the owner of /fifo in the image needs 65536"
    with pytest.raises(InvalidArgument, match=words):
        give(tree)
