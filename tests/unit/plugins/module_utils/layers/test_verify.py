# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a comparison of an unpacked layer with the layer sees, and that odd layers are whole."""

from __future__ import annotations

import io
import os
import pathlib
import re
import shutil
import stat
import struct
import subprocess
import tarfile
import typing as t

import pytest
from hypothesis import HealthCheck, given, settings

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import LayerTarget
from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.copy_tree import copy_tree
from ansible_collections.fleet.containerd.plugins.module_utils.layers import outline
from ansible_collections.fleet.containerd.plugins.module_utils.layers.diff_apply import apply_layer
from ansible_collections.fleet.containerd.plugins.module_utils.layers.verify import verify_layer
from ansible_collections.fleet.containerd.tests.support.images import (
    Entry,
    directory,
    hardlink,
    symlink,
    tar_of,
)
from ansible_collections.fleet.containerd.tests.unit.fuzz.targets import layers as drawn_layers

TAR = "application/vnd.oci.image.layer.v1.tar"
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
ATTRIBUTES = {"SCHILY.xattr.user.note": "kept", "SCHILY.xattr.security.capability": CAPABILITY.decode("utf-8", "surrogateescape")}
BELOW = tar_of(
    [
        *(directory(name) for name in ("etc", "gone", "open", "d")),
        *(Entry(name, b"below") for name in ("etc/one", "etc/two", "gone/x", "open/x", "d/f")),
        symlink("link", "etc"),
    ]
)
LAYER = tar_of(
    [
        directory("etc", 0o750),
        Entry("etc/.wh.one"),
        Entry(".wh.gone"),
        directory("open"),
        Entry("open/.wh..wh..opq"),
        Entry("open/new", b"new"),
        Entry("bin", b"program" * 1000, mode=0o4755, pax=ATTRIBUTES),
        Entry("text", b"t" * 7000),
        hardlink("hard", "bin"),
        hardlink("etc/two-again", "etc/two"),
        symlink("sym", "bin"),
        Entry("null", kind=b"3", device=(1, 3)),
        Entry("d/implicit"),
    ]
)


class Unpacked:
    """A layer over another one, in an overlay's directory or a plain tree."""

    def __init__(self, base: pathlib.Path, overlay: bool, layer: bytes = LAYER, below: bytes = BELOW) -> None:
        self.base, self.overlay, self.layer = base, overlay, layer
        self.lower, self.root = base / "lower", base / "root"
        self.lower.mkdir()
        apply_layer(io.BytesIO(below), TAR, LayerTarget(str(self.lower)))
        if overlay:
            self.root.mkdir()
        else:
            copy_tree(str(self.lower), str(self.root))
        self.target = LayerTarget(str(self.root), (str(self.lower),), overlay)
        apply_layer(io.BytesIO(layer), TAR, self.target)

    def problem(self, *more: str, beside: str = "") -> str:
        done, found = verify_layer(io.BytesIO(self.layer), TAR, self.target, limit=10**9, beside=beside or str(self.base))
        assert done.size == len(self.layer)
        assert sorted(os.listdir(self.base)) == sorted(["lower", "root", *more])
        return found


