# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers of an attacker, and what each must come to: a clear refusal, or exactly this tree.

CANARY in a name or a link is replaced by the path of the canary's directory, which lies beside the store.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import subprocess
import tarfile
import typing as t

from .attack import Layer, text
from .hostile_tars import END, base256, header, member, octal, padded, pax, sparse, sparse_1_0
from .images import LAYER, Entry, directory, hardlink, sha256, symlink, tar_of

CANARY = "CANARY"
Part = t.Union[t.List[Entry], bytes, Layer]


class Attack(t.NamedTuple):
    """layers: bottom first, as entries, an uncompressed tar, or a layer as it lies in the registry.

    refused: what the message says; else tree: the listing of the image (None: any).
    """

    layers: t.Sequence[Part]
    refused: str = ""
    tree: t.Optional[t.Dict[str, str]] = None

    def made(self, canary: str) -> t.List[Layer]:
        return [one if isinstance(one, Layer) else Layer.of(_tar(one, canary)) for one in self.layers]


def _tar(part: t.Union[t.List[Entry], bytes], canary: str) -> bytes:
    if isinstance(part, bytes):
        return part

    def placed(entry: Entry) -> Entry:
        return dataclasses.replace(entry, name=entry.name.replace(CANARY, canary), link=entry.link.replace(CANARY, canary))

    return tar_of(map(placed, part))


def refused(words: str, *layers: Part) -> Attack:
    return Attack(layers, refused=words)


def becomes(tree: t.Optional[t.Dict[str, str]], *layers: Part) -> Attack:
    return Attack(layers, tree=tree)


def dead(name: str) -> Entry:
    return Entry(name, b"dead")


DEAD = text("dead")
LEAVES = "leaves its tree"

