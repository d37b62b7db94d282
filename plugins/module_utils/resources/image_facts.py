# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as facts, in the shape of docker image inspect."""

from __future__ import annotations

import datetime
import typing as t

from ..engine.labels import NAME, is_pinned
from ..oci.reference import Reference

if t.TYPE_CHECKING:
    from ..engine.api import Engine
    from ..engine.models import Image
    from ..image.inspect import ImageView
    from .image_source import Found


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC; empty for 0 (not known)."""
    if not seconds:
        return ""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def summary(have: t.Optional[Found]) -> t.Dict[str, t.Any]:
    """One side of a diff."""
    if have is None:
        return {"exists": False}
    out: t.Dict[str, t.Any] = {"exists": True, "name": have.record.name, "digest": str(have.record.target.digest)}
    if is_pinned(have.record.labels):
        out["pinned"] = True
    if have.missing:
        out["missing"] = list(have.missing)
    return out


def image_facts(engine: Engine, have: Found, same_target: t.Optional[t.Sequence[Image]] = None) -> t.Dict[str, t.Any]:
    """One image. same_target: the records of the same top digest (only this one is named where not given)."""
    if have.view is None:
        return {
            "Id": str(have.record.target.digest),
            "RepoTags": [have.record.name],
            "RepoDigests": [],
            "Unpacked": False,
            "Pinned": is_pinned(have.record.labels),
            "Missing": list(have.missing),
        }
    view = have.view
    records = same_target or [have.record]
    tags = sorted(r.name for r in records if "@" not in r.name and not r.name.startswith("sha256:"))
    names = sorted({Reference.parse(r.name).name for r in records if not r.name.startswith("sha256:")})
    return {
        "Id": str(view.config.digest),
        "RepoTags": tags,
        "RepoDigests": [f"{name}@{have.record.target.digest}" for name in names],
        "Digest": str(have.record.target.digest),
        "ManifestDigest": str(view.manifest.digest),
        "Created": view.image_config.created,
        "Author": view.image_config.author,
        "Architecture": view.image_config.platform.architecture,
        "Variant": view.image_config.platform.variant,
        "Os": view.image_config.platform.os,
        "Size": view.size,
        "Config": _config(view),
        "RootFS": {"Type": "layers", "Layers": [str(d) for d in view.image_config.diff_ids]},
        "Metadata": {"LastTagTime": timestamp(have.record.updated_at)},
        "Unpacked": True,
        "Pinned": is_pinned(have.record.labels),
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
