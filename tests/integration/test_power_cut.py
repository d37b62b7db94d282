# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power goes right after a task has reported success: the image is whole all the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.argument_specs.containerd_image import SPEC
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mounted
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.converge import Outcome, converge
from ansible_collections.fleet.containerd.plugins.module_utils.resources.image.resource import ImageResource
from ansible_collections.fleet.containerd.tests.support.containerds import running_containerd
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image, hand_made_layers
from ansible_collections.fleet.containerd.tests.support.loopfs import LoopFS, loop_filesystem
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite
from ansible_collections.fleet.containerd.tests.support.trees import Tree, assert_same, snapshot

CUTS = 20
#: Times of directories that no layer has.
NOT_IN_THE_IMAGE = (".:mtime_ns", f"{'n' * 200}:mtime_ns")


@pytest.fixture
def disk() -> t.Iterator[LoopFS]:
    """A file system whose journal is committed by nobody but who asks for it."""
    with loop_filesystem(512, commit=300) as loop:
        yield loop


def unpacked(engine: t.Any, scratch: pathlib.Path) -> Tree:
    """The tree of the one image."""
    scratch.mkdir(exist_ok=True)
    snapshotter = engine.snapshotter()
    (top,) = {info.name for info in snapshotter.walk()} - {info.parent for info in snapshotter.walk()}
    with snapshotter.look(top, view=True) as target, mounted(target.mounts(), str(scratch)):
        return snapshot(scratch)


def assert_blobs(content: pathlib.Path, number: int) -> None:
    blobs = list(content.glob("blobs/sha256/*"))
    assert len(blobs) == number
    for path in blobs:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


@pytest.fixture
def several_layers(registry: Registry, layout: Layout) -> str:
    registry.push(layout.path, busybox_image(layout, hand_made_layers()), "cut", "1")
    return f"{registry.address}/cut:1"


def pull(engine: t.Any, name: str, check: bool = False) -> Outcome:
    rows = t.cast(t.Dict[str, t.Dict[str, t.Any]], SPEC["argument_spec"])
    defaults = {option: about.get("default") for option, about in rows.items()}
    return converge(ImageResource(), {**defaults, "name": [name]}, engine, check)


def assert_whole(engine: t.Any, name: str, content: pathlib.Path, expected: Tree, scratch: pathlib.Path) -> None:
    """A run would change nothing, and what is there is what should be."""
    again = pull(engine, name, check=True)
    assert again.actions == []
    assert again.facts.result["image"]["RepoTags"] == [name]
    assert_blobs(content, 6)
    assert_same(expected, unpacked(engine, scratch), NOT_IN_THE_IMAGE, ("the image", "what is there after the cut"))


def expected_tree(name: str, base: pathlib.Path) -> Tree:
    with contextlib.closing(EmbeddedEngine("default", str(base / "reference"), str(base / "state"))) as engine:
        assert pull(engine, name).changed
        return unpacked(engine, base / "scratch")


def test_power_cuts_after_a_pull(disk: LoopFS, several_layers: str, tmp_path: pathlib.Path) -> None:
    expected = expected_tree(several_layers, tmp_path)
    failures = []
    for turn in range(CUTS):
        root = disk.path / f"data-{turn}"
        with contextlib.closing(EmbeddedEngine("default", str(root), str(tmp_path / "state"))) as engine:
            assert pull(engine, several_layers).changed
        disk.power_cut()
        disk.remount()
        with contextlib.closing(EmbeddedEngine("default", str(root), str(tmp_path / "state"))) as engine:
            try:
                assert_whole(engine, several_layers, root / "content", expected, tmp_path / "scratch")
            except AssertionError as error:
                failures.append(f"cut {turn}: {error}")
    assert failures == []


@pytest.mark.parametrize("version", ["1.6", "2.1"])
def test_power_cuts_after_a_pull_through_a_daemon(
    version: str, disk: LoopFS, several_layers: str, tmp_path: pathlib.Path
) -> None:
    expected = expected_tree(several_layers, tmp_path)
    failures = []
    for turn in range(CUTS):
        base = disk.path / str(turn)
        base.mkdir()
        with running_containerd(version, base=base) as daemon:
            with contextlib.closing(ContainerdEngine(daemon.address, "default", "", str(base / "data"))) as engine:
                assert pull(engine, several_layers).changed
            disk.power_cut()
            daemon.kill()
            disk.remount()
            daemon.start()
            content = daemon.root / "io.containerd.content.v1.content"
            with contextlib.closing(ContainerdEngine(daemon.address, "default", "", str(base / "data"))) as engine:
                try:
                    assert_whole(engine, several_layers, content, expected, tmp_path / "scratch")
                    assert "complete (5/5)" in daemon.ctr("images", "check").stdout
                except (AssertionError, EngineError) as error:
                    failures.append(f"cut {turn}: {error}")
    assert failures == []


def test_a_power_cut_after_a_playbook(disk: LoopFS, registry: Registry, busybox: str) -> None:
    site = EmbeddedSite(disk.path, "test-cut")
    try:
        (pulled,) = site.play({"name": "pull", "fleet.containerd.containerd_image": {"name": busybox}}).results
        disk.power_cut()
        disk.remount()
        (again,) = site.play({"name": "pull", "fleet.containerd.containerd_image": {"name": busybox}}).results
        assert not again.changed
        assert json.dumps(again.value("image"), sort_keys=True) == json.dumps(pulled.value("image"), sort_keys=True)
        assert_blobs(site.data / "content", 3)
    finally:
        site.close()