ESCAPES: t.Dict[str, Attack] = {
    "dot dot": refused(LEAVES, [dead("../canary")]),
    "dot dot in the middle": refused(LEAVES, [dead("a/../../canary/canary")]),
    "dot dot at the end": refused(LEAVES, [directory("a/..")]),
    "dot dot after dots": refused(LEAVES, [dead("./.././../canary/canary")]),
    "dot dot in a pax path": refused(LEAVES, pax([("path", "../../canary/canary")]) + member(b"x", b"dead") + END),
    "dot dot in a long name": refused(LEAVES, member(b"l", b"../canary/canary\0", b"L") + member(b"x", b"dead") + END),
    "dot dot in a prefix": refused(LEAVES, member(b"canary", b"dead", p345=b"../canary") + END),
    "absolute": becomes({"canary": DEAD}, [dead("/canary")]),
    "absolute with slashes": becomes({"canary": DEAD}, [dead("////./canary")]),
    "absolute canary": becomes(None, [dead(f"{CANARY}/canary")]),
    "through a link": becomes({"a": "-> ..", "canary": DEAD}, [symlink("a", ".."), dead("a/canary")]),
    "through a deep link": becomes(None, [symlink("a", "../" * 30 + "tmp"), dead("a/canary")]),
    "through an absolute link": becomes(None, [symlink("a", CANARY), dead("a/canary")]),
    "through a link to proc": becomes(None, [symlink("a", "/proc/self/root"), dead(f"a{CANARY}/canary")]),
    "through a link to a descriptor": becomes(None, [symlink("a", "/proc/self/fd/3"), dead("a/canary")]),
    "through a link to the working directory": becomes(None, [symlink("a", "/proc/self/cwd"), dead("a/canary")]),
    "through a chain": becomes(None, [symlink("a", "b"), symlink("b", "c"), symlink("c", "../.."), dead("a/canary")]),
    "through a link in a link": becomes(None, [directory("d"), symlink("d/up", "../.."), symlink("e", "d/up"), dead("e/canary")]),
    "through a link with dots": becomes(None, [directory("d"), symlink("a", "d/../../canary"), dead("a/canary")]),
    "over a link": becomes({"a": DEAD}, [symlink("a", f"{CANARY}/canary"), dead("a")]),
    "over a link to a directory": becomes(
        {"a": "dir", "a/canary": DEAD}, [symlink("a", CANARY), directory("a"), dead("a/canary")]
    ),
    "a link over a directory": becomes(None, [directory("d"), dead("d/x"), symlink("d", CANARY), dead("d/canary")]),
    "a link of the layer below": becomes({"a": "-> ..", "canary": DEAD}, [symlink("a", "..")], [dead("a/canary")]),
    "an absolute link of the layer below": becomes(None, [symlink("a", CANARY)], [dead("a/canary")]),
    "a directory of the layer below becomes a link": becomes(
        None, [directory("d"), dead("d/x")], [symlink("d", CANARY)], [dead("d/canary"), directory("d/inner", 0o777)]
    ),
    "a link becomes a directory and a link": becomes(
        {"d": f"-> {CANARY}"}, [symlink("d", CANARY)], [directory("d"), dead("d/x")], [symlink("d", CANARY)]
    ),
    "modes through a link": becomes(None, [symlink("a", CANARY)], [directory("a/inner", 0o777)]),
    "times through a link": becomes(None, [directory("d", mtime=1), symlink("d", CANARY)]),
    "owners through a link": becomes(None, [directory("d", uid=7), symlink("d", CANARY)], [directory("d/inner", uid=7, gid=7)]),
    "attributes over a link": becomes(
        {"a": f"-> {CANARY}/canary"},
        [Entry("a", kind=tarfile.SYMTYPE, link=f"{CANARY}/canary", pax={"SCHILY.xattr.user.evil": "x"})],
    ),
    "a hard link out": refused(LEAVES, [hardlink("a", "../canary/canary"), dead("a")]),
    "an absolute hard link": refused("which is not there", [hardlink("a", f"{CANARY}/canary"), dead("a")]),
    "a hard link through a link": refused("which is not there", [symlink("up", CANARY), hardlink("a", "up/canary"), dead("a")]),
    "a hard link through a link below": refused("which is not there", [symlink("up", CANARY)], [hardlink("a", "up/canary")]),
    "a hard link to a link": becomes(
        {"l": f"-> {CANARY}/canary", "a": DEAD}, [symlink("l", f"{CANARY}/canary"), hardlink("a", "l"), dead("a")]
    ),
    "a hard link to a link, with a mode": becomes(
        {"a": f"-> {CANARY}/canary", "l": f"-> {CANARY}/canary"},
        [symlink("l", f"{CANARY}/canary"), Entry("a", kind=tarfile.LNKTYPE, link="l", mode=0o4777, uid=7)],
    ),
    "a hard link to a link below": becomes(
        {"a": f"-> {CANARY}/canary", "l": f"-> {CANARY}/canary"},
        [symlink("l", f"{CANARY}/canary")],
        [Entry("a", kind=tarfile.LNKTYPE, link="l", mode=0o4777, uid=7)],
    ),
    "a hard link to a directory": refused("hard link to a directory", [directory("d"), hardlink("a", "d")]),
    "a hard link to a directory below": refused(
        "which is not there|hard link to a directory", [directory("d")], [hardlink("a", "d")]
    ),
    "a hard link to the root": refused("without a target", [hardlink("a", "/")]),
    "a hard link to itself": becomes({}, [hardlink("a", "a")]),
    "a hard link to nothing": refused("which is not there", [hardlink("a", "nothing")]),
    "a hard link with data": becomes(
        {"a": text("alive"), "b": text("alive"), "c": text()},
        member(b"a", b"alive") + header(b"b", 512, b"1", b"a") + header(b"c") + END,
    ),
    "the root is a link": refused("for its root that is not a directory", [symlink(".", CANARY), dead("canary")]),
    "the root is a file": refused("for its root that is not a directory", member(b"/", b"dead") + END),
    "the root is a link below": refused("for its root that is not a directory", [directory("d")], [symlink("./", CANARY)]),
    "no name": refused("for its root that is not a directory", member(b"", b"dead") + END),
    "a link without a name": refused("for its root that is not a directory", header(b"", kind=b"2", link=b"/") + END),
    "a circle of links": refused("too many symbolic links", [symlink("a", "b"), symlink("b", "a"), dead("a/x")]),
    "a link to itself": refused("too many symbolic links", [symlink("a", "a")], [dead("a/x")]),
    "links that double": refused(
        "too many symbolic links",
        [directory("l0"), *(symlink(f"l{n}", f"l{n - 1}/../l{n - 1}") for n in range(1, 60)), dead("l59/x")],
    ),
    "links up and down a deep tree": refused(
        "too many symbolic links",
        [directory("d/" * 300 + "e"), symlink("up", "d/" * 300 + "e/../" * 600), dead("up/x/y"), dead("up/z")],
        [symlink("again", "up/" * 800), dead("again/x")],
    ),
    "a link without a target": refused("without a usable target", header(kind=b"2") + END),
    "a link to a NUL": refused("without a usable target", pax([("linkpath", b"a\0b")]) + header(kind=b"2") + END),
    "a link too far": refused("without a usable target", pax([("linkpath", b"a" * 5000)]) + header(kind=b"2") + END),
}

