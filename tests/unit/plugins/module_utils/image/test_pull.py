# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulling into the embedded engine from a layout on disk: what is stored, what is refused, what is left when it fails."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import GC_REF_CONTENT, GC_REF_SNAPSHOT, UNCOMPRESSED
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    DataLoss,
    EngineError,
    InvalidArgument,
    NotFound,
    Unimplemented,
)
from ansible_collections.fleet.containerd.plugins.module_utils.image.inspect import inspect
from ansible_collections.fleet.containerd.plugins.module_utils.image.pull import Job, Puller, PullResult
from ansible_collections.fleet.containerd.plugins.module_utils.image.source import RegistrySource
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.tests.support.client import LayoutClient as Client
from ansible_collections.fleet.containerd.tests.support.client import pull
from ansible_collections.fleet.containerd.tests.support.images import (
    CONFIG,
    LAYER,
    MANIFEST,
    Entry,
    Layout,
    directory,
    hand_made_layers,
    sha256,
    tar_of,
)

AMD64 = Platform("linux", "amd64")
NAME = Reference.parse("registry.test/app:1")


def get(engine: EmbeddedEngine, layout: Layout, top: t.Mapping[str, t.Any], platform: Platform = AMD64) -> PullResult:
    return pull(engine, RegistrySource(Client(layout, top), NAME), platform)


def nothing_is_left(engine: EmbeddedEngine) -> None:
    """No record, no snapshot, no lease; and the next collection takes what was fetched."""
    assert engine.images.list() == []
    assert engine.snapshotter().walk() == []
    engine.collect()
    assert list(engine.content.walk()) == []
    assert engine.content.ingests() == []


def test_a_pull_stores_all_with_the_labels_that_keep_it(engine: EmbeddedEngine, layout: Layout) -> None:
    first, second = hand_made_layers()[:2]
    image = layout.image([first, second])
    index = layout.index([image, layout.image([tar_of([Entry("arm")])], architecture="arm64")])
    result = get(engine, layout, index)
    assert (result.reused, len(result.view.layers)) == (0, 2)
    record = engine.images.get(NAME.record)
    assert record.target.digest == index["digest"]
    labels = {info.digest: info.labels for info in engine.content.walk()}
    assert set(labels[record.target.digest]) >= {GC_REF_CONTENT + "m.0", GC_REF_CONTENT + "m.1"}
    assert set(labels[result.view.manifest.digest]) >= {GC_REF_CONTENT + key for key in ("config", "l.0", "l.1")}
    assert labels[result.view.config.digest][GC_REF_SNAPSHOT + "overlayfs"] == result.view.chain_id
    assert labels[result.view.layers[1].digest][UNCOMPRESSED] == sha256(second)
    assert engine.collect() == ([], [], True)
    assert inspect(engine, record, AMD64).missing == ()
    again = get(engine, layout, index)
    assert (again.fetched, again.reused) == (0, 2)


def test_other_platforms_come_on_demand(engine: EmbeddedEngine, layout: Layout) -> None:
    index = layout.index([layout.image([tar_of([Entry(a)])], architecture=a) for a in ("amd64", "arm64")])
    get(engine, layout, index)
    record = engine.images.get(NAME.record)
    assert inspect(engine, record, Platform("linux", "arm64")).missing
    get(engine, layout, index, Platform("linux", "arm64"))
    for platform in (AMD64, Platform("linux", "arm64")):
        assert inspect(engine, record, platform).missing == ()
    with pytest.raises(NotFound, match="no manifest for platform linux/s390x"):
        get(engine, layout, index, Platform("linux", "s390x"))


