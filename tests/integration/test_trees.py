# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is unpacked equals, entry by entry, what umoci and containerd make of the same image."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, Daemon, running_containerd
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image, busybox_layer, hand_made_layers
from ansible_collections.fleet.containerd.tests.support.loopfs import loop_filesystem
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import finished, new_site
from ansible_collections.fleet.containerd.tests.support.trees import Tree, assert_same, snapshot
from ansible_collections.fleet.containerd.tools.bench import corpus

#: Times of directories that no layer has: they are made when something in them is.
IMPLICIT = (".:mtime_ns", f"{'n' * 200}:mtime_ns")


@pytest.fixture(scope="module")
def disk() -> t.Iterator[pathlib.Path]:
    with loop_filesystem(4096) as loop:
        yield loop.path


def build(kind: str, layout: Layout) -> t.Dict[str, t.Any]:
    if kind == "busybox":
        return layout.tag(busybox_image(layout), "tag")
    if kind == "hand-made":
        return layout.tag(layout.image(hand_made_layers()), "tag")
    # As those of the benchmarks, but smaller.
    layers = [corpus._real_files(40_000_000), corpus._small_files(500)] if kind == "debian-like" else corpus._many_files(9000)
    return layout.tag(layout.image([busybox_layer(), *layers], level=1), "tag")


def by_umoci(layout: Layout, base: pathlib.Path) -> Tree:
    subprocess.run(["umoci", "unpack", "--image", f"{layout.path}:tag", str(base / "umoci")], check=True, capture_output=True)
    return snapshot(base / "umoci" / "rootfs")


def by_containerd(name: str, base: pathlib.Path) -> Tree:
    directory, point = base / "containerd", base / "point"
    directory.mkdir()
    point.mkdir()
    with running_containerd("1.6", base=directory) as daemon:
        daemon.ctr("images", "pull", "--plain-http", name)
        daemon.ctr("images", "mount", name, str(point))
        try:
            return snapshot(point)
        finally:
            subprocess.run(["umount", str(point)], check=True)


def by_us(name: str, base: pathlib.Path, daemon: t.Optional[Daemon]) -> Tree:
    with finished(new_site(base, daemon)) as site:
        site.play(task("containerd_image", name=name))
        committed = {info.name: info.parent for info in site.snapshots()}
        (top,) = set(committed) - set(committed.values())
        return site.unpacked(top, base / "scratch")


#: What only the size is of matters to one engine: both have the same applier.
KINDS = [(kind, "embedded") for kind in ("busybox", "hand-made", "debian-like", "many-files")]
KINDS += [("hand-made", f"containerd-{version}") for version in sorted(RELEASES)]


@pytest.mark.parametrize(("kind", "backend"), KINDS, indirect=["backend"])
def test_the_same_tree(kind: str, backend: t.Optional[Daemon], disk: pathlib.Path, registry: Registry) -> None:
    base = disk / f"{kind}-{backend.version if backend else ''}"
    layout = Layout(base / "layout")
    image = build(kind, layout)
    name = f"{registry.address}/trees-{kind}:1"
    registry.push(layout.path, image, f"trees-{kind}", "1")
    ours = by_us(name, base, backend)
    assert len(ours) > {"busybox": 30, "hand-made": 20, "debian-like": 1000, "many-files": 9000}[kind]
    assert_same(by_umoci(layout, base), ours, IMPLICIT, ("umoci", "ours"))
    # A layer of debian-like has usr/lib without usr: umoci and we keep the time that usr has below, containerd does not.
    ignore = [*IMPLICIT, *(["usr:mtime_ns"] if kind == "debian-like" else [])]
    assert_same(by_containerd(name, base), ours, ignore, ("containerd", "ours"))
