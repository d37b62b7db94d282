# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of images, out of the store and back: the same bytes, nothing lost, nothing read that need not be."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.archive import read as archive_read
from ansible_collections.fleet.containerd.plugins.module_utils.archive.images import Contents
from ansible_collections.fleet.containerd.plugins.module_utils.archive.layout import PLATFORMS
from ansible_collections.fleet.containerd.plugins.module_utils.archive.read import open_archive
from ansible_collections.fleet.containerd.plugins.module_utils.archive.write import (
    check_directory,
    is_archive_of,
    is_directory_of,
    write_archive,
    write_directory,
)
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    DataLoss,
    FailedPrecondition,
    NotFound,
    Unimplemented,
)
from ansible_collections.fleet.containerd.plugins.module_utils.image.inspect import inspect
from ansible_collections.fleet.containerd.plugins.module_utils.image.walk import Selection, reduced, stored_tree
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS
from ansible_collections.fleet.containerd.tests.support.archives import (
    ALL,
    AMD64,
    ARM64,
    docker_members,
    export_to,
    link,
    load_from,
    members_of,
    pack_of,
    reasons,
    tar,
)
from ansible_collections.fleet.containerd.tests.support.images import (
    CONFIG,
    MANIFEST,
    Entry,
    Layout,
    busybox_image,
    hand_made_layers,
    tar_of,
)

EVERY = Selection(None)
SHAPES = [(docker, compression) for docker in (True, False) for compression in ("none", "gzip", "zstd")]
Opener = t.Callable[[str], EmbeddedEngine]


@pytest.fixture
def opened(tmp_path: pathlib.Path) -> t.Iterator[Opener]:
    """Engines by a name of the test's choice."""
    with contextlib.ExitStack() as stack:

        def opener(name: str) -> EmbeddedEngine:
            engine = EmbeddedEngine("default", str(tmp_path / name / "data"), str(tmp_path / name / "state"))
            stack.callback(engine.close)
            return engine

        yield opener


@pytest.fixture
def engine(opened: Opener) -> EmbeddedEngine:
    return opened("engine")


def put(engine: EmbeddedEngine, layout: Layout, top: t.Mapping[str, t.Any], name: str = "app:1", wish: t.Any = ALL) -> None:
    """An image of a layout into the store, by its directory."""
    layout.tag(top, name)
    load_from(engine, layout.path, wish=wish)


def two_platforms(layout: Layout) -> t.Tuple[t.Dict[str, t.Any], t.Dict[str, t.Any], t.Dict[str, t.Any]]:
    """An index, and its manifests for arm64 and amd64, whose archives are equally long."""
    arm = layout.image([tar_of([Entry("arm", b"1")])], architecture="arm64")
    amd = layout.image([tar_of([Entry("amd", b"2")])], architecture="amd64")
    return layout.index([arm, amd]), arm, amd


# Writing


@pytest.mark.parametrize(("docker", "compression"), SHAPES)
def test_the_same_images_give_the_same_bytes(
    opened: Opener, layout: Layout, tmp_path: pathlib.Path, docker: bool, compression: str
) -> None:
    put(opened("one"), layout, layout.image(hand_made_layers()))
    put(opened("one"), layout, busybox_image(layout), "b:1")
    first = export_to(opened("one"), tmp_path / "first", "app:1", "b:1", docker=docker, compression=compression)
    load_from(opened("two"), tmp_path / "first")
    os.utime(tmp_path / "first", (5, 5))
    second = export_to(opened("two"), tmp_path / "second", "b:1", "app:1", docker=docker, compression=compression)
    assert first == second
    pack = pack_of(opened("two"), "app:1", "b:1", docker=docker)
    assert is_archive_of(str(tmp_path / "first"), pack, compression)
    assert reasons(opened("two"), tmp_path / "first") == ["", ""]
    assert (tmp_path / "first").stat().st_mode & 0o777 == 0o600


