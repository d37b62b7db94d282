# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same image out of every kind of source: what it leaves in the store is the same, whichever it came from."""

from __future__ import annotations

import contextlib
import gzip
import json
import pathlib
import threading
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.archive.images import ArchiveSource, Contents, open_part
from ansible_collections.fleet.containerd.plugins.module_utils.archive.load import LoadOptions, load
from ansible_collections.fleet.containerd.plugins.module_utils.archive.parts import Sender
from ansible_collections.fleet.containerd.plugins.module_utils.archive.read import open_archive
from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import SOURCE
from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    EngineError,
    FailedPrecondition,
    NotFound,
    Unavailable,
)
from ansible_collections.fleet.containerd.plugins.module_utils.image.asked import Asked
from ansible_collections.fleet.containerd.plugins.module_utils.image.copy import remote_blob, remote_tree
from ansible_collections.fleet.containerd.plugins.module_utils.image.inspect import choose_manifest
from ansible_collections.fleet.containerd.plugins.module_utils.image.pull import Job, Puller, PullResult
from ansible_collections.fleet.containerd.plugins.module_utils.image.source import RegistrySource, document_reader
from ansible_collections.fleet.containerd.plugins.module_utils.image.walk import Selection
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.tests.support import trees
from ansible_collections.fleet.containerd.tests.support.archives import members_of, tar
from ansible_collections.fleet.containerd.tests.support.client import LayoutClient
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, hand_made_layers, tar_of
from ansible_collections.fleet.containerd.tests.support.memory_engine import MemoryEngine

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.image.api import ImageSource

    Make = t.Callable[[contextlib.ExitStack, Layout, t.Mapping[str, t.Any]], ImageSource]

NAME = Reference.parse("registry.test/team/app:1")
AMD64, ARM64, S390X = (Platform("linux", one) for one in ("amd64", "arm64", "s390x"))


def registry(stack: contextlib.ExitStack, layout: Layout, top: t.Mapping[str, t.Any]) -> ImageSource:
    return RegistrySource(LayoutClient(layout, top), NAME)


def asked(stack: contextlib.ExitStack, layout: Layout, top: t.Mapping[str, t.Any]) -> ImageSource:
    """A registry that check mode has asked before."""
    source = RegistrySource(Asked(LayoutClient(layout, top)), NAME)
    found = source.document()
    read = document_reader(source, found)
    _descriptor, manifest = choose_manifest(read, found.descriptor, AMD64)
    read(manifest.config)
    return source


def directory(stack: contextlib.ExitStack, layout: Layout, top: t.Mapping[str, t.Any]) -> ImageSource:
    return archived(stack, layout.path)


def plain(stack: contextlib.ExitStack, layout: Layout, top: t.Mapping[str, t.Any]) -> ImageSource:
    return archived(stack, written(layout, tar(members_of(layout))))


def compressed(stack: contextlib.ExitStack, layout: Layout, top: t.Mapping[str, t.Any]) -> ImageSource:
    return archived(stack, written(layout, gzip.compress(tar(members_of(layout)))))


def controller(stack: contextlib.ExitStack, layout: Layout, top: t.Mapping[str, t.Any]) -> ImageSource:
    """All of an archive on the controller, in parts."""
    asked_for = [f"sha256:{path.name}" for path in layout.path.glob("blobs/sha256/*")]
    with open_archive(str(layout.path)) as archive:
        Sender(archive).write(str(layout.path) + ".part", asked_for)
    return of(open_part(stack.enter_context(open_archive(str(layout.path) + ".part"))))


def written(layout: Layout, data: bytes) -> pathlib.Path:
    path = layout.path.with_suffix(".tar")
    path.write_bytes(data)
    return path


def archived(stack: contextlib.ExitStack, path: pathlib.Path) -> ImageSource:
    return of(Contents(stack.enter_context(open_archive(str(path)))))


def of(contents: Contents) -> ArchiveSource:
    (image,) = contents.images
    return ArchiveSource(contents, NAME, image)


OTHERS = [asked, directory, plain, compressed, controller]
SOURCES = [registry, *OTHERS]


@pytest.fixture
def stack() -> t.Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as found:
        yield found


