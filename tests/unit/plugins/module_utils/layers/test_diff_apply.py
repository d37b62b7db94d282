# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers into trees: every tar format, overlay semantics, and what a hostile layer tries."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import pathlib
import stat
import subprocess
import sys
import tarfile
import typing as t

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import LayerTarget
from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    EngineError,
    InvalidArgument,
    MissingLibrary,
    ResourceExhausted,
)
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mount, unmount
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.remove import remove_tree
from ansible_collections.fleet.containerd.plugins.module_utils.layers.diff_apply import Applied, apply_layer
from ansible_collections.fleet.containerd.plugins.module_utils.layers.tree import Tree
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.tar_reader import TarReader, number, parse_pax
from ansible_collections.fleet.containerd.tests.support.images import Entry, directory, hardlink, sha256, symlink, tar_of

TAR = "application/vnd.oci.image.layer.v1.tar"


def apply(root: pathlib.Path, data: bytes, *lowers: pathlib.Path, overlay: bool = False, limit: int = 10**9) -> Applied:
    root.mkdir(exist_ok=True)
    target = LayerTarget(str(root), tuple(map(str, lowers)), overlay)
    return apply_layer(io.BytesIO(data), TAR, target, limit)


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A root with a canary beside it."""
    (tmp_path / "canary").write_text("alive")
    return tmp_path / "root"


def open_below(root: pathlib.Path) -> t.List[str]:
    """What this process has open there and beside it. Threads of earlier tests may open and close others meanwhile."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [one for one in found if one.startswith(str(root.parent))]


