# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_push over the engine in memory, into a registry in this process."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, fake_registry
from ansible_collections.fleet.containerd.tests.support.images import Layout, hand_made_layers, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite


def push(name: str, ignore_errors: bool = False, **options: t.Any) -> Task:
    return {**task("containerd_image_push", name=name, **options), "ignore_errors": ignore_errors}


def pull(name: str, **options: t.Any) -> Task:
    return task("containerd_image", name=name, **options)


def load(layout: Layout, **options: t.Any) -> Task:
    return task("containerd_image_load", path=str(layout.path), **options)


def test_an_image_goes_there_and_comes_back(site: MemorySite, layout: Layout) -> None:
    top = small_image(layout, hand_made_layers()[:1])
    layout.tag(top, "docker.io/library/app:1")
    with fake_registry() as registry:
        site.play(load(layout))
        name = f"{registry.address}/team/app"
        one = push("app:1", destination=name)
        (pushed,) = site.converge(one)
        assert pushed.actions == [f"push image docker.io/library/app:1 to {name}:1"]
        assert pushed.value("destination") == f"{name}:1"
        assert pushed.value("digest") == top["digest"] == registry.digest("team/app:1")
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


def test_what_is_in_another_repository_is_mounted(site: MemorySite, layout: Layout) -> None:
    with fake_registry() as registry:
        registry.push(layout.path, small_image(layout), "base", "1")
        base = f"{registry.address}/base:1"
        _pulled, pushed = site.play(pull(base), push(base, destination=f"{registry.address}/other/app:1")).results
        facts = pushed.value("pushed")
        assert len(facts["mounted"]) == 2
        assert (facts["blobs"], facts["bytes"], facts["existing"]) == ([], 0, 0)
        assert registry.digest("other/app:1") == pushed.value("digest")


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
    amd, arm = small_image(layout), layout.image(hand_made_layers()[:1], architecture="arm64")
    s390 = layout.image(hand_made_layers()[:1], architecture="s390x")
    index = layout.index([arm, amd, s390])
    with fake_registry() as registry:
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
        assert (
            every.msg == f"the image {name} is incomplete here, it is missing linux/arm64, linux/s390x: pull it for that platform"
        )
        assert arm64.msg == f"the image {name} is incomplete here, it is missing linux/arm64: pull it for that platform"
        listed = registry.manifest("part:1")["manifests"]
        assert [one["digest"] for one in listed] == [amd["digest"]]
        assert not site.play(push(name, destination=f"{out}:1")).last.changed
        two: t.Dict[str, t.Any] = {"destination": f"{out}:2", "platforms": ["linux/amd64", "linux/arm64"]}
        site.play(pull(name, platform="linux/arm64"))
        (pushed,) = site.converge(push(name, **two))
        assert pushed.value("digest") != index["digest"]
        assert [one["digest"] for one in registry.manifest("part:2")["manifests"]] == [arm["digest"], amd["digest"]]
        site.play(pull(name, platform="linux/s390x"))
        (whole,) = site.converge(push(name, destination=f"{out}:3", platforms=["all"]))
        assert whole.value("digest") == index["digest"]
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
