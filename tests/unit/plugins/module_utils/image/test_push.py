# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushes and copies into a real registry: in which order, what is sent at all, and what a broken one leaves."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import threading
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import SOURCE
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import DataLoss, NotFound, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.image.copy import remote_blob, remote_tree, same_registry
from ansible_collections.fleet.containerd.plugins.module_utils.image.push import (
    PushResult,
    is_pushed,
    known_sources,
    push,
    stored_blob,
)
from ansible_collections.fleet.containerd.plugins.module_utils.image.source import RegistrySource
from ansible_collections.fleet.containerd.plugins.module_utils.image.walk import DocumentTree, Selection, reduced, stored_tree
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.registry.client import RegistryClient
from ansible_collections.fleet.containerd.plugins.module_utils.registry.options import RegistryOptions
from ansible_collections.fleet.containerd.plugins.module_utils.registry.pusher import Pusher
from ansible_collections.fleet.containerd.tests.support.archives import ALL, load_from
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, tar_of
from ansible_collections.fleet.containerd.tests.support.registry import Registry, running_registry

EVERY = Selection(None)


class Watched(Pusher):
    """A pusher that writes down what it is asked for, and fails for some blobs."""

    def __init__(self, failing: t.Container[Digest] = ()) -> None:
        super().__init__(RegistryOptions(retries=0))
        self.calls: t.List[t.Tuple[str, str]] = []
        self.most = self._now = 0
        self._failing, self._counting = failing, threading.Lock()

    def mount(self, reference: Reference, descriptor: Descriptor, from_path: str) -> bool:
        self.calls.append(("mount", from_path))
        return super().mount(reference, descriptor, from_path)

    def upload(self, reference: Reference, descriptor: Descriptor, *rest: t.Any) -> None:
        with self._counting:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            if descriptor.digest in self._failing:
                raise Unavailable("no")
            super().upload(reference, descriptor, *rest)
        finally:
            with self._counting:
                self._now -= 1
        self.calls.append(("upload", str(descriptor.digest)))

    def put_manifest(self, reference: Reference, descriptor: Descriptor, body: bytes) -> None:
        super().put_manifest(reference, descriptor, body)
        self.calls.append(("manifest", reference.object))


@pytest.fixture
def pusher() -> t.Iterator[Watched]:
    with contextlib.closing(Watched()) as made:
        yield made


def image(layout: Layout, architecture: str = "amd64", layers: int = 2) -> t.Dict[str, t.Any]:
    return layout.image([tar_of([Entry("x", os.urandom(3000))]) for _layer in range(layers)], architecture=architecture)


def stored(engine: EmbeddedEngine, layout: Layout, top: t.Mapping[str, t.Any]) -> DocumentTree:
    """The image in the store."""
    layout.tag(top, "app:1")
    load_from(engine, layout.path, wish=ALL)
    return stored_tree(engine.content, engine.images.get("docker.io/library/app:1").target, EVERY, "app:1")


def send(engine: EmbeddedEngine, at: Pusher, to: Reference, tree: DocumentTree, **options: t.Any) -> PushResult:
    return push(at, to, tree, stored_blob(engine.content), known_sources(engine.content, to), **options)


def test_the_tag_comes_last(engine: EmbeddedEngine, layout: Layout, registry: Registry, pusher: Watched) -> None:
    index = layout.index([image(layout, "arm64"), layout.index([image(layout, "s390x")]), image(layout)])
    tree = stored(engine, layout, index)
    to = Reference.parse(f"{registry.address}/order:1")
    done = send(engine, pusher, to, tree, max_parallel=2)
    kinds = [kind for kind, _name in pusher.calls]
    assert kinds == ["upload"] * 9 + ["manifest"] * 5
    names = [name for _kind, name in pusher.calls]
    assert names[-1] == "1"
    order = {digest: number for number, digest in enumerate(names)}
    for node in tree.nodes[1:]:
        for child in json.loads(node.body).get("manifests", []):
            assert order[child["digest"]] < order[str(node.descriptor.digest)]
    assert 1 <= pusher.most <= 2
    assert (len(done.uploaded), done.mounted, done.existing) == (9, (), 0)
    assert is_pushed(pusher, to, tree.top)
    pusher.calls.clear()
    assert send(engine, pusher, to, tree).existing == 9
    assert [name for _kind, name in pusher.calls] == ["1"], "manifests that are there are not sent again"


def test_a_broken_push_sets_no_tag(engine: EmbeddedEngine, layout: Layout, registry: Registry, pusher: Watched) -> None:
    tree = stored(engine, layout, image(layout, layers=5))
    to = Reference.parse(f"{registry.address}/broken:1")
    with contextlib.closing(Watched(failing={tree.blobs[2].digest})) as failing, pytest.raises(Unavailable):
        send(engine, failing, to, tree)
    assert not [name for kind, name in failing.calls if kind == "manifest"]
    assert not registry.has("/v2/broken/manifests/1")
    assert not is_pushed(pusher, to, tree.top)
    assert send(engine, pusher, to, tree).existing < 6
    assert is_pushed(pusher, to, tree.top)


