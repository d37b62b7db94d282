# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image through ansible-playbook, against real registries."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import subprocess
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support import ansible, cri
from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.containerds import running_containerd
from ansible_collections.fleet.containerd.tests.support.direct import Direct
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.fake_registry import Handler, fake_registry
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.registry import Registry, running_registry
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.trees import assert_same


def image(name: t.Union[str, t.List[str]], ignore_errors: bool = False, **options: t.Any) -> Task:
    return {**task("containerd_image", name=name, **options), "ignore_errors": ignore_errors}


def container(name: str, **options: t.Any) -> Task:
    return task("containerd_container", name=name, **options)


@pytest.mark.packed
def test_present_and_absent(site: Site, host: t.Any, hand_made: str) -> None:
    (pulled,) = site.converge(image(hand_made))
    assert pulled.actions == [f"pull image {hand_made}"]
    facts = pulled.value("image")
    assert facts["RepoTags"] == [hand_made]
    assert facts["RepoDigests"] == [f"{hand_made.rpartition(':')[0]}@{pulled.value('digest')}"]
    assert facts["Id"] == pulled.value("config_digest")
    assert facts["Unpacked"] is True
    assert pulled.value("pulled")["layers"] == 3
    stored = site.blobs()
    assert {pulled.value(key) for key in ("digest", "config_digest")} < stored
    assert len(stored) == 5
    size = sum(site.blob_path(digest).stat().st_size for digest in stored)
    assert host.file(str(site.data)).mode & 0o077 == 0
    (removed,) = site.converge(image(hand_made, state="absent"))
    assert removed.actions == [f"remove image {hand_made}"]
    assert removed.value("untagged") == [hand_made]
    assert removed.value("deleted") == [facts["Id"]]
    assert sorted(removed.value("deleted_blobs")) == sorted(stored)
    assert removed.value("bytes") == size
    assert removed.value("image") == facts
    assert site.blobs() == set()
    assert site.snapshots() == []
    assert list(site.data.glob("snapshots/*/*")) == []


def test_diff(site: Site, busybox: str) -> None:
    told = site.predict(image(busybox), diff=True).last.value("diff")
    pulled = site.play(image(busybox), diff=True)
    its = {"id": pulled.last.value("config_digest"), "digest": pulled.last.value("digest")}
    shown = {"exists": True, "name": busybox, "size": pulled.last.value("image")["Size"], **its}
    fetched = {"bytes": pulled.last.value("pulled")["bytes"]}
    assert pulled.last.value("diff") == told == {"before": {"exists": False}, "after": {**shown, **fetched}}
    assert '+    "exists": true' in pulled.output
    gone = site.play(image(busybox, state="absent"), diff=True).last.value("diff")
    repository = busybox.rpartition(":")[0]
    assert gone["before"] == {"exists": True, "tags": [busybox], "digests": [f"{repository}@{its['digest']}"], **its}
    assert gone["after"] == {"exists": False}


def test_check_mode_on_a_read_only_root(embedded_site: EmbeddedSite, busybox: str, hand_made: str) -> None:
    site = embedded_site
    tasks = [image(hand_made), image(busybox, pull="always"), image(busybox, state="absent", force=True)]
    tasks += [container("new", image=busybox, command=["true"]), container("web", image=busybox, env={"A": "2"})]
    tasks += [container("web", state="absent")]
    site.play(image(busybox), container("web", image=busybox, command=["sleep", "1000"], stop_signal="KILL", env={"A": "1"}))
    writable = site.play(*tasks, check=True)
    for root in (site.data, site.state):
        subprocess.run(["mount", "--rbind", str(root), str(root)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(root)], check=True)
    try:
        with pytest.raises(OSError):
            (site.data / "probe").write_text("")
        predicted = site.predict(*tasks)
    finally:
        for root in (site.data, site.state):
            subprocess.run(["umount", "-l", str(root)], check=True)
    assert [one.actions for one in predicted.results] == [one.actions for one in writable.results]
    assert [one.changed for one in predicted.results] == [True, False, True, True, True, True]


