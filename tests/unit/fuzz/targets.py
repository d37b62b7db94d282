# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What reads the bytes of strangers: one target each, with a strategy that makes such bytes.

A target fails by any exception but an EngineError that is one printable line, by a value that breaks what the parser promises,
and by taking long.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import pathlib
import shutil
import stat
import tempfile
import time
import typing as t

from hypothesis import strategies as st

from ansible_collections.fleet.containerd.plugins.module_utils.archive.images import Contents
from ansible_collections.fleet.containerd.plugins.module_utils.archive.read import open_archive
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import LayerTarget
from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.copy_tree import copy_root
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mount, unmount
from ansible_collections.fleet.containerd.plugins.module_utils.layers.diff_apply import apply_layer
from ansible_collections.fleet.containerd.plugins.module_utils.oci import media_types
from ansible_collections.fleet.containerd.plugins.module_utils.oci.decompress import decompressed
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.image_config import ImageConfig
from ansible_collections.fleet.containerd.plugins.module_utils.oci.manifest import Index, parse
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.oci.tar_reader import TarReader, parse_pax
from ansible_collections.fleet.containerd.plugins.module_utils.registry.credentials import (
    find_in_config,
    parse_challenges,
    read_config,
)
from ansible_collections.fleet.containerd.plugins.module_utils.registry.hosts import hosts_of, parse_duration, parse_toml
from ansible_collections.fleet.containerd.plugins.module_utils.registry.hosts_file import render
from ansible_collections.fleet.containerd.plugins.module_utils.registry.sessions import (
    diagnostics,
    joined,
    origin,
    retry_after,
    whole_number,
)
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.users import resolve_user
from ansible_collections.fleet.containerd.tests.support.archives import docker_members, tar
from ansible_collections.fleet.containerd.tests.support.hostile_tars import (
    END,
    base256,
    header,
    octal,
    padded,
    pax,
    record,
    sparse,
    sparse_1_0,
)
from ansible_collections.fleet.containerd.tests.support.images import (
    Entry,
    directory,
    hand_made_layers,
    hardlink,
    symlink,
    tar_of,
)

_SECONDS = 5.0
DIGEST = "sha256:" + "0" * 64


class Target(t.NamedTuple):
    """run: one try. bytes: what it is fed with."""

    run: t.Callable[[bytes], None]
    bytes: st.SearchStrategy[bytes]


@contextlib.contextmanager
def refusals() -> t.Iterator[None]:
    """An error of ours is a good answer, if it is one that can be shown; all this within some time."""
    started = time.monotonic()
    try:
        yield
    except EngineError as error:
        assert str(error).isprintable(), repr(error)
        assert 0 < len(str(error)) < 3000, f"{len(str(error))} characters"
    assert time.monotonic() - started < _SECONDS, f"{time.monotonic() - started:.1f} s"


# Making bytes


@st.composite
def changed(draw: st.DrawFn, samples: t.Sequence[bytes], words: t.Sequence[bytes] = ()) -> bytes:
    """A sample with some changes: bytes, words, parts taken away, doubled or put elsewhere."""
    data = draw(st.sampled_from(samples))
    places = st.integers(0, max(len(data), 1))
    for _turn in range(draw(st.integers(0, 6))):
        start, length = draw(places) % (len(data) + 1), draw(st.integers(0, 64))
        part = data[start : start + length]
        new = draw(st.sampled_from([b"", part * 2, *words]) if draw(st.booleans()) else st.binary(max_size=8))
        keep = draw(st.booleans())
        data = data[:start] + (part + new if keep else new) + data[start + length :]
    return data


