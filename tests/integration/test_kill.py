# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that is killed (SIGKILL) at any moment of a pull, an unpack or the making of a container: the next run converges.

The module's own entry point runs in a child process (tests/support/modules.py).
"""

from __future__ import annotations

import pathlib
import random

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mounted
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, busybox_image, hand_made_layers, tar_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import Site
from ansible_collections.fleet.containerd.tests.support.trees import Tree, assert_same, snapshot

#: Times of directories that no layer has.
NOT_IN_THE_IMAGE = (".:mtime_ns", f"{'n' * 200}:mtime_ns")


def file_tree(site: Site, scratch: pathlib.Path) -> Tree:
    """The unpacked tree of the one image."""
    with site.engine() as engine:
        snapshotter = engine.snapshotter()
        top = {info.name for info in snapshotter.walk()} - {info.parent for info in snapshotter.walk()}
        assert len(top) == 1, [info.name for info in snapshotter.walk()]
        scratch.mkdir(exist_ok=True)
        with snapshotter.look(top.pop(), view=True) as target, mounted(target.mounts(), str(scratch)):
            return snapshot(scratch)


@pytest.fixture
def image(registry: Registry, layout: Layout) -> str:
    """Several layers, so that there are many moments to be killed at."""
    noise = random.Random(1)
    files = [tar_of([Entry(f"noise-{number}", noise.randbytes(200_000))]) for number in range(3)]
    registry.push(layout.path, busybox_image(layout, [*hand_made_layers(), *files]), "killed", "1")
    return f"{registry.address}/killed:1"


def test_killed_while_pulling(site: Site, modules: Modules, image: str, tmp_path: pathlib.Path) -> None:
    options = {**site.defaults, "name": image}
    whole = modules.duration("containerd_image", **options)
    expected = file_tree(site, tmp_path / "scratch")
    moments = random.Random(2)
    for turn in range(30):
        modules.run("containerd_image", **options, state="absent")
        moment = moments.uniform(0, whole * 1.1)
        modules.kill_after(moment, "containerd_image", **options)
        result = modules.run("containerd_image", **options)
        assert result["image"]["Unpacked"] is True, (turn, moment)
        assert site.strays() == [], (turn, moment)
        site.blobs()
        names = ("the image", f"turn {turn}, {moment:.3f} s")
        assert_same(expected, file_tree(site, tmp_path / "scratch"), ignore=NOT_IN_THE_IMAGE, names=names)
    assert modules.run("containerd_image", **options)["changed"] is False
    modules.run("containerd_image", **options, state="absent")
    assert site.blobs() == set()
    assert site.snapshots() == []


def test_killed_while_making_a_container(site: Site, modules: Modules, image: str) -> None:
    modules.run("containerd_image", **site.defaults, name=image)
    options = {**site.defaults, "name": "web", "image": image, "command": ["sleep", "1000"], "stop_signal": "KILL"}
    whole = modules.duration("containerd_container", **options)
    moments = random.Random(3)
    for turn in range(20):
        modules.run("containerd_container", **site.defaults, name="web", state="absent")
        moment = moments.uniform(0, whole * 1.1)
        modules.kill_after(moment, "containerd_container", **options)
        result = modules.run("containerd_container", **options)
        assert result["container"]["State"]["Running"] is True, (turn, moment)
        assert site.strays() == [], (turn, moment, result["actions"])
        assert modules.run("containerd_container", **options)["changed"] is False
