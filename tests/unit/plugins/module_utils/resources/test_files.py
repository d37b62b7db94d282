# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_copy with containers that do not run: their files are directories also in memory."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs import mounts
from ansible_collections.fleet.containerd.plugins.module_utils.resources.files.opening import view_of
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Layout, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories import copying as stories
from ansible_collections.fleet.containerd.tests.support.stories.copying import Copies
from ansible_collections.fleet.containerd.tests.support.wrong_values import complaint


@pytest.fixture
def copies(site: MemorySite, registry: FakeRegistry, layout: Layout, tmp_path: pathlib.Path) -> Copies:
    registry.push(layout.path, small_image(layout, stories.image_layers()), "copies", "1")
    return Copies(site, f"{registry.address}/copies:1", tmp_path / "host")


@pytest.mark.parametrize("name", ["files", "sizes", "forced", "links", "trees", "out_of_it", "archives", "refusals"])
def test_stories(copies: Copies, name: str) -> None:
    getattr(stories, name)(copies)


@pytest.mark.parametrize("state", ["present", "stopped"])
def test_volumes_of_containers(
    site: MemorySite, registry: FakeRegistry, layout: Layout, tmp_path: pathlib.Path, state: str
) -> None:
    registry.push(layout.path, small_image(layout, stories.image_layers()), "copies", "1")
    copies = Copies(site, f"{registry.address}/copies:1", tmp_path / "host", state)
    stories.volumes(copies, volumes_of(site))


@pytest.mark.parametrize("name", ["in_volumes", "mounted_volumes"])
def test_volumes(site: MemorySite, copies: Copies, name: str) -> None:
    getattr(stories, name)(copies, volumes_of(site))


def volumes_of(site: MemorySite) -> t.Callable[[str], pathlib.Path]:
    """From a name to the directory."""
    return lambda name: pathlib.Path(site.memory.data_root) / "volumes" / site.namespace / name / "_data"


def test_attributes_that_cannot_be_kept(copies: Copies, tmp_path: pathlib.Path) -> None:
    """Check mode knows it, too."""
    source = copies.file("tree/file", b"file")
    os.setxattr(source, "user.note", b"x")
    copies.converge(copies.copy("/out/tree", path=str(source.parent), archive=True))
    there = tmp_path / "there"
    there.mkdir()
    mounts.mount("ramfs", "ramfs", str(there))
    try:
        out = copies.copy("/out/tree", path=str(there / "tree"), direction="from", archive=True)
        assert copies.refused(out) == (
            f"{there}/tree/file: its file system cannot keep the attribute user.note of the source: give archive=false"
        )
        assert list(there.iterdir()) == []
    finally:
        mounts.unmount(str(there))


def test_started_while_files_are_copied(site: MemorySite, copies: Copies) -> None:
    """Its own supervisor may do it, without a lock: what is written then may not be what the processes see."""
    (container,) = site.memory.containers.list({"nerdctl/name": "web"})
    start = task("containerd_container", name="web", state="started")
    said = "^the container web was started while files were copied: run the task again$"
    with pytest.raises(Unavailable, match=said), view_of(site.memory, container, "web", write=True):
        site.play(start)


def test_what_has_no_files(copies: Copies) -> None:
    stories.not_there(copies)


WRONG: t.List[t.Tuple[str, t.Any]] = [
    ("container", "nobody"),
    ("volume", "no name"),
    ("container_path", "etc/x"),
    ("container_path", "/etc/../x"),
    ("path", "relative"),
    ("path", "/is/not/there"),
    ("direction", "sideways"),
    ("source", "moon"),
    ("content_is_b64", True),
    ("owner", "somebody"),
    ("owner", "4294967296"),
    ("group", "everybody"),
    ("mode", "0999"),
    ("mode", "u=rwz"),
    ("directory_mode", "rwx"),
    ("archive", "perhaps"),
    ("follow", "perhaps"),
    ("local_follow", "perhaps"),
    ("force", "perhaps"),
    ("decrypt", "perhaps"),
]


def test_wrong_values(copies: Copies) -> None:
    """The message names option and value, and nothing is changed."""
    source = str(copies.file("new", b"new"))
    problems = []
    for option, value in WRONG:
        for check in (True, False):
            given = {"container": "web", "container_path": "/etc/x", "path": source, option: value}
            result = copies.site.play(
                {"name": option, "fleet.containerd.containerd_container_copy": given},
                check=check,
                failing=True,
            ).last
            said = complaint(option, value, result.result)
            problems += [f"{option}={value}: {said}"] if said else []
    assert not problems, "\n".join(problems)
    assert not (copies.back("/etc") / "x").exists()
