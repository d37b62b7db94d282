# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine: layers that become snapshots, container directories, locks."""

from __future__ import annotations

import gc
import os
import pathlib
import threading
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import SNAPSHOT_REF
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import COMMITTED
from ansible_collections.fleet.containerd.plugins.module_utils.errors import DataLoss, FailedPrecondition, NotFound, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.image.source import RegistrySource
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.tests.support.client import LayoutClient, pull
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, directory, symlink, tar_of
from ansible_collections.fleet.containerd.tests.support.memory_engine import MemoryEngine

from .conftest import LAYER, Harness, descriptor, layer_of, store
from .test_container_store import container

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine

BOTTOM = [
    directory("etc", 0o750, uid=3, gid=4),
    Entry("etc/hosts", b"one", mode=0o640, uid=1, gid=2),
    Entry("etc/gone", b""),
    symlink("link", "etc/hosts"),
    directory("opaque"),
    Entry("opaque/old", b"old"),
]
TOP = [Entry("etc/.wh.gone"), Entry("etc/new", b"new"), Entry("opaque/.wh..wh..opq"), Entry("opaque/new", b"new")]


def test_kind_and_namespace(harness: Harness) -> None:
    engine = harness.open("some.name")
    assert engine.kind in ("embedded", "containerd")
    assert engine.namespace == "some.name"


def test_an_empty_namespace_is_forgotten(harness: Harness) -> None:
    engine = harness.open("dropped")
    blob = store(engine, b"not empty")
    with pytest.raises(FailedPrecondition):
        engine.drop_namespace()
    engine.content.delete(blob.digest)
    for _again in (1, 2):
        engine.drop_namespace()
        assert "dropped" not in engine.namespaces()


@pytest.mark.parametrize("compressed", [False, True])
def test_a_layer_becomes_a_snapshot(harness: Harness, engine: Engine, compressed: bool) -> None:
    layer = layer_of(engine, tar_of(BOTTOM), compressed)
    with engine.unpacker() as unpacker, unpacker.begin() as unpacking:
        unpacking.write(*layer, "name", "")
        unpacking.commit()
        assert unpacker.snapshotter.name == engine.snapshotter().name
    info = engine.snapshotter().stat("name")
    assert (info.kind, info.parent, info.labels[SNAPSHOT_REF]) == (COMMITTED, "", "name")
    with harness.show(engine.snapshotter(), "name") as root:
        found = (root / "etc" / "hosts").lstat()
        assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o640, 1, 2)
        assert (root / "etc" / "hosts").read_bytes() == b"one"
        assert (root / "etc").stat().st_mode & 0o7777 == 0o750
        assert os.readlink(root / "link") == "etc/hosts"


def test_layers_stand_on_each_other(harness: Harness, engine: Engine) -> None:
    """More of them than are written at once; nothing is there before it is committed."""
    layers = [layer_of(engine, tar_of(entries)) for entries in (BOTTOM, TOP, *([Entry(f"etc/{n}")] for n in range(6)))]
    snapshotter = engine.snapshotter()
    with engine.unpacker() as unpacker, engine.lease(), unpacker.begin() as unpacking:
        for number, layer in enumerate(layers):
            unpacking.write(*layer, f"layer {number}", f"layer {number - 1}" if number else "")
        with pytest.raises(NotFound):
            snapshotter.stat("layer 7")
        unpacking.commit()
        assert [snapshotter.stat(f"layer {number}").parent for number in range(8)] == [
            "",
            *(f"layer {number}" for number in range(7)),
        ]
    with harness.show(snapshotter, "layer 7") as root:
        assert sorted(os.listdir(root / "etc")) == ["0", "1", "2", "3", "4", "5", "hosts", "new"]
        assert os.listdir(root / "opaque") == ["new"]
        assert (root / "etc").stat().st_mode & 0o7777 == 0o750
    with harness.show(snapshotter, "layer 0") as root:
        assert sorted(os.listdir(root / "etc")) == ["gone", "hosts"]
        assert os.listdir(root / "opaque") == ["old"]


def test_a_layer_on_one_that_was_there(harness: Harness, engine: Engine) -> None:
    bottom, top = layer_of(engine, tar_of(BOTTOM)), layer_of(engine, tar_of(TOP))
    for layer, name, parent in ((bottom, "bottom", ""), (top, "top", "bottom")):
        with engine.unpacker() as unpacker, unpacker.begin() as unpacking:
            unpacking.write(*layer, name, parent)
            unpacking.commit()
    with harness.show(engine.snapshotter(), "top") as root:
        assert sorted(os.listdir(root / "etc")) == ["hosts", "new"]


def test_what_somebody_else_has_unpacked_meanwhile(harness: Harness, engine: Engine) -> None:
    layer, other = layer_of(engine, tar_of(BOTTOM)), harness.open()
    with engine.unpacker() as unpacker, engine.lease(), unpacker.begin() as unpacking:
        unpacking.write(*layer, "name", "")
        with other.unpacker() as second, second.begin() as faster:
            faster.write(*layer, "name", "")
            faster.commit()
        unpacking.commit()
    assert [info.name for info in engine.snapshotter().walk()] == ["name"]


def test_what_is_not_committed_is_gone(engine: Engine) -> None:
    layer = layer_of(engine, tar_of(BOTTOM))
    with engine.unpacker() as unpacker:
        with unpacker.begin() as unpacking:
            unpacking.write(*layer, "name", "")
        assert engine.snapshotter().walk() == []
        with unpacker.begin() as unpacking:
            unpacking.write(*layer, "name", "")
            unpacking.commit()
    assert [info.name for info in engine.snapshotter().walk()] == ["name"]