NAMES = st.one_of(
    st.sampled_from(
        [
            b"a",
            b"a/b",
            b"d",
            b"d/x",
            b"l",
            b"l/x",
            b"..",
            b"a/../b",
            b"/",
            b"",
            b".",
            b"./a",
            b".wh.a",
            b".wh..wh..opq",
            b"d/.wh..wh..opq",
            b"\xff",
        ]
    ),
    st.binary(max_size=30),
)
KINDS = st.sampled_from(
    [b"0", b"0", b"5", b"5", b"2", b"2", b"1", b"1", b"\0", b"3", b"4", b"6", b"7", b"x", b"g", b"L", b"K", b"S", b"V", b"\xff"]
)
NUMBERS = st.one_of(
    st.integers(0, 2000).map(octal),
    st.integers(-(2**80), 2**80).map(lambda value: base256(value) if -(2**87) < value < 2**87 else b""),
    st.binary(max_size=12),
)
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "path",
                "linkpath",
                "size",
                "uid",
                "gid",
                "mtime",
                "GNU.sparse.map",
                "GNU.sparse.size",
                "GNU.sparse.offset",
                "GNU.sparse.numbytes",
            ]
            + [
                "GNU.sparse.major",
                "GNU.sparse.realsize",
                "GNU.sparse.name",
                "SCHILY.xattr.user.a",
                "SCHILY.xattr.trusted.overlay.opaque",
                "x",
            ]
        ),
        st.one_of(
            st.sampled_from([b"", b"0", b"1", b"512", b"-1", b"1.5", b"../x", b"0,5,9", b"9" * 19]), st.binary(max_size=20)
        ),
    ),
    max_size=5,
)


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """One member of a tar, more or less well-formed, with a right checksum."""
    choice = draw(st.integers(0, 9))
    if choice == 0:
        return pax(draw(RECORDS), draw(st.sampled_from([b"x", b"g"])))
    if choice == 1:
        segments = draw(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 600)), max_size=4))
        return sparse(
            draw(st.integers(0, 2**40)), segments, draw(st.binary(max_size=600)), draw(st.sampled_from([b"", bytes(512)]))
        )
    if choice == 2:
        content = draw(st.one_of(st.binary(max_size=40), st.sampled_from([b"1\n0\n5\n", b"0\n", b"2\n0\n1\n5\n1\n"])))
        return sparse_1_0(draw(st.integers(0, 5000)), padded(content) + draw(st.binary(max_size=20)))
    fields = draw(
        st.dictionaries(
            st.sampled_from(["p100", "p108", "p116", "p136", "p329", "p337"]), NUMBERS.map(lambda field: field[:8]), max_size=2
        )
    )
    data = draw(st.binary(max_size=100))
    size = draw(NUMBERS) if draw(st.integers(0, 5)) == 0 else octal(len(data))
    return header(draw(NAMES), size[:12], draw(KINDS), draw(NAMES), **fields) + padded(data)


TARS = st.one_of(
    st.tuples(st.lists(members(), max_size=8), st.sampled_from([END, b"", b"\0" * 512])).map(
        lambda parts: b"".join(parts[0]) + parts[1]
    ),
    changed(
        [hand_made_layers()[0], tar_of([directory("d"), Entry("d/f", b"x" * 700), symlink("l", "d"), hardlink("h", "d/f")])],
        [bytes(512), b"ustar\x0000", b"\x80"],
    ),
)


_PLACES = ["a", "a/b", "a/n", "a/up", "d", "d/x", "d/x/y", "d/n", "d/n/y", "l", "l/x", "l/n", "n", "n/y"]


@st.composite
def layers(draw: st.DrawFn) -> bytes:
    """A layer without mistakes, over one that has some of its paths."""
    entries = [directory(name) for name in ("a", "d", "d/x") if draw(st.booleans())]
    for _turn in range(draw(st.integers(1, 6))):
        place = draw(st.sampled_from(_PLACES))
        parent, _slash, name = place.rpartition("/")
        inside = parent + "/" if parent else ""
        kind = draw(st.sampled_from(["file", "directory", "symlink", "hardlink", "whiteout", "whiteout", "opaque"]))
        if kind == "file":
            entries.append(Entry(place, b"above"))
        elif kind == "directory":
            entries.append(directory(place))
        elif kind == "symlink":
            entries.append(symlink(place, draw(st.sampled_from(["d", "/a", "../d/x", "n"]))))
        elif kind == "hardlink":
            entries.append(hardlink(place, draw(st.sampled_from(_PLACES))))
        elif kind == "whiteout":
            entries.append(Entry(f"{inside}.wh.{name}"))
        else:
            entries.append(Entry(f"{inside}.wh..wh..opq"))
    return tar_of(entries)


