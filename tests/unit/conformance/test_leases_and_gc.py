# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases and garbage collection: what an image, a container or a live lease reaches stays, the rest goes with the next image."""

from __future__ import annotations

import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine import labels as L
from ansible_collections.fleet.containerd.plugins.module_utils.engine.holdings import CONTAINER, CONTENT, IMAGE
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Image
from ansible_collections.fleet.containerd.plugins.module_utils.errors import AlreadyExists, NotFound

from .conftest import Harness, descriptor, read, store
from .test_container_store import container

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine


def blobs(engine: Engine) -> t.Set[str]:
    return {str(info.digest) for info in engine.content.walk()}


def snapshots(engine: Engine) -> t.Set[str]:
    return {info.name for info in engine.snapshotter().walk()}


def commit(engine: Engine, name: str, parent: str = "") -> None:
    snapshotter = engine.snapshotter()
    snapshotter.prepare(f"making {name}", parent)
    snapshotter.commit(name, f"making {name}")


def image(engine: Engine, name: str) -> t.Dict[str, t.Any]:
    """An image as a pull leaves it: manifest -> config, layer; config -> top snapshot -> its parent."""
    layer = store(engine, f"layer of {name}".encode())
    commit(engine, f"{name} bottom")
    commit(engine, f"{name} top", f"{name} bottom")
    config = store(engine, f"config of {name}".encode(), {L.GC_REF_SNAPSHOT + engine.snapshotter().name: f"{name} top"})
    references = {L.GC_REF_CONTENT + "config": str(config.digest), L.GC_REF_CONTENT + "l.0": str(layer.digest)}
    manifest = store(engine, f"manifest of {name}".encode(), references)
    engine.images.put(Image(name, manifest))
    return {"blobs": {str(one.digest) for one in (layer, config, manifest)}, "snapshots": {f"{name} bottom", f"{name} top"}}


def test_what_an_image_needs_stays_and_goes_with_it(engine: Engine) -> None:
    one, two = image(engine, "one"), image(engine, "two")
    engine.images.delete("one")
    assert blobs(engine) == two["blobs"]
    assert snapshots(engine) == two["snapshots"]
    assert one["blobs"].isdisjoint(blobs(engine))
    engine.images.delete("two")
    assert blobs(engine) == snapshots(engine) == set()


def test_one_collection_for_several_images(engine: Engine) -> None:
    kept = image(engine, "kept")
    gone = [image(engine, name) for name in ("one", "two")]
    for name in ("one", "two"):
        engine.images.delete(name, collect=False)
    assert blobs(engine) == kept["blobs"].union(*(one["blobs"] for one in gone))
    engine.collect()
    assert (blobs(engine), snapshots(engine)) == (kept["blobs"], kept["snapshots"])


def test_two_names_for_one_image(engine: Engine) -> None:
    kept = image(engine, "one")
    engine.images.put(Image("alias", engine.images.get("one").target))
    engine.images.delete("one")
    assert (blobs(engine), snapshots(engine)) == (kept["blobs"], kept["snapshots"])


def test_a_circle_of_references_goes_as_a_whole(engine: Engine) -> None:
    one, two = store(engine, b"one"), store(engine, b"two")
    engine.content.label(one.digest, {L.GC_REF_CONTENT + "x": str(two.digest)})
    engine.content.label(two.digest, {L.GC_REF_CONTENT + "x": str(one.digest)})
    engine.collect()
    assert blobs(engine) == set()


def test_a_reference_to_what_is_absent_is_no_error(engine: Engine) -> None:
    image(engine, "one")
    engine.content.label(engine.images.get("one").target.digest, {L.GC_REF_CONTENT + "m.9": str(descriptor(b"absent").digest)})
    engine.collect()
    assert len(blobs(engine)) == 3


def test_a_root_label_keeps(engine: Engine) -> None:
    kept = store(engine, b"kept", {L.GC_ROOT: "because"})
    engine.snapshotter().prepare("kept", "", {L.GC_ROOT: "because"})
    store(engine, b"not kept")
    engine.collect()
    assert blobs(engine) == {str(kept.digest)}
    assert snapshots(engine) == {"kept"}


def test_a_container_keeps_its_snapshot_and_the_parents(engine: Engine) -> None:
    image(engine, "one")
    engine.snapshotter().prepare("of container", "one top")
    record = container()._replace(snapshotter=engine.snapshotter().name, snapshot_key="of container")
    engine.containers.create(record)
    engine.images.delete("one")
    assert snapshots(engine) == {"of container", "one bottom", "one top"}
    assert blobs(engine) == set()
    engine.containers.delete(record.id)
    engine.collect()
    assert snapshots(engine) == set()


def test_a_lease_keeps_what_is_written_inside(harness: Harness, engine: Engine) -> None:
    other = harness.open()
    with engine.lease() as name:
        assert name
        what = store(engine, b"leased")
        commit(engine, "bottom")
        engine.snapshotter().prepare("active", "bottom")
        other.collect()
        assert read(other, what) == b"leased"
        assert snapshots(other) == {"active", "bottom"}
    other.collect()
    assert (blobs(other), snapshots(other)) == (set(), set())


