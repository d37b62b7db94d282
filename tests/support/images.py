# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building images for the tests, the demo and the benchmarks: layers from files or directories, into OCI image layouts."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import pathlib
import tarfile
import typing as t

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

MTIME = 1_700_000_000


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclasses.dataclass
class Entry:
    """One member of a layer; content for files, link for links."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = MTIME
    device: t.Tuple[int, int] = (0, 0)
    pax: t.Dict[str, str] = dataclasses.field(default_factory=dict)


def directory(name: str, mode: int = 0o755, **more: t.Any) -> Entry:
    return Entry(name, kind=tarfile.DIRTYPE, mode=mode, **more)


def symlink(name: str, link: str) -> Entry:
    return Entry(name, kind=tarfile.SYMTYPE, link=link, mode=0o777)


def hardlink(name: str, link: str) -> Entry:
    return Entry(name, kind=tarfile.LNKTYPE, link=link)


def tar_of(entries: t.Iterable[Entry]) -> bytes:
    """An uncompressed tar, the same for the same entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.linkname, info.mode = entry.kind, entry.link, entry.mode
            info.uid, info.gid, info.mtime, info.size = entry.uid, entry.gid, entry.mtime, len(entry.content)
            info.devmajor, info.devminor = entry.device
            info.pax_headers = dict(entry.pax)
            archive.addfile(info, io.BytesIO(entry.content))
    return out.getvalue()


class Layout:
    """An OCI image layout directory that is being written."""

    def __init__(self, path: t.Union[str, pathlib.Path]) -> None:
        self.path = pathlib.Path(path)
        (self.path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self._tops: t.List[t.Dict[str, t.Any]] = []

    def blob(self, data: bytes, media_type: str, **more: t.Any) -> t.Dict[str, t.Any]:
        """Store bytes; their descriptor."""
        digest = sha256(data)
        (self.path / "blobs" / "sha256" / digest[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def read(self, descriptor: t.Mapping[str, t.Any]) -> bytes:
        return (self.path / "blobs" / "sha256" / str(descriptor["digest"])[7:]).read_bytes()

    def json(self, value: t.Any, media_type: str, **more: t.Any) -> t.Dict[str, t.Any]:
        return self.blob(json.dumps(value, sort_keys=True).encode(), media_type, **more)

    def image(
        self,
        layers: t.Sequence[bytes],
        config: t.Optional[t.Mapping[str, t.Any]] = None,
        architecture: str = "amd64",
        level: int = 6,
        docker: bool = False,
    ) -> t.Dict[str, t.Any]:
        """An image from uncompressed layers (bottom first); the descriptor of its manifest."""
        kinds = (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER) if docker else (MANIFEST, CONFIG, LAYER)
        descriptors = [self.blob(gzip.compress(layer, level, mtime=0), kinds[2]) for layer in layers]
        body = {
            "created": "2023-11-14T22:13:20Z",
            "os": "linux",
            "architecture": architecture,
            "config": dict(config or {}),
            "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
        }
        manifest = {"schemaVersion": 2, "mediaType": kinds[0], "config": self.json(body, kinds[1]), "layers": descriptors}
        return self.json(manifest, kinds[0], platform={"os": "linux", "architecture": architecture})

    def index(self, manifests: t.Sequence[t.Mapping[str, t.Any]]) -> t.Dict[str, t.Any]:
        """An index of several manifests."""
        return self.json({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}, INDEX)

    def tag(self, descriptor: t.Mapping[str, t.Any], name: str) -> t.Dict[str, t.Any]:
        """Give a top descriptor a name in index.json."""
        named = {**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}}
        self._tops = [top for top in self._tops if top["annotations"] != named["annotations"]] + [named]
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self._tops}
        (self.path / "index.json").write_text(json.dumps(body))
        return dict(descriptor)


_APPLETS = [
    "sh",
    "ls",
    "cat",
    "echo",
    "sleep",
    "true",
    "false",
    "id",
    "env",
    "hostname",
    "pwd",
    "ps",
    "kill",
    "mount",
    "tty",
    "stty",
    "test",
    "touch",
    "rm",
    "mkdir",
    "ip",
    "head",
    "tail",
    "wc",
]
DEFAULT_ENV = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]


