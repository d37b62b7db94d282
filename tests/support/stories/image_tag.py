# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_tag: names for an image that is there."""

from __future__ import annotations

import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.stories.sites import AnySite


def tag(name: str, *repositories: str, ignore_errors: bool = False, **options: t.Any) -> Task:
    made = task("containerd_image_tag", name=name, repository=list(repositories), **options)
    return {**made, "ignore_errors": ignore_errors}


def pull(name: str) -> Task:
    return task("containerd_image", name=name, plain_http=True)


def more_names(site: AnySite, busybox: str, hand_made: str) -> None:
    """In the end copy and example.com/a/b:v1 are of the second image."""
    pulled = site.play(pull(busybox), pull(hand_made)).results
    first, second = (one.value("digest") for one in pulled)
    both = tag(busybox, "copy", "example.com/a/b:v1", "example.com/a/b:v1")
    (tagged,) = site.converge(both, diff=True)
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


def a_tag_keeps_the_content(site: AnySite, name: str) -> None:
    """When the name that it was pulled by goes."""
    pulled, itself = site.play(pull(name)).last, name
    same, by_id, gone, container = site.play(
        tag(itself, itself),
        tag(pulled.value("config_digest"), "kept:1"),
        task("containerd_image", name=name, state="absent"),
        task("containerd_container", name="one", image="kept:1", command=["true"], detach=False, network_mode="none"),
    ).results
    assert not same.changed
    assert by_id.actions == [f"tag image {pulled.value('digest')} as docker.io/library/kept:1"]
    assert gone.value("deleted") == []
    assert container.value("status") == 0
