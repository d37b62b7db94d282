# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the file system."""

from __future__ import annotations

import os
import typing as t

from ....engine.models import VOLUMES_FILE
from ....errors import InvalidArgument, printable
from ....kernel.field import MORE, Field
from ....runtime_spec.mounts import bind_volumes
from ....runtime_spec.volumes import Volume, parse_volume
from ..volumes import Part, check_named, declared, in_volume, is_declared, name_of, part_of, place
from .row import Context, Draft, Host, Live, Row, Seen, Value, Values, fixed, parse_flag
from .volumes_from import borrowed

if t.TYPE_CHECKING:
    from ....engine.models import Container
    from ....runtime_spec.mount_points import MountPoint

_SELINUX = "/sys/fs/selinux/enforce"
_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


def parse_volumes(value: Value, option: str) -> t.List[Volume]:
    found = [parse_volume(item, option) for item in value]
    targets = [volume.target for volume in found]
    for target in targets:
        if targets.count(target) > 1:
            raise InvalidArgument(f"{option}: {printable(target, 200)} is the target of two volumes")
    return found


def check_sources(host: Host, volumes: t.Optional[t.Sequence[Volume]]) -> None:
    for volume in volumes or ():
        if volume.of_host and not os.path.exists(volume.source):
            raise InvalidArgument(f"volumes: the source {volume.source} is not there on the target: create it first")
    named = sorted({volume.source for volume in volumes or () if volume.named})
    if named:
        check_named(host.engine, named)
    labelled = [volume.target for volume in volumes or () if {"z", "Z"} & set(volume.options)]
    if labelled and os.path.exists(_SELINUX):
        host.warnings.append(
            f"volumes: z and Z change no SELinux label, since SELinux does not confine these containers: {', '.join(labelled)}"
        )


def _read_only(draft: Draft, value: bool, context: Context) -> None:
    draft.spec["root"]["readonly"] = value


def all_volumes(values: Values) -> t.List[Volume]:
    """Those of both options."""
    mounts = [one for one in values.get("mounts") or () if one.of_volume]
    return [*(values.get("volumes") or ()), *(Volume(one.source, one.target, one.options, one.part) for one in mounts)]


def named_volumes(values: Values) -> t.List[str]:
    """The names of the volumes that a container with these values uses."""
    return sorted({volume.source for volume in all_volumes(values) if volume.named})


def labels_of(values: Values, volume: str) -> t.Dict[str, str]:
    """Those that a volume of this name gets when a container with these values makes it."""
    found: t.Dict[str, str] = {}
    for one in values.get("mounts") or ():
        if one.of_volume and one.source == volume:
            found.update(one.labels)
    return found


def _volumes(draft: Draft, value: t.Sequence[Volume], context: Context) -> None:
    """The volumes of the task, those of other containers, and those that the image declares."""
    from ....runtime.rootfs import check_targets

    given, lent = all_volumes(context.values), borrowed(context.values)
    check_targets(context.root, [volume for volume in given if not volume.part])
    covered = [Volume(one.source, one.target) for one in context.values.get("mounts") or () if one.source]
    covered += [Volume(one["source"], one["destination"]) for one in lent]
    made = declared(context.root, context.image_volumes, [*given, *covered], context.directory)
    named = [volume for volume in given if volume.named]
    others = [name_of(one["source"]) for one in lent]
    places = (place(context.directory, number, part) for number, part in enumerate(_parts(given, lent)))
    if named or made or any(others):
        from ....volume.store import Store
        from ....volume.users import User

        store, path = Store(context.data_root, context.namespace), os.path.join(context.directory, VOLUMES_FILE)
        names = sorted({*named_volumes(context.values), *(name_of(volume.source) for volume in made), *filter(None, others)})
        fill = tuple(volume.target for volume in named if not (volume.part or "nocopy" in volume.options))
        draft.files[path] = User(path, context.name, tuple(names), fill).text()
        named = [volume._replace(source=next(places) if volume.part else store.data(volume.source)) for volume in named]
    bind_volumes(draft.spec, [*(volume for volume in given if volume.of_host), *named, *made])
    draft.spec["mounts"].extend({**one, "source": next(places)} if part_of(one["source"]) else one for one in lent)


def _parts(given: t.Iterable[Volume], lent: t.Iterable[t.Mapping[str, t.Any]]) -> t.Iterator[Part]:
    """The parts of volumes that a container gets."""
    yield from (Part(volume.source, volume.part) for volume in given if volume.part)
    yield from filter(None, (part_of(one["source"]) for one in lent))


def mounted(container: Container, values: Values) -> t.List[t.Mapping[str, t.Any]]:
    """Volumes and what is mounted from the host, as in the specification; for another tool's container (no values), all bind mounts."""
    mounts = container.spec.get("mounts") or []
    found = [mount for mount in mounts if "bind" in str(mount.get("type")) or "rbind" in (mount.get("options") or [])]
    if values.get("volumes") is None:
        return found
    given = {(one.source, one.target) for option in ("volumes", "mounts") for one in values.get(option) or ()}
    given |= {_place(one) for one in borrowed(values)}
    return [one for one in found if _place(one) in given or is_declared(one, container.id)]


def _place(mount: t.Mapping[str, t.Any]) -> t.Tuple[str, str]:
    return name_of(mount["source"]) or mount["source"], mount["destination"]


def _mounts(seen: Seen) -> t.List[t.Dict[str, t.Any]]:
    """The volumes, and the other mounts of the task."""
    found = mounted(seen.container, seen.values)
    others = [one for one in seen.values.get("mounts") or () if not (one.binds or one.of_volume)]
    return [*(_mount(mount) for mount in found), *map(_other, others)]


def _other(point: MountPoint) -> t.Dict[str, t.Any]:
    return {
        "Type": point.kind,
        "Source": point.source,
        "Destination": point.target,
        "Mode": "",
        "RW": not point.read_only,
        "Propagation": "",
    }


def _mount(mount: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    options, source = list(mount.get("options") or []), str(mount.get("source", ""))
    propagation, name = [option for option in options if option in _PROPAGATION], name_of(source)
    return {
        "Type": "volume" if name else "bind",
        **({"Name": name, "Driver": "local"} if name else {}),
        "Source": in_volume(source),
        "Destination": mount.get("destination", ""),
        "Mode": ",".join(option for option in options if option not in ("bind", "rbind", *propagation)),
        "RW": "ro" not in options,
        "Propagation": propagation[0] if propagation else "rprivate",
    }


def _as_json(volumes: t.Sequence[Volume]) -> t.List[t.Dict[str, t.Any]]:
    return [volume.to_json() for volume in volumes]


ROWS = (
    Row(
        Field("read_only"),
        parse_flag,
        fixed(False),
        _read_only,
        Live.NEVER,
        {"HostConfig.ReadonlyRootfs": lambda seen: bool((seen.spec.get("root") or {}).get("readonly"))},
    ),
    Row(
        Field("volumes", "set", MORE, _as_json),
        parse_volumes,
        fixed([]),
        _volumes,
        Live.NEVER,
        {
            "Mounts": _mounts,
            "HostConfig.Binds": lambda seen: [str(volume) for volume in seen.values.get("volumes") or () if volume.source],
        },
        dump=_as_json,
        load=lambda found: [Volume.of_json(one) for one in found],
        host=check_sources,
    ),
)