# Targets: tars


class _Blocks:
    """A stream in blocks of odd lengths."""

    def __init__(self, data: bytes) -> None:
        self._stream, self._turn = io.BytesIO(data), 0

    def read(self) -> bytes:
        self._turn += 1
        return self._stream.read((self._turn * 211) % 701 + 1)


def read_tar(data: bytes) -> None:
    with refusals():
        for number, entry in enumerate(TarReader(_Blocks(data))):
            assert number < len(data) // 512
            assert entry.uid < 2**32 and entry.gid < 2**32
            assert 0 <= entry.real_size < 2**63
    with refusals():
        reader = TarReader(_Blocks(data))
        for entry in reader:
            got = sum(len(block) for block in reader.blocks())
            assert got == entry.size or entry.kind not in (b"0", b"S")


_BELOW = tar_of(
    [
        directory("./", 0o750, uid=5, gid=6),
        *(directory(name) for name in ("a", "d", "d/x")),
        *(Entry(name, b"below") for name in ("a/b", "d/x/y")),
        symlink("l", "d"),
        symlink("a/up", "../d/x"),
    ]
)


def unpack(data: bytes) -> None:
    """Into a plain tree, and into an overlay's upper directory; beside them is what must not change."""
    base = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    try:
        (base / "canary").write_text("alive")
        lower, late = base / "lower", base / "late"
        for name in ("lower", "plain", "upper", "late", "late-upper"):
            (base / name).mkdir()
        apply_layer(io.BytesIO(_BELOW), media_types.OCI_LAYER, LayerTarget(str(lower)))
        before = sorted(str(path) for path in lower.rglob("*"))

        def write(root: str, lowers: t.Sequence[str] = (), below: t.Optional[t.Callable[[], None]] = None) -> bool:
            with refusals():
                done = apply_layer(
                    io.BytesIO(data),
                    media_types.OCI_LAYER,
                    LayerTarget(str(base / root), tuple(lowers), bool(lowers)),
                    10_000_000,
                    below,
                )
                if lowers and not done.root:
                    copy_root(str(lower), str(base / root))
                return True
            return False

        apply_layer(io.BytesIO(_BELOW), media_types.OCI_LAYER, LayerTarget(str(base / "plain")))
        plain = write("plain")
        done = write("upper", [str(lower)])
        waited: t.List[object] = []

        def below() -> None:
            waited.append(apply_layer(io.BytesIO(_BELOW), media_types.OCI_LAYER, LayerTarget(str(late))))

        assert write("late-upper", [str(late)], below) == done
        assert len(waited) < 2
        if done:
            shown = [_shown(base, "lower", "upper"), _shown(base, "late" if waited else "lower", "late-upper")]
            assert shown[0] == shown[1], "one after another, and at once"
            assert not plain or shown[0]["b'.'"][:3] == _look(base / "plain")["b'.'"][:3], (
                "the root directory, in a plain tree too"
            )
        assert sorted(os.listdir(base)) == ["canary", "late", "late-upper", "lower", "plain", "upper"]
        assert (base / "canary").read_text() == "alive"
        assert sorted(str(path) for path in lower.rglob("*")) == before
    finally:
        shutil.rmtree(base)


def _shown(base: pathlib.Path, lower: str, upper: str) -> t.Dict[str, t.Tuple[t.Any, ...]]:
    """What the kernel shows of one layer over the other."""
    target = base / "shown"
    target.mkdir()
    mount("overlay", "overlay", str(target), [f"lowerdir={base / upper}:{base / lower}", "ro"])
    try:
        return _look(target)
    finally:
        unmount(str(target))
        target.rmdir()


