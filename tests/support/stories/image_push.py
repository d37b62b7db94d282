# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_push: into a registry that has nothing, that has the layers elsewhere, and of which platforms."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.images import Layout, hand_made_layers
from ansible_collections.fleet.containerd.tests.support.stories.sites import AnyRegistry, AnySite

#: What another tool sees in the registry under a repository:tag.
DigestOf = t.Callable[[str], str]
ManifestOf = t.Callable[[str], t.Dict[str, t.Any]]


def push(name: str, ignore_errors: bool = False, **options: t.Any) -> Task:
    return {**task("containerd_image_push", name=name, **options), "ignore_errors": ignore_errors}


def pull(name: str, **options: t.Any) -> Task:
    return task("containerd_image", name=name, **options)


def load(layout: Layout, **options: t.Any) -> Task:
    return task("containerd_image_load", path=str(layout.path), **options)


def an_image_goes_there_and_comes_back(
    site: AnySite, address: str, layout: Layout, top: t.Mapping[str, t.Any], digest_of: DigestOf
) -> str:
    """address: of an empty registry. top: an image of two layers in the layout. The name that was pulled at last."""
    layout.tag(top, "docker.io/library/app:1")
    site.play(load(layout))
    name = f"{address}/team/app"
    (pushed,) = site.converge(push("app:1", destination=name), diff=True)
    assert pushed.actions == [f"push image docker.io/library/app:1 to {name}:1"]
    assert pushed.value("destination") == f"{name}:1"
    assert pushed.value("digest") == top["digest"] == digest_of("team/app:1")
    assert pushed.value("diff") == {"before": {"up_to_date": False}, "after": {"up_to_date": True, "digest": top["digest"]}}
    body = json.loads(layout.read(top))
    blobs = [body["config"], *body["layers"]]
    assert pushed.value("pushed")["blobs"] == sorted(blob["digest"] for blob in blobs)
    assert pushed.value("pushed")["bytes"] == sum(blob["size"] for blob in blobs)
    assert pushed.value("pushed")["existing"] == 0
    assert pushed.value("missing_platforms") == []
    (again,) = site.converge(push("app:1", destination=f"{name}:2"))
    assert again.value("pushed") == {**again.value("pushed"), "blobs": [], "bytes": 0, "existing": 3}
    back = site.play(pull(f"{name}:2")).last
    assert back.value("digest") == top["digest"]
    return f"{name}:2"


def what_is_in_another_repository_is_mounted(
    site: AnySite, registry: AnyRegistry, layout: Layout, top: t.Mapping[str, t.Any], digest_of: DigestOf
) -> None:
    """top: an image of one layer in the layout."""
    registry.push(layout.path, top, "base", "1")
    base = f"{registry.address}/base:1"
    _pulled, pushed = site.play(pull(base), push(base, destination=f"{registry.address}/other/app:1")).results
    facts = pushed.value("pushed")
    assert len(facts["mounted"]) == 2
    assert (facts["blobs"], facts["bytes"], facts["existing"]) == ([], 0, 0)
    assert digest_of("other/app:1") == pushed.value("digest")


def platforms(
    site: AnySite, registry: AnyRegistry, layout: Layout, amd: t.Mapping[str, t.Any], manifest_of: ManifestOf
) -> t.Mapping[str, t.Any]:
    """amd: an image for amd64 in the layout. In the end part:3 of the registry has the whole index, which is returned."""
    arm = layout.image(hand_made_layers()[:1], architecture="arm64")
    index = layout.index([arm, amd, layout.image(hand_made_layers()[:1], architecture="s390x")])
    registry.push(layout.path, index, "whole", "1")
    name, out = f"{registry.address}/whole:1", f"{registry.address}/part"
    pulled, own, some, every, arm64 = site.play(
        pull(name),
        push(name),
        push(name, destination=f"{out}:1"),
        push(name, destination=f"{out}:2", platforms=["all"], ignore_errors=True),
        push(name, destination=f"{out}:2", platforms=["linux/amd64", "linux/arm64"], ignore_errors=True),
    ).results
    assert pulled.value("digest") == index["digest"]
    assert not own.changed, "the registry has all platforms, and that is more than what is here"
    assert some.value("missing_platforms") == ["linux/arm64", "linux/s390x"]
    assert every.msg == f"the image {name} is incomplete here, it is missing linux/arm64, linux/s390x: pull it for that platform"
    assert arm64.msg == f"the image {name} is incomplete here, it is missing linux/arm64: pull it for that platform"
    assert [one["digest"] for one in manifest_of("part:1")["manifests"]] == [amd["digest"]]
    assert not site.play(push(name, destination=f"{out}:1")).last.changed
    site.play(pull(name, platform="linux/arm64"))
    (pushed,) = site.converge(push(name, destination=f"{out}:2", platforms=["linux/amd64", "linux/arm64"]))
    assert pushed.value("digest") != index["digest"]
    assert [one["digest"] for one in manifest_of("part:2")["manifests"]] == [arm["digest"], amd["digest"]]
    site.play(pull(name, platform="linux/s390x"))
    (whole,) = site.converge(push(name, destination=f"{out}:3", platforms=["all"]))
    assert whole.value("digest") == index["digest"]
    return index
