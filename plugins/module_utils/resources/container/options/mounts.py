# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts as dictionaries: binds with all their options, temporary file systems, images, volumes."""

from __future__ import annotations

import os
import typing as t

from ....errors import FailedPrecondition, InvalidArgument, printable
from ....kernel.field import MORE, Field
from ....runtime_spec.volumes import Volume
from ..volumes import Part, check_named
from .row import Context, Draft, Host, Live, Row, Seen, Value, Values, fixed
from .volumes_from import borrowed

if t.TYPE_CHECKING:
    from ....runtime_spec.mount_points import MountPoint

#: The first kernel with mount_setattr(2), which makes everything below read-only.
_RECURSIVE = (5, 12)


def parse_mounts(value: Value, option: str) -> t.List[MountPoint]:
    from ....runtime_spec.mount_points import parse_mount

    return _once([parse_mount(_with_labels(one, f"{option}.labels"), option) for one in value], option)


def _with_labels(value: t.Mapping[str, t.Any], option: str) -> t.Mapping[str, t.Any]:
    """With labels as texts, as those of containerd_volume."""
    if not value.get("labels"):
        return value
    from ...labels import labels_of

    return {**value, "labels": labels_of(value["labels"], option)}


def parse_all_tmpfs(value: Value, option: str) -> t.List[MountPoint]:
    """A list of path[:options], one of them, or a dictionary of paths and options."""
    if isinstance(value, dict):
        value = [f"{path}:{options}" if options else path for path, options in value.items()]
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)):
        raise InvalidArgument(f"{option}: {printable(value, 200)!r} is not a list of path[:options]")
    from ....runtime_spec.mount_points import parse_tmpfs

    return _once([parse_tmpfs(one, option) for one in value], option)


def _once(points: t.List[MountPoint], option: str) -> t.List[MountPoint]:
    targets = [one.target for one in points]
    for target in targets:
        if targets.count(target) > 1:
            raise InvalidArgument(f"{option}: {printable(target, 200)} is the target of two mounts")
    return points


def recursive() -> bool:
    """Whether the kernel can make a mount read-only with all that is mounted below it."""
    from ....runtime_spec.seccomp_profile import kernel

    return kernel() >= _RECURSIVE


def _check_mounts(host: Host, value: t.Optional[t.Sequence[MountPoint]]) -> None:
    named = [point.source for point in value or () if point.of_volume and point.source]
    if named:
        check_named(host.engine, named)
    parts = [point for point in value or () if point.part]
    if parts:
        _check_parts(host, parts)
    for point in value or ():
        if point.binds and not point.create and not os.path.exists(point.source):
            raise InvalidArgument(
                f"mounts: the source {printable(point.source, 200)} is not there on the target: create it first, or set create_mountpoint"
            )
        if point.force and not recursive():
            raise FailedPrecondition(
                f"mounts: read_only_force_recursive ({printable(point.target, 200)}) needs Linux {'.'.join(map(str, _RECURSIVE))} or later"
            )


def _check_parts(host: Host, points: t.Sequence[MountPoint]) -> None:
    """That they are there, unless the first start of this container may bring them, with the image's files."""
    from .storage import all_volumes

    filled = {one.source for one in all_volumes(host.given) if "nocopy" not in one.options and not one.part}
    from ..parts import check, is_empty

    for point in points:
        if point.source not in filled or not is_empty(host.engine, point.source):
            check(host.engine, Part(point.source, point.part))


def _taken(values: Values, option: str) -> t.Dict[str, str]:
    """The targets of the other options."""
    return {one.target: other for other in ("volumes", "mounts", "tmpfs") if other != option for one in values[other]}


def _mounts(draft: Draft, value: t.Sequence[MountPoint], context: Context) -> None:
    if not value:
        return
    from ....runtime.rootfs import check_targets
    from ....runtime_spec.mount_points import add_mount

    taken = _taken(context.values, "mounts")
    for point in value:
        if point.target in taken:
            raise InvalidArgument(f"mounts: {printable(point.target, 200)} is a target of {taken[point.target]}, too")
    binds = [Volume(one.source, one.target) for one in value if one.binds and not (one.create and not os.path.exists(one.source))]
    check_targets(context.root, binds)
    for number, point in enumerate(value):
        # Volumes are rendered with those of the other option.
        if point.of_image:
            layers = context.layers(point.source)
            draft.spec["mounts"].append(layers.mount(point.target))
            draft.labels[layers.label(number)] = layers.name
        elif not point.of_volume:
            add_mount(draft.spec, point, recursive())


