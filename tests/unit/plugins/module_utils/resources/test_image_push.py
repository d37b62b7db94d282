# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_push over the engine in memory, into a registry in this process."""

from __future__ import annotations

from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, fake_registry
from ansible_collections.fleet.containerd.tests.support.images import Layout, hand_made_layers, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.image_push import (
    an_image_goes_there_and_comes_back,
    platforms,
    pull,
    push,
    what_is_in_another_repository_is_mounted,
)


def test_an_image_goes_there_and_comes_back(site: MemorySite, layout: Layout) -> None:
    top = small_image(layout, hand_made_layers()[:1])
    with fake_registry() as registry:
        an_image_goes_there_and_comes_back(site, registry.address, layout, top, registry.digest)


def test_what_is_in_another_repository_is_mounted(site: MemorySite, layout: Layout) -> None:
    with fake_registry() as registry:
        what_is_in_another_repository_is_mounted(site, registry, layout, small_image(layout), registry.digest)


def test_changed_only_when_the_remote_differs(site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
    name = f"{registry.address}/moving:1"
    first = registry.push(layout.path, small_image(layout, Labels={"release": "1"}), "moving", "1")
    pulled, same = site.play(pull(name), push(name)).results
    assert pulled.value("digest") == first
    assert not same.changed
    registry.push(layout.path, small_image(layout, Labels={"release": "2"}), "moving", "1")
    (back,) = site.converge(push(name))
    assert back.actions == [f"push image {name}"]
    assert back.value("pushed")["existing"] == 2
    assert registry.digest("moving:1") == first


def test_platforms(site: MemorySite, layout: Layout) -> None:
    with fake_registry() as registry:
        index = platforms(site, registry, layout, small_image(layout), registry.manifest)
        assert registry.digest("part:3") == index["digest"]


def test_wrong_values(site: MemorySite, busybox: str, registry: FakeRegistry) -> None:
    digest = site.play(pull(busybox)).last.value("digest")
    by_id = site.play(pull(busybox)).last.value("config_digest")
    results = site.play(
        push("missing", ignore_errors=True),
        push(busybox, destination="UPPER", ignore_errors=True),
        push(busybox, destination=f"x@{digest}", ignore_errors=True),
        push(busybox, platforms=["all", "linux/amd64"], ignore_errors=True),
        push(busybox, platforms=["linux/arm64"], ignore_errors=True),
        push(busybox, max_parallel=0, ignore_errors=True),
        push(busybox, chunk_size="much", ignore_errors=True),
        push(busybox, username="robot", ignore_errors=True),
        push(by_id, ignore_errors=True),
        push(busybox, destination="127.0.0.1:1/x", retries=0, ignore_errors=True),
        push(by_id, destination=f"{registry.address}/by-id"),
    ).results
    assert all(one.failed for one in results[:-1])
    messages = [one.msg for one in results]
    assert messages[0] == "name: the image docker.io/library/missing:latest is not there: pull or load it first"
    assert messages[1].startswith("destination: invalid image reference 'UPPER'")
    assert messages[2].endswith("has a digest: only a tag can be given to an image")
    assert messages[3] == "platforms: all stands alone"
    assert messages[4] == f"the image {busybox} is for linux/amd64 only, not for linux/arm64"
    assert messages[5] == "max_parallel: 0 is not a positive number"
    assert messages[6].startswith("chunk_size: 'much' is not a size")
    assert messages[7] == "password: username and password are needed together"
    assert messages[8] == f"destination: it is needed, {digest} has no tag"
    assert "127.0.0.1:1" in messages[9]
    assert results[-1].value("destination") == f"{registry.address}/by-id:latest"
