# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release files through ansible-playbook, on both engines: from the names to what containers run, last month's release included."""

from __future__ import annotations

import json
import pathlib
import typing as t

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site


def push(registry: Registry, layout: Layout, word: str, name: str = "release/app") -> str:
    """An image that says a word; its digest."""
    made = busybox_image(layout, Cmd=["sh", "-c", f"echo {word}"])
    registry.push(layout.path, made, name, "1")
    return str(made["digest"])


def job(image: str, **options: t.Any) -> Task:
    return task("containerd_container", name="app", image=image, detach=False, network_mode="none", recreate=False, **options)


def test_hosts_run_what_the_release_says(site: Site, registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> None:
    """Today's release, the next one, and back, though the tag has moved twice; --check shows who has something else."""
    image = f"{registry.address}/release/app:1"
    releases = [tmp_path / f"{word}.json" for word in ("may", "june")]
    digests = []
    for path in releases:
        digests.append(push(registry, layout, path.stem))
        ansible.play([task("containerd_image_lock", path=str(path), images=[image])])
    push(registry, layout, "july")
    may, june = map(str, releases)
    (first,) = site.converge(task("containerd_image", release=may))
    ran = site.play(job(image, release=may)).last
    assert first.value("digest") == digests[0]
    assert ran.value("container")["Output"] == "may\n"
    have = task("containerd_image", release=june)
    drift, moved, again = site.play({**have, "check_mode": True}, have, have).results
    assert (drift.changed, moved.changed, again.changed) == (True, True, False)
    assert drift.value("diff")["before"]["digest"] == digests[0]
    assert drift.value("diff")["after"]["digest"] == moved.value("digest") == digests[1]
    newer, back = site.play(job(image, release=june), job(image, release=may)).results
    assert [one.value("container")["Output"] for one in (newer, back)] == ["june\n", "may\n"]


def test_a_name_that_is_not_in_the_release_is_an_error(
    embedded_site: EmbeddedSite, registry: Registry, layout: Layout, tmp_path: pathlib.Path
) -> None:
    """On the controller, before anything is sent; and the words of the file decide against those of the task."""
    digest, name = push(registry, layout, "one"), f"{registry.address}/release/app:1"
    path = tmp_path / "release.json"
    ansible.play([task("containerd_image_lock", path=str(path), images=[name])])
    other = "sha256:" + "b" * 64
    release = {"release": str(path)}
    tasks: t.List[t.Tuple[Task, str]] = [
        (task("containerd_image", name="a:1", **release), "name: docker.io/library/a:1 is not in the release file"),
        (
            task("containerd_image", name="release/app", tag="2", **release),
            "name: docker.io/release/app:2 is not in the release file",
        ),
        (
            task("containerd_image", images=[{"name": "a:1"}], **release),
            "images: docker.io/library/a:1 is not in the release file",
        ),
        (
            task("containerd_image", name=f"{name}@{other}", **release),
            f"contradicts the release file {path}, where it is {digest}",
        ),
        (task("containerd_image", name=name, digest=other, **release), f"digest: {other} contradicts name, which has {digest}"),
        (
            task("containerd_container", name="x", image="a:1", **release),
            "image: docker.io/library/a:1 is not in the release file",
        ),
        (task("containerd_image", name="a b", **release), "name: invalid image reference 'a b'"),
    ]
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    for file, message in (("none.json", "release: there is no none.json on the controller"), (str(broken), "has no version")):
        tasks.append((task("containerd_image", name=name, release=file), message))
    done = embedded_site.play(*({**one, "ignore_errors": True} for one, _message in tasks)).results
    for result, (_task, message) in zip(done, tasks):
        assert result.failed
        assert message in result.msg
    none, absent = embedded_site.play(
        {**task("containerd_image", name="127.0.0.1:1/a:1", release="", retries=0), "ignore_errors": True},
        task("containerd_image", name="a:1", state="absent", release=str(path)),
    ).results
    assert "release" not in none.msg
    assert not absent.failed


def test_the_examples(embedded_site: EmbeddedSite, registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> None:
    for name in ("release/team", "release/nginx"):
        push(registry, layout, "example", name)
    tasks = examples_of(
        "containerd_image_lock",
        {
            "registry.example.com/team/app:stable": f"{registry.address}/release/team:1",
            "docker.io/library/nginx:1.27": f"{registry.address}/release/nginx:1",
            "{{ playbook_dir }}": str(tmp_path),
            "      - linux/arm64\n": "",
        },
    )
    written, newest, there = embedded_site.play(*tasks).results
    assert written.actions == [f"write the release file {tmp_path}/release.json: 2 added"]
    assert not newest.changed
    assert [one["changed"] for one in there.value("images")] == [True, True]
    assert sorted(json.loads((tmp_path / "release.json").read_text())["images"]) == sorted(written.value("images"))
