# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulling into live daemons: complete for ctr, kept by every garbage collection, seen by the kubelet's interface."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import time
import typing as t

import grpc
import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine import labels as L
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Image
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd import snapshots
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import DataLoss, NotFound, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.image.inspect import inspect
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.rpc.channel import Channel
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, Daemon, later, running_containerd
from ansible_collections.fleet.containerd.tests.support.waiting import until

from .conftest import Live


class Collecting(Channel):
    """A channel after whose every call the daemon collects its garbage, before the next one."""

    def __init__(self, address: str, namespace: str) -> None:
        super().__init__(address, namespace)
        self._other = Channel(address, namespace)
        self.collections = 0

    def open(self, method: str, timeout: t.Optional[float] = 60.0, whole: bool = True) -> t.Any:
        self.collect()
        return super().open(method, timeout, whole)

    def collect(self) -> None:
        name = f"collect-{secrets.token_hex(8)}"
        self._other.call("leases.v1.Leases/Create", {"id": name})
        self._other.call("leases.v1.Leases/Delete", {"id": name, "sync": True})
        self.collections += 1


def checked(live: Live, name: str, namespace: str = "default") -> t.List[str]:
    """The line of ctr images check for an image."""
    lines = live.daemon.ctr("images", "check", namespace=namespace).stdout.splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name} ")]
    return line.split()


def test_ctr_finds_it_complete_and_runs_it(live: Live, busybox: str) -> None:
    done = live.pull(busybox)
    line = checked(live, busybox)
    assert "complete" in line
    assert line[-1] == "true"
    assert inspect(live.engine, done.image, Platform.host()).missing == ()
    ran = live.daemon.ctr("run", "--rm", "--net-host", busybox, f"test-{secrets.token_hex(4)}", *later("hello"))
    assert ran.stdout == "hello\n"
    again = live.pull(busybox)
    assert (again.fetched, again.reused) == (again.fetched, len(done.view.layers))


def test_many_layers(live: Live, hand_made: str) -> None:
    """Whiteouts, opaque directories and hardlinks over layers: the tree that ctr mounts is the one it unpacks itself."""
    done = live.pull(hand_made)
    assert "complete" in checked(live, hand_made)
    # An earlier test's garbage may still wait for the daemon's next collection.
    blobs = (done.view.manifest, done.view.config, *done.view.layers)
    labels = {blob.digest: live.engine.content.info(blob.digest).labels for blob in blobs}
    assert all(any(key.startswith(L.SOURCE) for key in found) for found in labels.values())
    for layer, diff_id in zip(done.view.layers, done.view.image_config.diff_ids):
        assert labels[layer.digest][L.UNCOMPRESSED] == diff_id
    assert labels[done.view.config.digest][L.GC_REF_SNAPSHOT + "overlayfs"] == done.view.chain_id


def test_a_collection_after_every_step_loses_nothing(daemon: Daemon, busybox: str, tmp_path: pathlib.Path) -> None:
    live = Live(daemon, tmp_path / "data", "collected")
    engine = live.engine
    rpc = Collecting(daemon.address, "collected")
    for proxy in (engine, engine.content, engine.images, engine.containers):
        proxy._rpc = rpc  # type: ignore[attr-defined]
    done = live.pull(busybox)
    assert rpc.collections > 10
    rpc.collect()
    assert "complete" in checked(live, busybox, "collected")
    container = live.make(done, "sh", "-c", "exit 5")
    rpc.collect()
    live.run(container)
    assert engine.tasks.wait(container.id, 20).exit_status == 5
    engine.tasks.delete(container.id)
    live.remove(container)
    live.nothing_left()
    engine.images.delete(busybox)
    assert list(engine.content.walk()) == []
    assert engine.snapshotter().walk() == []


def test_removal_gives_everything_back(live: Live, busybox: str, hand_made: str) -> None:
    live.pull(busybox)
    kept = {info.digest for info in live.engine.content.walk()}
    live.pull(hand_made)
    live.engine.images.delete(hand_made)
    assert {info.digest for info in live.engine.content.walk()} == kept
    live.engine.images.delete(busybox)
    assert list(live.engine.content.walk()) == []
    assert live.engine.snapshotter().walk() == []


def test_what_ctr_pulls_is_there_for_us(live: Live, busybox: str) -> None:
    live.daemon.ctr("images", "pull", "--plain-http", busybox)
    image = live.engine.images.get(busybox)
    found = inspect(live.engine, image, Platform.host())
    assert found.missing == ()
    assert found.view is not None


def test_a_container_of_ctr(live: Live, busybox: str) -> None:
    live.pull(busybox)
    # The daemons of other workers have their containers at the same place of runc.
    theirs = f"theirs-{secrets.token_hex(4)}"
    live.daemon.ctr("run", "-d", busybox, theirs, "/bin/sleep", "1000")
    container = live.engine.containers.get(theirs)
    assert container.spec["process"]["args"] == ["/bin/sleep", "1000"]
    assert (container.image, container.extensions) == (busybox, {})
    state = live.engine.tasks.state(theirs)
    assert state.status == "running"
    live.engine.tasks.signal(theirs, 9)
    assert live.engine.tasks.wait(theirs, 20).exit_status == 137
    live.engine.tasks.delete(theirs)


def test_another_snapshotter(live: Live, busybox: str, hand_made: str) -> None:
    engine = ContainerdEngine(live.daemon.address, "default", "native", str(live.data_root))
    done = live.pull(hand_made, engine)
    assert engine.snapshotter().name == "native"
    assert engine.snapshotter().stat(done.view.chain_id).kind == "committed"
    engine.close()


