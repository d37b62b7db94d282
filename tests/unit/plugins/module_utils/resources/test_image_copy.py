# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_copy between registries in this process."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, fake_registry
from ansible_collections.fleet.containerd.tests.support.images import Layout, hand_made_layers, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite


def copy(src: str, dest: str, ignore_errors: bool = False, **options: t.Any) -> Task:
    made = task("containerd_image_copy", src=src, dest=dest, **options)
    return {**made, "name": f"copy {src}", "ignore_errors": ignore_errors}


def converge(site: MemorySite, one: Task) -> TaskResult:
    """In check mode, for real, and again; the real result."""
    check, real, again = site.play({**one, "check_mode": True}, one, one).results
    assert check.actions == real.actions
    assert check.changed
    assert real.changed
    assert (again.changed, again.actions) == (False, [])
    assert check.value("digest") == real.value("digest") == again.value("digest")
    return real


@pytest.fixture
def target() -> t.Iterator[FakeRegistry]:
    """A second registry."""
    with fake_registry() as running:
        yield running


def test_an_index_is_copied_whole(site: MemorySite, registry: FakeRegistry, target: FakeRegistry, layout: Layout) -> None:
    images = [small_image(layout), layout.image(hand_made_layers(), architecture="arm64")]
    attestation = layout.image([hand_made_layers()[2]], architecture="unknown")
    unknown = {**attestation, "platform": {"os": "unknown", "architecture": "unknown"}}
    index = layout.index([*images, unknown])
    registry.push(layout.path, index, "source", "1")
    src, dest = f"{registry.address}/source:1", f"{target.address}/mirror/source"
    copied = converge(site, copy(src, dest))
    assert copied.actions == [f"copy image {src} to {dest}:1"]
    assert copied.value("digest") == index["digest"]
    assert copied.value("diff") == {"before": {"up_to_date": False}, "after": {"up_to_date": True, "digest": index["digest"]}}
    assert target.manifest("mirror/source:1") == json.loads(layout.read(index))
    blobs = {blob["digest"]: blob["size"] for one in [*images, attestation] for blob in _blobs(layout, one)}
    assert copied.value("copied")["blobs"] == sorted(blobs)
    assert copied.value("copied")["bytes"] == sum(blobs.values())
    for name in blobs:
        assert target.contents[f"/v2/mirror/source/blobs/{name}"][0] == layout.read({"digest": name})
    more = layout.image([*hand_made_layers(), hand_made_layers()[0]], architecture="arm64")
    moved = layout.index([images[0], more])
    registry.push(layout.path, moved, "source", "1")
    again = converge(site, copy(src, dest))
    assert len(again.value("copied")["blobs"]) == 1
    assert target.manifest("mirror/source:1") == json.loads(layout.read(moved))


def _blobs(layout: Layout, manifest: t.Mapping[str, t.Any]) -> t.List[t.Dict[str, t.Any]]:
    body = json.loads(layout.read(manifest))
    return [body["config"], *body["layers"]]


def test_within_one_registry_nothing_is_sent(site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
    top = small_image(layout)
    registry.push(layout.path, top, "promoted/from", "17")
    name = f"{registry.address}/promoted/from"
    promoted = converge(site, copy(f"{name}:17", f"{registry.address}/promoted/to:stable"))
    assert promoted.value("copied") == {**promoted.value("copied"), "blobs": [], "bytes": 0}
    assert len(promoted.value("copied")["mounted"]) == 2
    retagged = converge(site, copy(f"{name}@{top['digest']}", f"{name}:stable"))
    assert retagged.value("copied")["existing"] == 2
    assert registry.manifest("promoted/from:stable") == registry.manifest("promoted/to:stable")


def test_platforms(site: MemorySite, registry: FakeRegistry, target: FakeRegistry, layout: Layout) -> None:
    amd, arm = small_image(layout), layout.image(hand_made_layers()[:1], architecture="arm64")
    index = layout.index([arm, amd])
    registry.push(layout.path, index, "platforms", "1")
    registry.push(layout.path, amd, "single", "1")
    src, dest = f"{registry.address}/platforms:1", f"{target.address}/platforms"
    some = converge(site, copy(src, f"{dest}:some", platforms=["linux/amd64"]))
    assert [one["digest"] for one in target.manifest("platforms:some")["manifests"]] == [amd["digest"]]
    assert some.value("digest") != index["digest"]
    converge(site, copy(src, f"{dest}:1", platforms=["all"]))
    same, none = site.play(
        *[
            copy(src, f"{dest}:1", platforms=["linux/amd64"]),
            copy(src, f"{dest}:none", platforms=["linux/s390x"], ignore_errors=True),
        ]
    ).results
    assert not same.changed, "the destination has the whole image"
    assert none.msg == "no manifest for platform linux/s390x in the index; it has linux/amd64, linux/arm64"


def test_wrong_values(site: MemorySite, registry: FakeRegistry, target: FakeRegistry, layout: Layout) -> None:
    digest = registry.push(layout.path, small_image(layout), "values", "1")
    src, dest = f"{registry.address}/values:1", f"{target.address}/values:1"
    results = site.play(
        *[
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
