# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_copy between registries in this process."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, fake_registry
from ansible_collections.fleet.containerd.tests.support.images import Layout, hand_made_layers, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import play
from ansible_collections.fleet.containerd.tests.support.stories.image_copy import (
    an_index_is_copied_whole,
    converge,
    copy,
    within_one_registry_nothing_is_sent,
)


@pytest.fixture
def target() -> t.Iterator[FakeRegistry]:
    """A second registry."""
    with fake_registry() as running:
        yield running


def test_an_index_is_copied_whole(registry: FakeRegistry, target: FakeRegistry, layout: Layout) -> None:
    ours = small_image(layout)
    an_index_is_copied_whole(play, registry, target, layout, ours, target.manifest, lambda path: target.contents[path][0])


def test_within_one_registry_nothing_is_sent(registry: FakeRegistry, layout: Layout) -> None:
    within_one_registry_nothing_is_sent(play, registry, layout, small_image(layout), registry.manifest)


def test_platforms(registry: FakeRegistry, target: FakeRegistry, layout: Layout) -> None:
    amd, arm = small_image(layout), layout.image(hand_made_layers()[:1], architecture="arm64")
    index = layout.index([arm, amd])
    registry.push(layout.path, index, "platforms", "1")
    registry.push(layout.path, amd, "single", "1")
    src, dest = f"{registry.address}/platforms:1", f"{target.address}/platforms"
    some = converge(play, copy(src, f"{dest}:some", platforms=["linux/amd64"]))
    assert [one["digest"] for one in target.manifest("platforms:some")["manifests"]] == [amd["digest"]]
    assert some.value("digest") != index["digest"]
    converge(play, copy(src, f"{dest}:1", platforms=["all"]))
    same, none = play(
        [
            copy(src, f"{dest}:1", platforms=["linux/amd64"]),
            copy(src, f"{dest}:none", platforms=["linux/s390x"], ignore_errors=True),
        ]
    ).results
    assert not same.changed, "the destination has the whole image"
    assert none.msg == "no manifest for platform linux/s390x in the index; it has linux/amd64, linux/arm64"


def test_wrong_values(registry: FakeRegistry, target: FakeRegistry, layout: Layout) -> None:
    digest = registry.push(layout.path, small_image(layout), "values", "1")
    src, dest = f"{registry.address}/values:1", f"{target.address}/values:1"
    results = play(
        [
            copy(f"{registry.address}/missing:1", dest, ignore_errors=True),
            copy("UPPER", dest, ignore_errors=True),
            copy(src, f"{dest}@{digest}", ignore_errors=True),
            copy(src, dest, max_parallel=0, ignore_errors=True),
            copy(src, dest, src_username="robot", ignore_errors=True),
            copy(src, f"{registry.address}/x:1", src_username="robot", src_password="x", ignore_errors=True),
            copy(src, "127.0.0.1:1/x:1", retries=0, ignore_errors=True),
        ]
    ).results
    assert all(one.failed for one in results)
    messages = [one.msg for one in results]
    assert messages[0].startswith(f"{registry.address}/missing:1 is not in the registry: ")
    assert messages[1].startswith("src: invalid image reference 'UPPER'")
    assert messages[2].startswith("dest: ")
    assert messages[3] == "max_parallel: 0 is not a positive number"
    assert messages[4] == "src_password: src_username and src_password are needed together"
    assert messages[5].endswith("src and dest are in one registry, which has one set")
    assert "127.0.0.1:1" in messages[6]
