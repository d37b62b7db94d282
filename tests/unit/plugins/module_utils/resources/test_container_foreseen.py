# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode of containerd_container tells whether it will work: it fails as the run would, and says what it could not look at."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound, Unimplemented
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, small_image, tar_of
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite

Options = t.Dict[str, t.Any]


def web(**options: t.Any) -> Task:
    wanted = {"name": "web", "command": ["sleep", "1000"], "stop_signal": "KILL", "retries": 0, **options}
    return {**task("containerd_container", **wanted), "ignore_errors": True}


def fails_alike(site: MemorySite, *rows: Options) -> t.List[str]:
    """The messages of both modes."""
    messages = []
    for options in rows:
        foreseen, found = site.predict(web(**options)).last, site.play(web(**options)).last
        assert foreseen.failed, f"check mode did not see: {found.result}"
        assert found.failed, f"only check mode says: {foreseen.msg}"
        assert (foreseen.msg, foreseen.value("error")) == (found.msg, found.value("error"))
        messages.append(found.msg)
    return messages


def warnings(result: TaskResult) -> str:
    return " ".join(result.get("warnings", ()))


def test_a_release_that_cannot_be_deployed(
    site: MemorySite,
    busybox: str,
    registry: FakeRegistry,
    layout: Layout,
    two_platforms: t.Tuple[str, t.Dict[str, str]],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_runtime(binary: str) -> str:
        if binary == "kata":
            raise NotFound("runtime: kata is not installed on the target: install it")
        return binary

    monkeypatch.setattr(site.memory.tasks, "find_runtime", find_runtime)
    registry.push(layout.path, layout.image([tar_of([Entry("file")])]), "silent", "1")
    repository = busybox.rpartition(":")[0]
    no_tag, no_registry, no_platform, no_volume, no_runtime, no_command = fails_alike(
        site,
        {"image": f"{repository}:99"},
        {"image": "127.0.0.1:1/app:1"},
        {"image": two_platforms[0], "platform": "linux/riscv64"},
        {"image": busybox, "volumes": [f"{tmp_path}/gone:/v"]},
        {"image": busybox, "runtime": "kata"},
        {"image": f"{registry.address}/silent:1", "command": None},
    )
    assert no_tag.startswith(f"{repository}:99 is not in the registry: GET ")
    assert "127.0.0.1:1" in no_registry
    assert "linux/riscv64" in no_platform
    assert no_volume == f"volumes: the source {tmp_path}/gone is not there on the target: create it first"
    assert no_runtime.startswith("runtime: kata is not installed on the target: ")
    assert "has neither a command nor" in no_command
    fine, missing = site.predict(web(image=busybox), web(image=f"{repository}:99")).results
    assert fine.actions == [f"pull image {busybox}", "create container web", "start container web"]
    assert "check mode cannot tell whether the image has the command sleep" in warnings(fine)
    assert missing.value("failed_action") == f"pull image {repository}:99"
    made = site.play(web(image=busybox)).last
    assert "check mode" not in warnings(made)
    assert fine.value("diff") == made.value("diff")
    digest = made.value("container")["Containerd"]["ManifestDigest"]
    assert made.value("diff")["after"]["image"] == {"name": busybox, "digest": digest}
    (tmp_path / "volume").mkdir()
    site.play(web(name="other", image=busybox, state="present", volumes=[f"{tmp_path}/volume:/v"]))
    (tmp_path / "volume").rmdir()
    # What the image declares is made by the first start.
    registry.push(layout.path, small_image(layout, Volumes={"/bin": {}}), "declaring", "1")
    site.play(web(name="third", image=f"{registry.address}/declaring:1", state="present"))
    assert site.predict(web(name="third")).last.actions == ["start container third"]
    # A run finds out by its runtime, which would start here.
    gone = site.predict(web(name="other", command=None, stop_signal=None)).last
    assert gone.msg == f"the volume's source {tmp_path}/volume is not there"


def test_what_the_image_lacks(site: MemorySite, busybox: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    wrong: t.List[t.Tuple[Options, str]] = [
        ({"command": ["/bin/nothing"]}, "the command /bin/nothing is not in the image"),
        ({"command": ["nothing"]}, "the command nothing is not in the image's PATH"),
        ({"user": "nobody-here"}, "user: the image has no user 'nobody-here' in its /etc/passwd"),
        ({"working_dir": "/bin/sh"}, "working_dir: /bin/sh is not a directory in the image"),
        (
            {"volumes": [f"{tmp_path}/file:/bin"]},
            f"a file cannot be mounted on a directory, nor the other way round: {tmp_path}/file",
        ),
    ]
    rows = [{"image": busybox, **options} for options, _message in wrong]
    # The image is not here yet, or its files are in a place that only a record would tell.
    (absent,) = site.predict(web(**rows[0])).results
    assert "check mode cannot tell whether the image has the command /bin/nothing" in warnings(absent)
    site.play(web(image=busybox))
    assert fails_alike(site, *rows) == [message for _options, message in wrong]

    def hidden(_name: str) -> t.Any:
        raise Unimplemented("only a view would tell")

    monkeypatch.setattr(site.memory.snapshotter(), "look", hidden)
    (unseen,) = site.predict(web(image=busybox, command=["nothing"], user="nobody-here")).results
    assert "check mode cannot tell whether the image has the command nothing and the user nobody-here" in warnings(unseen)


def test_a_runtime_that_nobody_can_look_for(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.memory.tasks, "find_runtime", lambda _binary: "")
    told = site.predict(web(image=busybox, runtime="own")).last
    assert "check mode cannot tell whether containerd finds the runtime own and whether the image has" in warnings(told)


def test_nothing_is_asked_for_twice(site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
    other = layout.image([], {"Labels": {"for": "arm64"}}, architecture="arm64")
    first, image = small_image(layout, Labels={"release": "1"}), f"{registry.address}/app:1"

    def seen() -> t.List[str]:
        found = [f"{method} {path.partition('/app/')[2]}" for method, path, _headers in registry.seen]
        registry.seen.clear()
        return found

    registry.push(layout.path, layout.index([first]), "app", "1")
    assert site.predict(web(image=image)).last.changed
    manifest = json.loads(layout.read(first))
    config, layer = (f"GET blobs/{blob['digest']}" for blob in [manifest["config"], *manifest["layers"]])
    documents = ["GET manifests/1", f"GET manifests/{first['digest']}", config]
    assert seen() == documents
    assert site.play(web(image=image)).last.changed
    assert sorted(seen()) == sorted([*documents, layer])
    for policy in ("missing", "newer"):
        assert not site.play(web(image=image, pull=policy)).last.changed
    assert seen() == ["HEAD manifests/1"]
    # Another platform was built anew: what runs here is as it was.
    index = layout.index([first, other])
    registry.push(layout.path, index, "app", "1")
    same = site.play(web(image=image, pull="always")).last
    assert (same.changed, same.actions) == (False, [])
    assert seen() == ["HEAD manifests/1", f"GET manifests/{index['digest']}", f"GET manifests/{first['digest']}", config]
    # This one: and what the plan was made from is what is pulled.
    second = small_image(layout, Labels={"release": "2"})
    index = layout.index([second, other])
    registry.push(layout.path, index, "app", "1")
    moved = site.play(web(image=image, pull="always")).last
    assert moved.value("recreated_because") == ["image"]
    assert moved.value("diff")["after"]["image"] == {"name": image, "digest": second["digest"]}
    config = f"GET blobs/{json.loads(layout.read(second))['config']['digest']}"
    assert seen() == ["HEAD manifests/1", f"GET manifests/{index['digest']}", f"GET manifests/{second['digest']}", config]


def test_a_container_that_has_no_image(site: MemorySite) -> None:
    for result in (site.predict(web()).last, site.play(web()).last):
        assert result.msg == "image: needed to create the container web"
    assert not site.play(web(state="absent")).last.changed