def _tmpfs(draft: Draft, value: t.Sequence[MountPoint], context: Context) -> None:
    from ....runtime_spec.mount_points import add_mount

    taken = _taken({**context.values, "mounts": ()}, "tmpfs")
    for point in value:
        if point.target in taken:
            raise InvalidArgument(f"tmpfs: {printable(point.target, 200)} is a target of {taken[point.target]}, too")
        add_mount(draft.spec, point, True)


def _dump(value: t.Sequence[MountPoint]) -> t.List[t.Dict[str, t.Any]]:
    return [one.to_json() for one in value]


def _load(found: t.Sequence[t.Mapping[str, t.Any]]) -> t.List[MountPoint]:
    if not found:
        return []
    from ....runtime_spec.mount_points import MountPoint

    return [MountPoint.of_json(one) for one in found]


def _shown(value: t.Sequence[MountPoint]) -> t.List[t.Dict[str, t.Any]]:
    """Only what says something."""
    return [{key: item for key, item in one.to_json().items() if item not in ("", False, {})} for one in value]


def _mounts_seen(seen: Seen) -> t.List[t.Dict[str, t.Any]]:
    return [
        {"Type": one.kind, "Source": one.source, "Target": one.target, "ReadOnly": one.read_only, **_volume_options(one)}
        for one in seen.values.get("mounts") or ()
    ]


def _volume_options(point: MountPoint) -> t.Dict[str, t.Any]:
    """Only what is asked for."""
    found = {"NoCopy": "nocopy" in point.options, "Labels": dict(point.labels), "Subpath": point.part}
    asked = {key: item for key, item in found.items() if item}
    return {"VolumeOptions": asked} if asked else {}


def _fit(there: t.Sequence[MountPoint], values: Values, made: Values, mode: str) -> t.List[MountPoint]:
    """Labels are for a volume that is made, and never compared."""
    had = {one._replace(labels=()): one for one in there}
    wanted = [had.get(one._replace(labels=()), one) for one in values["mounts"]]
    return [*wanted, *(one for one in there if one not in wanted and mode == MORE)]


def made_sources(values: Values) -> t.List[str]:
    """The directories that a start makes if they are missing: those of binds with create_mountpoint."""
    return [one.source for one in values.get("mounts") or () if one.binds and one.create]


def make_sources(values: Values) -> None:
    from ....hostfs.atomic import make_dir

    for path in made_sources(values):
        if not os.path.exists(path):
            make_dir(path, 0o755)


def written_of(values: Values) -> t.List[str]:
    """The directories and files of the host, and the volumes, that a container may write to."""
    volumes = [one.source for one in values.get("volumes") or () if one.source and "ro" not in one.options]
    volumes += [one["source"] for one in borrowed(values) if "ro" not in one["options"]]
    return volumes + [one.source for one in values.get("mounts") or () if one.source and not (one.of_image or one.read_only)]


def _text(point: MountPoint) -> str:
    return f"{point.target}:{','.join(point.options)}"


ROWS = (
    Row(
        Field("mounts", "set", MORE, _shown),
        parse_mounts,
        fixed([]),
        _mounts,
        Live.NEVER,
        {"HostConfig.Mounts": _mounts_seen},
        dump=_dump,
        load=_load,
        fit=_fit,
        host=_check_mounts,
    ),
    Row(
        Field("tmpfs", "set", MORE, lambda value: [_text(one) for one in value]),
        parse_all_tmpfs,
        fixed([]),
        _tmpfs,
        Live.NEVER,
        {"HostConfig.Tmpfs": lambda seen: {one.target: ",".join(one.options) for one in seen.values.get("tmpfs") or ()} or None},
        dump=_dump,
        load=_load,
    ),
)