@pytest.fixture(params=[True, False], ids=["overlay", "plain"])
def unpacked(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Unpacked:
    return Unpacked(tmp_path, request.param)


def _replace_by_copy(path: pathlib.Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    path.chmod(0o4755)


def _flip(path: pathlib.Path) -> None:
    found, data = path.stat(), path.read_bytes()
    with open(path, "r+b") as stream:
        stream.seek(5000)
        stream.write(bytes([data[5000] ^ 1]))
    os.chmod(path, stat.S_IMODE(found.st_mode))


DAMAGES: t.Dict[str, t.Tuple[t.Callable[[pathlib.Path], t.Any], str]] = {
    "lost capability": (lambda root: os.removexattr(root / "bin", "security.capability"), "lost its attribute security.cap"),
    "another capability": (
        lambda root: os.setxattr(root / "bin", "security.capability", struct.pack("<IIIII", 0x02000001, 1, 0, 0, 0)),
        "(bin|hard) has another attribute security.capability",
    ),
    "added capability": (
        lambda root: os.setxattr(root / "d/implicit", "security.capability", CAPABILITY),
        "has capabilities that",
    ),
    "lost attribute": (lambda root: os.removexattr(root / "bin", "user.note"), "(bin|hard) has lost its attribute user.note"),
    "added setuid file": (lambda root: _write(root / "etc/sh", 0o4755), "etc/sh is not in the layer"),
    "added directory": (lambda root: (root / "d/more").mkdir(), "d/more is not in the layer"),
    "mode": (lambda root: (root / "bin").chmod(0o755), "(bin|hard) has another mode"),
    "mode of a directory": (lambda root: (root / "etc").chmod(0o755), "etc has another mode"),
    "owner": (lambda root: os.lchown(root / "sym", 1, 1), "sym has another owner"),
    "content": (lambda root: _flip(root / "text"), "text has other content"),
    "cut off": (lambda root: os.truncate(root / "text", 10), "text has 10 bytes, not 7000"),
    "missing": (lambda root: (root / "open/new").unlink(), "open/new is missing"),
    "missing directory": (lambda root: shutil.rmtree(root / "open"), "open is missing"),
    "link": (lambda root: ((root / "sym").unlink(), (root / "sym").symlink_to("hard")), "sym leads elsewhere"),
    "hard link": (lambda root: _replace_by_copy(root / "etc/two-again"), "has another mode|no hard link any more"),
    "device": (
        lambda root: ((root / "null").unlink(), os.mknod(root / "null", 0o20644, os.makedev(1, 5))),
        "null is another device",
    ),
    "kind": (lambda root: ((root / "null").unlink(), (root / "null").mkdir()), "null is of another kind"),
}


def _write(path: pathlib.Path, mode: int) -> None:
    path.write_text("x")
    path.chmod(mode)


@pytest.mark.parametrize("case", DAMAGES)
def test_damage_is_seen(unpacked: Unpacked, case: str) -> None:
    damage, words = DAMAGES[case]
    assert unpacked.problem() == ""
    damage(unpacked.root)
    assert re.search(words, unpacked.problem()), unpacked.problem()


OVERLAY_DAMAGES: t.Dict[str, t.Tuple[t.Callable[[pathlib.Path], t.Any], str]] = {
    "lost whiteout": (lambda root: (root / "etc/one").unlink(), "etc/one is not hidden, although the layer removes it"),
    "whiteout that is a file": (
        lambda root: ((root / "gone").unlink(), _write(root / "gone", 0o644)),
        "gone exists, although the layer",
    ),
    "added whiteout": (lambda root: os.mknod(root / "d/f", 0o20000, 0), "d/f is hidden, although the layer does not remove it"),
    "lost opaque mark": (
        lambda root: os.removexattr(root / "open", "trusted.overlay.opaque"),
        "open shows what the layers below have there",
    ),
    "added opaque mark": (
        lambda root: os.setxattr(root / "etc", "trusted.overlay.opaque", b"y"),
        "etc hides what the layers below have there",
    ),
}


@pytest.mark.parametrize("case", OVERLAY_DAMAGES)
def test_damage_of_marks_is_seen(tmp_path: pathlib.Path, case: str) -> None:
    unpacked = Unpacked(tmp_path, True)
    damage, words = OVERLAY_DAMAGES[case]
    damage(unpacked.root)
    assert words in unpacked.problem()


PLAIN_DAMAGES: t.Dict[str, t.Tuple[t.Callable[[pathlib.Path], t.Any], str]] = {
    "file that is back": (lambda root: _write(root / "etc/one", 0o644), "etc/one exists, although the layer removes it"),
    "in an opaque directory": (lambda root: _write(root / "open/x", 0o644), "open/x is not in the layer"),
    "missing from below": (lambda root: (root / "d/f").unlink(), "d/f is missing"),
    "changed from below": (lambda root: (root / "d/f").chmod(0o4755), "d/f has another mode"),
}


@pytest.mark.parametrize("case", PLAIN_DAMAGES)
def test_damage_of_a_plain_tree_is_seen(tmp_path: pathlib.Path, case: str) -> None:
    unpacked = Unpacked(tmp_path, False)
    damage, words = PLAIN_DAMAGES[case]
    damage(unpacked.root)
    assert words in unpacked.problem()


#: Layers that say things twice, take back what they said, or say them in another order than most.
ODD: t.Dict[str, t.List[Entry]] = {
    "twice": [Entry("a", b"1", mode=0o4755), Entry("a", b"22")],
    "a link to the first of two": [Entry("a", b"1"), hardlink("b", "a"), Entry("a", b"22")],
    "a link, then a file, at the same name": [Entry("a", b"1"), hardlink("b", "a"), Entry("b", b"22", uid=7)],
    "a file that becomes a directory": [Entry("a", b"1"), directory("a", 0o700), Entry("a/b")],
    "a directory that becomes a file": [directory("a"), Entry("a/b"), Entry("a", b"1")],
    "a directory that becomes a link": [directory("a"), Entry("a/b", b"1"), directory("e"), symlink("a", "e")],
    "a directory that becomes a link, with more": [directory("a"), Entry("a/b"), directory("e"), symlink("a", "e"), Entry("a/c")],
    "a link that becomes a directory": [directory("e"), symlink("a", "e"), Entry("a/b", b"1"), directory("a"), Entry("a/c")],
    "written, then taken away": [Entry("a", b"1"), directory("b"), Entry("b/c"), Entry(".wh.a"), Entry(".wh.b")],
    "taken away, then written": [Entry("etc/.wh.one"), Entry("etc/one", b"again"), Entry(".wh.d"), directory("d"), Entry("d/g")],
    "a link to what is taken away": [hardlink("again", "etc/one"), Entry("etc/.wh.one")],
    "all below taken away": [Entry(".wh..wh..opq"), Entry("etc/new"), directory("d")],
    "taken away at the end": [Entry("etc/new"), Entry("etc/.wh..wh..opq"), Entry("d/.wh..wh..opq")],
    "taken away twice": [Entry("etc/.wh.one"), Entry("etc/.wh.one"), Entry("etc/.wh.never")],
    "what is below a link": [Entry("link/one", b"changed"), Entry("link/.wh.two"), symlink("more", "/link"), Entry("more/x")],
    "a file of below that becomes a directory": [directory("etc/one"), Entry("etc/one/x")],
    "a directory of below that becomes a file": [Entry("etc", b"file")],
    "owners of a directory that nobody has": [Entry("new/deep/file", uid=5, gid=6)],
    "a directory after what is in it": [Entry("late/x"), directory("late", 0o700, uid=8)],
    "a root with a mode": [directory("./", 0o711, uid=3), Entry("a")],
    "markers of AUFS": [directory(".wh..wh.plnk"), Entry(".wh..wh.plnk/1.2", b"x"), hardlink("h", ".wh..wh.plnk/1.2")],
    "an access list that is none": [
        Entry(
            "acl",
            pax={
                "SCHILY.xattr.system.posix_acl_access": struct.pack(
                    "<IHHIHHIHHI", 2, 1, 6, 2**32 - 1, 4, 4, 2**32 - 1, 32, 4, 2**32 - 1
                ).decode("utf-8", "surrogateescape")
            },
        )
    ],
    "marks of overlayfs": [directory("o"), Entry("o/x", pax={"SCHILY.xattr.trusted.overlay.opaque": "y"})],
    "hard links of links": [symlink("s", "etc"), hardlink("t", "s"), Entry("p", kind=b"6"), hardlink("q", "p")],
    "a hard link to itself": [Entry("a", b"1"), hardlink("a", "a")],
}


@pytest.mark.parametrize("overlay", [True, False], ids=["overlay", "plain"])
@pytest.mark.parametrize("case", ODD)
def test_odd_layers_are_whole(tmp_path: pathlib.Path, case: str, overlay: bool) -> None:
    assert Unpacked(tmp_path, overlay, tar_of(ODD[case])).problem() == ""


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(layer=drawn_layers())
def test_any_layer_is_whole(tmp_path_factory: pytest.TempPathFactory, layer: bytes) -> None:
    for overlay in (True, False):
        base = tmp_path_factory.mktemp("any")
        try:
            unpacked = Unpacked(base, overlay, layer)
        except EngineError:
            continue
        found = unpacked.problem()
        assert found == "", names_of(layer)


def names_of(layer: bytes) -> t.List[str]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return [f"{one.name} {one.type!r} {one.linkname}" for one in archive]


def test_a_sparse_file(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with open(source / "sparse", "wb") as stream:
        for offset in (5_000_000, 90_000_000):
            stream.seek(offset)
            stream.write(b"data" * 3000)
        stream.truncate(100_000_000)
    run = ["tar", "-C", source, "--sparse", "--format=pax", "-cf", "-", "sparse"]
    layer = subprocess.run(run, check=True, capture_output=True).stdout
    shutil.rmtree(source)
    unpacked = Unpacked(tmp_path, True, layer)
    assert unpacked.problem() == ""
    with open(unpacked.root / "sparse", "r+b") as stream:
        stream.seek(50_000_000)
        stream.write(b"x")
    assert unpacked.problem() == "sparse has other content"


def test_what_a_killed_comparison_has_left_goes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline, "_TEMPORARY", str(tmp_path))
    left, planted = tmp_path / ".fleet-verify-left", tmp_path / ".fleet-verify-planted"
    with outline.scratch(str(tmp_path)) as running:
        (left / "d").mkdir(parents=True)
        planted.mkdir()
        os.chown(planted, 1000, 1000)
        with outline.scratch(str(tmp_path)) as mine:
            assert {str(path) for path in tmp_path.iterdir()} == {running, mine, str(planted)}
    assert list(tmp_path.iterdir()) == [planted]


def test_a_comparison_beside_what_is_not_there(unpacked: Unpacked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline, "_TEMPORARY", str(unpacked.base / "none"))
    nowhere = str(unpacked.base / "not" / "yet")
    assert unpacked.problem(beside=nowhere) == ""
    _flip(unpacked.root / "bin")
    assert unpacked.problem(beside=nowhere) != ""


def test_another_process_takes_a_new_directory_for_one_that_was_left(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = os.mkdir, []

    def taken(path: str, mode: int = 0o777) -> None:
        real(path, mode)
        made.append(path)
        if len(made) == 1:
            os.rmdir(path)

    monkeypatch.setattr("os.mkdir", taken)
    with outline.scratch(str(tmp_path)) as found:
        assert found == made[1]


def test_a_look_leaves_the_place_as_it_is(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(outline, "_TEMPORARY", str(temporary))
    unpacked = Unpacked(tmp_path, True)
    before = tmp_path.stat().st_mtime_ns
    assert unpacked.problem("tmp") == ""
    assert tmp_path.stat().st_mtime_ns == before
    assert os.listdir(temporary) == []