def test_pull_policies(site: Site, registry: Registry, layout: Layout) -> None:
    name = f"{registry.address}/moving:1"
    first = registry.push(layout.path, busybox_image(layout, Labels={"release": "1"}), "moving", "1")
    (never,) = site.play(image(name, pull="never", ignore_errors=True)).results
    assert never.failed
    assert never.msg == f"the image {name} cannot be used (it is not there), and pull is never"
    site.play(image(name))
    second = registry.push(layout.path, busybox_image(layout, Labels={"release": "2"}), "moving", "1")
    for policy in ("never", "missing"):
        same = site.play(image(name, pull=policy)).last
        assert not same.changed
        assert same.value("digest") == first
    (moved,) = site.converge(image(name, pull="always"), diff=True)
    assert moved.actions == [f"pull image {name} (the registry has {second[:19]}, here is {first[:19]})"]
    assert moved.value("diff")["before"]["digest"] == first
    assert moved.value("diff")["after"]["digest"] == second
    assert moved.value("image")["Config"]["Labels"] == {"release": "2"}
    assert moved.value("pulled")["layers_reused"] == 1
    third = registry.push(layout.path, busybox_image(layout, Labels={"release": "3"}), "moving", "1")
    assert site.play(image(name, pull="newer")).last.value("digest") == third


def test_pull_without_the_registry(site: Site, layout: Layout) -> None:
    with running_registry() as gone:
        name = f"{gone.address}/busybox:1"
        gone.push(layout.path, busybox_image(layout), "busybox", "1")
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


def test_platforms(site: Site, two_platforms: t.Tuple[str, t.Dict[str, str]]) -> None:
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


def test_pinned_by_digest(site: Site, registry: Registry, layout: Layout) -> None:
    repository = f"{registry.address}/pinned"
    first = registry.push(layout.path, busybox_image(layout, Labels={"release": "1"}), "pinned", "1")
    pinned = site.play(image(f"{repository}:1", digest=first)).last
    assert pinned.value("digest") == first
    second = registry.push(layout.path, busybox_image(layout, Labels={"release": "2"}), "pinned", "1")
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


def test_image_ids(site: Site, busybox: str) -> None:
    pulled = site.play(image(busybox)).last
    by_id = pulled.value("config_digest")
    (missing,) = site.play(image("sha256:" + "0" * 64, ignore_errors=True)).results
    assert missing.failed
    assert missing.msg.startswith("the image sha256:000")
    (removed,) = site.converge(image(by_id, state="absent"))
    assert removed.value("untagged") == [busybox]