def test_what_stands_in_an_archive(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path) -> None:
    top = layout.image(hand_made_layers()[:2])
    put(engine, layout, top, "docker.io/library/app:1")
    put(engine, layout, top, "example.com/team/app:2")
    export_to(engine, tmp_path / "a.tar", "app:1", "example.com/team/app:2")
    with tarfile.open(tmp_path / "a.tar") as archive:
        members = archive.getmembers()
        manifest = json.loads(t.cast(t.Any, archive.extractfile("manifest.json")).read())
        index = json.loads(t.cast(t.Any, archive.extractfile("index.json")).read())
    names = [member.name for member in members]
    assert names[:5] == ["oci-layout", "index.json", "manifest.json", "blobs", "blobs/sha256"]
    assert names[5:] == sorted(f"blobs/sha256/{path.name}" for path in layout.path.glob("blobs/sha256/*"))
    assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in members} == {(0, 0, "", "", 0)}
    assert len(manifest) == 1
    assert manifest[0]["RepoTags"] == ["app:1", "example.com/team/app:2"]
    assert [set(one["annotations"].values()) for one in index["manifests"]] == [
        {"docker.io/library/app:1", "1"},
        {"example.com/team/app:2", "2"},
    ]
    assert {one["digest"] for one in index["manifests"]} == {top["digest"]}


def test_names_with_the_same_tag_stay_apart(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path) -> None:
    put(engine, layout, layout.image([tar_of([Entry("a")])]), "one:1")
    put(engine, layout, layout.image([tar_of([Entry("b")])]), "two:1")
    export_to(engine, tmp_path / "a.tar", "one:1", "two:1", docker=False)
    for name in ("one", "two"):
        command = ["skopeo", "inspect", "--format", "{{.Digest}}", f"oci-archive:{tmp_path}/a.tar:docker.io/library/{name}:1"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert done.stdout.strip() == engine.images.get(f"docker.io/library/{name}:1").target.digest


@pytest.mark.parametrize(("docker", "compression"), SHAPES)
def test_an_archive_is_known_by_its_beginning_and_length(
    engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path, docker: bool, compression: str
) -> None:
    index, _arm, _amd = two_platforms(layout)
    put(engine, layout, index)
    path = tmp_path / "a"
    data = export_to(engine, path, "app:1", docker=docker, compression=compression)
    pack = pack_of(engine, "app:1", docker=docker)
    assert is_archive_of(str(path), pack, compression)
    others = [pack_of(engine, "app:1", docker=docker, selection=one) for one in (Selection((ARM64,)), EVERY)]
    others.append(pack_of(engine, "app:1", docker=not docker))
    assert not any(is_archive_of(str(path), other, compression) for other in others)
    assert not any(is_archive_of(str(path), pack, other) for other in {"none", "gzip", "zstd"} - {compression})
    if compression != "zstd":
        path.write_bytes(data[:-100])
        assert not is_archive_of(str(path), pack, compression)
    for rubbish in (b"", b"rubbish" * 1000, gzip.compress(b"rubbish" * 1000)[:-20]):
        path.write_bytes(rubbish)
        assert not is_archive_of(str(path), pack, compression)
    if compression == "none":
        # Layers are not read: damage in them goes unnoticed.
        path.write_bytes(data[:-1200] + b"x" + data[-1199:])
        assert is_archive_of(str(path), pack, compression)


def test_a_damaged_blob_is_not_exported(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path) -> None:
    put(engine, layout, layout.image([tar_of([Entry("x", os.urandom(5000))])]))
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "a.tar"
    path.write_text("as it was")
    pack = pack_of(engine, "app:1")
    blob = max(pack.blobs, key=lambda one: one.size)
    stored = pathlib.Path(engine.content.blob_path(blob.digest))
    stored.write_bytes(b"y" + stored.read_bytes()[1:])
    with pytest.raises(DataLoss, match="is damaged in the store"):
        write_archive(str(path), pack, engine.content.open, "none")
    assert path.read_text() == "as it was"
    assert os.listdir(tmp_path / "out") == ["a.tar"]


def test_a_file_that_is_there_keeps_owner_and_mode(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path) -> None:
    put(engine, layout, layout.image([tar_of([Entry("x")])]))
    path = tmp_path / "a.tar"
    path.write_text("")
    os.chown(path, 1000, 2000)
    path.chmod(0o640)
    export_to(engine, path, "app:1")
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1000, 2000, 0o640)