def two_platforms(layout: Layout) -> t.Dict[str, t.Any]:
    amd = layout.image(hand_made_layers())
    arm = layout.image([hand_made_layers()[0], tar_of([Entry("arm", b"1" * 3000)])], architecture="arm64")
    return layout.tag(layout.index([arm, amd]), NAME.record)


class Left(t.NamedTuple):
    """What a pull leaves, without the times. The label that names the registry is told apart: archives have none."""

    records: t.List[t.Any]
    blobs: t.Dict[str, t.Any]
    snapshots: t.List[t.Any]
    trees: t.Dict[str, trees.Tree]
    unfinished: t.Tuple[int, int]
    result: t.Tuple[t.Any, ...]
    origins: t.Set[str]


def left(engine: MemoryEngine, result: t.Optional[PullResult] = None) -> Left:
    space = engine.content.space
    blobs = {
        info.digest: (info.size, {k: v for k, v in info.labels.items() if not k.startswith(SOURCE)})
        for info in engine.content.walk()
    }
    origins = {f"{key}={value}" for info in engine.content.walk() for key, value in info.labels.items() if key.startswith(SOURCE)}
    shown = (result.fetched, result.layers, result.reused, result.view) if result else ()
    return Left(
        [(one.name, one.target.digest, one.target.media_type, one.labels) for one in engine.images.list()],
        blobs,
        sorted((one.name, one.parent, one.kind, sorted(one.labels.items())) for one in space.snapshots.values()),
        {name: trees.snapshot(path) for name, path in space.directories.items()},
        (len(engine.content.ingests()), len(space.leases)),
        shown,
        origins,
    )


def pulled(source: ImageSource, engine: MemoryEngine, **how: t.Any) -> Left:
    job = Job(source, **{"platforms": (AMD64,), **how})
    with Puller(engine, [job]) as puller:
        result = puller.pull(job)
    return left(engine, result)


JOBS: t.List[t.Dict[str, t.Any]] = [
    {},
    {"platforms": (ARM64, AMD64), "exact": True},
    {"every": True},
    {"every": True, "partial": True},
    {"every": True, "partial": True, "platforms": (S390X,)},
    {"unpack": False},
    {"labels": (("io.cri-containerd.pinned", "pinned"),)},
]


@pytest.mark.parametrize("make", OTHERS)
@pytest.mark.parametrize("how", JOBS, ids=lambda how: "-".join(how) or "one")
def test_every_source_leaves_the_same(
    stack: contextlib.ExitStack, layout: Layout, make: Make, how: t.Mapping[str, t.Any]
) -> None:
    top = two_platforms(layout)
    expected = pulled(registry(stack, layout, top), MemoryEngine(), **how)
    engine = MemoryEngine()
    found = pulled(make(stack, layout, top), engine, **how)
    for path in expected.trees:
        trees.assert_same(expected.trees[path], found.trees[path], ignore=("mtime_ns",))
    own = {f"{SOURCE}registry.test=team/app"}
    assert (expected.origins, found.origins) == (own, own if make is asked else set())
    assert found._replace(trees={}, origins=set()) == expected._replace(trees={}, origins=set())
    assert found.unfinished == (0, 0)
    assert found.trees.keys() == expected.trees.keys()
    engine.collect()
    assert left(engine)[:3] == found[:3]


@pytest.mark.parametrize("make", SOURCES)
def test_what_is_stored_is_used(stack: contextlib.ExitStack, layout: Layout, make: Make) -> None:
    """Whatever it came from."""
    top = two_platforms(layout)
    engine = MemoryEngine()
    pulled(registry(stack, layout, top), engine)
    source = make(stack, layout, top)
    again = pulled(source, engine)
    assert again.result[:3] == (0, 3, 3)
    other = pulled(source, engine, platforms=(ARM64,))
    assert other.result[1:3] == (2, 1)


@pytest.mark.parametrize("make", SOURCES)
def test_an_unfinished_blob_is_gone_on_with(stack: contextlib.ExitStack, layout: Layout, make: Make) -> None:
    top = two_platforms(layout)
    engine, source = MemoryEngine(), make(stack, layout, top)
    found = source.document()
    _descriptor, manifest = choose_manifest(document_reader(source, found), found.descriptor, AMD64)
    layer = manifest.layers[-1]
    with engine.content.writer(f"layer-{layer.digest}", layer) as ingest:
        ingest.write(layout.read({"digest": layer.digest})[:50])
    whole = pulled(source, MemoryEngine())
    rest = pulled(source, engine)
    assert rest.result[0] == whole.result[0] - 50
    assert (rest.blobs, rest.unfinished) == (whole.blobs, (0, 0))