def test_a_lease_keeps_what_is_found_inside(harness: Harness, engine: Engine) -> None:
    """Nobody is told "it is there already" about something that is gone a moment later."""
    what = store(engine, b"found")
    commit(engine, "bottom")
    other = harness.open()
    with engine.lease():
        with pytest.raises(AlreadyExists), engine.content.writer("ref", what):
            pass
        engine.snapshotter().stat("bottom")
        other.collect()
        assert read(other, what) == b"found"
        assert snapshots(other) == {"bottom"}


def test_a_lease_in_a_lease_is_the_same(harness: Harness, engine: Engine) -> None:
    with engine.lease() as outer:
        with engine.lease() as inner:
            assert inner == outer
            what = store(engine, b"leased")
        harness.open().collect()
        assert blobs(engine) == {str(what.digest)}


def test_an_exception_ends_the_lease(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), engine.lease():
        store(engine, b"leased")
        raise ZeroDivisionError
    engine.collect()
    assert blobs(engine) == set()


def test_a_clock_that_is_set_ends_no_lease(harness: Harness, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: now() - 400 * 86400)
        lease = engine.lease()
        lease.__enter__()
    what = store(engine, b"leased")
    harness.open().collect()
    assert blobs(engine) == {str(what.digest)}
    lease.__exit__(None, None, None)


def test_what_a_moved_name_leaves_is_collected(harness: Harness, engine: Engine) -> None:
    """At the latest by the next collection; the embedded engine has none but ours."""
    with engine.lease():
        old = store(engine, b"old")
        engine.images.put(Image("moving", old))
        kept = store(engine, b"kept")
        engine.images.put(Image("kept", kept))
    with engine.lease():
        new = store(engine, b"new")
        engine.images.put(Image("moving", new))
        assert str(old.digest) in blobs(engine)
    if engine.kind == "containerd":
        engine.collect()
    assert blobs(harness.open()) == {str(kept.digest), str(new.digest)}
    engine.images.put(Image("moving", kept))
    if engine.kind == "containerd":
        engine.collect()
    assert blobs(engine) == {str(kept.digest)}


def test_unfinished_ingests_survive_a_collection(engine: Engine) -> None:
    with engine.content.writer("ref") as ingest:
        ingest.write(b"half")
    engine.collect()
    with engine.content.writer("ref") as ingest:
        assert ingest.offset == 4


def test_another_namespace_keeps_its_own(harness: Harness) -> None:
    one, two = harness.open("one"), harness.open("two")
    kept = image(one, "image")
    image(two, "image")
    two.images.delete("image")
    assert (blobs(two), snapshots(two)) == (set(), set())
    assert (blobs(one), snapshots(one)) == (kept["blobs"], kept["snapshots"])
    assert read(one, one.images.get("image").target) == b"manifest of image"


def test_what_was_collected_can_be_written_again(engine: Engine) -> None:
    image(engine, "one")
    engine.images.delete("one")
    kept = image(engine, "one")
    assert (blobs(engine), snapshots(engine)) == (kept["blobs"], kept["snapshots"])
    with pytest.raises(NotFound):
        engine.content.info(descriptor(b"absent").digest)


def test_it_is_told_beforehand_what_goes(harness: Harness, engine: Engine) -> None:
    """With the images and containers that somebody thinks of as gone, before anything is changed."""
    one, two = image(engine, "one"), image(engine, "two")
    engine.snapshotter().prepare("of container", "one top")
    record = container()._replace(snapshotter=engine.snapshotter().name, snapshot_key="of container")
    engine.containers.create(record)
    assert engine.holdings().unneeded() == []
    gone = engine.holdings().unneeded([(IMAGE, "one")])
    assert {key for kind, key in gone} == one["blobs"], "the container keeps the layers"
    gone = engine.holdings().unneeded([(IMAGE, "one"), (CONTAINER, record.id)])
    assert {key for kind, key in gone if kind == CONTENT} == one["blobs"]
    assert {key for kind, key in gone if kind != CONTENT} == {*one["snapshots"], "of container"}
    freed = engine.holdings().freed_by([(IMAGE, "one"), (CONTAINER, record.id)])
    assert {key for _kind, key in freed[IMAGE, "one"]} == one["blobs"]
    assert {key for _kind, key in freed[CONTAINER, record.id]} == {*one["snapshots"], "of container"}
    sizes = engine.disk_usage(gone)
    assert set(sizes) == set(gone)
    assert sum(sizes.values()) > 0
    engine.containers.delete(record.id)
    engine.images.delete("one")
    assert (blobs(engine), snapshots(engine)) == (two["blobs"], two["snapshots"])


def test_what_another_namespace_has_too_frees_no_bytes(harness: Harness) -> None:
    one, two = harness.open("one"), harness.open("two")
    image(one, "image")
    nodes = one.holdings().unneeded([(IMAGE, "image")])
    assert sum(one.disk_usage(node for node in nodes if node[0] == CONTENT).values()) > 0
    image(two, "image")
    assert sum(one.disk_usage(node for node in nodes if node[0] == CONTENT).values()) == 0


def test_a_lease_counts_as_long_as_it_lives(harness: Harness, engine: Engine) -> None:
    other = harness.open()
    with engine.lease():
        store(engine, b"leased")
        assert other.holdings().unneeded() == []
    other.collect()
    assert blobs(other) == set()
