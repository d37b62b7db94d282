# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_prune through ansible-playbook, on both engines: check mode tells the names and the bytes, and du finds these gone."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.usage import disk_usage
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.tests.support import ansible, cri
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, running_containerd
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, busybox_image, tar_of
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.waiting import until

#: The directories of a snapshot that the daemon does not count: its own, fs and work; and those around a volume of a container.
_OF_SNAPSHOTS, _OF_VOLUMES = 3 * 4096, 2 * 4096


def du(site: Site) -> int:
    """What blobs, snapshots and containers take on the disk, as du sees it."""
    roots = [site.data / "containers", site.data / "content", site.data / "snapshots"]
    if isinstance(site, DaemonSite):
        roots += [
            path
            for kind in ("content.v1.content/blobs", "snapshotter.v1.overlayfs/snapshots")
            for path in site.daemon.root.glob(f"io.containerd.{kind}")
        ]
    there = [str(path) for path in roots if path.exists()]
    if not there:
        return 0
    # starts: du
    lines = subprocess.run(["du", "-s", "-c", "-B1", *there], check=True, capture_output=True, text=True).stdout.splitlines()
    return int(lines[-1].split()[0])


def push(registry: Registry, layout: Layout, name: str, tag: str = "1") -> str:
    """An image of its own on top of busybox, with 300 kB that do not compress."""
    layer = tar_of([Entry(f"{name}-{tag}", os.urandom(300_000))])
    registry.push(layout.path, busybox_image(layout, [layer], Volumes={"/own": {}}), f"prune/{name}", tag)
    return f"{registry.address}/prune/{name}:{tag}"


def container(name: str, image: str, *command: str, **options: t.Any) -> Task:
    given = {"network_mode": "none", "stop_signal": "KILL", **options}
    return task("containerd_container", name=name, image=image, command=list(command), **given)


def pruned(site: Site, tmp_path: pathlib.Path, **options: t.Any) -> TaskResult:
    """In check mode, for real, and again; what check mode tells is what du finds gone."""
    one = task("containerd_prune", cni_conf_dir=str(tmp_path), **options)
    # What the daemon still removes of earlier tasks is not ours.
    site.collect()
    before = du(site)
    (told,) = site.predict(one).results
    done, again = site.play(one, one).results
    freed = before - du(site)
    for key in set(told.result) - {"invocation"}:
        assert told.value(key) == done.value(key), key
    assert (told.changed, done.changed, again.changed) == (True, True, False)
    uncounted = freed - done.value("space_reclaimed")
    slack = _OF_VOLUMES * len(done.value("volumes")) + _OF_SNAPSHOTS * 10 * isinstance(site, DaemonSite)
    assert 0 <= uncounted <= slack, (freed, done.result)
    return done