def busybox_layer() -> bytes:
    """A small root file system around the static busybox of the machine."""
    with open("/bin/busybox", "rb") as stream:
        return _root_layer(stream.read())


def _root_layer(busybox: bytes) -> bytes:
    entries = [directory(name) for name in ("bin", "dev", "etc", "proc", "root", "sys", "usr", "var")]
    entries += [directory("tmp", 0o1777), Entry("bin/busybox", busybox, mode=0o755)]
    entries += [symlink(f"bin/{name}", "busybox") for name in _APPLETS]
    entries += [
        Entry("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n"),
        Entry("etc/group", b"root:x:0:\nuser:x:1000:\nextra:x:2000:user\n"),
    ]
    return tar_of(entries)


def busybox_image(layout: Layout, more: t.Sequence[bytes] = (), **config: t.Any) -> t.Dict[str, t.Any]:
    """A runnable image of a few megabytes."""
    return layout.image([busybox_layer(), *more], {"Env": DEFAULT_ENV, "Cmd": ["sh"], **config}, level=1)


def small_layer() -> bytes:
    """The same in a few kilobytes, for engines whose containers only pretend to run."""
    return _root_layer(b"no busybox")


def small_image(layout: Layout, more: t.Sequence[bytes] = (), **config: t.Any) -> t.Dict[str, t.Any]:
    """An image of a few kilobytes."""
    return layout.image([small_layer(), *more], {"Env": DEFAULT_ENV, "Cmd": ["sh"], **config}, level=1)


def hand_made_layers() -> t.List[bytes]:
    """Three layers with everything that is hard about them: whiteouts, opaque directories, links across layers, odd modes."""
    bottom = [
        directory("a", 0o700, uid=5, gid=6),
        Entry("a/file", b"one", mode=0o4755),
        Entry("a/gone", b"x"),
        directory("a/deep"),
        directory("a/deep/er"),
        Entry("a/deep/er/file", b"deep" * 1000, uid=1000, gid=1000),
        directory("opaque", 0o750),
        Entry("opaque/old", b"old"),
        directory("opaque/olddir"),
        Entry("opaque/olddir/x", b"x"),
        directory("usr"),
        directory("usr/lib"),
        Entry("usr/lib/libx", b"lib", mode=0o644),
        symlink("lib", "usr/lib"),
        Entry("linked", b"linked content"),
        hardlink("linked2", "linked"),
        Entry("replaced", b"a file"),
        directory("replaceddir"),
        Entry("replaceddir/x", b"x"),
        Entry("fifo", kind=tarfile.FIFOTYPE, mode=0o600),
        Entry("null", kind=tarfile.CHRTYPE, mode=0o666, device=(1, 3)),
        Entry("caps", b"binary", mode=0o755, pax={"SCHILY.xattr.user.test": "value"}),
        Entry("n" * 200 + "/" + "m" * 200, b"long"),
        Entry("latin-\udce9", b"not utf-8"),
        Entry("fraction", b"f", mtime=MTIME + 0.123456789),
    ]
    middle = [
        directory("a", 0o700, uid=5, gid=6),
        Entry("a/.wh.gone"),
        directory("opaque", 0o750),
        Entry("opaque/.wh..wh..opq"),
        Entry("opaque/new", b"new"),
        Entry(".wh.replaced"),
        directory("replaced"),
        Entry("replaced/inside", b"inside"),
        Entry("replaceddir", b"now a file"),
        directory("usr", mtime=MTIME + 5),
        directory("usr/lib", mtime=MTIME + 6),
        Entry("usr/lib/liby", b"second"),
    ]
    top = [
        directory("a", 0o711, uid=7, gid=8),
        directory("a/deep"),
        directory("a/deep/er"),
        Entry("a/deep/er/file", b"changed", uid=1, gid=2),
        Entry("linked3", b"third"),
        hardlink("linked4", "linked3"),
        directory("a/.wh..wh.plnk"),
        symlink("dangling", "/no/where"),
        directory("sticky", 0o1777),
    ]
    return [tar_of(bottom), tar_of(middle), tar_of(top)]
