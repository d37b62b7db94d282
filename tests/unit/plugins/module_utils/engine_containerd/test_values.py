# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of a daemon's answers, without a daemon."""

from __future__ import annotations

import errno
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import LayerTarget, Mount
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.values import target_of
from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs import syscalls


def overlay(**options: str) -> Mount:
    return Mount("overlay", "overlay", ("index=off", *(f"{name}={value}" for name, value in options.items())))


def test_the_directories_that_mounts_lead_to(tmp_path: pathlib.Path) -> None:
    own, odd = str(tmp_path / "own"), str(tmp_path / "own:1")
    for path in (own, odd):
        pathlib.Path(path).mkdir()
    bind = ("rw", "rbind")
    for mounts, target in (
        ([Mount("bind", own, bind)], LayerTarget(own)),
        ([Mount("bind", odd, bind)], LayerTarget(odd)),
        ([Mount("bind", f"{tmp_path}/missing", bind)], None),
        ([overlay(workdir="/w", upperdir=own, lowerdir="/b:/a")], LayerTarget(own, ("/b", "/a"), True)),
        ([overlay(workdir="/w", upperdir=odd, lowerdir="/b:/a")], LayerTarget(odd, ("/b", "/a"), True)),
        ([overlay(lowerdir=f"{own}:/a")], LayerTarget(own, ("/a",), True)),
        ([overlay()], None),
        ([Mount("ext4", "/dev/mapper/x", ("rw",))], None),
        ([Mount("bind", own, bind)] * 2, None),
        ([], None),
    ):
        assert target_of(mounts) == target, mounts


def test_what_could_not_be_synced_is_tried_again_before_the_next_record(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, synced = ContainerdEngine(f"{tmp_path}/no socket", "default"), []

    def fails(_fd: int) -> t.NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(engine, "_root", lambda kind, name: str(tmp_path))
    engine.content.written = True
    with monkeypatch.context() as broken:
        broken.setattr(syscalls, "syncfs", fails)
        with pytest.raises(EngineError, match="Input/output error"):
            engine.images._settle()
    monkeypatch.setattr(syscalls, "syncfs", synced.append)
    for _turn in range(2):
        engine.images._settle()
    assert len(synced) == 1
    engine.close()