def test_only_new_layers_are_fetched_and_unpacked(engine: EmbeddedEngine, layout: Layout) -> None:
    base = [tar_of([directory("a"), Entry("a/one", os.urandom(5000))]), tar_of([Entry("a/two", os.urandom(5000))])]
    get(engine, layout, layout.image([*base, tar_of([Entry("v1")])]))
    newer = layout.image([*base, tar_of([Entry("v2")])])
    client = Client(layout, newer)
    result = pull(engine, RegistrySource(client, NAME), AMD64)
    assert result.reused == 2
    assert len(client.fetched) == 2
    assert len(engine.snapshotter().walk()) == 3


def test_an_interrupted_transfer_goes_on_where_it_stopped(engine: EmbeddedEngine, layout: Layout) -> None:
    image = layout.image([tar_of([Entry("x", os.urandom(300_000))])])
    layer = Descriptor.from_json(json.loads(layout.read(image))["layers"][0], "layer")
    with engine.content.writer(f"layer-{layer.digest}", layer) as ingest:
        ingest.write(layout.read({"digest": layer.digest})[:100_000])
    client = Client(layout, image)
    pull(engine, RegistrySource(client, NAME), AMD64)
    assert f"{layer.digest}@100000" in client.fetched


def test_a_rotten_start_is_thrown_away(engine: EmbeddedEngine, layout: Layout) -> None:
    image = layout.image([tar_of([Entry("x", os.urandom(300_000))])])
    layer = Descriptor.from_json(json.loads(layout.read(image))["layers"][0], "layer")
    with engine.content.writer(f"layer-{layer.digest}", layer) as ingest:
        ingest.write(b"rubbish" * 1000)
    get(engine, layout, image)
    assert inspect(engine, engine.images.get(NAME.record), AMD64).missing == ()


def test_a_damaged_blob_is_noticed_and_brought_anew(engine: EmbeddedEngine, layout: Layout) -> None:
    image = layout.image([tar_of([Entry("x", b"content" * 1000)])])
    result = get(engine, layout, image)
    path = pathlib.Path(engine.content.blob_path(result.view.layers[0].digest))
    path.write_bytes(path.read_bytes()[:-1])
    assert inspect(engine, result.image, AMD64).missing
    get(engine, layout, image)
    assert sha256(path.read_bytes()) == result.view.layers[0].digest
    assert inspect(engine, result.image, AMD64).missing == ()


def manifest(
    layout: Layout, layers: t.Sequence[t.Mapping[str, t.Any]], diff_ids: t.Sequence[str], **more: t.Any
) -> t.Dict[str, t.Any]:
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": list(diff_ids)}, "config": {}}
    body = {"schemaVersion": 2, "mediaType": MANIFEST, "config": layout.json(config, CONFIG), "layers": list(layers), **more}
    return layout.json(body, MANIFEST)


def blob(layout: Layout, data: bytes, media_type: str = LAYER, **more: t.Any) -> t.Dict[str, t.Any]:
    return layout.blob(data, media_type, **more)