WHITEOUTS: t.Dict[str, Attack] = {
    "through a link": becomes(None, [symlink("a", CANARY), Entry("a/.wh.canary")]),
    "through a link below": becomes(None, [symlink("a", CANARY)], [Entry("a/.wh.canary"), Entry("a/.wh.inner")]),
    "of dot dot": refused("whiteout without a name", [directory("a"), Entry("a/.wh...")]),
    "of dot": refused("whiteout without a name", [Entry(".wh..")]),
    "of nothing": refused("whiteout without a name", [Entry("a/.wh.")]),
    "of what is not there": becomes({"d": "dir"}, [Entry(".wh.gone"), directory("d"), Entry("d/.wh.gone")]),
    "of what is not there, above": becomes({"d": "dir"}, [directory("d")], [Entry(".wh.gone"), Entry("d/.wh.gone")]),
    "in a new directory": becomes({"x": text(), "n": "dir"}, [Entry("x")], [directory("n"), Entry("n/.wh.x")]),
    "of a tree": becomes({}, [directory("a"), dead("a/b"), symlink("a/c", CANARY)], [Entry(".wh.a")]),
    "of a tree, and it again": becomes(
        {"a": "dir", "a/new": DEAD}, [directory("a"), dead("a/old")], [Entry(".wh.a"), directory("a"), dead("a/new")]
    ),
    "of a link": becomes({"f": text("x")}, [symlink("l", "f"), Entry("f", b"x")], [Entry(".wh.l")]),
    "opaque through a link": becomes(None, [symlink("a", CANARY), Entry("a/.wh..wh..opq")]),
    "opaque through a link below": becomes(None, [symlink("a", CANARY)], [Entry("a/.wh..wh..opq")]),
    "opaque": becomes(
        {"d": "dir", "d/new": DEAD},
        [directory("d"), dead("d/old"), directory("d/dir"), dead("d/dir/x")],
        [Entry("d/.wh..wh..opq"), dead("d/new")],
    ),
    "opaque at the end": becomes(
        {"d": "dir", "d/new": DEAD, "d/dir": "dir", "d/dir/new": DEAD},
        [directory("d"), dead("d/old"), directory("d/dir"), dead("d/dir/x")],
        [dead("d/new"), directory("d/dir"), dead("d/dir/new"), Entry("d/.wh..wh..opq")],
    ),
    "opaque at the root": becomes(
        {"new": DEAD, "d": "dir", "d/new": DEAD},
        [dead("old"), directory("d"), dead("d/old"), directory("e"), symlink("l", "e")],
        [Entry(".wh..wh..opq"), dead("new"), directory("d"), dead("d/new")],
    ),
    "opaque at the root, at the end": becomes(
        {"new": DEAD, "d": "dir", "d/new": DEAD, "again": text("1")},
        [dead("old"), directory("d"), dead("d/old"), Entry("again")],
        [dead("new"), directory("d"), dead("d/new"), Entry("again", b"1"), Entry(".wh..wh..opq")],
    ),
    "opaque at the root, twice": becomes(
        {"d": "dir", "d/3": text()},
        [directory("d"), Entry("d/1")],
        [Entry(".wh..wh..opq"), directory("d"), Entry("d/2")],
        [Entry(".wh..wh..opq"), directory("d"), Entry("d/3")],
    ),
    "opaque where nothing is": becomes({"d": "dir"}, [Entry("d/.wh..wh..opq")]),
    "opaque in the middle of three": becomes(
        {"d": "dir", "d/2": text(), "d/3": text()},
        [directory("d"), Entry("d/1")],
        [directory("d"), Entry("d/.wh..wh..opq"), Entry("d/2")],
        [Entry("d/3")],
    ),
    "marks of aufs": becomes({"x": text()}, [Entry("x"), Entry(".wh..wh.aufs"), Entry(".wh..wh.plnk/y")][:2]),
    "a mark that is a link": becomes({}, [Entry("d")], [symlink(".wh.d", CANARY)]),
    "a mark that is a directory": becomes({}, [Entry("d")], [directory(".wh.d")]),
    "overlayfs' own": refused("overlayfs' own whiteout", [Entry("d")], [Entry("d", kind=tarfile.CHRTYPE)]),
    "overlayfs' own, below": refused("overlayfs' own whiteout", [Entry("d", kind=tarfile.CHRTYPE)]),
    "a hard link to what is hidden": refused("which is not there", [Entry("x")], [Entry(".wh.x"), hardlink("y", "x")]),
    "a hard link below what is hidden": refused(
        "which is not there", [directory("d"), Entry("d/x")], [Entry("d/.wh..wh..opq"), hardlink("y", "d/x")]
    ),
}


