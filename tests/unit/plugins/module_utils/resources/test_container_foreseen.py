# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode of containerd_container tells whether it will work: it fails as the run would, and says what it could not look at."""

from __future__ import annotations

import functools
import json
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound, Unimplemented
from ansible_collections.fleet.containerd.tests.support.direct import Direct
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, small_image, tar_of
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.container_foreseen import (
    Ground,
    Release,
    a_release_cannot_be_deployed,
    an_image_lacks_what_is_asked_for,
    warnings,
)


@pytest.fixture
def ground(site: MemorySite) -> Ground:
    return Ground(site, functools.partial(Direct(site.defaults, site.memory).result, "container"))


def test_a_release_that_cannot_be_deployed(
    ground: Ground,
    site: MemorySite,
    busybox: str,
    registry: FakeRegistry,
    layout: Layout,
    two_platforms: t.Tuple[str, t.Dict[str, str]],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_runtime(binary: str) -> str:
        if binary == "kata":
            raise NotFound("runtime: kata is not installed on the target: install it")
        return binary

    monkeypatch.setattr(site.memory.tasks, "find_runtime", find_runtime)
    registry.push(layout.path, layout.image([tar_of([Entry("file")])]), "silent", "1")
    registry.push(layout.path, small_image(layout, Volumes={"/bin": {}}), "declaring", "1")
    silent, declaring = (f"{registry.address}/{name}:1" for name in ("silent", "declaring"))
    a_release_cannot_be_deployed(ground, Release(busybox, silent, two_platforms[0], declaring), tmp_path)
    # A run finds out by its runtime, which would start here.
    (gone,) = ground.check({"name": "other", "command": None, "stop_signal": None})
    assert gone["msg"] == f"the volume's source {tmp_path}/volume is not there"


def test_what_the_image_lacks(
    ground: Ground, site: MemorySite, busybox: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_image_lacks_what_is_asked_for(ground, busybox, tmp_path)

    def hidden(_name: str) -> t.Any:
        raise Unimplemented("only a view would tell")

    # Its files are in a place that only a record would tell.
    monkeypatch.setattr(site.memory.snapshotter(), "look", hidden)
    (unseen,) = ground.check({"image": busybox, "command": ["nothing"], "user": "nobody-here"})
    assert "check mode cannot tell whether the image has the command nothing and the user nobody-here" in warnings(unseen)


def test_a_runtime_that_nobody_can_look_for(
    ground: Ground, site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.memory.tasks, "find_runtime", lambda _binary: "")
    (told,) = ground.check({"image": busybox, "runtime": "own"})
    assert "check mode cannot tell whether containerd finds the runtime own and whether the image has" in warnings(told)


def test_nothing_is_asked_for_twice(ground: Ground, registry: FakeRegistry, layout: Layout) -> None:
    other = layout.image([], {"Labels": {"for": "arm64"}}, architecture="arm64")
    first, image = small_image(layout, Labels={"release": "1"}), f"{registry.address}/app:1"

    def seen() -> t.List[str]:
        found = [f"{method} {path.partition('/app/')[2]}" for method, path, _headers in registry.seen]
        registry.seen.clear()
        return found

    registry.push(layout.path, layout.index([first]), "app", "1")
    (foreseen,) = ground.check({"image": image})
    assert foreseen["changed"]
    manifest = json.loads(layout.read(first))
    config, layer = (f"GET blobs/{blob['digest']}" for blob in [manifest["config"], *manifest["layers"]])
    documents = ["GET manifests/1", f"GET manifests/{first['digest']}", config]
    assert seen() == documents
    assert ground.run(image=image)["changed"]
    assert sorted(seen()) == sorted([*documents, layer])
    for policy in ("missing", "newer"):
        assert not ground.run(image=image, pull=policy)["changed"]
    assert seen() == ["HEAD manifests/1"]
    # Another platform was built anew: what runs here is as it was.
    index = layout.index([first, other])
    registry.push(layout.path, index, "app", "1")
    same = ground.run(image=image, pull="always")
    assert (same["changed"], same["actions"]) == (False, [])
    assert seen() == ["HEAD manifests/1", f"GET manifests/{index['digest']}", f"GET manifests/{first['digest']}", config]
    # This one: and what the plan was made from is what is pulled.
    second = small_image(layout, Labels={"release": "2"})
    index = layout.index([second, other])
    registry.push(layout.path, index, "app", "1")
    moved = ground.run(image=image, pull="always")
    assert moved["recreated_because"] == ["image"]
    assert moved["diff"]["after"]["image"] == {"name": image, "digest": second["digest"]}
    config = f"GET blobs/{json.loads(layout.read(second))['config']['digest']}"
    assert seen() == ["HEAD manifests/1", f"GET manifests/{index['digest']}", f"GET manifests/{second['digest']}", config]


def test_a_container_that_has_no_image(ground: Ground) -> None:
    assert ground.fails_alike({}) == ["image: needed to create the container web"]
    assert not ground.run(state="absent")["changed"]