GOOD = tar_of([Entry("good")])
OTHER = tar_of([Entry("other")])


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda at: manifest(at, [blob(at, gzip.compress(GOOD))], [sha256(OTHER)]), DataLoss, "and the image config says"),
        (lambda at: manifest(at, [blob(at, gzip.compress(GOOD))], []), InvalidArgument, "has 1 layers, its config 0"),
        (lambda at: manifest(at, [], [sha256(GOOD)]), InvalidArgument, "has 0 layers, its config 1"),
        (lambda at: manifest(at, [blob(at, gzip.compress(GOOD)[:-9])], [sha256(GOOD)]), DataLoss, "ends too early"),
        (lambda at: manifest(at, [blob(at, b"\x1f\x8brubbish" * 9)], [sha256(GOOD)]), DataLoss, "damaged"),
        (
            lambda at: manifest(at, [blob(at, b"no tar at all" * 99)], [sha256(GOOD)]),
            InvalidArgument,
            "tar header is not a number",
        ),
        (
            lambda at: manifest(at, [blob(at, GOOD, "application/vnd.in-toto+json")], [sha256(GOOD)]),
            Unimplemented,
            "no file system layer",
        ),
        (
            lambda at: manifest(
                at, [blob(at, GOOD, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")], [sha256(GOOD)]
            ),
            Unimplemented,
            "may not be distributed",
        ),
        (
            lambda at: manifest(
                at, [blob(at, gzip.compress(GOOD)), blob(at, gzip.compress(OTHER))], [sha256(GOOD), sha256(GOOD)]
            ),
            DataLoss,
            "and the image config says",
        ),
        (
            lambda at: manifest(at, [blob(at, tar_of([Entry("../../evil")]))], [sha256(tar_of([Entry("../../evil")]))]),
            InvalidArgument,
            "leaves its tree",
        ),
        (
            lambda at: manifest(at, [blob(at, GOOD)], [sha256(GOOD)], manifests=[]),
            InvalidArgument,
            "neither an index nor a manifest",
        ),
    ],
)
def test_hostile_images_are_refused_and_leave_nothing(
    engine: EmbeddedEngine, layout: Layout, make: t.Callable[[Layout], t.Dict[str, t.Any]], kind: t.Type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        get(engine, layout, make(layout))
    nothing_is_left(engine)


def test_a_blob_that_is_not_what_its_digest_says(engine: EmbeddedEngine, layout: Layout) -> None:
    image = layout.image([GOOD])
    layer = json.loads(layout.read(image))["layers"][0]
    path = layout.path / "blobs" / "sha256" / layer["digest"][7:]
    path.write_bytes(b"x" * layer["size"])
    with pytest.raises(EngineError, match="content does not match"):
        get(engine, layout, image)
    path.write_bytes(b"x" * (layer["size"] + 1))
    with pytest.raises(EngineError, match="more than the .* bytes that were announced"):
        get(engine, layout, image)
    nothing_is_left(engine)


def test_an_index_in_an_index_has_its_limit(engine: EmbeddedEngine, layout: Layout) -> None:
    nested: t.Mapping[str, t.Any] = layout.image([GOOD])
    for _depth in range(2):
        nested = layout.index([{**nested, "platform": {"os": "linux", "architecture": "amd64"}}])
    get(engine, layout, nested)
    deeper = layout.index([{**nested, "platform": {"os": "linux", "architecture": "amd64"}}])
    with pytest.raises(InvalidArgument, match="deeper than 2"):
        get(engine, layout, deeper)


def test_an_index_of_very_many_manifests(engine: EmbeddedEngine, layout: Layout) -> None:
    ours = layout.image([tar_of([Entry("x")])])
    other = {"mediaType": MANIFEST, "size": 500, "platform": {"os": "linux", "architecture": "arm64"}}
    index = layout.index([*({**other, "digest": f"sha256:{number:064x}"} for number in range(9000)), ours])
    assert get(engine, layout, index).layers == 1
    assert inspect(engine, engine.images.get(NAME.record), AMD64).missing == ()


@pytest.mark.parametrize("suffix", ["+encrypted", "+gzip+encrypted", "+zstd+encrypted"])
def test_an_encrypted_layer_is_stored_and_not_unpacked(engine: EmbeddedEngine, layout: Layout, suffix: str) -> None:
    layer = tar_of([Entry("x")])
    body = json.loads(layout.read(layout.image([layer])))
    secret = layout.blob(layer, "application/vnd.oci.image.layer.v1.tar" + suffix)
    image = layout.json({**body, "layers": [secret]}, MANIFEST)
    words = rf"the layer {secret['digest']} of registry.test/app:1 is encrypted .*unpack=false"
    with pytest.raises(Unimplemented, match=words):
        get(engine, layout, image)
    nothing_is_left(engine)
    job = Job(RegistrySource(Client(layout, image), NAME), (AMD64,), unpack=False)
    with Puller(engine, [job]) as puller:
        puller.pull(job)
    assert engine.content.info(Digest(secret["digest"])).size == len(layer)