def _look(root: pathlib.Path) -> t.Dict[str, t.Tuple[t.Any, ...]]:
    """All that there is below a directory, but times."""
    found: t.Dict[str, t.Tuple[t.Any, ...]] = {}
    for directory_path, directories, files in os.walk(os.fsencode(root)):
        for name in (*((b".",) if directory_path == os.fsencode(root) else ()), *directories, *files):
            path = os.path.join(directory_path, name)
            info = os.lstat(path)
            attributes = {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)}
            content = b""
            if stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                content = pathlib.Path(os.fsdecode(path)).read_bytes() if info.st_size < 10_000_000 else b"%d" % info.st_size
            found[repr(os.path.relpath(path, os.fsencode(root)))] = (
                info.st_mode,
                info.st_uid,
                info.st_gid,
                info.st_rdev,
                content,
                sorted(attributes.items()),
            )
    return found


def read_pax(data: bytes) -> None:
    with refusals():
        found = parse_pax(data)
        assert sum(len(key) + len(value) for key, value in found.items()) <= 2 * len(data)
    both = data.partition(b"=")
    if both[0] and b"\0" not in both[0]:
        key = b"SCHILY.xattr." + both[0]
        assert parse_pax(record(key, both[2])) == {key: both[2]}


def read_packed(data: bytes) -> None:
    with refusals():
        total = 0
        for block in decompressed(io.BytesIO(data), "layer"):
            total += len(block)
            assert len(block) <= 4 * 1024 * 1024
            if total > 50_000_000:
                break