def test_a_layer_that_is_another_one_is_not_committed(engine: Engine) -> None:
    layer, diff_id = layer_of(engine, tar_of(BOTTOM))
    with engine.unpacker() as unpacker, unpacker.begin() as unpacking:
        written = unpacking.write(layer, Digest.of(b"other"), "name", "")
        with pytest.raises(FailedPrecondition) as caught:
            unpacking.commit()
        assert written.exception() is caught.value
        assert caught.value.details["diff_id"] == str(diff_id)
    assert engine.snapshotter().walk() == []


def test_a_layer_may_end_without_padding(harness: Harness, engine: Engine) -> None:
    whole = tar_of([Entry("file", b"content")])
    layer = layer_of(engine, whole[: whole.index(b"content") + len(b"content")])
    with engine.unpacker() as unpacker, unpacker.begin() as unpacking:
        unpacking.write(*layer, "name", "")
        unpacking.commit()
    with harness.show(engine.snapshotter(), "name") as root:
        assert (root / "file").read_bytes() == b"content"


def test_a_root_directory_that_no_upper_layer_has_stays(harness: Harness, engine: Engine, tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "oci")
    image = layout.image([tar_of([directory("./", 0o750, uid=5, gid=6)]), tar_of([Entry("a")]), tar_of([Entry("b")])])
    done = pull(
        engine, RegistrySource(LayoutClient(layout, image), Reference.parse("registry.test/app:1")), Platform("linux", "amd64")
    )
    for number, chain_id in enumerate(done.view.chain):
        with harness.show(engine.snapshotter(), chain_id) as root:
            found = root.stat()
            assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o750, 5, 6), number


def test_a_layer_that_is_not_as_stored(engine: Engine) -> None:
    layer, diff_id = layer_of(engine, tar_of(BOTTOM))
    for wrong, error in ((descriptor(b"absent", LAYER), NotFound), (layer._replace(size=layer.size + 1), DataLoss)):
        with engine.unpacker() as unpacker, unpacker.begin() as unpacking:
            unpacking.write(wrong, diff_id, "name", "")
            with pytest.raises(error):
                unpacking.commit()
    assert engine.snapshotter().walk() == []


def test_a_container_is_made_as_a_whole(harness: Harness, engine: Engine) -> None:
    """What a container consists of is safe from being collected while it is made."""
    with engine.containers.making():
        engine.snapshotter().prepare("of container")
        engine.containers.create(container()._replace(snapshotter=engine.snapshotter().name, snapshot_key="of container"))
    harness.open().collect()
    assert [info.name for info in engine.snapshotter().walk()] == ["of container"]


def test_the_directory_of_a_container(harness: Harness, engine: Engine) -> None:
    record = engine.containers.create(container())
    path = engine.container_dir(record.id)
    assert os.path.isdir(path)
    with open(os.path.join(path, "log"), "wb") as stream:
        stream.write(b"line")
    assert harness.open().container_dir(record.id) == path
    assert harness.open("other").container_dir(record.id) != path
    assert engine.container_dir("b" * 64) != path
    engine.containers.delete(record.id)
    assert not os.path.exists(path)


def test_the_volumes_in_the_directory_of_a_container_can_stay(engine: Engine) -> None:
    record = engine.containers.create(container())
    path = engine.container_dir(record.id)
    os.makedirs(os.path.join(path, "volumes", "0"))
    with open(os.path.join(path, "log"), "wb") as stream:
        stream.write(b"line")
    engine.containers.delete(record.id, keep_volumes=True)
    assert os.listdir(path) == ["volumes"]
    engine.containers.create(container())
    engine.containers.delete(record.id)
    assert not os.path.exists(path)


def test_the_places_of_blobs_and_layers(harness: Harness, engine: Engine) -> None:
    store(engine, b"a blob")
    mounts = engine.snapshotter().prepare("key")
    blobs, layers = engine.places()
    assert mounts[0].source.startswith(layers)
    assert engine.kind != "containerd" or os.path.isdir(os.path.join(blobs, "blobs", "sha256"))


def test_a_lock_is_held_by_one(harness: Harness, engine: Engine) -> None:
    other = harness.open()
    with engine.lock("container web"):
        with pytest.raises(Unavailable, match="container web"), other.lock("container web"):
            pass
        with other.lock("container db"):
            pass
        with harness.open("elsewhere").lock("container web"):
            pass
    with other.lock("container web"):
        pass


def test_who_waits_for_a_lock_gets_it(harness: Harness, engine: Engine) -> None:
    order = []
    harness.be_patient()

    def second() -> None:
        with harness.open().lock("name"):
            order.append("second")

    with engine.lock("name"):
        thread = threading.Thread(target=second)
        thread.start()
        threading.Event().wait(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_an_exception_frees_the_lock(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), engine.lock("name"):
        raise ZeroDivisionError
    with engine.lock("name"):
        pass


def test_closing_twice_is_fine_and_reading_creates_nothing(harness: Harness) -> None:
    engine = harness.open()
    assert engine.images.list() == []
    engine.close()
    engine.close()


def test_a_world_in_memory_leaves_no_directory() -> None:
    engine = MemoryEngine()
    path = engine.container_dir("a" * 64)
    assert os.path.isdir(path)
    del engine
    gc.collect()
    assert not os.path.exists(os.path.dirname(path))
