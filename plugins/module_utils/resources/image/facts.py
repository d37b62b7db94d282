# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as facts, in the shape of docker image inspect."""

from __future__ import annotations

import contextlib
import typing as t

from ...engine.labels import NAME, is_pinned
from ...errors import InvalidArgument
from ...oci.platform import Platform
from ...oci.reference import Reference
from ..times import timestamp

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Image
    from ...image.inspect import ImageView
    from ...oci.digest import Digest
    from .values import FoundImage


def namesakes(records: t.Iterable[Image], target: Digest) -> t.List[Image]:
    """The records of one image, sorted by name."""
    return sorted((record for record in records if record.target.digest == target), key=lambda record: record.name)


def repo_tags(records: t.Iterable[Image]) -> t.List[str]:
    """The names of an image that have a tag, as people write them (nginx:1.27), sorted."""
    return sorted(familiar(name) for name in _tagged(records))


def repo_digests(records: t.Iterable[Image]) -> t.List[str]:
    """The repositories of an image with its digest, as people write them, sorted."""
    named = [record for record in records if not _is_id(record.name)]
    return sorted({f"{Reference.parse(one.name)._replace(tag='', digest=one.target.digest).familiar}" for one in named})


def familiar(name: str) -> str:
    """The name of a record as people write it. The kubelet's records by id are called by their id."""
    return name if _is_id(name) else Reference.parse(name).familiar


def _tagged(records: t.Iterable[Image]) -> t.List[str]:
    return sorted(record.name for record in records if "@" not in record.name and not _is_id(record.name))


def _is_id(name: str) -> bool:
    return name.startswith("sha256:")


def image_id(engine: Engine, have: FoundImage) -> str:
    """The digest of the config, as in Docker, also for an incomplete image; that of the target if there is no such config, as in
    artifacts that are not images (Helm charts)."""
    from ...image.inspect import inspect

    view = have.view
    if view is None:
        with contextlib.suppress(InvalidArgument):
            view = inspect(engine, have.record, Platform.host()).view
    return str(view.config.digest if view else have.record.target.digest)


def summary(engine: Engine, have: t.Optional[FoundImage]) -> t.Dict[str, t.Any]:
    """One side of a diff."""
    if have is None:
        return {"exists": False}
    record = have.record
    out: t.Dict[str, t.Any] = {
        "exists": True,
        "name": record.name,
        "id": image_id(engine, have),
        "digest": str(record.target.digest),
    }
    if have.view:
        out["size"] = have.view.size
    if is_pinned(record.labels):
        out["pinned"] = True
    if have.missing:
        out["missing"] = list(have.missing)
    return out


def image_facts(have: FoundImage, records: t.Iterable[Image]) -> t.Dict[str, t.Any]:
    """The facts of one image, with all its names. records: all of the engine, or at least those of this image."""
    record, view = have.record, have.view
    own = namesakes(records, record.target.digest)
    names = {"RepoTags": repo_tags(own), "RepoDigests": repo_digests(own), "NamesHistory": _tagged(own)}
    if view is None:
        return {
            "Id": str(record.target.digest),
            **names,
            "Unpacked": False,
            "Pinned": is_pinned(record.labels),
            "Missing": list(have.missing),
        }
    return {
        "Id": str(view.config.digest),
        **names,
        "Digest": str(record.target.digest),
        "ManifestDigest": str(view.manifest.digest),
        "Created": view.image_config.created,
        "Author": view.image_config.author,
        "Architecture": view.image_config.platform.architecture,
        "Variant": view.image_config.platform.variant,
        "Os": view.image_config.platform.os,
        "Size": view.size,
        "Config": _config(view),
        "RootFS": {"Type": "layers", "Layers": [str(d) for d in view.image_config.diff_ids]},
        "Metadata": {"LastTagTime": timestamp(record.updated_at)},
        "Unpacked": True,
        "Pinned": is_pinned(record.labels),
    }


def _config(view: ImageView) -> t.Dict[str, t.Any]:
    config = view.image_config
    return {
        "User": config.user,
        "Env": list(config.env),
        "Entrypoint": list(config.entrypoint) or None,
        "Cmd": list(config.cmd) or None,
        "WorkingDir": config.working_dir,
        "Labels": dict(config.labels),
        "StopSignal": config.stop_signal,
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Volumes": {path: {} for path in config.volumes},
    }


def used_by(engine: Engine) -> t.Dict[str, t.List[str]]:
    """The names of the containers that use an image, by the image's name."""
    out: t.Dict[str, t.List[str]] = {}
    for container in engine.containers.list():
        out.setdefault(container.image, []).append(container.labels.get(NAME) or container.id[:12])
    return {image: sorted(names) for image, names in out.items()}