def xattrs(name: str, value: str = "y", kind: bytes = tarfile.REGTYPE, **more: str) -> Entry:
    return Entry("d", kind=kind, pax={f"SCHILY.xattr.{name}": value, **{f"SCHILY.xattr.{key}": one for key, one in more.items()}})


SECRETS = [directory("secret"), dead("secret/key"), directory("d"), dead("d/old")]
BELOW = {"secret": "dir", "secret/key": DEAD, "d": "dir", "d/old": DEAD}

ATTRIBUTES: t.Dict[str, Attack] = {
    **{
        f"{space}.overlay.{name}": becomes(BELOW, SECRETS, [xattrs(f"{space}.overlay.{name}", value, tarfile.DIRTYPE)])
        for space in ("trusted", "user")
        for name, value in (
            ("opaque", "y"),
            ("opaque", "x"),
            ("redirect", "/secret"),
            ("whiteouts", "y"),
            ("impure", "y"),
            ("origin", "x"),
        )
    },
    "metacopy": becomes(
        {**BELOW, "d": text()},
        SECRETS[:2],
        [Entry("d")],
        [Entry("d", pax={"SCHILY.xattr.trusted.overlay.metacopy": "", "SCHILY.xattr.trusted.overlay.redirect": "/secret/key"})],
    )._replace(tree={"secret": "dir", "secret/key": DEAD, "d": text()}),
    "capabilities": becomes(
        {"d": text()}, [xattrs("security.capability", b"\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0".decode("latin-1"))]
    ),
    "capabilities that are none": refused("Invalid argument", [xattrs("security.capability", "x")]),
    "lists of access that are none": refused("Invalid argument", [xattrs("system.posix_acl_access", "x")]),
    "no name space": refused("d into", [xattrs("evil")]),
    "a long name": refused("d into", [xattrs("user." + "n" * 300)]),
    "a long value": refused("d into", [xattrs("user.long", "v" * 70_000)]),
    "very many": refused(
        "has 65 extended attributes", pax([(f"SCHILY.xattr.user.a{n}", "x") for n in range(65)]) + header(b"d") + END
    ),
    "a NUL": refused("without a key", pax([(b"SCHILY.xattr.user.a\0b", b"x")]) + header(b"d") + END),
    "on a link": becomes({"d": "-> x"}, [Entry("d", kind=tarfile.SYMTYPE, link="x", pax={"SCHILY.xattr.user.a": "x"})]),
}