def test_a_damaged_blob_is_not_pushed(engine: EmbeddedEngine, layout: Layout, registry: Registry, pusher: Watched) -> None:
    tree = stored(engine, layout, image(layout))
    path = pathlib.Path(engine.content.blob_path(tree.blobs[1].digest))
    path.write_bytes(b"y" + path.read_bytes()[1:])
    with pytest.raises(DataLoss, match=f"the blob {tree.blobs[1].digest} is damaged where it comes from"):
        send(engine, pusher, Reference.parse(f"{registry.address}/damaged:1"), tree)
    assert not registry.has("/v2/damaged/manifests/1")


def test_where_blobs_are_mounted_from(engine: EmbeddedEngine, layout: Layout, registry: Registry, pusher: Watched) -> None:
    top = image(layout)
    registry.push(layout.path, top, "first", "1")
    tree = stored(engine, layout, top)
    for blob in tree.blobs:
        engine.content.label(blob.digest, {SOURCE + "127.0.0.1": "gone,second,first", SOURCE + "docker.io": "library/x"})
    to = Reference.parse(f"{registry.address}/second:1")
    assert known_sources(engine.content, to)(tree.blobs[0]) == ["gone", "first"]
    done = send(engine, pusher, to, tree, max_parallel=1)
    assert [name for kind, name in pusher.calls if kind == "mount"] == ["gone", "first"] * 3
    assert (len(done.mounted), done.uploaded) == (3, ())
    assert registry.has(f"/v2/second/blobs/{tree.blobs[0].digest}")


def test_a_reduced_image_is_taken_by_the_registry(
    engine: EmbeddedEngine, layout: Layout, registry: Registry, pusher: Watched
) -> None:
    index = layout.index([image(layout, "arm64"), image(layout)])
    tree = stored(engine, layout, index)
    gone = next(manifest for descriptor, manifest in tree.manifests if str(descriptor.platform) == "linux/arm64")
    engine.content.delete(gone.config.digest)
    smaller = reduced(stored_tree(engine.content, tree.top, Selection(None, partial=True), "app:1"))
    to = Reference.parse(f"{registry.address}/reduced:1")
    send(engine, pusher, to, smaller)
    assert is_pushed(pusher, to, tree.top, smaller.top)
    assert not is_pushed(pusher, to, tree.top)


def test_copies_store_nothing_and_check_documents(layout: Layout, registry: Registry, pusher: Watched) -> None:
    index = layout.index([image(layout, "arm64"), image(layout)])
    registry.push(layout.path, index, "copied", "1")
    source = Reference.parse(f"{registry.address}/copied:1")
    with contextlib.closing(RegistryClient(RegistryOptions(retries=0))) as client, running_registry() as other:
        top = client.document(source)
        tree = remote_tree(RegistrySource(client, source), top, EVERY)
        to = Reference.parse(f"{other.address}/copied:1")
        done = push(pusher, to, tree, remote_blob(RegistrySource(client, source)), same_registry(source, to))
        assert len(done.uploaded) == 6
        assert is_pushed(pusher, to, tree.top)
        for blob in tree.blobs:
            with other.open(f"/v2/copied/blobs/{blob.digest}") as answer:
                assert answer.read() == layout.read({"digest": blob.digest})

        class Lying(RegistrySource):
            def fetch(self, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
                yield b"{}"

        with pytest.raises(DataLoss, match="sent other content for sha256"):
            remote_tree(Lying(client, source), top, EVERY)

        class Lacking(RegistrySource):
            def fetch(self, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
                raise NotFound("gone")

        with pytest.raises(
            NotFound, match="is incomplete in its registry, it is missing linux/amd64, linux/arm64|linux/arm64, linux/amd64"
        ):
            remote_tree(Lacking(client, source), top, EVERY)


def test_a_copy_that_breaks_off_goes_on(layout: Layout, registry: Registry) -> None:
    """A blob is asked for from where the upload stands."""
    registry.push(layout.path, image(layout), "offset", "1")
    source = Reference.parse(f"{registry.address}/offset:1")
    with contextlib.closing(RegistryClient(RegistryOptions())) as client:
        blob = remote_tree(RegistrySource(client, source), client.document(source), EVERY).blobs[1]
        with remote_blob(RegistrySource(client, source))(blob, 1000) as stream:
            assert stream.read(10) == layout.read({"digest": blob.digest})[1000:1010]
            assert stream.read() == layout.read({"digest": blob.digest})[1010:]
        with remote_blob(RegistrySource(client, source))(blob, 0) as stream:
            assert len(stream.read(1)) == 1
