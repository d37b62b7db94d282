# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links on the way to a file that root writes: which are followed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import stat
import struct

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError, FailedPrecondition, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.places import place, write
from ansible_collections.fleet.containerd.plugins.module_utils.registry.docker_config import DockerConfig


def test_links_of_root_are_followed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "one").symlink_to("real/deep/../deep")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    (tmp_path / "real" / "deep" / "link").symlink_to("file")
    with place(str(tmp_path / "two" / "." / "link")) as found:
        assert found.path == str(tmp_path / "real" / "deep" / "link")
        assert os.path.samestat(os.fstat(found.fd), (tmp_path / "real" / "deep").stat())
    with place(str(tmp_path / "two" / "link"), follow=True) as found:
        assert found.path == str(tmp_path / "real" / "deep" / "file")


@pytest.mark.parametrize(
    ("owner", "group", "mode", "link_owner", "followed"),
    [
        (0, 0, 0o755, 0, True),
        (0, 0, 0o755, 1000, True),
        (0, 0, 0o775, 0, True),
        (1000, 1000, 0o755, 0, False),
        (0, 1000, 0o775, 0, False),
        (0, 0, 0o777, 0, False),
        (0, 0, 0o1777, 0, True),
        (0, 0, 0o1777, 1000, False),
    ],
)
def test_links_that_others_may_have_planted_are_not(
    tmp_path: pathlib.Path, owner: int, group: int, mode: int, link_owner: int, followed: bool
) -> None:
    directory, target = tmp_path / "d", tmp_path / "target"
    directory.mkdir()
    target.mkdir()
    (directory / "link").symlink_to(target)
    os.lchown(directory / "link", link_owner, 0)
    os.chown(directory, owner, group)
    directory.chmod(mode)
    path = str(directory / "link" / "file")
    if followed:
        write(path, b"x", 0o600)
        assert (target / "file").read_bytes() == b"x"
        return
    with pytest.raises(FailedPrecondition, match="link is a symbolic link in a directory that others may write to"):
        write(path, b"x", 0o600)
    assert not list(target.iterdir())


def test_an_access_control_list_makes_a_directory_that_of_others(tmp_path: pathlib.Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "link").symlink_to(tmp_path)
    with place(str(tmp_path / "d" / "link" / "file")):
        pass
    nobody = 2**32 - 1
    rows = [(0x01, 7, nobody), (0x02, 7, 1000), (0x04, 5, nobody), (0x10, 7, nobody), (0x20, 5, nobody)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)
    os.setxattr(tmp_path / "d", "system.posix_acl_access", acl)
    with pytest.raises(FailedPrecondition, match="that others may write to"), place(str(tmp_path / "d" / "link" / "file")):
        pass


def test_a_user_passes_through_directories_that_only_others_may_read(tmp_path: pathlib.Path) -> None:
    home = tmp_path / "home" / "user"
    home.mkdir(parents=True)
    os.chown(home, 1000, 1000)
    with contextlib.ExitStack() as stack:
        for directory in (home.parent, *home.parents[1:-2]):
            stack.callback(directory.chmod, stat.S_IMODE(directory.stat().st_mode))
            directory.chmod(0o711)
        os.seteuid(1000)
        stack.callback(os.seteuid, 0)
        with place(str(home / "file")) as found:
            assert os.listdir(found.fd) == []


def test_directories_are_made(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    with pytest.raises(NotFound), place(str(path)):
        pass
    write(str(path), b"x", 0o640, 0o700)
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent, path.parent.parent)] == [0o640, 0o700, 0o700]


@pytest.mark.parametrize("path", ["/", "/..", "relative", "/dev/null/x"])
def test_what_is_no_place(path: str) -> None:
    with pytest.raises(EngineError), place(path):
        pass


def test_a_loop_of_links_ends(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(EngineError, match=r"[Tt]oo many"), place(str(tmp_path / "a"), follow=True):
        pass


def test_a_login_in_a_users_home_writes_through_no_link(tmp_path: pathlib.Path) -> None:
    home, victim = tmp_path / "home", tmp_path / "victim.json"
    home.mkdir()
    victim.write_text("{}")
    config = home / "config.json"
    config.symlink_to(victim)
    os.chown(home, 1000, 1000)
    with pytest.raises(FailedPrecondition, match=rf"give the path that it leads to \({victim}\)"):
        DockerConfig(str(config)).store("reg.test", "robot", "secret")
    assert victim.read_text() == "{}"
    config.unlink()
    DockerConfig(str(config)).store("reg.test", "robot", "secret")
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