DEVICES: t.Dict[str, Attack] = {
    "null": becomes({"d": "chara 1:3"}, [Entry("d", kind=tarfile.CHRTYPE, device=(1, 3))]),
    "a disk": becomes({"d": "block 254:0"}, [Entry("d", kind=tarfile.BLKTYPE, device=(254, 0))]),
    "a great number": refused(
        "out of range|impossible", header(b"d", kind=b"3", p329=base256(2**40, 8), p337=base256(1, 8)) + END
    ),
    "a pipe as a parent": becomes({"d": "dir", "d/x": DEAD}, [Entry("d", kind=tarfile.FIFOTYPE), dead("d/x")]),
    "a pipe below as a parent": becomes({"d": "dir", "d/x": DEAD}, [Entry("d", kind=tarfile.FIFOTYPE)], [dead("d/x")]),
    "a file over a pipe": becomes({"d": DEAD}, [Entry("d", kind=tarfile.FIFOTYPE), dead("d")]),
    "a hard link to a pipe": becomes({"d": "fifo", "e": "fifo"}, [Entry("d", kind=tarfile.FIFOTYPE)], [hardlink("e", "d")]),
    **{
        f"of kind {kind.decode()}": refused("unknown type", header(b"d", kind=kind) + END)
        for kind in (b"V", b"M", b"D", b"N", b"A", b"Z", b"9")
    },
}

NAMES: t.Dict[str, Attack] = {
    "of two cases": becomes(
        {"A": text("1"), "a": text("2"), "B": "dir", "b": "-> B"},
        [Entry("A", b"1"), Entry("a", b"2"), directory("B"), symlink("b", "B")],
    ),
    "composed and not": becomes({"\u00e9": text("1"), "e\u0301": text("2")}, [Entry("\u00e9", b"1"), Entry("e\u0301", b"2")]),
    "no utf-8": becomes({"caf\udce9": text(), "\udcff\udcfe": text()}, [Entry("caf\udce9"), Entry("\udcff\udcfe")]),
    "for terminals": becomes({"\x1b[2J\n\r\x07": text()}, [Entry("\x1b[2J\n\r\x07")]),
    "for terminals, refused": refused(r"leaves its tree: '../\\\\x1b", [Entry("../\x1b[31m\nforged: line\u202e")]),
    "of 255 bytes": becomes({"n" * 255: text()}, [Entry("n" * 255)]),
    "of 256 bytes": refused("256 bytes", [Entry("n" * 256)]),
    "with a NUL": refused(LEAVES, pax([("path", b"a\0b")]) + header() + END),
    "of other systems": becomes(
        {"a\\..\\b": text(), "C:": "dir", "C:/x": text(), "-rf": text()}, [Entry("a\\..\\b"), Entry("C:/x"), Entry("-rf")]
    ),
    "of a removal": becomes({".rm-x": text(), "look": text()}, [Entry(".rm-x"), Entry("look")]),
    "with slashes at the end": becomes({"a": text("x"), "b": "dir"}, member(b"a/", b"x") + header(b"b/", kind=b"\0") + END),
    "with dots and slashes": becomes({"a": "dir", "a/b": text()}, [Entry("./a//./b")]),
    "400 deep": becomes(None, [directory("d/" * 399 + "d")]),
    "401 deep": refused("401 components", [directory("d/" * 400 + "d")]),
    "very deep": refused("components", [directory("d/" * 30_000 + "d")]),
    "deep by links": refused("components", [symlink("s", "d/" * 300), Entry("s/" + "e/" * 200 + "f")]),
    "too long together": refused("components", [Entry("/".join(["n" * 250] * 15))]),
    "too long for any": refused("the limit is", member(b"l", b"n" * 70_000, b"L") + header() + END),
    "twice": becomes({"x": text("3")}, [Entry("x", b"1"), Entry("x", b"2"), Entry("x", b"3")]),
    "a thousand times": becomes({"x": "dir"}, [one for _turn in range(500) for one in (Entry("x", b"1"), directory("x"))]),
    "twice, once as a link": becomes({"x": DEAD, "y": text("y")}, [Entry("y", b"y"), symlink("x", "y"), dead("x")]),
    "twice, linked": becomes({"x": DEAD, "y": text("1")}, [Entry("x", b"1"), hardlink("y", "x"), dead("x")]),
    "a file as a parent": becomes({"x": "dir", "x/y": DEAD}, [Entry("x", b"1"), dead("x/y")]),
    "of each kind in turn": becomes(
        {"x": "-> y"},
        [Entry("x")],
        [directory("x"), Entry("x/y")],
        [symlink("x", CANARY)],
        [Entry("x")],
        [directory("x")],
        [symlink("x", "y")],
    ),
}