@pytest.mark.parametrize("make", [registry, directory, plain, compressed])
@pytest.mark.parametrize("grown", [b"", b"x"], ids=["other", "longer"])
def test_a_blob_that_is_another_one_leaves_nothing(stack: contextlib.ExitStack, layout: Layout, make: Make, grown: bytes) -> None:
    top = two_platforms(layout)
    manifest = json.loads(layout.read(json.loads(layout.read(top))["manifests"][1]))
    path = layout.path / "blobs" / "sha256" / manifest["layers"][1]["digest"][7:]
    path.write_bytes(bytes(len(path.read_bytes())) + grown)
    engine = MemoryEngine()
    with pytest.raises(FailedPrecondition, match="content does not match|more than the .* bytes that were announced"):
        pulled(make(stack, layout, top), engine)
    engine.collect()
    assert left(engine) == left(MemoryEngine())


@pytest.mark.parametrize("make", [directory, plain, compressed, controller])
def test_of_an_archive_that_has_not_all_platforms_what_it_has_is_enough(
    stack: contextlib.ExitStack, layout: Layout, make: Make
) -> None:
    top = two_platforms(layout)
    arm = json.loads(layout.read(top))["manifests"][0]
    (layout.path / "blobs" / "sha256" / arm["digest"][7:]).unlink()
    source = make(stack, layout, top)
    some = pulled(source, MemoryEngine(), every=True, partial=True)
    assert some.result[1:3] == (3, 0)
    assert arm["digest"] not in some.blobs
    engine = MemoryEngine()
    with pytest.raises(NotFound, match=f"has no {arm['digest']}"):
        pulled(source, engine, every=True)
    engine.collect()
    assert left(engine) == left(MemoryEngine())


def test_what_was_not_sent_is_asked_for(stack: contextlib.ExitStack, layout: Layout) -> None:
    two_platforms(layout)
    with open_archive(str(layout.path)) as archive:
        Sender(archive).write(str(layout.path) + ".part", [])
    source = of(open_part(stack.enter_context(open_archive(str(layout.path) + ".part"))))
    engine = MemoryEngine()
    with pytest.raises(FailedPrecondition, match="has to be sent to the target first") as caught:
        pulled(source, engine)
    (digest,) = caught.value.details["unsent"]
    assert (layout.path / "blobs" / "sha256" / digest[7:]).exists()
    engine.collect()
    assert left(engine) == left(MemoryEngine())


@pytest.mark.parametrize("make", OTHERS)
def test_copies_read_the_same(stack: contextlib.ExitStack, layout: Layout, make: Make) -> None:
    top = two_platforms(layout)
    one, other = registry(stack, layout, top), make(stack, layout, top)
    for selection in (Selection(None), Selection((AMD64,))):
        trees_of = [remote_tree(source, source.document(), selection) for source in (one, other)]
        assert [node.body for node in trees_of[0].nodes] == [node.body for node in trees_of[1].nodes]
    blob = max(trees_of[0].blobs, key=lambda found: found.size)
    for offset in (0, 1, blob.size - 1, blob.size):
        with remote_blob(other)(blob, offset) as stream:
            assert stream.read() == layout.read({"digest": blob.digest})[offset:]
    config = trees_of[1].manifests[0][1].config
    with remote_blob(other)(config, 1) as stream:
        assert stream.read(1) == layout.read({"digest": config.digest})[1:2]


def test_documents_that_are_others_are_refused(stack: contextlib.ExitStack, layout: Layout) -> None:
    top = two_platforms(layout)
    child = json.loads(layout.read(top))["manifests"][1]
    path = layout.path / "blobs" / "sha256" / child["digest"][7:]
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    for make in (registry, directory, plain, compressed):
        engine = MemoryEngine()
        with pytest.raises(EngineError, match="refused"):
            pulled(make(stack, layout, top), engine)
        engine.collect()
        assert left(engine) == left(MemoryEngine())


