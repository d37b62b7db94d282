# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of an attacker, and damaged ones: refused with a clear error, and nothing is left."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import tarfile
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.archive import read as archive_read
from ansible_collections.fleet.containerd.plugins.module_utils.archive.read import open_archive
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    DataLoss,
    EngineError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unimplemented,
)
from ansible_collections.fleet.containerd.tests.support.archives import docker_members, link, load_from, members_of, tar
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, hand_made_layers, sha256, tar_of

GOOD = hand_made_layers()[:2]
LAYER = f"{0:064x}/layer.tar"
Make = t.Callable[[Layout], bytes]


def oci(layout: Layout, **more: t.Any) -> t.Dict[str, t.Any]:
    """An image layout's members with some replaced or (None) left out."""
    layout.tag(layout.image(GOOD), "docker.io/library/app:1")
    members: t.Dict[str, t.Any] = {**members_of(layout), **more}
    return {name: data for name, data in members.items() if data is not None}


def docker(**more: t.Any) -> bytes:
    return tar({**docker_members(GOOD, "app:1"), **more})


def with_manifest(**more: t.Any) -> bytes:
    """A Docker archive whose manifest.json says other things."""
    members = docker_members(GOOD, "app:1")
    (item,) = json.loads(members["manifest.json"])
    return tar({**members, "manifest.json": json.dumps([{**item, **more}]).encode()})


def broken_blob(layout: Layout, kind: str) -> bytes:
    """A layout in which a blob is not what its name says; kind: manifest, config or layer."""
    members = oci(layout)
    manifest = json.loads(members["index.json"])["manifests"][0]
    body = json.loads(layout.read(manifest))
    digest = {"manifest": manifest, "config": body["config"], "layer": body["layers"][1]}[kind]["digest"]
    data = members[f"blobs/sha256/{digest[7:]}"]
    return tar({**members, f"blobs/sha256/{digest[7:]}": data[:-1] + bytes([data[-1] ^ 1])})


def claimed_size(layout: Layout, change: int) -> bytes:
    """A layout whose index says another size of the manifest than it has."""
    members = oci(layout)
    index = json.loads(members["index.json"])
    index["manifests"][0]["size"] += change
    return tar({**members, "index.json": json.dumps(index).encode()})


def deep(layout: Layout) -> bytes:
    top: t.Mapping[str, t.Any] = layout.image(GOOD)
    for _depth in range(4):
        top = layout.index([{**top, "platform": {"os": "linux", "architecture": "amd64"}}])
    layout.tag(top, "docker.io/library/app:1")
    return tar(members_of(layout))


