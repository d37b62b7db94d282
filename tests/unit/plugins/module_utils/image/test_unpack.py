# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers that are written at the same time: none waits for ever, and what the record promises is on the disk."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import DataLoss, InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.image import pull as pulling
from ansible_collections.fleet.containerd.plugins.module_utils.image.pull import Job, Puller
from ansible_collections.fleet.containerd.plugins.module_utils.image.source import RegistrySource
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.store import snapshots
from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS
from ansible_collections.fleet.containerd.tests.support.archives import load_from, tar
from ansible_collections.fleet.containerd.tests.support.archives import members_of as members
from ansible_collections.fleet.containerd.tests.support.client import LayoutClient, pull
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, directory, tar_of

AMD64 = Platform("linux", "amd64")
NAME = Reference.parse("registry.test/app:1")
#: Eight layers that need the one below them; the processors that a cpuset leaves are fewer than those of the machine. The lowest
#: layer comes last to the writers, as it may where the machine is busy.
_UNPACK = """
import os, pathlib, sys, time
os.cpu_count = lambda: 8
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.tests.support.client import pull
from ansible_collections.fleet.containerd.plugins.module_utils.image.source import RegistrySource
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.layers.writers import LayerWriters
from ansible_collections.fleet.containerd.tests.support.client import LayoutClient
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, directory, tar_of
base = pathlib.Path(sys.argv[1])
apply = LayerWriters.apply
def late(self, stream, media_type, target, *more):
    time.sleep(0 if target.lowers else 0.3)
    return apply(self, stream, media_type, target, *more)
LayerWriters.apply = late
layout = Layout(base / "oci")
image = layout.image([tar_of([directory("d", mode=0o700)]), *(tar_of([Entry(f"d/{n}")]) for n in range(7))])
engine = EmbeddedEngine("default", str(base / "data"), str(base / "state"))
done = pull(engine, RegistrySource(LayoutClient(layout, image), Reference.parse("registry.test/app:1")), Platform("linux", "amd64"), max_parallel=8)
print(len(os.sched_getaffinity(0)), done.layers - done.reused)
"""


def test_layers_do_not_wait_for_each_other_for_ever(tmp_path: pathlib.Path) -> None:
    run = [sys.executable, "-c", _UNPACK, str(tmp_path)]
    done = subprocess.run(run, env={"PYTHONPATH": str(COLLECTIONS)}, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stderr, done.stdout.split()[1:]) == ("", ["8"])


def test_an_image_without_layers_decides_for_those_with_layers(
    engine: EmbeddedEngine, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container of it has the first snapshot, which says what all later ones are: not overlayfs where that does not work."""
    monkeypatch.setattr(snapshots, "overlay_works", lambda root: False)
    pull(engine, RegistrySource(LayoutClient(layout, layout.image([])), NAME), AMD64)
    engine.snapshotter().prepare("container")
    assert engine.snapshotter().name == "native"


def unsynced(engine: EmbeddedEngine) -> t.List[str]:
    return [str(row[0]) for row in engine._database.query("SELECT digest FROM content WHERE synced=0")]


def test_what_comes_after_the_unpacking_is_durable_before_the_record(
    engine: EmbeddedEngine, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, others = tar_of([Entry("ours", b"1")]), tar_of([Entry("others", os.urandom(3000))])
    index = layout.index([layout.image([ours]), layout.image([others], architecture="arm64")])
    unpacked, late = threading.Event(), {Descriptor.from_json(one, "").digest for one in _layers(layout, index, 1)}
    real = pulling.unpack

    class Slow(LayoutClient):
        def fetch(self, reference: Reference, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
            if descriptor.digest in late:
                unpacked.wait(30)
            return super().fetch(reference, descriptor, offset)

    def unpack(*args: t.Any, **more: t.Any) -> int:
        try:
            return real(*args, **more)
        finally:
            unpacked.set()

    monkeypatch.setattr(pulling, "unpack", unpack)
    job = Job(RegistrySource(Slow(layout, index), NAME), (AMD64,), every=True)
    settle, seen = engine.images._settle, []
    monkeypatch.setattr(engine.images, "_settle", lambda: (settle(), seen.append(unsynced(engine))))
    with Puller(engine, [job]) as puller:
        puller.pull(job)
    assert seen == [[]]


def _layers(layout: Layout, index: t.Mapping[str, t.Any], number: int) -> t.List[t.Dict[str, t.Any]]:
    import json

    manifest = json.loads(layout.read(json.loads(layout.read(index))["manifests"][number]))
    return list(manifest["layers"])


@pytest.mark.parametrize("way", ["pull", "load"])
def test_a_layer_without_its_last_padding_is_whole(
    engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path, way: str
) -> None:
    """As umoci 0.4.7 writes them."""
    layer = tar_of([directory("d"), Entry("d/file", b"content")])
    cut = layer[: layer.index(b"content") + len(b"content")]
    assert get(engine, layout, tmp_path, [tar_of([Entry("below")]), cut], way) == 2
    (top,) = [info for info in engine.snapshotter().walk() if info.parent]
    with engine.snapshotter().look(top.name) as target:
        assert (pathlib.Path(target.root) / "d" / "file").read_bytes() == b"content"


@pytest.mark.parametrize("way", ["pull", "load"])
@pytest.mark.parametrize(
    ("cut", "where"),
    [(b"con", "ends in the middle of d/file, 4 bytes before its end"), (b"d/file", "ends in the middle of a header")],
)
def test_a_layer_that_is_cut_off_is_named(
    engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path, way: str, cut: bytes, where: str
) -> None:
    layer = tar_of([directory("d"), Entry("d/file", b"content")])
    cut_off = layer[: layer.index(cut) + len(cut)]
    with pytest.raises(DataLoss) as caught:
        get(engine, layout, tmp_path, [tar_of([Entry("below")]), cut_off], way)
    message = str(caught.value)
    assert message.startswith("the layer sha256:")
    assert f"of registry.test/app:1 {where}: its digest is right" in message
    assert "build the image anew" in message


def get(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path, layers: t.Sequence[bytes], way: str) -> int:
    """Pull or load an image; how many layers were unpacked."""
    image = layout.image(layers)
    if way == "pull":
        done = pull(engine, RegistrySource(LayoutClient(layout, image), NAME), AMD64)
        return done.layers - done.reused
    layout.tag(image, str(NAME))
    (tmp_path / "a.tar").write_bytes(tar(members(layout)))
    loaded = load_from(engine, tmp_path / "a.tar")
    return loaded.layers - loaded.reused


def test_what_no_layer_may_hold_is_told_with_the_name(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path) -> None:
    with pytest.raises(
        InvalidArgument, match=r"the layer sha256:\w{64} of registry.test/app:1 has an entry that leaves its tree"
    ):
        get(engine, layout, tmp_path, [tar_of([Entry("../x")])], "pull")


def test_what_umoci_inserts(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path) -> None:
    layout.tag(layout.image([tar_of([Entry("below")])]), "1")
    (tmp_path / "new").write_bytes(b"inserted")
    subprocess.run(["umoci", "insert", "--image", f"{layout.path}:1", tmp_path / "new", "/new"], check=True, capture_output=True)
    import json

    (top,) = json.loads((layout.path / "index.json").read_text())["manifests"]
    done = pull(engine, RegistrySource(LayoutClient(layout, top), NAME), AMD64)
    assert done.layers == 2
