# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives for the tests: into and out of an engine by the code under test, and tars of any content by the standard library."""

from __future__ import annotations

import io
import json
import pathlib
import tarfile
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.archive.export import ExportedImage, make_pack
from ansible_collections.fleet.containerd.plugins.module_utils.archive.images import ArchiveSource, Contents
from ansible_collections.fleet.containerd.plugins.module_utils.archive.load import LoadOptions, LoadResult, load, reason_to_load
from ansible_collections.fleet.containerd.plugins.module_utils.archive.read import open_archive
from ansible_collections.fleet.containerd.plugins.module_utils.archive.write import Pack, write_archive
from ansible_collections.fleet.containerd.plugins.module_utils.image.walk import Selection
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference

from .ansible import Task, task
from .images import Layout, sha256

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
ONE, ALL = LoadOptions(AMD64), LoadOptions(None)
HOST = Selection((AMD64,))
Members = t.Mapping[str, t.Union[bytes, tarfile.TarInfo]]


def sources_of(contents: Contents, name: str = "unnamed:1") -> t.List[ArchiveSource]:
    """All images of an archive; name is for those that have none."""
    return [ArchiveSource(contents, Reference.parse(own), image) for image in contents.images for own in image.names or (name,)]


def load_from(engine: Engine, path: t.Union[str, pathlib.Path], name: str = "unnamed:1", wish: LoadOptions = ONE) -> LoadResult:
    """Load all images of an archive that are missing."""
    with open_archive(str(path)) as archive:
        sources = sources_of(Contents(archive), name)
        return load(engine, [one for one in sources if reason_to_load(engine, one, wish)], wish)


def reasons(engine: Engine, path: t.Union[str, pathlib.Path], name: str = "unnamed:1", wish: LoadOptions = ONE) -> t.List[str]:
    """Why the images of an archive have to be loaded."""
    with open_archive(str(path)) as archive:
        return [reason_to_load(engine, one, wish) for one in sources_of(Contents(archive), name)]


def pack_of(engine: Engine, *names: str, selection: Selection = HOST, docker: bool = True) -> Pack:
    sources = [ExportedImage(Reference.parse(name), engine.images.get(Reference.parse(name).record).target) for name in names]
    return make_pack(engine.content, sources, selection, docker, AMD64)


def export_to(
    engine: Engine,
    path: pathlib.Path,
    *names: str,
    selection: Selection = HOST,
    docker: bool = True,
    compression: str = "none",
) -> bytes:
    """Export images; the archive's bytes."""
    write_archive(str(path), pack_of(engine, *names, selection=selection, docker=docker), engine.content.open, compression)
    return path.read_bytes()


def tar(members: t.Union[Members, t.Iterable[t.Tuple[str, t.Union[bytes, tarfile.TarInfo]]]]) -> bytes:
    """A tar of files, and of whatever a TarInfo says (its name is set)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, value in members.items() if isinstance(members, t.Mapping) else members:
            info = value if isinstance(value, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name = name
            data = value if isinstance(value, bytes) else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def members_of(layout: Layout) -> t.Dict[str, bytes]:
    """The files of an image layout, by their names in an archive."""
    files = [path for path in sorted(layout.path.rglob("*")) if path.is_file()]
    return {str(path.relative_to(layout.path)): path.read_bytes() for path in files}


def docker_members(layers: t.Sequence[bytes], *tags: str, old: bool = True, **config: t.Any) -> t.Dict[str, bytes]:
    """An archive as docker save writes it: before version 25 (a directory a layer), or with layers named by their digests."""
    body = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
    }
    data = json.dumps(body).encode()
    names = [f"{number:064x}/layer.tar" if old else f"blobs/sha256/{sha256(layer)[7:]}" for number, layer in enumerate(layers)]
    config_name = sha256(data)[7:] + ".json" if old else f"blobs/sha256/{sha256(data)[7:]}"
    manifest = [{"Config": config_name, "RepoTags": list(tags) or None, "Layers": names}]
    found = dict(zip(names, layers))
    return {**found, config_name: data, "manifest.json": json.dumps(manifest).encode()}


def load_task(path: t.Union[str, pathlib.Path], ignore_errors: bool = False, **options: t.Any) -> Task:
    """A task that loads the images of an archive."""
    return {**task("containerd_image_load", path=str(path), **options), "name": f"load {path}", "ignore_errors": ignore_errors}