@pytest.fixture
def victim(tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """A directory that nothing may be changed in."""
    path = tmp_path / "victim"
    path.mkdir()
    for name in ("precious", "a" * 64, "index.json"):
        (path / name).write_text(name)
    before = {one.name: one.read_text() for one in path.iterdir()}
    yield path
    assert {one.name: one.read_text() for one in path.iterdir()} == before


@pytest.fixture
def others(tmp_path: pathlib.Path) -> pathlib.Path:
    """A directory of another user."""
    path = tmp_path / "others"
    path.mkdir()
    os.chown(path, 1000, 1000)
    return path


@pytest.mark.parametrize("target", ["precious", "new"])
def test_a_link_in_place_of_an_archive_is_replaced(
    engine: EmbeddedEngine, layout: Layout, victim: pathlib.Path, others: pathlib.Path, target: str
) -> None:
    put(engine, layout, layout.image([tar_of([Entry("x")])]))
    path = others / "a.tar"
    path.symlink_to(victim / target)
    pack = pack_of(engine, "app:1")
    assert not is_archive_of(str(path), pack, "none")
    export_to(engine, path, "app:1")
    assert not path.is_symlink()
    assert is_archive_of(str(path), pack, "none")
    assert (path.stat().st_uid, path.stat().st_mode & 0o7777) == (0, 0o600)


def test_a_fifo_in_place_of_an_archive_holds_nobody(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path) -> None:
    put(engine, layout, layout.image([tar_of([Entry("x")])]))
    pack, path = pack_of(engine, "app:1"), tmp_path / "a.tar"
    os.mkfifo(path)
    assert not is_archive_of(str(path), pack, "none")
    export_to(engine, path, "app:1")
    assert is_archive_of(str(path), pack, "none")


def test_a_planted_link_on_the_way_is_not_followed(
    engine: EmbeddedEngine, layout: Layout, victim: pathlib.Path, others: pathlib.Path
) -> None:
    put(engine, layout, layout.image([tar_of([Entry("x")])]))
    pack = pack_of(engine, "app:1")
    (others / "backup").symlink_to(victim)
    with pytest.raises(FailedPrecondition, match=r"backup is a symbolic link in a directory that others may write to"):
        write_archive(str(others / "backup" / "a.tar"), pack, engine.content.open, "none")
    with pytest.raises(FailedPrecondition, match=r"backup is a symbolic link in a directory that others may write to"):
        write_directory(str(others / "backup" / "dir"), pack, engine.content.open, force=True)


@pytest.mark.parametrize("planted", ["", "blobs", "blobs/sha256", "blobs/sha512"])
def test_planted_links_in_an_exported_directory(
    engine: EmbeddedEngine, layout: Layout, victim: pathlib.Path, others: pathlib.Path, planted: str
) -> None:
    put(engine, layout, layout.image([tar_of([Entry("x")])]))
    pack, path = pack_of(engine, "app:1", docker=False), others / "exp"
    if planted:
        (path / planted).parent.mkdir(parents=True)
        (path / "oci-layout").write_text("{}")
    (path / planted).symlink_to(victim) if planted else path.symlink_to(victim)
    for action in (
        lambda: write_directory(str(path), pack, engine.content.open, force=True),
        lambda: check_directory(str(path)),
    ):
        with pytest.raises(FailedPrecondition, match=f"{path / planted} is a symbolic link"):
            action()


def test_an_administrators_link_in_place_of_the_directory(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path) -> None:
    put(engine, layout, layout.image([tar_of([Entry("x")])]))
    pack, path = pack_of(engine, "app:1", docker=False), tmp_path / "exp"
    (tmp_path / "disk").mkdir()
    path.symlink_to("disk")
    check_directory(str(path))
    write_directory(str(path), pack, engine.content.open, force=False)
    assert is_directory_of(str(path), pack)
    assert (tmp_path / "disk" / "oci-layout").is_file()


def test_only_blobs_are_removed_from_a_directory(
    engine: EmbeddedEngine, layout: Layout, victim: pathlib.Path, others: pathlib.Path
) -> None:
    put(engine, layout, layout.image([tar_of([Entry("x")])]))
    pack, path = pack_of(engine, "app:1", docker=False), others / "exp"
    write_directory(str(path), pack, engine.content.open, force=False)
    blobs = path / "blobs"
    (blobs / "zz").symlink_to(victim)
    (blobs / "md5").mkdir()
    old = {"zz", "md5/x", "sha256/notes.txt", "sha256/" + "b" * 63, "sha256/" + "e" * 64}
    for name in ("md5/x", "sha256/notes.txt", "sha256/" + "b" * 63, "sha256/" + "c" * 64):
        (blobs / name).write_text("old")
    (blobs / "sha256" / ("e" * 64)).symlink_to(victim / "precious")
    (path / "index.json").unlink()
    (path / "index.json").symlink_to(victim / "index.json")
    assert not is_directory_of(str(path), pack)
    write_directory(str(path), pack, engine.content.open, force=False)
    assert is_directory_of(str(path), pack)
    found = {str(one.relative_to(blobs)) for one in blobs.rglob("*") if one.is_symlink() or one.is_file()}
    assert found == old | {f"sha256/{blob.digest.hex}" for blob in pack.blobs}


def test_a_killed_export_leaves_nothing(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path) -> None:
    put(engine, layout, layout.image([tar_of([Entry("x", os.urandom(100_000))])]))
    pack, out = pack_of(engine, "app:1"), tmp_path / "out"
    out.mkdir()

    def slow(blob: Descriptor) -> t.BinaryIO:
        (tmp_path / "begun").touch()
        time.sleep(60)
        return engine.content.open(blob)

    pid = os.fork()
    if not pid:
        write_archive(str(out / "a.tar"), pack, slow, "none")
        os._exit(0)
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert os.listdir(out) == []


def test_a_directory(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path) -> None:
    base = hand_made_layers()[0]
    put(engine, layout, layout.image([base, tar_of([Entry("one")])]), "app:1")
    put(engine, layout, layout.image([base, tar_of([Entry("two")])]), "app:2")
    path = tmp_path / "dir"
    first, second = (pack_of(engine, name, docker=False) for name in ("app:1", "app:2"))
    assert not is_directory_of(str(path), first)
    write_directory(str(path), first, engine.content.open, force=False)
    assert is_directory_of(str(path), first)
    common = next(iter({blob.digest for blob in first.blobs} & {blob.digest for blob in second.blobs}))
    kept = (path / "blobs" / "sha256" / common.hex).stat().st_ino
    write_directory(str(path), second, engine.content.open, force=False)
    assert is_directory_of(str(path), second)
    assert {one.name for one in path.glob("blobs/sha256/*")} == {blob.digest.hex for blob in second.blobs}
    assert (path / "blobs" / "sha256" / common.hex).stat().st_ino == kept
    names = subprocess.run(["umoci", "ls", "--layout", path], check=True, capture_output=True, text=True).stdout.split()
    assert names == ["2"]
    (path / "blobs" / "sha256" / common.hex).write_bytes(b"short")
    assert not is_directory_of(str(path), second)
    # While it is open nobody else gets its number.
    with (path / "blobs" / "sha256" / common.hex).open("rb"):
        write_directory(str(path), second, engine.content.open, force=False)
        write_directory(str(path), second, engine.content.open, force=True)
        assert (path / "blobs" / "sha256" / common.hex).stat().st_ino != kept
    assert is_directory_of(str(path), second)
    assert sorted(os.listdir(path)) == ["blobs", "index.json", "oci-layout"]


def test_a_directory_of_somebody_else_is_left_alone(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path) -> None:
    put(engine, layout, layout.image([tar_of([Entry("x")])]))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    for path in ("home", "home/letter"):
        with pytest.raises(FailedPrecondition, match="directory"):
            write_directory(str(tmp_path / path), pack_of(engine, "app:1"), engine.content.open, force=True)
    assert os.listdir(tmp_path / "home") == ["letter"]


def test_platforms(opened: Opener, layout: Layout, tmp_path: pathlib.Path) -> None:
    index, arm, amd = two_platforms(layout)
    whole, part = opened("whole"), opened("part")
    put(whole, layout, index)
    put(part, layout, index, wish=ALL._replace(platform=AMD64))
    top = Digest(index["digest"])
    with pytest.raises(NotFound, match=r"docker.io/library/app:1 is incomplete here, it is missing linux/arm64"):
        pack_of(part, "app:1", selection=EVERY)
    with pytest.raises(NotFound, match=r"is missing linux/arm64: pull it"):
        pack_of(part, "app:1", selection=Selection((ARM64,)))
    sparse = pack_of(part, "app:1", selection=Selection(None, partial=True))
    assert {top, amd["digest"]} < {blob.digest for blob in sparse.blobs}
    assert arm["digest"] not in {blob.digest for blob in sparse.blobs}
    assert json.loads(dict(sparse.files)["index.json"])["manifests"][0]["annotations"][PLATFORMS] == "linux/amd64"
    assert sparse == pack_of(whole, "app:1")
    both = pack_of(whole, "app:1", selection=EVERY)
    assert PLATFORMS not in json.loads(dict(both.files)["index.json"])["manifests"][0]["annotations"]
    config = json.loads(layout.read(amd))["config"]["digest"]
    assert json.loads(dict(both.files)["manifest.json"])[0]["Config"] == f"blobs/sha256/{config[7:]}"
    put(whole, layout, arm, "arm:1", wish=ALL)
    with pytest.raises(NotFound, match="is for linux/arm64 only, not for linux/amd64"):
        pack_of(whole, "arm:1")
    assert len(pack_of(whole, "arm:1", selection=Selection((AMD64,), exact=False)).blobs) == 3


def test_a_reduced_index_lists_what_is_there(engine: EmbeddedEngine, layout: Layout) -> None:
    index, arm, _amd = two_platforms(layout)
    outer = layout.index([index, layout.image([tar_of([Entry("other")])], architecture="s390x")])
    put(engine, layout, outer)
    target = engine.images.get("docker.io/library/app:1").target
    whole = stored_tree(engine.content, target, EVERY, "app:1")
    assert reduced(whole) == whole
    config = json.loads(layout.read(arm))["config"]["digest"]
    engine.content.delete(Digest(config))
    smaller = reduced(stored_tree(engine.content, target, Selection(None, partial=True), "app:1"))
    assert smaller.top.digest != target.digest
    digests = {node.descriptor.digest for node in smaller.nodes}
    for node in smaller.nodes:
        assert Digest.of(node.body) == node.descriptor.digest
        assert {child["digest"] for child in json.loads(node.body).get("manifests", [])} <= digests
    assert [str(child[0].platform) for child in smaller.manifests] == ["linux/s390x", "linux/amd64"]


def test_what_is_no_image(engine: EmbeddedEngine, layout: Layout) -> None:
    body = {"schemaVersion": 2, "mediaType": MANIFEST, "config": layout.blob(b"{}", "application/x.y"), "layers": []}
    put(engine, layout, layout.index([layout.json(body, MANIFEST)]), "artifact:1")
    with pytest.raises(Unimplemented, match="no image with layers"):
        pack_of(engine, "artifact:1", selection=EVERY)
    assert len(pack_of(engine, "artifact:1", selection=EVERY, docker=False).blobs) == 3
    strange = layout.json({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": ["sha256:" + "0" * 64]}}, CONFIG)
    body.update(config=strange, layers=[layout.blob(b"statement", "application/vnd.in-toto+json")])
    put(
        engine,
        layout,
        layout.index([{**layout.json(body, MANIFEST), "platform": {"os": "unknown", "architecture": "unknown"}}]),
        "b:1",
    )
    with pytest.raises(Unimplemented, match="a layer that Docker's format cannot hold"):
        pack_of(engine, "b:1", selection=EVERY)


# Reading


@pytest.mark.parametrize("old", [True, False], ids=["before-25", "by-digest"])
def test_docker_archives(engine: EmbeddedEngine, tmp_path: pathlib.Path, old: bool) -> None:
    layers = hand_made_layers()
    (tmp_path / "a.tar").write_bytes(tar(docker_members(layers, "app:1", "quay.io/x/app:2", old=old, Cmd=["sh"])))
    loaded = load_from(engine, tmp_path / "a.tar")
    assert (loaded.layers, loaded.reused) == (3, 0)
    assert [image.name for image in engine.images.list()] == ["docker.io/library/app:1", "quay.io/x/app:2"]
    found = inspect(engine, engine.images.get("quay.io/x/app:2"), AMD64)
    assert found.view
    assert found.view.image_config.cmd == ("sh",)
    assert found.missing == ()
    assert [layer.media_type for layer in found.view.layers] == ["application/vnd.docker.image.rootfs.diff.tar"] * 3
    first = export_to(engine, tmp_path / "b.tar", "app:1")
    assert reasons(engine, tmp_path / "b.tar") == [""]
    assert first == export_to(engine, tmp_path / "c.tar", "app:1")


def test_links_between_layers(engine: EmbeddedEngine, tmp_path: pathlib.Path) -> None:
    """As docker save made them for equal layers, and skopeo still makes them for old readers."""
    layer = tar_of([Entry("x", b"content")])
    members: t.Dict[str, t.Any] = dict(docker_members([layer, layer, layer], "app:1"))
    members[f"{1:064x}/layer.tar"] = link(f"../{0:064x}/layer.tar")
    members[f"{2:064x}/layer.tar"] = link(f"./{1:064x}/layer.tar", tarfile.LNKTYPE)
    (tmp_path / "a.tar").write_bytes(tar(members))
    assert load_from(engine, tmp_path / "a.tar").layers == 3


def test_compressed_layers_under_any_name(engine: EmbeddedEngine, tmp_path: pathlib.Path) -> None:
    layers = hand_made_layers()[:2]
    members = docker_members(layers, "app:1")
    for number, layer in enumerate(layers):
        members[f"{number:064x}/layer.tar"] = gzip.compress(layer, mtime=0)
    (tmp_path / "a.tar").write_bytes(tar(members))
    load_from(engine, tmp_path / "a.tar")
    view = inspect(engine, engine.images.get("docker.io/library/app:1"), AMD64).view
    assert view
    assert [layer.media_type.rpartition(".")[2] for layer in view.layers] == ["gzip", "gzip"]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_archives_with_the_index_at_the_end(
    engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path, compression: str
) -> None:
    layout.tag(layout.image(hand_made_layers()), "example.com/app:1")
    spool = tmp_path / "spool"
    spool.mkdir()
    members = sorted(members_of(layout).items())
    assert members[-1][0] == "oci-layout"
    (tmp_path / "a.tar").write_bytes(tar([(f"./{name}", data) for name, data in members]))
    command = ["gzip", "-k"] if compression == "gzip" else ["zstd", "-q"]
    subprocess.run([*command, tmp_path / "a.tar"], check=True)
    path = tmp_path / ("a.tar.gz" if compression == "gzip" else "a.tar.zst")
    with open_archive(str(path), str(spool)) as archive:
        assert Contents(archive).images[0].names == ("example.com/app:1",)
    assert os.listdir(spool) == []
    load_from(engine, path)
    assert reasons(engine, path) == [""]


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_what_is_there_is_known_without_reading_layers(
    engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [layout.image([tar_of([Entry("x", os.urandom(500_000))])], architecture=one) for one in ("arm64", "amd64")]
    put(engine, layout, layout.index(images))
    path = tmp_path / "a"
    data = export_to(engine, path, "app:1", selection=EVERY, compression=compression)

    def refuse(*_arguments: t.Any) -> t.NoReturn:
        raise AssertionError("a layer was read")

    monkeypatch.setattr(archive_read, "_decompress", refuse)
    monkeypatch.setattr(Contents, "open", refuse)
    assert reasons(engine, path) == [""]
    assert reasons(engine, path, wish=ALL) == [""]
    if compression != "none":
        path.write_bytes(data[: len(data) - 40])
        assert reasons(engine, path) == [""]


def test_all_platforms(opened: Opener, layout: Layout, tmp_path: pathlib.Path) -> None:
    index, _arm, amd = two_platforms(layout)
    put(opened("source"), layout, index)
    both = export_to(opened("source"), tmp_path / "both.tar", "app:1", selection=EVERY)
    export_to(opened("source"), tmp_path / "one.tar.gz", "app:1", compression="gzip")
    target = opened("target")
    load_from(target, tmp_path / "one.tar.gz")
    for wish in (ALL, ALL._replace(platform=AMD64)):
        assert reasons(target, tmp_path / "one.tar.gz", wish=wish) == [""]
    assert reasons(target, tmp_path / "both.tar") == [""]
    assert reasons(target, tmp_path / "both.tar", wish=ALL) == ["it is incomplete: linux/arm64"]
    load_from(target, tmp_path / "both.tar", wish=ALL)
    assert reasons(target, tmp_path / "both.tar", wish=ALL) == [""]
    assert export_to(target, tmp_path / "again.tar", "app:1", selection=EVERY) == both
    # Only what the host runs is unpacked.
    assert len(target.snapshotter().walk()) == 1
    target.collect()
    assert reasons(target, tmp_path / "both.tar", wish=ALL) == [""]
    foreign = opened("foreign")
    load_from(foreign, tmp_path / "both.tar", wish=ALL._replace(platform=ARM64))
    assert inspect(foreign, foreign.images.get("docker.io/library/app:1"), ARM64).missing == ()
    assert amd["digest"] not in {info.digest for info in foreign.content.walk()}


def test_a_part_of_an_archive_that_the_store_has_may_lack(opened: Opener, layout: Layout, tmp_path: pathlib.Path) -> None:
    base = tar_of([Entry("base", os.urandom(5000))])
    put(opened("engine"), layout, layout.image([base]), "base:1")
    thin = Layout(tmp_path / "thin")
    top = thin.image([base, tar_of([Entry("more")])])
    thin.tag(top, "more:1")
    lower = json.loads(thin.read(top))["layers"][0]["digest"]
    (thin.path / "blobs" / "sha256" / lower[7:]).unlink()
    with pytest.raises(NotFound, match=f"is incomplete: {lower} is missing"):
        load_from(opened("other"), thin.path)
    assert load_from(opened("engine"), thin.path).reused == 1


def test_a_name_that_comes_with_a_tag_only(tmp_path: pathlib.Path, layout: Layout) -> None:
    layout.tag(layout.image([tar_of([Entry("x")])]), "1.27")
    layout.tag(layout.image([tar_of([Entry("y")])]), "1.28")
    with open_archive(str(layout.path)) as archive:
        assert [(one.names, one.tag) for one in Contents(archive).images] == [((), "1.27"), ((), "1.28")]


@pytest.fixture
def short() -> t.Iterator[pathlib.Path]:
    """A directory with a short name: podman wants that of its runroot so."""
    path = tempfile.mkdtemp(prefix="p")
    yield pathlib.Path(path)
    shutil.rmtree(path)


def test_others_read_and_write_the_same(opened: Opener, layout: Layout, tmp_path: pathlib.Path, short: pathlib.Path) -> None:
    """skopeo and podman against us, in both directions."""
    put(opened("source"), layout, busybox_image(layout), "app:1")
    export_to(opened("source"), tmp_path / "ours.tar", "app:1")
    export_to(opened("source"), tmp_path / "oci.tar", "app:1", docker=False)
    podman = ["podman", "--root", str(short / "root"), "--runroot", str(short / "run"), "--storage-driver", "vfs"]
    theirs = [f"docker-archive:{tmp_path}/skopeo.tar:app:1", f"oci-archive:{tmp_path}/skopeo-oci.tar:app:1"]
    commands = [
        ["skopeo", "copy", f"docker-archive:{tmp_path}/ours.tar:app:1", theirs[0]],
        ["skopeo", "copy", f"oci-archive:{tmp_path}/oci.tar:1", theirs[1]],
        [*podman, "load", "-i", str(tmp_path / "ours.tar")],
        [*podman, "save", "-o", str(tmp_path / "podman.tar"), "docker.io/library/app:1"],
        [*podman, "save", "--format", "oci-archive", "-o", str(tmp_path / "podman-oci.tar"), "docker.io/library/app:1"],
        [*podman, "rmi", "docker.io/library/app:1"],
        [*podman, "load", "-i", str(tmp_path / "oci.tar")],
        [*podman, "rmi", "docker.io/library/app:1"],
    ]
    for command in commands:
        # starts: skopeo, podman
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
    configs = set()
    for name in ("skopeo.tar", "skopeo-oci.tar", "podman.tar", "podman-oci.tar"):
        load_from(opened(f"of-{name}"), tmp_path / name)
        (image,) = opened(f"of-{name}").images.list()
        assert image.name == "docker.io/library/app:1"
        found = inspect(opened(f"of-{name}"), image, AMD64)
        assert found.view
        assert found.missing == ()
        configs.add(found.view.config.digest)
    assert len(configs) == 1
    assert opened("of-skopeo-oci.tar").images.list()[0].target == opened("source").images.list()[0].target


_BIG = """
import pathlib, resource, sys
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.archive.write import write_archive
from ansible_collections.fleet.containerd.tests.support.archives import load_from, pack_of
base = pathlib.Path(sys.argv[1])
engine = EmbeddedEngine("default", str(base / "data"), str(base / "state"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
load_from(engine, base / "layout")
middle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_archive(str(base / "a.tar.gz"), pack_of(engine, "big:1"), engine.content.open, "gzip")
print(middle - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_a_layer(layout: Layout, tmp_path: pathlib.Path) -> None:
    big = io.BytesIO()
    with tarfile.open(fileobj=big, mode="w") as archive:
        info = tarfile.TarInfo("big")
        info.size = 300 * 1024 * 1024
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    data = big.getvalue()
    layer = layout.blob(data, "application/vnd.oci.image.layer.v1.tar")
    config = layout.json(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}, CONFIG
    )
    layout.tag(layout.json({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}, MANIFEST), "big:1")
    command = [sys.executable, "-c", _BIG, str(tmp_path)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(COLLECTIONS)}, check=True, text=True, timeout=200
    )
    assert max(map(int, done.stdout.split())) < 60 * 1024, f"KiB more at the peak of load, of export: {done.stdout}"
