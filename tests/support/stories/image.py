# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image: what a pull and a removal tell, many images in one task, what a pull keeps and repairs."""

from __future__ import annotations

import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Play, Task, task
from ansible_collections.fleet.containerd.tests.support.stories.sites import AnySite


def image(name: t.Union[str, t.List[str]], ignore_errors: bool = False, **options: t.Any) -> Task:
    return {**task("containerd_image", name=name, **options), "ignore_errors": ignore_errors}


def many(names: t.Sequence[str], ignore_errors: bool = False, **options: t.Any) -> Task:
    return {"name": "many", "fleet.containerd.containerd_image": {"name": list(names), **options}, "ignore_errors": ignore_errors}


def container(name: str, **options: t.Any) -> Task:
    return task("containerd_container", name=name, **options)


def diffs_of_a_pull_and_a_removal(site: AnySite, name: str) -> Play:
    """The play that pulled."""
    told = site.predict(image(name), diff=True).last.value("diff")
    pulled = site.play(image(name), diff=True)
    its = {"id": pulled.last.value("config_digest"), "digest": pulled.last.value("digest")}
    shown = {"exists": True, "name": name, "size": pulled.last.value("image")["Size"], **its}
    fetched = {"bytes": pulled.last.value("pulled")["bytes"]}
    assert pulled.last.value("diff") == told == {"before": {"exists": False}, "after": {**shown, **fetched}}
    gone = site.play(image(name, state="absent"), diff=True).last.value("diff")
    repository = name.rpartition(":")[0]
    assert gone["before"] == {"exists": True, "tags": [name], "digests": [f"{repository}@{its['digest']}"], **its}
    assert gone["after"] == {"exists": False}
    return pulled


def a_used_image_goes_by_force_only(site: AnySite, name: str, runs: t.Callable[[int], bool]) -> None:
    """runs: whether a process, by its id, is that of the container user."""
    made = site.play(container("user", image=name, command=["sleep", "1000"], stop_signal="KILL")).last
    (refused,) = site.play(image(name, state="absent", ignore_errors=True)).results
    assert refused.failed
    assert refused.msg == f"the image {name} is used by the containers user: remove them first, or set force"
    (forced,) = site.converge(image(name, state="absent", force=True))
    assert forced.value("untagged") == [name]
    assert runs(made.value("container")["State"]["Pid"])
    restarted = site.play(container("user", restart=True)).last
    assert restarted.value("container")["State"]["Running"] is True


def many_images_in_one_task(site: AnySite, shared: t.Sequence[str], hand_made: str, busybox: str) -> None:
    """shared: two images with a layer in common."""
    first, other = shared
    missing = f"{first.partition('/')[0]}/no/such:1"
    (done,) = site.converge(many([other, hand_made, other, first]), diff=True)
    assert done.actions == [f"pull image {name}" for name in (other, hand_made, first)]
    images = done.value("images")
    assert [(one["name"], one["changed"], one["image"]["Unpacked"]) for one in images] == [
        (name, True, True) for name in (other, hand_made, first)
    ]
    assert set(done.value("diff")["after"]) == {other, hand_made, first}
    # The layer that two of them share was transferred once.
    assert images[2]["pulled"]["layers_reused"] == 1
    assert min(images[number]["pulled"]["bytes"] for number in (0, 2)) < 10_000
    partial, stopped, gone = site.play(
        many([hand_made, missing, other], state="present", ignore_errors=True, retries=0),
        many([missing, first], on_failure="stop", ignore_errors=True, retries=0),
        many([other, first, missing], state="absent"),
    ).results
    assert partial.failed
    assert missing in partial.msg
    assert [one.get("failed", False) for one in partial.value("images")] == [False, True, False]
    assert stopped.failed
    assert stopped.value("failed_action") == f"pull image {missing}"
    assert sorted(gone.value("untagged")) == sorted([other, first])
    mixed = site.play(many([missing, busybox], ignore_errors=True, retries=0)).last
    assert mixed.failed
    assert mixed.actions == [f"pull image {busybox}"]
    assert [one["changed"] for one in mixed.value("images")] == [False, True]
    assert not site.play(many([busybox, hand_made])).last.changed


def all_platforms_and_no_unpacking(site: AnySite, name: str, digests: t.Collection[str]) -> None:
    """digests: those of the manifests of an index."""
    site.converge(image(name, unpack=False))
    assert site.snapshots() == []
    (every,) = site.converge(image(name, platform="all", unpack=False))
    assert every.actions[0].startswith(f"pull image {name} for all platforms")
    assert set(digests) < site.blobs()
    assert site.snapshots() == []
    assert not site.play(image(name, unpack=False)).last.changed
    (unpacked,) = site.converge(image(name))
    assert "it is not unpacked" in unpacked.actions[0]
    assert unpacked.value("pulled")["bytes"] == 0


def a_lost_blob_is_noticed_and_repaired(site: AnySite, name: str, lose: t.Callable[[str], None]) -> None:
    """lose: remove the blob with a digest behind the engine's back."""
    pulled = site.play(image(name)).last
    lose(pulled.value("config_digest"))
    (repaired,) = site.converge(image(name))
    assert "damaged or incomplete" in repaired.actions[0]
    assert repaired.value("image") == {**pulled.value("image"), "Metadata": repaired.value("image")["Metadata"]}
