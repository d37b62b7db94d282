# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image over the engine in memory, from a registry in this process."""

from __future__ import annotations

import json
import os
import pathlib
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.resources.image import room
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, Handler, fake_registry
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, small_image, tar_of
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.image import (
    a_lost_blob_is_noticed_and_repaired,
    a_used_image_goes_by_force_only,
    all_platforms_and_no_unpacking,
    diffs_of_a_pull_and_a_removal,
    image,
    many,
    many_images_in_one_task,
)


@pytest.fixture
def shared(registry: FakeRegistry, layout: Layout) -> t.List[str]:
    """The names of two images with a layer in common, in the registry."""
    for tag in ("1", "2"):
        registry.push(layout.path, small_image(layout, Labels={"of": tag}), "shared", tag)
    return [f"{registry.address}/shared:{tag}" for tag in ("1", "2")]


def test_diff(site: MemorySite, busybox: str) -> None:
    diffs_of_a_pull_and_a_removal(site, busybox)


def test_pull_policies(site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
    name = f"{registry.address}/moving:1"
    first = registry.push(layout.path, small_image(layout, Labels={"release": "1"}), "moving", "1")
    (never,) = site.play(image(name, pull="never", ignore_errors=True)).results
    assert never.failed
    assert never.msg == f"the image {name} cannot be used (it is not there), and pull is never"
    site.play(image(name))
    second = registry.push(layout.path, small_image(layout, Labels={"release": "2"}), "moving", "1")
    for policy in ("never", "missing"):
        same = site.play(image(name, pull=policy)).last
        assert not same.changed
        assert same.value("digest") == first
    (moved,) = site.converge(image(name, pull="always"))
    assert moved.actions == [f"pull image {name} (the registry has {second[:19]}, here is {first[:19]})"]
    assert moved.value("diff")["before"]["digest"] == first
    assert moved.value("diff")["after"]["digest"] == second
    assert moved.value("image")["Config"]["Labels"] == {"release": "2"}
    assert moved.value("pulled")["layers_reused"] == 1
    third = registry.push(layout.path, small_image(layout, Labels={"release": "3"}), "moving", "1")
    assert site.play(image(name, pull="newer")).last.value("digest") == third


def test_pull_without_the_registry(site: MemorySite, layout: Layout) -> None:
    with fake_registry() as gone:
        name = f"{gone.address}/busybox:1"
        gone.push(layout.path, small_image(layout), "busybox", "1")
        site.play(image(name))
    quick: t.Dict[str, t.Any] = {"retries": 0}
    newer, always, missing = site.play(
        image(name, pull="newer", **quick), image(name, pull="always", ignore_errors=True, **quick), image(name)
    ).results
    assert not newer.changed
    (warning,) = newer.value("warnings")
    assert warning.startswith(f"the registry could not be asked for a newer {name}: ")
    assert always.failed
    assert gone.address in always.msg
    assert not missing.changed
    assert "warnings" not in missing.result
    site.play(image(name, state="absent"))
    lost = site.play(image(name, pull="newer", ignore_errors=True, **quick)).last
    assert lost.failed
    assert gone.address in lost.msg


def test_platforms(site: MemorySite, two_platforms: t.Tuple[str, t.Dict[str, str]]) -> None:
    name, digests = two_platforms
    host_platform = site.play(image(name)).last
    assert host_platform.value("manifest_digest") == digests["amd64"]
    assert host_platform.value("image")["Architecture"] == "amd64"
    (arm,) = site.converge(image(name, platform="linux/arm64"))
    assert arm.actions[0].startswith(f"pull image {name} for linux/arm64")
    assert arm.value("manifest_digest") == digests["arm64"]
    assert arm.value("digest") == host_platform.value("digest")
    assert arm.value("image")["Config"]["Labels"] == {"for": "arm64"}
    (absent,) = site.play(image(name, platform="linux/riscv64", ignore_errors=True)).results
    assert absent.failed
    assert "linux/riscv64" in absent.msg
    assert "linux/arm64" in absent.msg


def test_pinned_by_digest(site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
    repository = f"{registry.address}/pinned"
    first = registry.push(layout.path, small_image(layout, Labels={"release": "1"}), "pinned", "1")
    pinned = site.play(image(f"{repository}:1", digest=first)).last
    assert pinned.value("digest") == first
    second = registry.push(layout.path, small_image(layout, Labels={"release": "2"}), "pinned", "1")
    same, moved, other, by_digest = site.play(
        image(f"{repository}:1@{first}"),
        image(f"{repository}:1", digest=first, pull="always", ignore_errors=True),
        image(f"{repository}:1", digest=second, state="absent"),
        image(f"{repository}@{first}"),
    ).results
    assert not same.changed
    assert moved.failed
    assert first in moved.msg
    assert second in moved.msg
    assert not other.changed
    assert by_digest.value("image")["RepoDigests"] == [f"{repository}@{first}"]


def test_image_ids(site: MemorySite, busybox: str) -> None:
    pulled = site.play(image(busybox)).last
    by_id = pulled.value("config_digest")
    (missing,) = site.play(image("sha256:" + "0" * 64, ignore_errors=True)).results
    assert missing.failed
    assert missing.msg.startswith("the image sha256:000")
    (removed,) = site.converge(image(by_id, state="absent"))
    assert removed.value("untagged") == [busybox]


def test_absent_while_a_container_uses_it(site: MemorySite, busybox: str) -> None:
    a_used_image_goes_by_force_only(site, busybox, lambda pid: bool(site.task_of("user").pid == pid))


def test_many_images_in_one_task(site: MemorySite, busybox: str, hand_made: str, shared: t.List[str]) -> None:
    many_images_in_one_task(site, shared, hand_made, busybox)


def test_images_with_options_of_their_own(
    site: MemorySite, busybox: str, two_platforms: t.Tuple[str, t.Dict[str, str]], registry: FakeRegistry
) -> None:
    name, digests = two_platforms
    digest = site.play(image(busybox)).last.value("digest")
    rows = [{"name": busybox, "digest": digest}, {"name": name, "platform": ["linux/arm64", "linux/amd64"]}]
    task = {"name": "rows", "fleet.containerd.containerd_image": {"images": rows}}
    (done,) = site.converge(task)
    assert done.actions == [f"pull image {name} for linux/arm64, linux/amd64"]
    assert [one["manifest_digest"] for one in done.value("images")] == [digest, digests["arm64"]]
    wrong = {"name": "wrong", "fleet.containerd.containerd_image": {"images": [{**rows[0], "digest": "sha256:" + "0" * 64}]}}
    refused = site.play({**wrong, "ignore_errors": True}).last
    assert refused.failed
    assert "has moved" in refused.msg


def test_pinned(site: MemorySite, busybox: str, hand_made: str, registry: FakeRegistry, layout: Layout) -> None:
    (pulled,) = site.converge(image(busybox, pinned=True))
    assert pulled.actions == [f"pull image {busybox}"]
    assert pulled.value("diff")["after"]["pinned"] is True
    assert pulled.value("image")["Pinned"] is True
    name = f"{registry.address}/moving:1"
    registry.push(layout.path, small_image(layout, Labels={"version": "1"}), "moving", "1")
    assert site.play(image(name)).last.value("image")["Pinned"] is False
    (pin,) = site.converge(image(name, pinned=True))
    assert pin.actions == [f"pin image {name}"]
    assert (pin.value("diff")["before"].get("pinned"), pin.value("diff")["after"]["pinned"]) == (None, True)
    assert not site.play(image(name)).last.changed
    # A new version, whoever pulls it, is as pinned as the old one.
    registry.push(layout.path, small_image(layout, Labels={"version": "2"}), "moving", "1")
    (newer,) = site.converge(image(name, pull="always"))
    assert newer.value("image")["Config"]["Labels"] == {"version": "2"}
    assert newer.value("image")["Pinned"] is True
    (unpin,) = site.converge(image(name, pinned=False))
    assert unpin.actions == [f"unpin image {name}"]
    assert unpin.value("image")["Pinned"] is False
    rows = [{"name": hand_made, "pinned": True}, {"name": busybox, "pinned": False}, {"name": name}]
    (both,) = site.converge({"name": "rows", "fleet.containerd.containerd_image": {"images": rows, "pinned": True}})
    assert both.actions == [f"pull image {hand_made}", f"unpin image {busybox}", f"pin image {name}"]
    facts = {one["RepoTags"][0]: one["Pinned"] for one in site.play(task("containerd_image_info")).last.value("images")}
    assert facts == {hand_made: True, busybox: False, name: True}
    site.converge(image(name, state="absent"))


def test_progress_file(site: MemorySite, hand_made: str, layout: Layout, tmp_path: pathlib.Path) -> None:
    # Its directory is made.
    path, top = tmp_path / "made" / "progress", small_image(layout, [tar_of([Entry("noise", os.urandom(600_000))])])
    manifest = json.loads(layout.read(top))
    blobs = [manifest["config"], *manifest["layers"]]
    size = sum(blob["size"] for blob in blobs)
    seen: t.List[t.Dict[str, t.Any]] = []
    modes: t.Set[int] = set()

    def half(at: Handler) -> None:
        """What the file tells while the registry has sent only half of the layer."""
        data = at.server.contents[at.path][0]
        at.send_response(200)
        at.send_header("Content-Length", str(len(data)))
        at.end_headers()
        at.wfile.write(data[: len(data) // 2])
        deadline = time.monotonic() + 20
        # The bytes of the other image come at the same time.
        while not (seen and manifest["config"]["size"] < seen[-1]["images"][0]["bytes"] < size) and time.monotonic() < deadline:
            time.sleep(0.05)
            seen.append(json.loads(path.read_text()))
            modes.add(path.stat().st_mode & 0o777)
        at.wfile.write(data[len(data) // 2 :])

    with fake_registry() as server:
        name = f"{server.address}/slow:1"
        server.push(layout.path, top, "slow", "1")
        server.faults = [(manifest["layers"][1]["digest"], half)]
        site.predict(image(name, progress_file=str(path)))
        assert not path.exists()
        site.play(image([name, hand_made], progress_file=str(path)))
    middle = seen[-1]
    assert middle["images"][0] == {"name": name, "state": "transferring", "bytes": middle["images"][0]["bytes"], "total": size}
    assert manifest["config"]["size"] < middle["images"][0]["bytes"] < size
    assert middle["bytes"] == sum(one["bytes"] for one in middle["images"])
    assert middle["total"] > size
    assert middle["rate"] >= 0
    assert modes == {0o644}
    # It goes with the task, also with one that fails; where no file can be, the pull is done all the same.
    site.play(image(f"{server.address}/none:1", progress_file=str(path), retries=0, ignore_errors=True))
    assert list(path.parent.iterdir()) == []
    site.play(image(name, state="absent"))
    for wrong, word in (
        ({"progress_file": "progress"}, "not an absolute path"),
        ({"progress_after": -1}, "progress_after: -1.0 is negative"),
    ):
        refused = site.play(image(name, ignore_errors=True, **wrong)).last
        assert refused.failed
        assert word in refused.msg
    assert site.play(image(hand_made, state="absent"), image(hand_made, progress_file="/proc/none/progress")).last.changed


def test_all_platforms_and_no_unpacking(site: MemorySite, two_platforms: t.Tuple[str, t.Dict[str, str]]) -> None:
    all_platforms_and_no_unpacking(site, two_platforms[0], two_platforms[1].values())


def test_damage_is_noticed_and_repaired(site: MemorySite, busybox: str) -> None:
    a_lost_blob_is_noticed_and_repaired(site, busybox, lambda digest: site.memory.content.delete(Digest(digest)))


def test_a_password_shows_nowhere(site: MemorySite, busybox: str) -> None:
    done = site.play(image(busybox, username="robot", password="s3cret-word"))
    assert done.last.changed
    assert "s3cret-word" not in done.output
    assert "s3cret-word" not in repr(site.records())


def test_wrong_values(site: MemorySite, busybox: str, tmp_path: pathlib.Path) -> None:
    digest = "sha256:" + "0" * 64
    rows: t.List[t.Tuple[t.Dict[str, t.Any], str]] = [
        ({"name": busybox, "max_parallel": 0}, "max_parallel: 0 is not a positive number"),
        ({"name": busybox, "digest": "sha256:0"}, "digest: invalid digest 'sha256:0'"),
        ({"name": f"{busybox}@{digest}", "digest": "sha256:" + "1" * 64}, "digest: sha256:1"),
        ({"name": busybox, "platform": ["all", "linux/amd64"]}, "platform: all stands alone"),
        ({"name": busybox, "tag": "foo/bar"}, "tag: "),
        ({"name": []}, "name: no image is named"),
        ({"images": [{"name": ""}]}, "images: item 0 has no name"),
        ({"images": [{"name": "a:1"}, {"name": "a:1", "digest": digest}]}, "images: docker.io/library/a:1 is listed twice"),
        ({"name": busybox, "username": "a"}, "password: username and password are needed together"),
        ({"name": busybox, "username": "a", "password": "b", "token": "c"}, "token: give either token, or username and password"),
        ({"name": busybox, "client_key": str(tmp_path)}, "client_key: client_cert is needed too"),
        ({"name": busybox, "retries": -1}, "retries: -1 is negative"),
        ({"name": busybox, "progress_timeout": 0}, "progress_timeout: 0.0 is not a positive number of seconds"),
        ({"name": busybox, "ca_path": "/no/ca.pem"}, "ca_path: /no/ca.pem is not a file on the target"),
        ({"name": busybox, "registry_config_dir": "/no/certs.d"}, "registry_config_dir: /no/certs.d is not a directory"),
        ({"name": busybox, "https_proxy": "http://a b"}, "https_proxy: not the address of a proxy"),
    ]
    for options, message in rows:
        refused = site.predict({"name": "wrong", "fleet.containerd.containerd_image": options, "ignore_errors": True}).last
        assert refused.failed, options
        assert refused.msg.startswith(message), refused.msg
    assert site.untouched()


def test_a_disk_that_is_too_small(
    site: MemorySite, registry: FakeRegistry, layout: Layout, busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check mode knows from the manifest; of the layers' unpacked size it can only warn."""
    for name, size in (("tight", 150_000), ("large", 600_000)):
        registry.push(layout.path, small_image(layout, [tar_of([Entry("noise", os.urandom(size))])]), name, "1")
    tight, large = (f"{registry.address}/{name}:1" for name in ("tight", "large"))
    monkeypatch.setattr(room, "_free", lambda _path: (1, 400_000))
    monkeypatch.setattr(site.memory, "places", lambda *_given: ("/blobs", "/layers"))
    refused, fits, several = site.predict(
        image(large, ignore_errors=True), image(tight), many([large, busybox, tight], ignore_errors=True)
    ).results
    assert refused.msg.startswith(f"there is no room for {large} (")
    assert refused.msg.endswith("/blobs has 400000 bytes free")
    (warning,) = fits.value("warnings")
    assert warning.startswith(f"{tight} may find no room: ")
    assert several.msg.startswith(f"there is no room for {large} (")
    assert [one.get("failed", False) for one in several.value("images")] == [True, False, False]
    assert not site.predict(image(tight, unpack=False)).last.get("warnings")