def test_directories_are_closed_although_one_cannot_have_its_time(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: t.Any, **_more: t.Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    root.mkdir()
    layers = Tree(str(root))
    for name in (b"a", b"b", b"c"):
        (root / os.fsdecode(name)).mkdir()
        layers.directory((name,))
        (root / os.fsdecode(name) / "new").touch()
    with monkeypatch.context() as full:
        full.setattr(os, "utime", fails)
        with pytest.raises(OSError, match="No space"):
            layers.close()
    assert open_below(root) == []


@pytest.mark.parametrize("archive_format", ["ustar", "gnu", "pax", "oldgnu"])
def test_formats(root: pathlib.Path, tmp_path: pathlib.Path, archive_format: str) -> None:
    source = tmp_path / "source"
    (source / ("d" * 90) / ("e" * 90)).mkdir(parents=True)
    (source / ("d" * 90) / ("e" * 90) / "file").write_bytes(b"x" * 5000)
    (source / "link").symlink_to("d" * 90)
    os.link(source / ("d" * 90) / ("e" * 90) / "file", source / "hard")
    os.mkfifo(source / "fifo")
    os.chmod(source / "hard", 0o4711)
    os.chown(source / "hard", 70000, 80000)
    data = subprocess.run(
        ["tar", "-C", source, f"--format={archive_format}", "-cf", "-", "."], check=True, capture_output=True
    ).stdout
    found = apply(root, data)
    assert (found.diff_id, found.size) == (sha256(data), len(data))
    listing = ["find", ".", "-printf", "%p %y %m %U %G %s %l %n\n"]
    ours, theirs = (
        sorted(subprocess.run(listing, cwd=at, check=True, capture_output=True, text=True).stdout.split("\n"))
        for at in (root, source)
    )
    without_sizes = [line for line in ours if " d " not in line], [line for line in theirs if " d " not in line]
    assert without_sizes[0] == without_sizes[1]
    assert (root / "hard").read_bytes() == b"x" * 5000


@pytest.mark.parametrize(
    "sparse",
    [
        "--format=gnu",
        "--format=pax --sparse-version=0.0",
        "--format=pax --sparse-version=0.1",
        "--format=pax --sparse-version=1.0",
    ],
)
def test_sparse_files_keep_their_holes(root: pathlib.Path, tmp_path: pathlib.Path, sparse: str) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        for number_ in range(30):
            stream.seek(number_ * 1_000_000)
            stream.write(b"data %d" % number_)
        stream.truncate(40_000_000)
    data = subprocess.run(
        ["tar", "-C", tmp_path, "--sparse", *sparse.split(), "-cf", "-", "sparse"], check=True, capture_output=True
    ).stdout
    assert len(data) < 1_000_000
    apply(root, data)
    assert (root / "sparse").read_bytes() == path.read_bytes()
    assert (root / "sparse").stat().st_blocks * 512 < 5_000_000


def test_gzip_of_several_members_and_rubbish_after_it(root: pathlib.Path) -> None:
    data = tar_of([Entry("a", b"x" * 100_000)])
    found = apply(root, gzip.compress(data[:50_000]) + gzip.compress(data[50_000:]) + b"rubbish")
    assert found.diff_id == sha256(data)
    assert (root / "a").read_bytes() == b"x" * 100_000


def test_zstd(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tar_of([Entry("a", b"x" * 100_000)])
    packed = subprocess.run(["zstd", "-q", "-c"], input=data, check=True, capture_output=True).stdout
    assert apply(root, packed).diff_id == sha256(data)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingLibrary, match="install the package python3-zstandard"):
        apply(root, packed)


def test_what_follows_the_end_belongs_to_the_diff_id(root: pathlib.Path) -> None:
    data = tar_of([Entry("a")]) + b"\0" * 5000 + b"more"
    assert apply(root, data).diff_id == Digest.of(data)


def test_names_that_are_no_utf8(root: pathlib.Path) -> None:
    apply(root, tar_of([Entry("caf\udce9", b"1"), Entry("日本", b"2")]))
    assert sorted(os.listdir(os.fsencode(root))) == [b"caf\xe9", "日本".encode()]


def test_overlay_directories_take_after_the_lower_ones(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    lower, second = tmp_path / "lower", tmp_path / "second"
    apply(
        lower,
        tar_of(
            [
                directory("a", 0o1750, uid=5, gid=6, mtime=1000.5),
                directory("usr"),
                directory("usr/lib"),
                symlink("lib", "usr/lib"),
                Entry("file", b"x", mode=0o640, uid=7),
            ]
        ),
    )
    apply(second, tar_of([directory("only", 0o711)]), lower, overlay=True)
    apply(root, tar_of([Entry("a/new"), Entry("lib/so"), Entry("only/x"), hardlink("same", "file")]), second, lower, overlay=True)
    found = (root / "a").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime) == (0o1750, 5, 6, 1000.5)
    assert (root / "usr/lib/so").exists()
    assert not (root / "lib").exists()
    assert stat.S_IMODE((root / "only").stat().st_mode) == 0o711
    assert (root / "same").stat().st_ino == (root / "file").stat().st_ino
    assert ((root / "file").read_bytes(), (root / "file").stat().st_uid) == (b"x", 7)


def test_overlay_whiteouts(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    lower = tmp_path / "lower"
    apply(lower, tar_of([Entry("gone"), directory("dir"), Entry("dir/x"), directory("opaque"), Entry("opaque/old")]))
    layer = [
        Entry(".wh.gone"),
        Entry(".wh.never"),
        Entry(".wh.dir"),
        directory("dir"),
        Entry("dir/y"),
        Entry("opaque/.wh..wh..opq"),
        Entry("opaque/new"),
    ]
    apply(root, tar_of(layer), lower, overlay=True)
    gone = (root / "gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    assert not (root / "never").exists()
    merged, work = tmp_path / "merged", tmp_path / "work"
    merged.mkdir()
    work.mkdir()
    options = f"lowerdir={lower},upperdir={root},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
    try:
        names = sorted(str(path.relative_to(merged)) for path in merged.rglob("*"))
    finally:
        subprocess.run(["umount", merged], check=True)
    assert names == ["dir", "dir/y", "opaque", "opaque/new"]


@pytest.mark.parametrize("opaque", [".wh..wh..opq", "d/.wh..wh..opq"])
def test_an_opaque_directory_keeps_no_whiteouts_that_a_container_would_see(
    root: pathlib.Path, tmp_path: pathlib.Path, opaque: str
) -> None:
    lower = tmp_path / "lower"
    apply(lower, tar_of([directory("d"), directory("d/e"), Entry("d/x"), Entry("d/e/x")]))
    apply(root, tar_of([Entry("d/.wh.x"), Entry("d/e/.wh.x"), Entry("d/e/y"), Entry(opaque)]), lower, overlay=True)
    assert sorted(os.listdir(root / "d")) == ["e"]
    assert os.listdir(root / "d" / "e") == ["y"]


WAITS = {
    "a directory": ([directory("d"), Entry("d/new")], False),
    "a whiteout": ([directory("d"), Entry("d/.wh.x"), Entry(".wh.none")], True),
    "a whiteout and a directory in its place": ([Entry(".wh.d"), directory("d"), Entry("d/new")], False),
    "a directory that the layer says nothing about": ([Entry("d/new")], True),
    "a hard link to what is below": ([hardlink("link", "d/x")], True),
    "a way through a link below": ([Entry("l/new")], True),
    "all that is below": ([Entry(".wh..wh..opq")], True),
}


@pytest.mark.parametrize("case", WAITS)
def test_layers_below_are_waited_for_where_it_matters(root: pathlib.Path, tmp_path: pathlib.Path, case: str) -> None:
    entries, waits = WAITS[case]
    below = tar_of([directory("d", mode=0o700), Entry("d/x", b"below"), symlink("l", "d")])
    lower, late, whole = tmp_path / "lower", tmp_path / "late", []
    apply(lower, below)
    apply(root, tar_of(entries), lower, overlay=True)
    late.mkdir()

    def wait() -> None:
        whole.append(True)
        apply(late, below)

    second = tmp_path / "second"
    second.mkdir()
    apply_layer(io.BytesIO(tar_of(entries)), TAR, LayerTarget(str(second), (str(late),), True), below=wait)
    assert whole == [True] * waits
    listing = ["find", ".", "-printf", "%p %y %m %U %G %s %l %n\n"]
    ours, theirs = (subprocess.run(listing, cwd=at, check=True, capture_output=True, text=True).stdout for at in (second, root))
    assert sorted(ours.split("\n")) == sorted(theirs.split("\n"))


def test_directories_stay_open_as_long_as_they_are_used(root: pathlib.Path) -> None:
    """A link between directories that are further apart than how many are open at a time; each gets its time in the end."""
    deep = "/".join("d" * 150)
    entries = [
        directory("near", mtime=1000.5),
        Entry(f"{deep}/file", b"content"),
        *(Entry(f"{deep}/{number}/file") for number in range(100)),
        hardlink("near/link", f"{deep}/file"),
        hardlink(f"{deep}/again", "near/link"),
        *(Entry(f"near/{number}") for number in range(3)),
    ]
    apply(root, tar_of(entries))
    assert (root / "near" / "link").samefile(root / deep / "again")
    assert (root / "near").stat().st_mtime == 1000.5
    assert open_below(root) == []


@pytest.mark.parametrize("first", [True, False])
def test_plain_whiteouts_spare_what_the_layer_itself_has(root: pathlib.Path, first: bool) -> None:
    apply(root, tar_of([Entry("gone"), directory("d"), Entry("d/old"), directory("d/e"), Entry("d/e/old")]))
    mark, new = Entry("d/.wh..wh..opq"), [Entry("d/new"), directory("d/e"), Entry("d/e/new")]
    apply(root, tar_of([Entry(".wh.gone"), *([mark, *new] if first else [*new, mark])]))
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["d", "d/e", "d/e/new", "d/new"]


def test_an_entry_replaces_one_of_another_kind(root: pathlib.Path) -> None:
    apply(root, tar_of([directory("a"), Entry("a/x"), Entry("b", b"1"), symlink("c", "b"), Entry("d")]))
    apply(root, tar_of([Entry("a", b"file"), directory("b"), Entry("c", b"new"), Entry("d", kind=tarfile.FIFOTYPE)]))
    assert (root / "a").read_bytes() == b"file"
    assert (root / "b").is_dir()
    assert not (root / "c").is_symlink()
    assert stat.S_ISFIFO((root / "d").stat().st_mode)


def test_overlayfs_own_attributes_are_never_taken_from_a_layer(root: pathlib.Path) -> None:
    pax = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.mine": "yes"}
    apply(root, tar_of([Entry("f", pax=pax), directory("d", pax=pax)]))
    for name in ("f", "d"):
        assert os.listxattr(root / name) == ["user.mine"]


HOSTILE: t.Dict[str, t.List[Entry]] = {
    "dot dot": [Entry("../canary", b"dead")],
    "dot dot in the middle": [Entry("a/../../canary", b"dead")],
    "through a link": [symlink("a", ".."), Entry("a/canary", b"dead")],
    "through an absolute link": [symlink("a", "/"), Entry("a/tmp/fleet-evil", b"dead")],
    "through a chain of links": [symlink("a", "b"), symlink("b", "c"), symlink("c", "../.."), Entry("a/canary", b"dead")],
    "over a link": [symlink("a", "../canary"), Entry("a", b"dead")],
    "hard link out": [hardlink("a", "../canary"), Entry("a", b"dead")],
    "hard link through a link": [symlink("up", ".."), hardlink("a", "up/canary"), Entry("a", b"dead")],
    "hard link to a link": [symlink("l", "../canary"), hardlink("a", "l"), Entry("a", b"dead")],
    "directory over a link": [symlink("d", ".."), directory("d"), Entry("d/canary", b"dead")],
    "link over a directory": [directory("d"), Entry("d/x"), symlink("d", ".."), Entry("d/canary", b"dead")],
    "whiteout through a link": [symlink("a", ".."), Entry("a/.wh.canary")],
    "whiteout of dot dot": [directory("a"), Entry("a/.wh...")],
    "opaque through a link": [symlink("a", ".."), Entry("a/.wh..wh..opq")],
    "times through a link": [directory("d", mtime=1), symlink("d", "..")],
    "loop of links": [symlink("a", "b"), symlink("b", "a"), Entry("a/x")],
    "absolute name": [Entry("/canary", b"dead")],
}


@pytest.mark.parametrize("overlay", [True, False])
@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_leaves_the_tree(root: pathlib.Path, tmp_path: pathlib.Path, name: str, overlay: bool) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    before = tmp_path.stat().st_mtime_ns
    try:
        apply(root, tar_of(HOSTILE[name]), *([lower] if overlay else []), overlay=overlay)
    except InvalidArgument as error:
        assert str(error).isprintable()
    assert (tmp_path / "canary").read_text() == "alive"
    assert not os.path.exists("/tmp/fleet-evil")
    assert sorted(os.listdir(tmp_path)) == ["canary", "lower", "root"]
    assert os.listdir(lower) == []
    assert tmp_path.stat().st_mtime_ns >= before


def test_a_name_with_control_characters_is_escaped(root: pathlib.Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        apply(root, tar_of([Entry("../\x1b[31mevil\n")]))
    assert str(caught.value).isprintable()


def test_bombs_stop_at_the_limit(root: pathlib.Path) -> None:
    bomb = gzip.compress(tar_of([Entry("zeros", bytes(20_000_000))]))
    with pytest.raises(ResourceExhausted, match="more than 5000000 bytes"):
        apply(root, bomb, limit=5_000_000)
    assert sum(path.stat().st_size for path in root.iterdir()) <= 5_100_000


def header(
    name: bytes = b"x", size: bytes = b"00000000000", kind: bytes = b"0", magic: bytes = b"ustar\x0000", **fields: bytes
) -> bytes:
    raw = bytearray(512)
    raw[0 : len(name)] = name
    raw[100:108], raw[108:116], raw[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    raw[124 : 124 + len(size)] = size
    raw[136:147], raw[156:157], raw[257 : 257 + len(magic)] = b"00000000000", kind, magic
    for place, value in fields.items():
        start = int(place[1:])
        raw[start : start + len(value)] = value
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


@pytest.mark.parametrize(
    "data",
    [
        header(size=b"\xff" * 12),
        header(size=b"77777777777") + b"x",
        header(size=b"\x80" + b"\xff" * 11),
        header(size=b"nonsense!!!"),
        header(kind=b"x", size=b"77777777777"),
        header(kind=b"L", size=b"77777777777"),
        header(kind=b"x", size=b"00000000012") + b"99 path=x\n".ljust(512, b"\0"),
        header(kind=b"x", size=b"00000000012") + b"-1 path=x\n".ljust(512, b"\0"),
        header(kind=b"S", size=b"00000001000", p386=b"00000000000\x0077777777777\0", p483=b"77777777777\0") + bytes(512),
        header(
            kind=b"S",
            size=b"00000000000",
            p386=b"00000001000\x0000000001000\x0000000000000\x0000000001000\0",
            p483=b"00000010000\0",
        ),
        header(kind=b"Z"),
        header(name=b"n" * 100, kind=b"2"),
        header()[:300],
        b"not a tar archive".ljust(1024, b"."),
        header().replace(b"x", b"y", 1),
    ],
)
def test_broken_archives_are_refused(root: pathlib.Path, data: bytes) -> None:
    with pytest.raises(EngineError) as caught:
        apply(root, data)
    assert str(caught.value).isprintable()


def test_a_sparse_map_that_lies_costs_no_disk(root: pathlib.Path) -> None:
    """Half a kilobyte that says it is 2 GiB: holes take no space."""
    apply(root, header(kind=b"S", size=b"00000000000", p386=b"17777777777\x0000000000000\0", p483=b"17777777777\0"))
    assert (root / "x").stat().st_blocks == 0


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 1535), st.integers(0, 255)), max_size=30))
def test_no_change_of_an_archive_breaks_the_reader(root: pathlib.Path, changes: t.List[t.Tuple[int, int]]) -> None:
    data = bytearray(tar_of([directory("d"), Entry("d/f", b"content"), symlink("l", "d")]))
    for position, value in changes:
        data[position] = value
    remove_tree(str(root))
    try:
        apply(root, bytes(data), limit=10_000_000)
    except EngineError as error:
        assert str(error).isprintable()
    assert (root.parent / "canary").read_text() == "alive"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_pax_records_and_numbers(data: bytes) -> None:
    for parse in (parse_pax, lambda field: number(field[:12], "size")):
        try:
            parse(data)
        except InvalidArgument:
            continue


def test_paths_have_their_depth(root: pathlib.Path) -> None:
    deep = ["d/" * level + "d" for level in range(399)]
    apply(root, tar_of([directory(name) for name in deep]))
    for name in ("d/" * 400 + "f", "/".join(["n" * 250] * 15)):
        with pytest.raises(InvalidArgument, match="components"):
            apply(root, tar_of([Entry(name)]))
    with pytest.raises(InvalidArgument, match="components"):
        apply(root, tar_of([symlink("short", "d/" * 300), Entry("short/" + "e/" * 200 + "f")]))


@pytest.mark.parametrize(
    "layer",
    [
        [Entry(".wh.x"), Entry("x/new")],
        [Entry(".wh.x"), directory("x"), Entry("x/new")],
        [Entry("x"), Entry("x/new")],
        [Entry("x"), directory("x"), Entry("x/new")],
        [symlink("x", "nowhere"), directory("x"), Entry("x/new")],
    ],
)
def test_what_a_layer_took_away_does_not_come_back(root: pathlib.Path, tmp_path: pathlib.Path, layer: t.List[Entry]) -> None:
    lower = tmp_path / "lower"
    apply(lower, tar_of([directory("x"), Entry("x/old")]))
    apply(root, tar_of(layer), lower, overlay=True)
    assert os.getxattr(root / "x", "trusted.overlay.opaque") == b"y"
    assert os.listdir(root / "x") == ["new"]


def test_a_hard_link_to_what_the_layer_took_away(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    lower = tmp_path / "lower"
    apply(lower, tar_of([Entry("x")]))
    with pytest.raises(InvalidArgument, match="which is not there"):
        apply(root, tar_of([Entry(".wh.x"), hardlink("y", "x")]), lower, overlay=True)


@pytest.mark.parametrize("rest", range(-3, 4))
def test_a_gzip_member_that_ends_where_a_read_does(root: pathlib.Path, rest: int) -> None:
    data = tar_of([Entry("a", os.urandom(400_000))])
    first = gzip.compress(data[:300_000], mtime=0)
    cut = 300_000
    while len(first) != 256 * 1024 + rest:
        cut -= max(1, (len(first) - 256 * 1024 - rest)) if len(first) > 256 * 1024 + rest else -1
        first = gzip.compress(data[:cut], mtime=0)
    assert apply(root, first + gzip.compress(data[cut:])).diff_id == sha256(data)


def test_a_sparse_file_with_a_long_name(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / ("s" * 120)
    path.mkdir()
    with (path / ("f" * 120)).open("wb") as stream:
        stream.seek(5_000_000)
        stream.write(b"end")
    for version in ("0.0", "0.1", "1.0"):
        command = ["tar", "-C", tmp_path, "--sparse", "--format=pax", f"--sparse-version={version}", "-cf", "-", path.name]
        apply(root, subprocess.run(command, check=True, capture_output=True).stdout)
        assert (root / path.name / ("f" * 120)).stat().st_size == 5_000_003
        assert os.listdir(root) == [path.name]
        remove_tree(str(root))


def test_the_reader_skips_what_is_not_read() -> None:
    class Source:
        def __init__(self, data: bytes) -> None:
            self.parts = [data[at : at + 700] for at in range(0, len(data), 700)]

        def read(self) -> bytes:
            return self.parts.pop(0) if self.parts else b""

    names = [entry.name for entry in TarReader(Source(tar_of([Entry("a", b"1" * 3000), Entry("b", b"2"), Entry("c")])))]
    assert names == [b"a", b"b", b"c"]


#: What AUFS leaves in the layers of old images: its own files, and hard links to files in a directory that nobody may see.
AUFS = [
    directory(".wh..wh.plnk"),
    Entry(".wh..wh.plnk/12.34", b"linked", mode=0o4755, uid=7),
    directory(".wh..wh.orph"),
    Entry(".wh..wh.orph/x", b"x"),
    Entry(".wh..wh.aufs"),
    Entry("d/.wh..wh.meta/deep/x", b"x"),
    hardlink("one", ".wh..wh.plnk/12.34"),
    hardlink("d/two", "/.wh..wh.plnk/12.34"),
    Entry("d/.wh..wh..opq"),
    Entry("plain.wh.name"),
]
#: A whiteout that is a directory with something in it, and one in a directory that is one.
MARKERS = [
    directory(".wh.gone"),
    Entry(".wh.gone/x", b"x"),
    directory("d/.wh.f"),
    Entry("d/.wh.f/.wh.g/x", b"x"),
    symlink(".wh.link", "x"),
    Entry("new"),
]


@pytest.mark.parametrize("overlay", [True, False])
@pytest.mark.parametrize(
    ("entries", "expected"),
    [(AUFS, {"d", "d/two", "one", "plain.wh.name", "gone", "link"}), (MARKERS, {"d", "d/h", "new"})],
    ids=["aufs", "directories"],
)
def test_markers_are_never_visible(
    root: pathlib.Path, tmp_path: pathlib.Path, entries: t.List[Entry], expected: t.Set[str], overlay: bool
) -> None:
    below = tar_of([directory("d"), Entry("d/f"), Entry("d/h"), Entry("gone"), Entry("link")])
    lower, shown = tmp_path / "lower", tmp_path / "shown"
    apply(lower if overlay else root, below)
    apply(root, tar_of(entries), *([lower] if overlay else []), overlay=overlay)
    if overlay:
        shown.mkdir()
        mount("overlay", "overlay", str(shown), [f"lowerdir={root}:{lower}", "ro"])
    try:
        top = shown if overlay else root
        assert {str(path.relative_to(top)) for path in top.rglob("*")} == expected
        if entries is AUFS:
            one, two = (top / "one").stat(), (top / "d" / "two").stat()
            assert (one.st_ino, one.st_uid, one.st_mode & 0o7777, one.st_size) == (two.st_ino, 7, 0o4755, 6)
    finally:
        if overlay:
            unmount(str(shown))


@pytest.mark.parametrize(
    "entries",
    [
        [symlink("l", ".wh.x"), Entry("l/x")],
        [symlink("l", ".wh..wh.plnk"), Entry("l/x")],
        [hardlink("h", ".wh..wh.plnk/1")],
        [Entry("x"), hardlink("h", ".wh.x")],
    ],
)
def test_links_to_markers_are_refused(root: pathlib.Path, entries: t.List[Entry]) -> None:
    with pytest.raises(InvalidArgument, match="marker|not there"):
        apply(root, tar_of(entries))
    assert not [path for path in root.rglob("*") if path.name.startswith(".wh.")]
