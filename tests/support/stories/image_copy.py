# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_copy: an index from one registry to another, and an image within one."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Play, Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.images import Layout, hand_made_layers
from ansible_collections.fleet.containerd.tests.support.stories.sites import AnyRegistry

#: ansible.play, or that of memory_site: it takes a list of tasks.
Player = t.Callable[..., Play]


def copy(src: str, dest: str, ignore_errors: bool = False, **options: t.Any) -> Task:
    made = task("containerd_image_copy", src=src, dest=dest, **options)
    return {**made, "name": f"copy {src}", "ignore_errors": ignore_errors}


def converge(play: Player, one: Task, **how: t.Any) -> TaskResult:
    """In check mode, for real, and again; the real result."""
    check, real, again = play([{**one, "check_mode": True}, one, one], **how).results
    assert check.actions == real.actions
    assert check.changed
    assert real.changed
    assert (again.changed, again.actions) == (False, [])
    assert check.value("digest") == real.value("digest") == again.value("digest")
    return real


def an_index_is_copied_whole(
    play: Player,
    source: AnyRegistry,
    target: AnyRegistry,
    layout: Layout,
    ours: t.Mapping[str, t.Any],
    manifest_of: t.Callable[[str], t.Dict[str, t.Any]],
    blob_of: t.Callable[[str], bytes],
) -> None:
    """ours: an image in the layout. manifest_of, blob_of: what the target has as a repository:tag, and at a path."""
    images = [ours, layout.image(hand_made_layers(), architecture="arm64")]
    attestation = layout.image([hand_made_layers()[2]], architecture="unknown")
    unknown = {**attestation, "platform": {"os": "unknown", "architecture": "unknown"}}
    index = layout.index([*images, unknown])
    source.push(layout.path, index, "source", "1")
    src, dest = f"{source.address}/source:1", f"{target.address}/mirror/source"
    copied = converge(play, copy(src, dest), diff=True)
    assert copied.actions == [f"copy image {src} to {dest}:1"]
    assert copied.value("digest") == index["digest"]
    assert copied.value("diff") == {"before": {"up_to_date": False}, "after": {"up_to_date": True, "digest": index["digest"]}}
    assert manifest_of("mirror/source:1") == json.loads(layout.read(index))
    blobs = {blob["digest"]: blob["size"] for one in [*images, attestation] for blob in _blobs(layout, one)}
    assert copied.value("copied")["blobs"] == sorted(blobs)
    assert copied.value("copied")["bytes"] == sum(blobs.values())
    for name in blobs:
        assert blob_of(f"/v2/mirror/source/blobs/{name}") == layout.read({"digest": name})
    more = layout.image([*hand_made_layers(), hand_made_layers()[0]], architecture="arm64")
    moved = layout.index([images[0], more])
    source.push(layout.path, moved, "source", "1")
    again = converge(play, copy(src, dest))
    assert len(again.value("copied")["blobs"]) == 1
    assert manifest_of("mirror/source:1") == json.loads(layout.read(moved))


def _blobs(layout: Layout, manifest: t.Mapping[str, t.Any]) -> t.List[t.Dict[str, t.Any]]:
    body = json.loads(layout.read(manifest))
    return [body["config"], *body["layers"]]


def within_one_registry_nothing_is_sent(
    play: Player,
    registry: AnyRegistry,
    layout: Layout,
    top: t.Mapping[str, t.Any],
    manifest_of: t.Callable[[str], t.Dict[str, t.Any]],
) -> None:
    """top: an image of one layer in the layout. manifest_of: what the registry has as a repository:tag."""
    registry.push(layout.path, top, "promoted/from", "17")
    name = f"{registry.address}/promoted/from"
    promoted = converge(play, copy(f"{name}:17", f"{registry.address}/promoted/to:stable"))
    assert promoted.value("copied") == {**promoted.value("copied"), "blobs": [], "bytes": 0}
    assert len(promoted.value("copied")["mounted"]) == 2
    retagged = converge(play, copy(f"{name}@{top['digest']}", f"{name}:stable"))
    assert retagged.value("copied")["existing"] == 2
    assert manifest_of("promoted/from:stable") == manifest_of("promoted/to:stable")
