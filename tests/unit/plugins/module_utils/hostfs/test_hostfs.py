# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing trees and mounting many layers, on the real file system."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Mount
from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs import atomic, syscalls
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.copy_tree import copy_tree
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mount_points, mounted
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.remove import (
    remove_tree,
    rename_then_remove,
    set_aside_strangers,
    sweep,
)


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
@pytest.mark.parametrize("place", ["tree", "tree/deep/er"])
@pytest.mark.parametrize("old_kernel", [False, True])
def test_what_is_mounted_is_never_touched(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, kind: str, place: str, old_kernel: bool
) -> None:
    if old_kernel:
        monkeypatch.setattr(syscalls, "_SYS_OPENAT2", 9999)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("alive")
    point = tmp_path / place
    point.mkdir(parents=True)
    source = ["--bind", str(tmp_path / "precious")] if kind == "bind" else ["-t", "tmpfs", "tmpfs"]
    subprocess.run(["mount", *source, str(point)], check=True)
    try:
        (point / "more").write_text("alive")
        with pytest.raises(EngineError, match="mounted"):
            remove_tree(str(tmp_path / "tree"))
        assert (point / "more").read_text() == "alive"
        assert (tmp_path / "precious" / "file").read_text() == "alive"
    finally:
        subprocess.run(["umount", str(point)], check=True)
    assert remove_tree(str(tmp_path / "tree"))


def test_links_are_removed_and_not_followed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("alive")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "outside")
    assert rename_then_remove(str(tmp_path / "tree"))
    assert (tmp_path / "outside" / "file").read_text() == "alive"
    assert not remove_tree(str(tmp_path / "tree"))


def test_mounts_below_a_linked_directory_are_found(tmp_path: pathlib.Path) -> None:
    point = tmp_path / "real" / "tree" / "point"
    point.mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "elsewhere").symlink_to("tree")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(point)], check=True)
    try:
        assert mount_points(str(tmp_path / "link" / "tree")) == [str(point)]
        assert mount_points(str(tmp_path / "link" / "elsewhere")) == []
        assert "/" in mount_points("/")
        # Strangers are swept with what is mounted there; where links lead to is left alone.
        assert set_aside_strangers(str(tmp_path / "link"), ["tree"], lambda _path: False)
        assert mount_points(str(tmp_path / "real")) == [str(point)]
        assert set_aside_strangers(str(tmp_path / "link"), [], lambda _path: False)
    finally:
        subprocess.run(["umount", str(point)], check=False)
    assert sweep(str(tmp_path / "real"))
    assert list((tmp_path / "real").iterdir()) == []


def test_a_tree_deeper_than_descriptors_and_paths_allow(tmp_path: pathlib.Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _level in range(5000):
        os.mkdir("directory", dir_fd=fd)
        below = os.open("directory", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    assert remove_tree(str(tmp_path / "directory"))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_removal_left_is_swept(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".rm-x-1234" / "y").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    sweep(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("layers", [10, 100, 250])
def test_an_overlay_of_many_layers_with_long_paths(tmp_path: pathlib.Path, layers: int) -> None:
    base = tmp_path / ("long" * 20)
    lowers = []
    for number in range(layers):
        lower = base / str(number) / "fs"
        lower.mkdir(parents=True)
        (lower / f"file{number}").write_text(str(number))
        lowers.append(str(lower))
    for name in ("upper", "work", "merged"):
        (tmp_path / name).mkdir()
    options = (f"workdir={tmp_path}/work", f"upperdir={tmp_path}/upper", "lowerdir=" + ":".join(reversed(lowers)))
    with mounted([Mount("overlay", "overlay", options)], str(tmp_path / "merged")) as merged:
        assert len(os.listdir(merged)) == layers
        (tmp_path / "merged" / "new").write_text("x")
    assert os.listdir(tmp_path / "upper") == ["new"]


def test_more_layers_than_the_kernel_takes_are_a_clear_error(tmp_path: pathlib.Path) -> None:
    lowers = [str(tmp_path / (str(number) * 20)) for number in range(2000)]
    with (
        pytest.raises(EngineError, match="mounting overlay"),
        mounted([Mount("overlay", "overlay", ("lowerdir=" + ":".join(lowers),))], str(tmp_path)),
    ):
        pass


def test_a_tree_that_cannot_be_read_is_not_copied_in_part(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        copy_tree(str(tmp_path / "gone"), str(tmp_path / "copy"))


def test_a_directory_whose_parent_another_thread_makes_meanwhile(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, mkdir = tmp_path / "content" / "ingest", os.mkdir

    def late(name: str, mode: int = 0o777) -> None:
        try:
            mkdir(name, mode)
        except FileNotFoundError:
            mkdir(os.path.dirname(name), mode)
            raise

    monkeypatch.setattr(os, "mkdir", late)
    atomic.make_dir(str(path))
    assert path.is_dir()
