# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_tag over the engine in memory."""

from __future__ import annotations

import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite


def tag(name: str, *repositories: str, ignore_errors: bool = False, **options: t.Any) -> Task:
    made = task("containerd_image_tag", name=name, repository=list(repositories), **options)
    return {**made, "ignore_errors": ignore_errors}


def pull(name: str) -> Task:
    return task("containerd_image", name=name, plain_http=True)


def test_more_names(site: MemorySite, busybox: str, hand_made: str) -> None:
    pulled = site.play(pull(busybox), pull(hand_made)).results
    first, second = (one.value("digest") for one in pulled)
    both = tag(busybox, "copy", "example.com/a/b:v1", "example.com/a/b:v1")
    (tagged,) = site.converge(both)
    names = ["docker.io/library/copy:latest", "example.com/a/b:v1"]
    assert tagged.actions == [f"tag image {busybox} as {name}" for name in names]
    assert tagged.value("tagged_images") == ["copy:latest", "example.com/a/b:v1"]
    shown = [{"name": "copy", "tag": "latest"}, {"name": "example.com/a/b", "tag": "v1"}]
    its = {"id": pulled[0].value("config_digest"), "digest": first}
    assert tagged.value("diff")["before"] == {"images": [{**one, "exists": False} for one in shown]}
    assert tagged.value("diff")["after"] == {"images": [{**one, **its} for one in shown]}
    assert tagged.value("image")["RepoTags"] == sorted([busybox, *tagged.value("tagged_images")])
    assert tagged.value("image")["NamesHistory"] == sorted([busybox, *names])
    with site.engine() as engine:
        assert {name: engine.images.get(name).target.digest for name in names} == dict.fromkeys(names, first)
    kept = site.play(tag(hand_made, "copy", "new:1", existing_images="keep")).last
    assert kept.value("tagged_images") == ["new:1"]
    (moved,) = site.converge(tag(hand_made, *names))
    assert moved.actions == [f"tag image {hand_made} as {name} (instead of {first[:19]})" for name in names]
    with site.engine() as engine:
        assert engine.images.get(names[0]).target.digest == second


def test_a_tag_keeps_the_content(site: MemorySite, busybox: str) -> None:
    pulled = site.play(pull(busybox)).last
    same, by_id, gone, container = site.play(
        tag(busybox, busybox),
        tag(pulled.value("config_digest"), "kept:1"),
        task("containerd_image", name=busybox, state="absent"),
        task("containerd_container", name="one", image="kept:1", command=["true"], detach=False, network_mode="none"),
    ).results
    assert not same.changed
    assert by_id.actions == [f"tag image {pulled.value('digest')} as docker.io/library/kept:1"]
    assert gone.value("deleted") == []
    assert container.value("status") == 0


def test_wrong_values(site: MemorySite, busybox: str) -> None:
    pulled = site.play(pull(busybox)).last
    other = "sha256:" + "0" * 64
    results = site.play(
        tag("missing", "x", ignore_errors=True),
        tag(busybox, "UPPER", ignore_errors=True),
        tag(busybox, f"x@{pulled.value('digest')}", ignore_errors=True),
        tag(f"{busybox}@{other}", "x", ignore_errors=True),
        tag(other, "x", ignore_errors=True),
    ).results
    assert all(one.failed for one in results)
    absent, upper, digest, pinned, by_id = (one.msg for one in results)
    assert absent == "name: the image docker.io/library/missing:latest is not there: pull or load it first"
    assert upper.startswith("repository: invalid image reference 'UPPER'")
    assert "a digest: only a tag can be given" in digest
    assert pinned == f"name: {busybox}@{other} is pinned, and the image {busybox} is {pulled.value('digest')}"
    assert by_id == f"name: the image {other} is not there: pull or load it first"
