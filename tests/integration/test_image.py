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
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.containerds import running_containerd
from ansible_collections.fleet.containerd.tests.support.direct import Direct
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.stories.image import (
    a_lost_blob_is_noticed_and_repaired,
    a_used_image_goes_by_force_only,
    all_platforms_and_no_unpacking,
    container,
    diffs_of_a_pull_and_a_removal,
    image,
    many_images_in_one_task,
)
from ansible_collections.fleet.containerd.tests.support.trees import assert_same


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


def test_diff(embedded_site: EmbeddedSite, busybox: str) -> None:
    assert '+    "exists": true' in diffs_of_a_pull_and_a_removal(embedded_site, busybox).output


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


def test_basic_authentication_and_a_private_authority(
    embedded_site: EmbeddedSite, locked_registry: Registry, tmp_path: pathlib.Path
) -> None:
    name = f"{locked_registry.address}/busybox:1"
    trusted: t.Dict[str, t.Any] = {"ca_path": locked_registry.ca, "retries": 0}
    right: t.Dict[str, t.Any] = {"username": locked_registry.username, "password": locked_registry.password}
    (nobody, wrong, distrusted) = embedded_site.play(
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
    assert embedded_site.untouched() or embedded_site.blobs() == set()
    (pulled,) = embedded_site.converge(image(name, **trusted, **right), arguments=["-vvv"])
    assert pulled.value("image")["RepoTags"] == [name]
    embedded_site.play(image(name, state="absent"))
    pair = base64.b64encode(f"{locked_registry.username}:{locked_registry.password}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {locked_registry.address: {"auth": pair}}}))
    (pulled, unsafe) = embedded_site.play(
        image(name, auth_file=str(tmp_path / "config.json"), **trusted),
        image(name, pull="always", validate_certs=False, retries=0, **right),
    ).results
    assert pulled.changed
    assert not unsafe.changed


def test_a_password_shows_nowhere(embedded_site: EmbeddedSite, locked_registry: Registry) -> None:
    options: t.Dict[str, t.Any] = {"username": "robot", "password": locked_registry.password, "ca_path": locked_registry.ca}
    done = embedded_site.play(image(f"{locked_registry.address}/busybox:1", **options), diff=True, arguments=["-vvv"])
    assert locked_registry.password not in done.output
    assert locked_registry.password not in json.dumps(done.last.result)
    for path in embedded_site.data.rglob("*"):
        if path.is_file() and "blobs" not in path.parts:
            assert locked_registry.password.encode() not in path.read_bytes()


def test_absent_while_a_container_uses_it(site: Site, host: t.Any, busybox: str) -> None:
    a_used_image_goes_by_force_only(site, busybox, lambda pid: bool(host.file(f"/proc/{pid}").exists))


def test_many_images_in_one_task(
    embedded_site: EmbeddedSite, busybox: str, hand_made: str, registry: Registry, layout: Layout
) -> None:
    for tag in ("1", "2"):
        registry.push(layout.path, busybox_image(layout, Labels={"of": tag}), "shared", tag)
    many_images_in_one_task(embedded_site, [f"{registry.address}/shared:{tag}" for tag in ("1", "2")], hand_made, busybox)


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


def test_all_platforms_and_no_unpacking(site: Site, two_platforms: t.Tuple[str, t.Dict[str, str]]) -> None:
    all_platforms_and_no_unpacking(site, two_platforms[0], two_platforms[1].values())


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
        with engine.snapshotter().look(bottom, view=True) as target:
            victim = next(path for path in sorted(pathlib.Path(target.root).rglob("*")) if path.is_file() and path.stat().st_size)
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
    a_lost_blob_is_noticed_and_repaired(site, busybox, lambda digest: site.blob_path(digest).unlink())


def test_examples(embedded_site: EmbeddedSite, locked_registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> None:
    address, image = locked_registry.address, busybox_image(layout)
    for repository, tag in (("nginx", "1.27"), ("app", "stable"), ("app", "2.1"), ("worker", "2.1"), ("busybox", "1.36")):
        locked_registry.push(layout.path, image, f"examples/{repository}", tag)
    replace = {
        "docker.io/library": f"{address}/examples",
        "registry.example.com/team": f"{address}/examples",
        "{{ registry_password }}": locked_registry.password,
        "sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83": image["digest"],
    }
    have, follow, pin, release, verify, keep, gigabytes, absent = examples_of("containerd_image", replace)
    how = {"defaults": {"ca_path": locked_registry.ca, "username": "robot", "password": locked_registry.password}}
    embedded_site.converge(have, follow, pin, **how)
    embedded_site.converge(release, **how)
    assert not embedded_site.play(verify, **how).changed
    damage(embedded_site.blob_path(image["digest"]))
    embedded_site.converge(verify, keep, absent, **how)
    gone = task("containerd_image", name=f"{address}/examples/worker:2.1", state="absent")
    done = embedded_site.play(gone, gigabytes, **how)
    assert done.last.value("pulled")["layers"] == 1
    assert f"[localhost] {address}" not in done.output, "it was quick"