def test_the_daemon_unpacks_what_we_cannot(live: Live, hand_made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounts that lead to no directory of this host are given to the daemon's diff service."""
    done = live.pull(hand_made)
    engine, store = live.engine, live.engine.snapshotter()
    with engine.lease():
        store.prepare("by the daemon")
        applied = engine._apply_there(store, done.view.layers[0], "by the daemon")
        assert applied.diff_id == done.view.image_config.diff_ids[0]
        with pytest.raises(NotFound):
            engine._apply_there(store, done.view.layers[0]._replace(digest=Digest.of(b"no")), "by the daemon")
        store.remove("by the daemon")
        # Also where a directory of this host has the name of the daemon's.
        assert store.rebases
        monkeypatch.setattr(snapshots, "target_of", lambda mounts: None)
        with engine.unpacker() as unpacker, unpacker.begin() as unpacking:
            for number, diff_id in enumerate(done.view.image_config.diff_ids):
                unpacking.write(done.view.layers[number], diff_id, f"there {number}", f"there {number - 1}" if number else "")
            unpacking.commit()
        monkeypatch.undo()
        trees = []
        for name in (f"there {number}", done.view.chain_id):
            with store.look(name, view=True) as target:
                trees.append(sorted(base[len(target.root) :] for base, _directories, _files in os.walk(target.root)))
    assert trees[0] == trees[1] != [""]


def test_a_blob_that_is_cut_off_on_disk(live: Live, busybox: str) -> None:
    layer = live.pull(busybox).view.layers[0]
    path = live.daemon.root / "io.containerd.content.v1.content" / "blobs" / "sha256" / layer.digest.hex
    path.chmod(0o600)
    with path.open("r+b") as stream:
        stream.truncate(10)
    with pytest.raises(DataLoss), live.engine.content.open(layer) as stream:
        stream.read()


def managed(engine: ContainerdEngine) -> t.Set[str]:
    """What the kubelet's interface has taken over, by its own label."""
    return {image.name for image in engine.images.list() if image.labels.get("io.cri-containerd.image") == "managed"}


@pytest.mark.parametrize("version", sorted(RELEASES))
def test_the_kubelet_sees_it(version: str, busybox: str, tmp_path: pathlib.Path) -> None:
    with running_containerd(version, cri=True) as daemon:
        live = Live(daemon, tmp_path / "data", "k8s.io")
        done = live.pull(busybox)
        repository = busybox.rpartition(":")[0]
        config = str(done.view.config.digest)
        wanted = {busybox, f"{repository}@{done.image.target.digest}", config}
        deadline = time.monotonic() + 10
        while managed(live.engine) != wanted and time.monotonic() < deadline:
            time.sleep(0.1)
        assert managed(live.engine) == wanted
        with grpc.insecure_channel(f"unix://{daemon.address}") as channel:
            listed = channel.unary_unary("/runtime.v1.ImageService/ListImages")(b"", timeout=20)
        assert busybox.encode() in listed
        live.engine.images.put(Image(f"{repository}:other", done.image.target))
        # Until it is taken over, too, a record of that may come after the removal.
        until(lambda: f"{repository}:other" in managed(live.engine))
        live.engine.images.delete(busybox)
        assert {image.name for image in live.engine.images.list()} >= {f"{repository}:other", config}
        live.engine.images.delete(f"{repository}:other")
        assert live.engine.images.list() == []


@pytest.mark.parametrize("version", sorted(RELEASES))
def test_a_daemon_that_is_killed_in_the_middle(version: str, hand_made: str, tmp_path: pathlib.Path) -> None:
    """At every call in turn: the next pull makes it whole."""
    with running_containerd(version) as daemon:
        for number in range(1, 60, 9):
            live = Live(daemon, tmp_path / "data", f"try{number}")
            rpc = Dying(daemon, live.engine.namespace, number)
            for proxy in (live.engine, live.engine.content, live.engine.images):
                proxy._rpc = rpc  # type: ignore[attr-defined]
            with contextlib.suppress(Unavailable):
                live.pull(hand_made)
            if not rpc.dead:
                break
            daemon.start()
            whole = Live(daemon, tmp_path / "data", live.engine.namespace)
            whole.pull(hand_made)
            assert "complete" in checked(whole, hand_made, live.engine.namespace)
            whole.engine.images.delete(hand_made)


@pytest.mark.parametrize("snapshotter", ["overlayfs", "native"])
def test_what_a_daemon_that_was_killed_left_in_its_own_way(live: Live, snapshotter: str) -> None:
    """It gives the next snapshot the next number, and that directory is there already."""
    store = live.engine.snapshotter(snapshotter)
    with live.engine.lease():
        store.prepare("before")
        own = pathlib.Path(store.prepare_layer("number", "", {}).root)
        own = own.parent if own.name == "fs" else own
        left = own.parent / str(int(own.name) + 1)
        (left / "fs" / "file").mkdir(parents=True)
        store.prepare("after")
        assert not (left / "fs" / "file").exists()
        for key in ("before", "number", "after"):
            store.remove(key)


class Dying(Channel):
    """A channel whose daemon is killed at the call of that number."""

    def __init__(self, daemon: Daemon, namespace: str, number: int) -> None:
        super().__init__(daemon.address, namespace)
        self._daemon, self._left, self.dead = daemon, number, False

    def open(self, method: str, timeout: t.Optional[float] = 60.0, whole: bool = True) -> t.Any:
        self._left -= 1
        stream = super().open(method, timeout, whole)
        if self._left == 0:
            self._daemon.kill()
            self.dead = True
        return stream