def long_header(kind: bytes, size: int) -> bytes:
    """A header that announces a name, or attributes, of any size."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + b"x" * 4096


TABLE: t.Dict[str, t.Tuple[Make, t.Type[EngineError], str]] = {
    "empty": (lambda at: b"", InvalidArgument, "is empty"),
    "no tar": (lambda at: b"no tar at all" * 999, InvalidArgument, "a tar header is not a number"),
    "a tar of nothing": (lambda at: tar({}), InvalidArgument, "is no image archive"),
    "a tar of others": (lambda at: tar({"etc/passwd": b"root"}), InvalidArgument, "neither index.json nor manifest.json"),
    "before docker 1.10": (lambda at: tar({"repositories": b"{}"}), InvalidArgument, "a Docker before 1.10"),
    "xz": (lambda at: b"\xfd7zXZ\0" + b"x" * 99, Unimplemented, "is compressed with xz"),
    "traversal": (lambda at: docker(**{"../../evil": b"x"}), InvalidArgument, "leaves its tree: refused"),
    "hidden traversal": (lambda at: docker(**{"a/../../evil": b"x"}), InvalidArgument, "leaves its tree: refused"),
    "absolute": (lambda at: docker(**{"/etc/evil": b"x"}), InvalidArgument, "leaves its tree: refused"),
    "a link out": (lambda at: docker(**{LAYER: link("/etc/passwd")}), InvalidArgument, "leads nowhere: refused"),
    "a link up": (lambda at: docker(**{LAYER: link("../../etc/passwd")}), InvalidArgument, "leads nowhere: refused"),
    "a link to itself": (lambda at: docker(**{LAYER: link("layer.tar")}), InvalidArgument, "leads nowhere: refused"),
    "a circle": (
        lambda at: docker(**{LAYER: link("../b"), "b": link(LAYER, tarfile.LNKTYPE)}),
        InvalidArgument,
        "leads nowhere: refused",
    ),
    "a link to nothing": (lambda at: docker(**{LAYER: link("../gone")}), NotFound, "there is no gone"),
    "a device": (lambda at: docker(**{LAYER: link("", tarfile.CHRTYPE)}), NotFound, "there is no 0000"),
    "twice": (
        lambda at: tar([*docker_members(GOOD, "app:1").items(), ("manifest.json", b"[]")]),
        InvalidArgument,
        "manifest.json twice: refused",
    ),
    "twice by a dot": (
        lambda at: tar([*docker_members(GOOD, "app:1").items(), ("./manifest.json", b"[]")]),
        InvalidArgument,
        "manifest.json twice: refused",
    ),
    "twice by a link": (
        lambda at: tar([*docker_members(GOOD, "app:1").items(), ("manifest.json", link("other"))]),
        InvalidArgument,
        "manifest.json twice: refused",
    ),
    "sparse": (lambda at: _pax_sparse(), InvalidArgument, "sparse"),
    "cut off": (lambda at: docker()[:5000], DataLoss, "ends in the middle of"),
    "cut off in a header": (lambda at: docker()[:700], DataLoss, "ends in the middle of"),
    "a huge name": (lambda at: long_header(b"L", 2**40), InvalidArgument, "the limit is"),
    "huge attributes": (lambda at: long_header(b"x", 2**40), InvalidArgument, "the limit is"),
    "a negative size": (
        lambda at: docker()[:124] + b"\xff" * 12 + docker()[136:148] + b"        " + docker()[156:],
        InvalidArgument,
        "checksum is wrong|out of range",
    ),
    "a huge manifest": (
        lambda at: docker(**{"manifest.json": b"[" + b" " * 5_000_000 + b"]"}),
        InvalidArgument,
        "manifest.json in .* has 5000002 bytes",
    ),
    "a huge index": (lambda at: tar(oci(at, **{"index.json": b"{" + b" " * 5_000_000 + b"}"})), InvalidArgument, "the limit is"),
    "no json": (lambda at: docker(**{"manifest.json": b"{{{"}), InvalidArgument, "manifest.json in .* is not valid JSON"),
    "no list": (lambda at: docker(**{"manifest.json": b'{"a":1}'}), InvalidArgument, "items of .* is not a list"),
    "no object": (lambda at: docker(**{"manifest.json": b"[1]"}), InvalidArgument, "image 0 of .* is not an object"),
    "a deep json": (lambda at: docker(**{"manifest.json": b"[" * 500 + b"]" * 500}), InvalidArgument, "nested deeper"),
    "no image": (lambda at: docker(**{"manifest.json": b"[]"}), InvalidArgument, "there is no image in"),
    "no config": (lambda at: with_manifest(Config="gone.json"), NotFound, "there is no gone.json"),
    "a config out": (lambda at: with_manifest(Config="../../etc/passwd"), NotFound, "there is no ../../etc/passwd"),
    "a config that is a layer": (lambda at: with_manifest(Config=LAYER), InvalidArgument, "is not valid JSON"),
    "too few layers": (lambda at: with_manifest(Layers=[LAYER]), InvalidArgument, "lists 1 layers, and the config 2"),
    "too many layers": (lambda at: with_manifest(Layers=[LAYER] * 9999), InvalidArgument, "lists 9999 layers"),
    "a bad name": (lambda at: with_manifest(RepoTags=["../../evil:1"]), InvalidArgument, "invalid image reference"),
    "other layers": (lambda at: with_manifest(Layers=[LAYER, LAYER]), FailedPrecondition, "content does not match"),
    "another config": (
        lambda at: tar({**_renamed_config(), "x": b""}),
        DataLoss,
        r"\.json in .* is not what its name says",
    ),
    "another manifest": (lambda at: broken_blob(at, "manifest"), DataLoss, "is not what its name says"),
    "another config blob": (lambda at: broken_blob(at, "config"), FailedPrecondition, "content does not match"),
    "another layer": (lambda at: broken_blob(at, "layer"), FailedPrecondition, "content does not match"),
    "a longer manifest": (lambda at: claimed_size(at, -1), FailedPrecondition, "more than the"),
    "a shorter manifest": (lambda at: claimed_size(at, 1), FailedPrecondition, "does not match"),
    "no layout": (lambda at: tar(oci(at, **{"index.json": b"{}"})), InvalidArgument, "schemaVersion"),
    "deep": (deep, InvalidArgument, "indexes in indexes, deeper than 2"),
    "a layer out of the tree": (
        lambda at: tar(docker_members([tar_of([Entry("../../evil", b"x")])], "app:1")),
        InvalidArgument,
        "leaves its tree",
    ),
    "cut off gzip": (lambda at: gzip.compress(docker())[:-9], DataLoss, "ends too early"),
    "broken gzip": (lambda at: gzip.compress(docker())[:100] + b"rubbish" * 50, DataLoss, "is damaged"),
    "gzip of nothing": (lambda at: gzip.compress(b""), InvalidArgument, "is no image archive"),
}


def _pax_sparse() -> bytes:
    info = tarfile.TarInfo("manifest.json")
    info.size = 512
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "manifest.json",
        "GNU.sparse.realsize": "9",
    }
    return info.tobuf(tarfile.PAX_FORMAT) + b"1\n0\n0\n".ljust(512, b"\0") + bytes(1024)


def _renamed_config() -> t.Dict[str, bytes]:
    members = docker_members(GOOD, "app:1")
    (item,) = json.loads(members["manifest.json"])
    data, name = members.pop(item["Config"]), "0" * 64 + ".json"
    return {**members, name: data, "manifest.json": json.dumps([{**item, "Config": name}]).encode()}


@pytest.mark.parametrize("case", TABLE)
def test_hostile_archives_are_refused_and_leave_nothing(
    engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path, case: str
) -> None:
    make, kind, words = TABLE[case]
    path = tmp_path / "a.tar"
    path.write_bytes(make(layout))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(kind, match=words) as caught:
        load_from(engine, path)
    assert "\n" not in str(caught.value)
    assert engine.images.list() == []
    assert engine.content.ingests() == []
    assert engine.snapshotter().walk() == []
    engine.collect()
    assert list(engine.content.walk()) == []
    assert [one for one in sorted(tmp_path.rglob("*")) if one not in before and tmp_path / "data" not in one.parents] in (
        [],
        [tmp_path / "data"],
    )
    assert not list(tmp_path.rglob("evil"))


def test_a_gzip_without_an_end(engine: EmbeddedEngine, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_read, "_LEAST_LIMIT", 50_000_000)
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb") as stream:
        stream.write(tar({"x/y": b"x"})[:-10240])
        for _block in range(80):
            stream.write(bytes(1_000_000))
    assert path.stat().st_size < 200_000
    began = time.monotonic()
    with pytest.raises(ResourceExhausted, match="comes to more than 50000000 bytes: refused"):
        load_from(engine, path)
    assert time.monotonic() - began < 10


def test_members_without_an_end(engine: EmbeddedEngine, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_read, "_MEMBERS_LIMIT", 1000)
    (tmp_path / "a.tar").write_bytes(tar({f"x{number}": b"" for number in range(1001)}))
    with pytest.raises(ResourceExhausted, match="more than 1000 members"):
        load_from(engine, tmp_path / "a.tar")


def test_what_is_no_file(engine: EmbeddedEngine, tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidArgument, match="neither a file nor a directory"):
        load_from(engine, tmp_path / "fifo")
    with pytest.raises(NotFound, match="there is no .*gone on the target"):
        load_from(engine, tmp_path / "gone")


def test_hostile_directories(engine: EmbeddedEngine, layout: Layout, tmp_path: pathlib.Path) -> None:
    layout.tag(layout.image(GOOD), "docker.io/library/app:1")
    index = layout.path / "index.json"
    data = index.read_bytes()
    index.unlink()
    os.mkfifo(index)
    with pytest.raises(InvalidArgument, match="is no regular file"):
        load_from(engine, layout.path)
    index.unlink()
    (tmp_path / "secret").write_bytes(data)
    index.symlink_to(tmp_path / "secret")
    with pytest.raises(EngineError, match="reading .*index.json"):
        load_from(engine, layout.path)
    index.unlink()
    items = [{"Config": "../secret", "RepoTags": ["a:1"], "Layers": []}]
    (layout.path / "manifest.json").write_text(json.dumps(items))
    with pytest.raises(InvalidArgument, match="leaves the directory"):
        load_from(engine, layout.path)
    with open_archive(str(layout.path)) as archive, pytest.raises(NotFound):
        archive.open("manifest.json/x")
    assert engine.images.list() == []


def test_all_images_or_none(engine: EmbeddedEngine, tmp_path: pathlib.Path) -> None:
    first, second = docker_members(GOOD, "app:1"), docker_members([tar_of([Entry("x")])], "app:2")
    second = {name.replace(f"{0:064x}", f"{9:064x}"): data for name, data in second.items()}
    items = json.loads(first["manifest.json"]) + json.loads(second["manifest.json"])
    items[1]["Layers"] = [f"{9:064x}/layer.tar"]
    members = {**first, **second, "manifest.json": json.dumps(items).encode(), f"{9:064x}/layer.tar": tar_of([Entry("y")])}
    (tmp_path / "a.tar").write_bytes(tar(members))
    with pytest.raises(FailedPrecondition, match=f"expected {sha256(tar_of([Entry('x')]))}"):
        load_from(engine, tmp_path / "a.tar")
    assert engine.images.list() == []