MAPS: t.Dict[str, Attack] = {
    "8 GiB of nothing": becomes(None, sparse(8 * 1024**3 - 1) + END),
    "8 GiB of nothing, twice": becomes(None, sparse(8 * 1024**3 - 1) + END, [hardlink("y", "x")]),
    "2 GiB with an end": becomes(None, sparse(2 * 1024**3, [(2 * 1024**3 - 4, 4)], b"dead") + END),
    "more than there can be": refused("out of range", sparse(2**70) + END),
    "not in order": refused("not in order", sparse(100, [(50, 2), (10, 2)], b"dead") + END),
    "overlapping": refused("not in order", sparse(100, [(10, 3), (12, 1)], b"dead") + END),
    "out of the file": refused("leaves the file", sparse(100, [(98, 4)], b"dead") + END),
    "other data": refused("does not fit its data", sparse(100, [(10, 2)], b"dead") + END),
    "more data": refused("ends in the middle|does not fit", sparse(8**10, [(0, 8**10)], b"dead") + END),
    "an endless map": refused("does not end", sparse(100, [], b"", (bytes(504) + b"\1" + bytes(7)) * 20_000)),
    "a map of 1.0 without lines": refused("does not end", sparse_1_0(100, b"1" * 10_000_000)),
    "a map of 1.0 of empty lines": refused("does not end", sparse_1_0(100, b"\n" * 10_000_000)),
    "a map of 1.0 that is too long": refused("has 200000 entries", sparse_1_0(100, b"200000\n" + b"0\n0\n" * 200_000)),
    "a map of 1.0 of words": refused("a number was expected", sparse_1_0(100, padded(b"one\n0\n0\n"))),
    "a map of 1.0 below zero": refused("a number was expected", sparse_1_0(100, padded(b"1\n-5\n5\n"))),
    "a map of 1.0 that is longer than its file": refused(
        "does not fit|does not end", sparse_1_0(100, b"1\n0\n" + b"0" * 600 + b"\n", 520)
    ),
    "a map of 1.0 without room": refused("missing", sparse_1_0(100, b"1\n0\n0\n", 10)),
    "a map of 0.1 that is odd": refused(
        "malformed", pax([("GNU.sparse.map", "1,2,3"), ("GNU.sparse.size", "9")]) + header() + END
    ),
    "a map of 0.1 that is too long": refused(
        "malformed", pax([("GNU.sparse.map", ",".join(["0"] * 400_002)), ("GNU.sparse.size", "9")]) + header() + END
    ),
}

