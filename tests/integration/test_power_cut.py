# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power goes right after a task has reported success: the image is whole all the same."""

from __future__ import annotations

import hashlib
import json
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mounted
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.converge import converge
from ansible_collections.fleet.containerd.plugins.module_utils.resources.image import ImageResource
from ansible_collections.fleet.containerd.plugins.module_utils.specs.containerd_image import SPEC
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


def unpacked(engine: EmbeddedEngine, scratch: pathlib.Path) -> Tree:
    """The tree of the one image."""
    scratch.mkdir(exist_ok=True)
    snapshotter = engine.snapshotter()
    (top,) = {info.name for info in snapshotter.walk()} - {info.parent for info in snapshotter.walk()}
    mounts = snapshotter.view("look", top)
    try:
        with mounted(mounts, str(scratch)):
            return snapshot(scratch)
    finally:
        snapshotter.remove("look")


def assert_blobs(data_root: pathlib.Path, number: int) -> None:
    blobs = list(data_root.glob("content/blobs/sha256/*"))
    assert len(blobs) == number
    for path in blobs:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def test_power_cuts_after_a_pull(disk: LoopFS, registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> None:
    registry.push(layout.path, busybox_image(layout, hand_made_layers()), "cut", "1")
    name = f"{registry.address}/cut:1"
    rows = t.cast(t.Dict[str, t.Dict[str, t.Any]], SPEC["argument_spec"])
    defaults = {option: about.get("default") for option, about in rows.items()}

    def pull(root: pathlib.Path) -> EmbeddedEngine:
        engine = EmbeddedEngine("default", str(root), str(tmp_path / "state"))
        assert converge(ImageResource(), {**defaults, "name": name}, engine, False).changed
        return engine

    reference = pull(tmp_path / "reference")
    expected = unpacked(reference, tmp_path / "scratch")
    reference.close()
    failures = []
    for turn in range(CUTS):
        root = disk.path / f"data-{turn}"
        pull(root).close()
        disk.power_cut()
        disk.remount()
        engine = EmbeddedEngine("default", str(root), str(tmp_path / "state"))
        try:
            again = converge(ImageResource(), {**defaults, "name": name}, engine, True)
            assert again.actions == []
            assert again.result["image"]["RepoTags"] == [name]
            assert_blobs(root, 6)
            now = unpacked(engine, tmp_path / "scratch")
            assert_same(expected, now, NOT_IN_THE_IMAGE, ("the image", f"what is there after cut {turn}"))
        except AssertionError as error:
            failures.append(f"cut {turn}: {error}")
        finally:
            engine.close()
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
        assert_blobs(site.data, 3)
    finally:
        site.close()