def test_basic_authentication_and_a_private_authority(site: Site, locked_registry: Registry, tmp_path: pathlib.Path) -> None:
    name = f"{locked_registry.address}/busybox:1"
    trusted: t.Dict[str, t.Any] = {"ca_path": locked_registry.ca, "retries": 0}
    right: t.Dict[str, t.Any] = {"username": locked_registry.username, "password": locked_registry.password}
    (nobody, wrong, distrusted) = site.play(
        image(name, ignore_errors=True, **trusted),
        image(name, ignore_errors=True, username="robot", password="a-wrong-word", **trusted),
        image(name, ignore_errors=True, retries=0, **right),
    ).results
    for refused in (nobody, wrong):
        assert refused.failed
        assert refused.value("error") == "Unauthenticated"
        assert locked_registry.address in refused.msg
    assert "a-wrong-word" not in json.dumps(wrong.result)
    assert distrusted.failed
    assert "certificate" in distrusted.msg
    assert "ca_path" in distrusted.msg
    assert site.untouched() or site.blobs() == set()
    (pulled,) = site.converge(image(name, **trusted, **right), arguments=["-vvv"])
    assert pulled.value("image")["RepoTags"] == [name]
    site.play(image(name, state="absent"))
    pair = base64.b64encode(f"{locked_registry.username}:{locked_registry.password}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {locked_registry.address: {"auth": pair}}}))
    (pulled, unsafe) = site.play(
        image(name, auth_file=str(tmp_path / "config.json"), **trusted),
        image(name, pull="always", validate_certs=False, retries=0, **right),
    ).results
    assert pulled.changed
    assert not unsafe.changed


def test_a_password_shows_nowhere(site: Site, locked_registry: Registry) -> None:
    options: t.Dict[str, t.Any] = {"username": "robot", "password": locked_registry.password, "ca_path": locked_registry.ca}
    done = site.play(image(f"{locked_registry.address}/busybox:1", **options), diff=True, arguments=["-vvv"])
    assert locked_registry.password not in done.output
    assert locked_registry.password not in json.dumps(done.last.result)
    for path in site.data.rglob("*"):
        if path.is_file() and "blobs" not in path.parts:
            assert locked_registry.password.encode() not in path.read_bytes()


def test_absent_while_a_container_uses_it(site: Site, host: t.Any, busybox: str) -> None:
    made = site.play(container("user", image=busybox, command=["sleep", "1000"], stop_signal="KILL")).last
    (refused,) = site.play(image(busybox, state="absent", ignore_errors=True)).results
    assert refused.failed
    assert refused.msg == f"the image {busybox} is used by the containers user: remove them first, or set force"
    (forced,) = site.converge(image(busybox, state="absent", force=True))
    assert forced.value("untagged") == [busybox]
    assert host.file(f"/proc/{made.value('container')['State']['Pid']}").exists
    restarted = site.play(container("user", restart=True)).last
    assert restarted.value("container")["State"]["Running"] is True


def many(names: t.Sequence[str], ignore_errors: bool = False, **options: t.Any) -> Task:
    return {"name": "many", "fleet.containerd.containerd_image": {"name": list(names), **options}, "ignore_errors": ignore_errors}


def test_many_images_in_one_task(site: Site, busybox: str, hand_made: str, registry: Registry, layout: Layout) -> None:
    shared = f"{registry.address}/shared:1"
    other = f"{registry.address}/shared:2"
    for tag in ("1", "2"):
        registry.push(layout.path, busybox_image(layout, Labels={"of": tag}), "shared", tag)
    missing = f"{registry.address}/no/such:1"
    (done,) = site.converge(many([other, hand_made, other, shared]), diff=True)
    assert done.actions == [f"pull image {name}" for name in (other, hand_made, shared)]
    images = done.value("images")
    assert [(one["name"], one["changed"], one["image"]["Unpacked"]) for one in images] == [
        (name, True, True) for name in (other, hand_made, shared)
    ]
    assert set(done.value("diff")["after"]) == {other, hand_made, shared}
    # The layer that two of them share was transferred once.
    assert images[2]["pulled"]["layers_reused"] == 1
    assert min(images[number]["pulled"]["bytes"] for number in (0, 2)) < 10_000
    partial, stopped, gone = site.play(
        many([hand_made, missing, other], state="present", ignore_errors=True, retries=0),
        many([missing, shared], on_failure="stop", ignore_errors=True, retries=0),
        many([other, shared, missing], state="absent"),
    ).results
    assert partial.failed
    assert missing in partial.msg
    assert [one.get("failed", False) for one in partial.value("images")] == [False, True, False]
    assert stopped.failed
    assert stopped.value("failed_action") == f"pull image {missing}"
    assert sorted(gone.value("untagged")) == sorted([other, shared])
    mixed = site.play(many([missing, busybox], ignore_errors=True, retries=0)).last
    assert mixed.failed
    assert mixed.actions == [f"pull image {busybox}"]
    assert [one["changed"] for one in mixed.value("images")] == [False, True]
    assert not site.play(many([busybox, hand_made])).last.changed


def test_images_with_options_of_their_own(
    site: Site, busybox: str, two_platforms: t.Tuple[str, t.Dict[str, str]], registry: Registry
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


def test_pinned(site: Site, busybox: str, hand_made: str, registry: Registry, layout: Layout) -> None:
    (pulled,) = site.converge(image(busybox, pinned=True), diff=True)
    assert pulled.actions == [f"pull image {busybox}"]
    assert pulled.value("diff")["after"]["pinned"] is True
    assert pulled.value("image")["Pinned"] is True
    name = f"{registry.address}/moving:1"
    registry.push(layout.path, busybox_image(layout, Labels={"version": "1"}), "moving", "1")
    assert site.play(image(name)).last.value("image")["Pinned"] is False
    (pin,) = site.converge(image(name, pinned=True), diff=True)
    assert pin.actions == [f"pin image {name}"]
    assert (pin.value("diff")["before"].get("pinned"), pin.value("diff")["after"]["pinned"]) == (None, True)
    assert not site.play(image(name)).last.changed
    # A new version, whoever pulls it, is as pinned as the old one.
    registry.push(layout.path, busybox_image(layout, Labels={"version": "2"}), "moving", "1")
    (newer,) = site.converge(image(name, pull="always"))
    assert newer.value("image")["Config"]["Labels"] == {"version": "2"}
    assert newer.value("image")["Pinned"] is True
    (unpin,) = site.converge(image(name, pinned=False), diff=True)
    assert unpin.actions == [f"unpin image {name}"]
    assert unpin.value("image")["Pinned"] is False
    rows = [{"name": hand_made, "pinned": True}, {"name": busybox, "pinned": False}, {"name": name}]
    (both,) = site.converge({"name": "rows", "fleet.containerd.containerd_image": {"images": rows, "pinned": True}})
    assert both.actions == [f"pull image {hand_made}", f"unpin image {busybox}", f"pin image {name}"]
    facts = {one["RepoTags"][0]: one["Pinned"] for one in site.play(task("containerd_image_info")).last.value("images")}
    assert facts == {hand_made: True, busybox: False, name: True}
    site.converge(image(name, state="absent"))


@pytest.mark.parametrize("version", ["1.7", "2.1"])
def test_pinned_as_the_kubelet_sees_it(version: str, busybox: str, tmp_path: pathlib.Path) -> None:
    with running_containerd(version, cri=True) as daemon:
        how = {"engine": "containerd", "address": daemon.address, "data_root": str(tmp_path / "data"), "namespace": "k8s.io"}

        def seen(wanted: bool) -> bool:
            """The CRI plugin learns of it by an event."""
            deadline = time.monotonic() + 20
            while cri.pinned(daemon.address).get(busybox) is not wanted and time.monotonic() < deadline:
                time.sleep(0.1)
            return cri.pinned(daemon.address).get(busybox) is wanted

        for pinned in (True, False, True):
            assert ansible.play([image(busybox, pinned=pinned, **how)]).last.changed
            assert seen(pinned), cri.pinned(daemon.address)
            assert not ansible.play([image(busybox, pinned=pinned, **how)]).last.changed
        # The records that the kubelet has of an image go with its last name, and check mode knows.
        told, gone = Direct(how).both("image", name=[busybox], state="absent")
        for key in ("actions", "untagged", "deleted", "diff", "image"):
            assert told[key] == gone[key], key
        by_digest = f"{busybox.rpartition(':')[0]}@{gone['image']['Digest']}"
        assert gone["untagged"] == sorted([busybox, by_digest, gone["image"]["Id"]])
        assert gone["deleted"] == [gone["image"]["Id"]]
        assert Direct(how).result("image_info")["images"] == []


def test_progress_file(site: Site, hand_made: str, layout: Layout, tmp_path: pathlib.Path) -> None:
    path, top = tmp_path / "progress", busybox_image(layout)
    manifest = json.loads(layout.read(top))
    blobs = [manifest["config"], *manifest["layers"]]
    size = sum(blob["size"] for blob in blobs)
    seen: t.List[t.Dict[str, t.Any]] = []

    def half(at: Handler) -> None:
        """What the file tells while the registry has sent only half of the layer."""
        data = at.server.contents[at.path][0]
        at.send_response(200)
        at.send_header("Content-Length", str(len(data)))
        at.end_headers()
        at.wfile.write(data[: len(data) // 2])
        deadline = time.monotonic() + 20
        while not (seen and 0 < seen[-1]["bytes"] < size) and time.monotonic() < deadline:
            time.sleep(0.05)
            seen.append(json.loads(path.read_text()))
        at.wfile.write(data[len(data) // 2 :])

    with fake_registry() as server:
        name = f"{server.address}/slow:1"
        for blob in blobs:
            server.contents[f"/v2/slow/blobs/{blob['digest']}"] = (layout.read(blob), "application/octet-stream")
        for key in ("1", top["digest"]):
            server.contents[f"/v2/slow/manifests/{key}"] = (layout.read(top), top["mediaType"])
        server.faults = [(manifest["layers"][0]["digest"], half)]
        site.predict(image(name, progress_file=str(path)))
        assert not path.exists()
        site.play(image([name, hand_made], progress_file=str(path)))
    middle, end = seen[-1], json.loads(path.read_text())
    assert middle["images"][0] == {"name": name, "state": "transferring", "bytes": middle["images"][0]["bytes"], "total": size}
    assert manifest["config"]["size"] < middle["images"][0]["bytes"] < size
    assert [(one["name"], one["state"], one["bytes"] == one["total"]) for one in end["images"]] == [
        (name, "done", True),
        (hand_made, "done", True),
    ]
    assert end["bytes"] == end["total"] > size
    assert path.stat().st_mode & 0o777 == 0o644
    # Nothing to pull; an image that cannot be had; places where no file can be.
    before = path.read_bytes()
    assert not site.play(image(name, progress_file=str(path))).last.changed
    assert path.read_bytes() == before
    site.play(image(f"{server.address}/none:1", progress_file=str(path), retries=0, ignore_errors=True))
    assert [one["state"] for one in json.loads(path.read_text())["images"]] == ["failed"]
    for wrong, word in (("progress", "not an absolute path"), (str(tmp_path / "none" / "file"), "make it first")):
        refused = site.play(image(name, progress_file=wrong, ignore_errors=True)).last
        assert refused.failed
        assert word in refused.msg
    assert list(tmp_path.glob(".progress*")) == []


def test_all_platforms_and_no_unpacking(site: Site, two_platforms: t.Tuple[str, t.Dict[str, str]]) -> None:
    name, digests = two_platforms
    site.converge(image(name, unpack=False))
    assert site.snapshots() == []
    (every,) = site.converge(image(name, platform="all", unpack=False))
    assert every.actions[0].startswith(f"pull image {name} for all platforms")
    assert set(digests.values()) < site.blobs()
    assert site.snapshots() == []
    assert not site.play(image(name, unpack=False)).last.changed
    (unpacked,) = site.converge(image(name))
    assert "it is not unpacked" in unpacked.actions[0]
    assert unpacked.value("pulled")["bytes"] == 0


def damage(path: pathlib.Path) -> None:
    """Change one byte; size and times stay."""
    before = path.stat()
    path.chmod(0o600)
    with path.open("r+b") as stream:
        first = stream.read(1)
        stream.seek(0)
        stream.write(bytes([first[0] ^ 1]))
    path.chmod(before.st_mode & 0o7777)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_verify(site: Site, hand_made: str, tmp_path: pathlib.Path) -> None:
    pulled = site.play(image(hand_made)).last
    assert not site.play(image(hand_made, verify=True)).last.changed
    tops = {info.name for info in site.snapshots()} - {info.parent for info in site.snapshots()}
    (top,) = tops
    whole = site.unpacked(top, tmp_path / "scratch")
    largest = max(site.blobs(), key=lambda digest: site.blob_path(digest).stat().st_size)
    with site.engine() as engine:
        bottom = next(info.name for info in engine.snapshotter().walk() if not info.parent)
        with engine.lease():
            (mount,) = engine.snapshotter().view("look", bottom)
            victim = next(
                path for path in sorted(pathlib.Path(mount.source).rglob("*")) if path.is_file() and path.stat().st_size
            )
            engine.snapshotter().remove("look")
    damage(victim)
    if isinstance(site, DaemonSite):
        # Nothing of ours is there yet.
        told = site.play(image(hand_made, verify=True, data_root=str(tmp_path / "none")), check=True).last
        assert "damaged" in told.actions[0]
    damage(site.blob_path(largest))
    assert not site.play(image(hand_made)).last.changed
    (repaired,) = site.converge(image(hand_made, verify=True))
    assert "damaged" in repaired.actions[0]
    assert repaired.value("digest") == pulled.value("digest")
    site.blobs()
    assert_same(whole, site.unpacked(top, tmp_path / "scratch"), (".:mtime_ns", f"{'n' * 200}:mtime_ns"))
    assert not site.play(image(hand_made, verify=True)).last.changed


def test_damage_is_noticed_and_repaired(site: Site, busybox: str) -> None:
    pulled = site.play(image(busybox)).last
    site.blob_path(pulled.value("config_digest")).unlink()
    (repaired,) = site.converge(image(busybox))
    assert "damaged or incomplete" in repaired.actions[0]
    assert repaired.value("image") == {**pulled.value("image"), "Metadata": repaired.value("image")["Metadata"]}


def test_examples(embedded_site: EmbeddedSite, locked_registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> None:
    address, image = locked_registry.address, busybox_image(layout)
    for repository, tag in (("nginx", "1.27"), ("app", "stable"), ("app", "2.1"), ("worker", "2.1"), ("busybox", "1.36")):
        locked_registry.push(layout.path, image, f"examples/{repository}", tag)
    replace = {
        "docker.io/library": f"{address}/examples",
        "registry.example.com/team": f"{address}/examples",
        "/run/pull.json": str(tmp_path / "pull.json"),
        "{{ registry_password }}": locked_registry.password,
        "sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83": image["digest"],
    }
    have, follow, pin, release, verify, keep, background, wait, absent = examples_of("containerd_image", replace)
    how = {"defaults": {"ca_path": locked_registry.ca, "username": "robot", "password": locked_registry.password}}
    embedded_site.converge(have, follow, pin, **how)
    embedded_site.converge(release, **how)
    assert not embedded_site.play(verify, **how).changed
    damage(embedded_site.blob_path(image["digest"]))
    embedded_site.converge(verify, keep, absent, **how)
    # In the background the rest of a play goes on at once.
    gone = task("containerd_image", name=f"{address}/examples/worker:2.1", state="absent")
    done = embedded_site.play(gone, background, {**wait, "delay": 1}, **how)
    assert done.last.value("pulled")["layers"] == 1
    assert json.loads((tmp_path / "pull.json").read_text())["images"][0]["state"] == "done"