FIELDS: t.Dict[str, Attack] = {
    "a negative size": refused("out of range", header(size=b"\xff" * 12) + END),
    "a huge size": refused("ends in the middle", header(size=b"77777777777") + b"x" * 512),
    "a size without bounds": refused("out of range", header(size=b"\x80" + b"\xff" * 11) + END),
    "a size of words": refused("is not a number", header(size=b"nonsense!!!") + END),
    "a size with a sign": refused("is not a number", header(size=b"-0000000004") + END),
    "a size with digits of others": refused("is not a number", header(size=b"0_0000_0004") + END),
    "a size of pax that is longer": becomes(
        {"x": text(header(b"hidden"))}, pax([("size", "512")]) + header() + header(b"hidden") + END
    ),
    "a size of pax without bounds": refused("a number was expected", pax([("size", "9" * 19)]) + header(kind=b"Z") + END),
    "a user without bounds": refused("uid .* out of range", header(p108=base256(2**40, 8)) + END),
    "a user of minus one": refused("uid .* out of range", header(p108=base256(2**32 - 1, 8)) + END),
    "a negative user": refused("uid .* out of range", header(p108=b"\xff" * 8) + END),
    "a group of pax": refused("a number was expected", pax([("gid", str(2**32))]) + header() + END),
    "a time without bounds": becomes({"x": text()}, header(p136=base256(2**62)) + END),
    "a time long ago": becomes({"d": "dir"}, header(b"d", kind=b"5", p136=b"\xff" * 4 + b"\x90" + bytes(7)) + END),
    "a time of words": refused("a number was expected", pax([("mtime", "1e9")]) + header() + END),
    "a mode of all bits": becomes({"x": text()}, header(p100=b"7777777\0") + END),
    "a wrong sum": refused("checksum is wrong", header().replace(b"x", b"y", 1) + END),
    "no header": refused("is not a tar archive|is not a number", b"not a tar archive".ljust(1024, b".")),
    "half a header": refused("ends in the middle", header()[:300]),
    "half a file": refused("ends in the middle", header(size=1000) + b"x" * 512),
    "half a long name": refused("ends in the middle", header(kind=b"L", size=5000) + b"x" * 512),
    "nothing": becomes({}, b""),
    "no end": becomes({"x": text()}, header()),
    "half an end": becomes({"x": text()}, header() + bytes(512)),
    "more after the end": becomes({"x": text()}, header() + END + header(b"y") + END),
    "long names without an end": becomes({}, b"".join(member(b"l", b"n" * 500, b"L") for _turn in range(3000)) + END),
    "a malformed pax header": refused("malformed", member(b"p", b"99 path=x\n", b"x") + header() + END),
    "a pax header of nothing": refused("malformed|a number was", member(b"p", b"-1 path=x\n", b"x") + header() + END),
    "a pax header without a key": refused("without a key", member(b"p", b"6 =xx\n", b"x") + header() + END),
    "a huge pax header": refused("PAX header of 8589934591 bytes", header(kind=b"x", size=b"77777777777")),
    "a huge global header": refused("PAX header of 8589934591 bytes", header(kind=b"g", size=b"77777777777")),
    "a pax header of 80,000 records": becomes({"x": text()}, pax([(f"a{n}", "") for n in range(80_000)]) + header() + END),
    "pax headers without an end": becomes(
        {"x": text()},
        b"".join(pax([(f"SCHILY.xattr.user.{turn}.{n}", "x" * 900) for n in range(60)]) for turn in range(400))
        + pax([])
        + header()
        + END,
    ),
    "global headers": becomes(
        {f"x{n}": text() for n in range(300)},
        pax([(f"k{n}", "x") for n in range(50_000)], b"g") + b"".join(header(b"x%d" % n) for n in range(300)) + END,
    ),
    "global names": becomes({"x": text()}, pax([("path", "evil"), ("uid", "7")], b"g") + header() + END),
}


def packed(data: bytes, *tools: str) -> bytes:
    # starts: zstd
    return subprocess.run([*tools, "-q", "-c"], input=data, check=True, capture_output=True).stdout


GOOD = tar_of([Entry("good", os.urandom(3000))])
ZEROS = bytes(1024 * 1024)


def zeros(mebibytes: int) -> bytes:
    """A gzip stream of zeros, made from members that are made once."""
    return gzip.compress(ZEROS, 9, mtime=0) * mebibytes