class Paused(RegistrySource):
    """Of one layer only the beginning comes before go is set, and the rest then, or never (cut)."""

    go: threading.Event
    paused: str
    cut: int = 0

    def fetch(self, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
        data = b"".join(super().fetch(descriptor, offset))
        if descriptor.digest != self.paused:
            yield data
        elif self.cut:
            yield data[: self.cut - offset]
            raise Unavailable("the network is down")
        else:
            yield data[:20]
            self.go.wait(20)
            yield data[20:]


def test_what_another_image_has_begun_outlives_one_that_is_refused(layout: Layout) -> None:
    shared = tar_of([Entry("shared", b"s" * 3000)])
    good, bad = (layout.image([tar_of([Entry(name)]), shared]) for name in ("good", "bad"))
    own, common = json.loads(layout.read(bad))["layers"]
    (layout.path / "blobs" / "sha256" / own["digest"][7:]).write_bytes(bytes(own["size"]))
    sources = [Paused(LayoutClient(layout, top), NAME._replace(tag=tag)) for top, tag in ((bad, "bad"), (good, "good"))]
    for source in sources:
        source.go, source.paused = threading.Event(), common["digest"]
    sources[1].cut = 50
    engine = MemoryEngine()
    bad_job, good_job = (Job(source, (AMD64,)) for source in sources)
    with Puller(engine, [bad_job, good_job]) as puller:
        with pytest.raises(FailedPrecondition):
            puller.pull(bad_job)
        sources[0].go.set()
        with pytest.raises(Unavailable):
            puller.pull(good_job)
    assert [(one.ref, one.offset) for one in engine.content.ingests()] == [(f"layer-{common['digest']}", 50)]


class Slow(ArchiveSource):
    def fetch(self, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
        for block in super().fetch(descriptor, offset):
            for number in range(len(block)):
                time.sleep(0.005)
                yield block[number : number + 1]


def test_a_load_that_fails_leaves_nothing_of_its_other_images(stack: contextlib.ExitStack, layout: Layout) -> None:
    bad, good = (layout.image([tar_of([Entry(name, b"x" * 3000)])]) for name in ("bad", "good"))
    layer = json.loads(layout.read(bad))["layers"][0]
    (layout.path / "blobs" / "sha256" / layer["digest"][7:]).write_bytes(bytes(layer["size"]))
    for top, tag in ((bad, "bad"), (good, "good")):
        layout.tag(top, f"registry.test/app:{tag}")
    contents = Contents(stack.enter_context(open_archive(str(layout.path))))
    one, other = sorted(contents.images, key=lambda image: image.names)
    engine = MemoryEngine()
    with pytest.raises(FailedPrecondition, match="content does not match"):
        load(engine, [ArchiveSource(contents, NAME, one), Slow(contents, NAME._replace(tag="good"), other)], LoadOptions(AMD64))
    assert engine.content.ingests() == []
    engine.collect()
    assert left(engine) == left(MemoryEngine())


def test_the_layers_of_an_archive_are_counted_though_none_is_for_the_host(stack: contextlib.ExitStack, layout: Layout) -> None:
    layout.tag(layout.index([layout.image(hand_made_layers()[:2], architecture="s390x")]), NAME.record)
    contents = Contents(stack.enter_context(open_archive(str(layout.path))))
    done = load(MemoryEngine(), [ArchiveSource(contents, NAME, contents.images[0])], LoadOptions(None))
    assert (done.layers, done.reused) == (2, 0)


def test_a_pull_that_cannot_begin_leaves_no_writers(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, seen = MemoryEngine(), []

    def no_lease() -> t.NoReturn:
        raise Unavailable("no lease")

    made = engine.unpacker()
    monkeypatch.setattr(type(made), "__enter__", lambda _self: seen.append("begun"))
    monkeypatch.setattr(type(made), "__exit__", lambda *_given: seen.append("ended"))
    monkeypatch.setattr(engine, "lease", no_lease)
    job = Job(RegistrySource(LayoutClient(layout, two_platforms(layout)), NAME), (AMD64,))
    with pytest.raises(Unavailable, match="no lease"), Puller(engine, [job]):
        pass
    assert seen == ["begun", "ended"]