def test_what_is_told_is_what_is_freed(site: Site, registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> None:
    """Layers that images share, a container that runs, one that has written, its log and its volume."""
    used, job, free = (push(registry, layout, name) for name in ("used", "job", "free"))
    site.play(
        task("containerd_image", name=[used, job, free]),
        container("web", used, "sleep", "1000"),
        container(
            "job", job, "sh", "-c", "head -c 200000 /dev/zero > /big; head -c 9000 /dev/zero > /own/x; echo done", detach=False
        ),
    )
    images = {"images": True, "images_filters": {"dangling": False}}
    first = pruned(site, tmp_path, **images)
    assert first.value("images") == [free]
    assert first.value("images_kept") == {used: "the container web uses it", job: "the container job uses it"}
    assert 300_000 < first.value("space_reclaimed") < 2_000_000
    rest = pruned(site, tmp_path, containers=True, volumes=True, leftovers=True, **images)
    assert (rest.value("containers"), rest.value("images")) == (["job"], [job])
    assert [name.partition("-")[2] for name in rest.value("volumes")] == ["0"]
    assert rest.value("containers_space_reclaimed") > 200_000
    assert rest.value("volumes_space_reclaimed") > 9_000
    shown = site.play(task("containerd_container_info", name=["web"])).last.value("container")
    assert shown["State"]["Running"]
    assert site.strays() == []


def test_what_a_killed_run_left(site: Site, tmp_path: pathlib.Path) -> None:
    """A blob under a lease, a directory of a container that never came to be, a lock and a part of a transfer."""
    data = os.urandom(100_000)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with site.engine() as engine, engine.lock("image x"), engine.lease():
                blob = Descriptor("application/octet-stream", Digest.of(data), len(data))
                with engine.content.writer("whole", blob) as ingest:
                    ingest.write(data)
                    ingest.commit(len(data), blob.digest)
                pathlib.Path(engine.container_dir("e" * 64), "log").write_bytes(data)
                with engine.content.writer("part", blob._replace(digest=Digest.of(b"x"))) as ingest:
                    ingest.write(data[:50_000])
                    os.write(writer, b".")
                    signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    assert os.read(reader, 1)
    os.close(reader)
    if isinstance(site, DaemonSite):
        (open_yet,) = until(lambda: [one for one in site.records()["ingests"] if one["offset"] == 50_000])
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if isinstance(site, DaemonSite):
        # The daemon closes it when it notices that nobody writes to it any more, and notes the time.
        until(lambda: site.records()["ingests"] != [open_yet])
    one = task("containerd_prune", cni_conf_dir=str(tmp_path), leftovers=True, leftovers_age="0s")
    (told,) = site.predict(one).results
    assert told.value("content") == [str(Digest.of(data)), "part"]
    assert [path.rpartition("/")[2] for path in told.value("leftovers")] == ["e" * 64]
    before = du(site)
    done, again = site.play(one, one).results
    assert told.value("space_reclaimed") == done.value("space_reclaimed") >= 200_000
    assert before - du(site) >= 200_000
    assert not again.changed
    assert site.strays() == []
    assert not list(site.data.glob("containers/*/*/*"))


def test_networks_in_which_nobody_is(embedded_site: EmbeddedSite, busybox: str, tmp_path: pathlib.Path) -> None:
    where = tmp_path / "net.d"
    where.mkdir()
    (where / "theirs.conflist").write_text('{"cniVersion": "1.0.0", "name": "theirs", "plugins": [{"type": "loopback"}]}')
    networks = [
        task("containerd_network", name=name, cni_conf_dir=str(where), labels=labels)
        for name, labels in (("one", {}), ("two", {"keep": "yes"}))
    ]
    embedded_site.play(*networks)
    done = pruned(embedded_site, where, networks=True, networks_filters={"label!": "keep"})
    assert done.value("networks") == ["one"]
    assert {json.loads(path.read_text())["name"] for path in where.glob("*.conflist")} == {"two", "theirs"}
    assert pruned(embedded_site, where, networks=True).value("networks") == ["two"]


def test_a_mount_in_a_tree_counts_as_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(os.urandom(50_000))
    os.link(tmp_path / "a" / "file", tmp_path / "a" / "link")
    (tmp_path / "a" / "out").symlink_to("/usr")
    whole = subprocess.run(["du", "-s", "-B1", str(tmp_path)], check=True, capture_output=True, text=True).stdout
    assert disk_usage([str(tmp_path)]) == int(whole.split()[0])
    assert disk_usage([str(tmp_path / "missing")]) == 0


@pytest.mark.parametrize("version", sorted(RELEASES))
def test_images_of_the_kubelet(version: str, registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> None:
    """Pulled by the daemon's own CRI, as the kubelet has it done; one is pinned, and one of a release."""
    free, kept, released = (push(registry, layout, name, "k8s") for name in ("free", "kept", "released"))
    lock = tmp_path / "release.json"
    ansible.play([task("containerd_image_lock", path=str(lock), images=[released])])
    with running_containerd(version, cri=True) as daemon:
        how = {"engine": "containerd", "address": daemon.address, "data_root": str(tmp_path / "data"), "namespace": "k8s.io"}
        for name in (free, kept, released):
            cri.pull(daemon.address, name)
        ansible.play([task("containerd_image", name=kept, pinned=True, **how)])
        options = {"images": True, "keep_releases": [str(lock)], "cni_conf_dir": str(tmp_path), **how}
        refused = ansible.play([task("containerd_prune", **options)], failing=True).last
        assert "kubernetes=true" in refused.msg
        one = task("containerd_prune", kubernetes=True, **options)
        told, done, again = ansible.play([{**one, "check_mode": True}, one, one]).results
        assert told.value("images") == done.value("images")
        assert [name for name in done.value("images") if name in (free, kept, released)] == [free]
        assert told.value("space_reclaimed") == done.value("space_reclaimed") > 300_000
        assert not again.changed
        until(lambda: set(cri.pinned(daemon.address)) == {kept, released})


def test_the_examples(embedded_site: EmbeddedSite, registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> None:
    """Two releases, and five versions of another image."""
    versions = [push(registry, layout, "app", tag) for tag in ("1.8", "1.9", "1.10", "1.11", "1.12")]
    base = push(registry, layout, "base", "1")
    released = [tmp_path / f"2026-{month}.json" for month in (10, 11)]
    locks = [
        task("containerd_image_lock", path=str(path), images=[name]) for path, name in zip(released, (versions[0], versions[1]))
    ]
    # Only what has ended is pruned.
    embedded_site.play(task("containerd_image", name=[*versions, base]), *locks, container("old", base, "true", detach=False))
    tasks = examples_of(
        "containerd_prune",
        {
            "releases/2026-11.json": str(released[1]),
            "releases/2026-10.json": str(released[0]),
            "registry.example.com/base/*": f"{registry.address}/prune/base:*",
            "20g": "1k",
            "48h": "0s",
        },
    )
    module = "fleet.containerd.containerd_prune"
    told, kept, stopped, small = embedded_site.play(
        *({**one, module: {**one[module], "cni_conf_dir": str(tmp_path)}} for one in tasks)
    ).results
    assert sorted(told.value("images")) == sorted([*versions, base])
    assert kept.value("images") == [], "two are in releases, and three are the last versions"
    assert stopped.value("containers") == ["old"]
    assert sorted(small.value("images")) == sorted(versions)
    assert small.value("images_kept") == {base: f"it matches {registry.address}/prune/base:*"}
    # The volume of the stopped container has stayed.
    assert len(pruned(embedded_site, tmp_path, volumes=True).value("volumes")) == 1