STREAMS: t.Dict[str, Attack] = {
    "another diff id": refused("and the image config says", Layer(gzip.compress(GOOD), sha256(b""))),
    "a diff id of another kind": refused("and the image config says", Layer(gzip.compress(GOOD), "sha512:" + "0" * 128)),
    "a diff id that is none": refused("invalid digest", Layer(gzip.compress(GOOD), "sha256:../../canary")),
    "cut off": refused("ends too early", Layer(gzip.compress(GOOD)[:-9], sha256(GOOD))),
    "a wrong sum": refused("damaged", Layer(gzip.compress(GOOD)[:-8] + b"\0" * 8, sha256(GOOD))),
    "rubbish in it": refused("damaged|ends too early", Layer(gzip.compress(GOOD)[:200] + b"rubbish" * 50, sha256(GOOD))),
    "rubbish after it": becomes(None, Layer(gzip.compress(GOOD) + b"rubbish", sha256(GOOD))),
    "no gzip": refused("tar header|damaged|checksum", Layer(b"no tar, and no gzip" * 99, sha256(b""))),
    "only a magic": refused("ends too early", Layer(b"\x1f\x8b", sha256(b""))),
    "nothing": refused("is empty", Layer(b"", sha256(b""))),
    "nothing, packed": becomes({}, Layer(gzip.compress(b""), sha256(b""))),
    "zstd": becomes(None, Layer(packed(GOOD, "zstd"), sha256(GOOD))),
    "zstd, cut off": refused("ends in the middle|and the image config says", Layer(packed(GOOD, "zstd")[:-300], sha256(GOOD))),
    "zstd, damaged": refused("damaged|and the image config says", Layer(packed(GOOD, "zstd")[:-40] + b"x" * 40, sha256(GOOD))),
    "zstd with a huge window": refused("damaged", Layer(bytes.fromhex("28b52ffd00f8") + b"\0" * 50, sha256(GOOD))),
    "zstd of a long window": becomes(
        None,
        Layer(
            packed(tar_of([Entry("z", bytes(1000))]) + bytes(150_000_000), "zstd", "--ultra", "-3", "--zstd=wlog=27"),
            sha256(tar_of([Entry("z", bytes(1000))]) + bytes(150_000_000)),
        ),
    ),
    "a million empty members": becomes({}, Layer(gzip.compress(b"", mtime=0) * 100_000, sha256(b""))),
    "a tar in a tar": becomes(None, [Entry("inner.tar", GOOD)]),
    "twice packed": refused("tar header|checksum", Layer(gzip.compress(gzip.compress(GOOD)), sha256(gzip.compress(GOOD)))),
    "announced as a plain tar": becomes(None, Layer(gzip.compress(GOOD), sha256(GOOD), LAYER.replace("+gzip", ""))),
    "announced as zstd": becomes(None, Layer(gzip.compress(GOOD), sha256(GOOD), LAYER.replace("gzip", "zstd"))),
}


def headers(names: t.Iterable[bytes], kind: bytes = b"0", link: bytes = b"") -> bytes:
    return b"".join(header(name, kind=kind, link=link) for name in names)


def numbered(count: int, before: bytes = b"") -> t.List[bytes]:
    return [before + b"%d" % number for number in range(count)]


#: What is large: each is measured alone. The argument is how large: 1 for every day, 50 for once in a while.
BOMBS: t.Dict[str, t.Callable[[int], Attack]] = {
    "zeros in a file": lambda size: _bomb(header(b"zeros", size=150 * size * 1024 * 1024), 150 * size, END),
    "zeros after the end": lambda size: _bomb(header() + END, 150 * size),
    "zeros in what has no type": lambda size: _bomb(header(kind=b"x", size=octal(99 * size * 1024 * 1024)), 99 * size)._replace(
        refused="PAX header of"
    ),
    "entries": lambda size: becomes(None, headers(numbered(20_000 * size)) + END),
    "directories": lambda size: becomes(None, headers(numbered(6_000 * size), b"5") + END),
    "deep directories": lambda size: becomes(None, [directory("d/" * 350 + str(n)) for n in range(1500 * size)]),
    "links": lambda size: becomes(None, header(b"x") + headers(numbered(min(60_000, 6_000 * size)), b"1", b"x") + END),
    "entries and a mark": lambda size: becomes(
        {"d": "dir"}, header(b"d/", kind=b"5") + headers(numbered(10_000 * size, b"d/")) + END, [Entry("d/.wh..wh..opq")]
    ),
    "entries and a mark at the root": lambda size: becomes({}, headers(numbered(10_000 * size)) + END, [Entry(".wh..wh..opq")]),
    "entries that are replaced": lambda size: becomes(
        {"x": "dir"}, headers(numbered(6_000 * size, b"x/")) + header(b"x") + header(b"x/", kind=b"5") + END
    ),
}


def _bomb(head: bytes, mebibytes: int, tail: bytes = b"") -> Attack:
    digest = hashlib.sha256(head)
    for _turn in range(mebibytes):
        digest.update(ZEROS)
    digest.update(tail)
    data = gzip.compress(head, mtime=0) + zeros(mebibytes) + (gzip.compress(tail, mtime=0) if tail else b"")
    return becomes(None, Layer(data, "sha256:" + digest.hexdigest()))


CORPUS: t.Dict[str, t.Dict[str, Attack]] = {
    "escapes": ESCAPES,
    "whiteouts": WHITEOUTS,
    "attributes": ATTRIBUTES,
    "devices": DEVICES,
    "names": NAMES,
    "maps": MAPS,
    "fields": FIELDS,
    "streams": STREAMS,
}