def read_archive(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as stream:
        stream.write(data)
        stream.flush()
        with refusals(), open_archive(stream.name) as archive:
            for image in Contents(archive).images:
                assert all(Reference.parse(name).record == name for name in image.names)


# Targets: documents


def read_document(data: bytes) -> None:
    for media_type in (media_types.OCI_MANIFEST, media_types.OCI_INDEX):
        with refusals():
            found = parse(data, media_type)
            if isinstance(found, Index):
                for one in found.manifests:
                    assert Descriptor.from_json(one.to_json(), "it") == one
                found.choose(Platform("linux", "amd64"))
            else:
                assert all(Descriptor.from_json(one.to_json(), "it") == one for one in (found.config, *found.layers))


def read_config_of_image(data: bytes) -> None:
    with refusals():
        found = ImageConfig.parse(data)
        json.dumps(found).encode()
        assert str(found.platform).isprintable()
        assert all(isinstance(one, str) for one in (*found.env, *found.cmd, *found.entrypoint, *found.volumes))


def read_reference(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    with refusals():
        found = Reference.parse(text)
        assert Reference.parse(str(found)) == found
        assert Reference.parse(found.familiar) == found
        assert str(found).isascii() and str(found).isprintable() and " " not in str(found)
        assert ".." not in found.path.split("/") and "//" not in found.path
    with refusals():
        digest = Digest.parse(text)
        assert digest.hasher().name == digest.algorithm
    with refusals():
        platform = Platform.parse(text)
        assert Platform.parse(str(platform)) == platform


# Targets: registries


def read_challenge(data: bytes) -> None:
    text = data.decode("latin-1")
    started = time.process_time()
    for one in parse_challenges(text):
        assert one.scheme == one.scheme.lower()
        assert all(name == name.lower() for name in one.parameters)
    assert time.process_time() - started < 1


def read_header(data: bytes) -> None:
    text = data.decode("latin-1")
    seconds = retry_after(text)
    assert seconds is None or seconds >= 0
    number = whole_number(text)
    assert number is None or str(number) == text.lstrip("0") or number == 0
    with refusals():
        scheme, _name, port = origin(joined("https://registry.test/v2/app", text))
        assert scheme == scheme.lower()
        assert 0 <= port < 65536


def read_error(data: bytes) -> None:
    for code, message in diagnostics(data):
        assert (code + message).isprintable()
        assert len(code + message) < 10_000


def read_hosts(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with refusals():
        found = parse_toml(text, "hosts.toml").unwrap()
        hosts = hosts_of(found, "/etc/hosts.toml", "registry.test:5000", look=False)
        assert hosts
        for host in hosts:
            assert host.url.isprintable()
            assert host.authority.isascii()
            assert all(value.isprintable() for value in host.header.values())
    with refusals():
        again = parse_toml(render({"server": text, "host": {"https://a": {"header": {"x": text}}}}), "it").unwrap()
        assert again["server"] == text


def read_accounts(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as stream:
        stream.write(data)
        stream.flush()
        with refusals():
            config = read_config(stream.name, True)
            config.pop("credsStore", None)
            config.pop("credHelpers", None)
            find_in_config(config, stream.name, "registry.test")


def read_users(data: bytes) -> None:
    """The first line is what is asked for, the others are the files of the image."""
    wanted, _line, rest = data.partition(b"\n")
    passwd, _mark, group = rest.partition(b"\n\n")
    with tempfile.TemporaryDirectory() as base:
        os.mkdir(os.path.join(base, "etc"))
        for name, content in (("passwd", passwd), ("group", group)):
            pathlib.Path(base, "etc", name).write_bytes(content)
        fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with refusals():
                found = resolve_user(fd, wanted.decode("utf-8", "surrogateescape"))
                assert all(0 <= one < 2**31 for one in (found.uid, found.gid, *found.groups))
        finally:
            os.close(fd)


def read_duration(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert parse_duration(data.decode("utf-8", "replace")) >= 0


def documents(*samples: t.Any) -> st.SearchStrategy[bytes]:
    """JSON like these, with changes in structure and in text."""
    words = [
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"null",
        b"true",
        b"-1",
        b"1e999",
        b'"\\ud800"',
        b'"\\u0000"',
        b"\xff",
        b"9" * 30,
        b"2",
    ]
    texts = [json.dumps(one).encode() for one in samples]
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )

    @st.composite
    def replaced(draw: st.DrawFn) -> bytes:
        document = json.loads(draw(st.sampled_from(texts)))
        node = document
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                return json.dumps(document).encode()
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], (dict, list)) and node[key] and draw(st.booleans()):
                node = node[key]
                continue
            node[key] = draw(values)
            return json.dumps(document).encode()

    return st.one_of(replaced(), changed(texts, words))


_DESCRIPTOR = {
    "mediaType": media_types.OCI_LAYER,
    "digest": DIGEST,
    "size": 5,
    "annotations": {"a": "b"},
    "platform": {"os": "linux", "architecture": "arm", "variant": "v7"},
}
MANIFEST = {
    "schemaVersion": 2,
    "mediaType": media_types.OCI_MANIFEST,
    "config": _DESCRIPTOR,
    "layers": [_DESCRIPTOR, _DESCRIPTOR],
    "annotations": {},
}
INDEX = {
    "schemaVersion": 2,
    "mediaType": media_types.OCI_INDEX,
    "manifests": [{**_DESCRIPTOR, "mediaType": media_types.OCI_MANIFEST}] * 2,
}
CONFIG = {
    "os": "linux",
    "architecture": "amd64",
    "created": "2023-11-14T22:13:20Z",
    "config": {
        "User": "0:0",
        "Env": ["A=b"],
        "Cmd": ["sh"],
        "Labels": {"a": "b"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/v": {}},
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "TERM",
    },
    "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
}
HOSTS = (
    b'server = "https://registry.test"\ncapabilities = ["pull"]\n[host."https://mirror.test:5000"]\n  capabilities = ["pull", "resolve"]\n'
    b'  skip_verify = true\n  override_path = true\n  ca = ["a.pem"]\n  client = [["a", "b"]]\n  dial_timeout = "5s"\n'
    b'  [host."https://mirror.test:5000".header]\n    x-custom = ["a", "b"]\n',
    b"[host.\"http://[::1]:80\"]\n[host.'https://b/v2']\nca='x'\n",
)
TOML = [
    b"[",
    b"]",
    b'"',
    b"'",
    b"=",
    b"\n",
    b".",
    b"{",
    b"}",
    b"[[a]]",
    b"a.b.c",
    b"#",
    b"1979-05-27",
    b"nan",
    b"\\u0000",
    b'"""',
    b"host",
    b"[" * 300,
]
REFERENCES = [
    b"docker.io/library/nginx:1.27",
    b"localhost:5000/a/b__c",
    b"app@" + DIGEST.encode(),
    b"[::1]:5000/a",
    b"linux/arm64/v8",
    DIGEST.encode(),
]
CHALLENGES = [
    b'Bearer realm="https://a/b?c=d,e",service="s",scope="repository:a:pull,push"',
    b'Negotiate, Basic realm="q\\"u"',
    b"Basic",
]
ACCOUNTS = ({"auths": {"registry.test": {"auth": "dXNlcjpwdw=="}, "https://registry.test": {"identitytoken": "x"}}},)
USERS = [
    b"user:group\nroot:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:\n\ngroup:x:2000:user,root\n",
    b"1000\n\n\n",
    b"0:99\nroot:x:0:0\n",
]


def archives() -> st.SearchStrategy[bytes]:
    plain = tar(docker_members(hand_made_layers()[:1], "app:1"))
    return st.one_of(
        changed(
            [
                plain[-8192:],
                plain[:3000],
                tar({"manifest.json": b"[]"}),
                gzip.compress(tar({"index.json": json.dumps(INDEX).encode()}), mtime=0),
            ]
        ),
        TARS,
        TARS.map(lambda data: gzip.compress(data, 1)),
    )


PACKED = [
    gzip.compress(b"x" * 3000, mtime=0),
    gzip.compress(b"", mtime=0) * 3,
    bytes.fromhex("28b52ffd2403190000616263e5ab1f51"),
    b"\x1f\x8b",
]

TARGETS: t.Dict[str, Target] = {
    "tar": Target(read_tar, TARS),
    "layer": Target(unpack, TARS),
    "layers": Target(unpack, layers()),
    "pax": Target(
        read_pax,
        st.one_of(
            st.binary(max_size=60),
            changed([record("path", "a") + record("size", "12"), b"12 path=xxx\n"], [b"=", b" ", b"\n", b"99"]),
        ),
    ),
    "packed": Target(read_packed, changed(PACKED, [b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", bytes(4), b"\xff" * 4])),
    "archive": Target(read_archive, archives()),
    "document": Target(read_document, documents(MANIFEST, INDEX)),
    "config": Target(read_config_of_image, documents(CONFIG)),
    "reference": Target(
        read_reference, st.one_of(changed(REFERENCES, [b":", b"@", b"/", b"..", b"\xc2\xb2", b"-", b"_"]), st.binary(max_size=40))
    ),
    "challenge": Target(
        read_challenge, st.one_of(changed(CHALLENGES, [b'"', b",", b"=", b"\\", b" " * 500, b"a=" * 400]), st.binary(max_size=60))
    ),
    "header": Target(
        read_header,
        st.one_of(
            changed(
                [b"120", b"Wed, 21 Oct 2015 07:28:00 GMT", b"https://user:pw@[::1]:5000/v2?a=b#c", b"//x", b"/v2/"],
                [b"\xb2", b"9" * 30, b"[", b"]", b"@", b":", b"%", b"\\"],
            ),
            st.binary(max_size=40),
        ),
    ),
    "error": Target(read_error, documents({"errors": [{"code": "DENIED", "message": "no", "detail": {}}]})),
    "hosts": Target(read_hosts, changed(HOSTS, TOML)),
    "accounts": Target(read_accounts, documents(*ACCOUNTS)),
    "users": Target(read_users, changed(USERS, [b":", b"\n", b"4294967296", b"\xc2\xb2", b"-1", b"9" * 5000, b","])),
    "duration": Target(read_duration, changed([b"1m30s", b"500ms", b".5h"], [b"\xc2\xb5s", b"\xc2\xb2", b"9" * 400, b"."])),
}
