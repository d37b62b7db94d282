# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_export: images into an archive or a directory."""

from __future__ import annotations

import functools
import os
import typing as t

from ...archive.export import ExportedImage, make_pack
from ...archive.write import (
    Pack,
    check_directory,
    is_archive_of,
    is_directory_of,
    write_archive,
    write_directory,
)
from ...errors import FailedPrecondition, InvalidArgument
from ...hostfs.atomic import check_parent
from ...hostfs.places import place
from ...image.walk import Selection
from ...kernel.converge import Facts, Plan, Step
from ...oci.platform import Platform
from .facts import image_facts
from .find import look_at
from .stored import StoredImage, stored_image

if t.TYPE_CHECKING:
    from ...engine.api import Engine


class WantedExport(t.NamedTuple):
    """The wanted archive. platform: None means all. exact: the task named it; it is not just the target's."""

    images: t.Tuple[StoredImage, ...]
    path: str
    format: str
    compression: str
    platform: t.Optional[Platform]
    exact: bool
    partial: bool
    force: bool

    @property
    def is_directory(self) -> bool:
        return self.format == "oci-dir"

    @property
    def labels(self) -> t.List[str]:
        """The images as a user reads them."""
        return sorted({stored.label for stored in self.images})


class FoundArchive(t.NamedTuple):
    """pack: the wanted content. size: bytes of the present archive (None: there is none). same: whether it has that content."""

    pack: Pack
    size: t.Optional[int]
    same: bool


class ImageExportResource:
    """H: the wanted archive, and the present one."""

    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> WantedExport:
        if params["format"] == "oci-dir" and params["compression"] != "none":
            raise InvalidArgument(f"compression: {params['compression']} is not for a directory, which format=oci-dir makes")
        if not params["names"]:
            raise InvalidArgument("names: give at least one image")
        platform = params["platform"]
        if platform != "all":
            platform = Platform.parse(platform) if platform else Platform.host()
        path = params["path"].rstrip("/")
        check_parent(path, "path")
        images = tuple(stored_image(engine, name, "names", params["tag"]) for name in params["names"])
        return WantedExport(
            images,
            path,
            params["format"],
            params["compression"],
            None if platform == "all" else platform,
            bool(params["platform"]),
            params["allow_missing_platforms"],
            params["force"],
        )

    def observe(self, want: WantedExport, engine: Engine) -> FoundArchive:
        selection = Selection((want.platform,) if want.platform else None, want.partial, want.exact)
        images = [ExportedImage(stored.reference, stored.record.target) for stored in want.images]
        pack = make_pack(engine.content, images, selection, want.format == "docker", Platform.host())
        if want.is_directory:
            check_directory(want.path)
            there = is_directory_of(want.path, pack)
            return FoundArchive(pack, sum(blob.size for blob in pack.blobs) if there else None, there)
        if os.path.isdir(want.path):
            raise FailedPrecondition(f"path: {want.path} is a directory: give the name of a file, or choose format=oci-dir")
        with place(want.path):  # report now a link on the way that may not be followed
            size = os.lstat(want.path).st_size if os.path.lexists(want.path) else None
        return FoundArchive(pack, size, is_archive_of(want.path, pack, want.compression))

    def lock(self, want: WantedExport, engine: Engine) -> t.ContextManager[t.Any]:
        return engine.lock(f"archive {want.path}")

    def plan(self, want: WantedExport, have: FoundArchive, engine: Engine) -> Plan:
        exists = have.size is not None
        before = {"exists": exists, "up_to_date": have.same}
        after = {"exists": True, "up_to_date": True, "images": _digests(want)}
        if have.same and not want.force:
            return Plan((), before, after, functools.partial(_facts, want, engine))
        reason = "" if not exists else " (forced)" if have.same else " (it has other content)"
        title = f"export image{'s' * (len(want.labels) > 1)} {', '.join(want.labels)} to {want.path}{reason}"
        step = Step(title, lambda: _write(want, have.pack, engine))
        return Plan([step], before, after, functools.partial(_facts, want, engine))


def _facts(want: WantedExport, engine: Engine, end: FoundArchive) -> Facts:
    archive: t.Dict[str, t.Any] = {"file": want.path, "format": want.format, "compression": want.compression}
    archive["images"] = _digests(want)
    if end.same:
        archive["bytes"] = end.size
    records = engine.images.list()
    images = [image_facts(look_at(engine, stored.record, want.platform), records) for stored in want.images]
    return Facts({"archive": archive, "images": images})


def _digests(want: WantedExport) -> t.Dict[str, str]:
    return {stored.label: str(stored.record.target.digest) for stored in want.images}


def _write(want: WantedExport, pack: Pack, engine: Engine) -> None:
    if want.is_directory:
        write_directory(want.path, pack, engine.content.open, want.force)
    else:
        write_archive(want.path, pack, engine.content.open, want.compression)
