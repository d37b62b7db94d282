# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks of a volume, what is there, and the options of a volume as values that can be compared."""

from __future__ import annotations

import stat
import typing as t

from ...kernel.field import Field
from ...volume.store import FIXED, Volume
from ...volume.users import User, Users


class WantedVolume(t.NamedTuple):
    """labels, options (of the driver), owner, group (ids) and mode: None when not given. recreate: never, options-changed or always."""

    name: str
    present: bool
    labels: t.Optional[t.Mapping[str, str]]
    options: t.Optional[t.Mapping[str, str]]
    owner: t.Optional[int]
    group: t.Optional[int]
    mode: t.Optional[int]
    recreate: str
    force: bool
    data_root: str
    state_root: str
    namespace: str

    @property
    def fixed(self) -> t.Dict[str, int]:
        """Those of owner, group and mode that it gives."""
        return {one: getattr(self, one) for one in FIXED if getattr(self, one) is not None}


class FoundVolume(t.NamedTuple):
    """volume: None when there is none. users: of the whole namespace. leftovers: paths of what an interrupted run has left."""

    volume: t.Optional[Volume]
    users: Users = Users()
    leftovers: t.Tuple[str, ...] = ()

    @property
    def used_by(self) -> t.List[User]:
        return self.users.of(self.volume.name) if self.volume else []


#: How the options are compared. Those of an existing volume that a task does not give are those that it has.
FIELDS = (
    Field("driver_options", "dict"),
    Field("labels", "dict"),
    Field("owner"),
    Field("group"),
    Field("mode", show=lambda mode: f"{mode:04o}"),
)
#: What needs a new volume.
OPTIONS = "driver_options"


def options_of(volume: Volume) -> t.Dict[str, t.Any]:
    """A volume by the options of the module. owner and group are ids."""
    found: t.Dict[str, t.Any] = {"driver_options": dict(volume.options), "labels": dict(volume.labels)}
    status = volume.stat()
    if status is not None:
        found.update(owner=status.st_uid, group=status.st_gid, mode=stat.S_IMODE(status.st_mode))
    return found
