# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container's own namespace of users: which users and groups of the host its own are (runtime-spec, config-linux.md)."""

from __future__ import annotations

import os
import typing as t

from ..errors import InvalidArgument, printable


class Mapping(t.NamedTuple):
    """Users and groups from 0 on, size of each, are those of the host from uid and gid on."""

    uid: int
    gid: int
    size: int

    @classmethod
    def of(cls, spec: t.Mapping[str, t.Any]) -> t.Optional[Mapping]:
        """That of a specification; None with the host's users."""
        linux = spec.get("linux") or {}
        users, groups = linux.get("uidMappings") or (), linux.get("gidMappings") or ()
        if not users or not groups:
            return None
        return cls(int(users[0]["hostID"]), int(groups[0]["hostID"]), int(users[0]["size"]))

    def write(self, spec: t.Mapping[str, t.Any]) -> None:
        """Have it in a specification."""
        linux = spec["linux"]
        linux["namespaces"] = [*linux["namespaces"], {"type": "user"}]
        for key, first in (("uidMappings", self.uid), ("gidMappings", self.gid)):
            linux[key] = [{"containerID": 0, "hostID": first, "size": self.size}]

    def check(self, spec: t.Mapping[str, t.Any]) -> None:
        """InvalidArgument for what a specification has that cannot be with it."""
        user = spec["process"]["user"]
        for group in (user["gid"], *user["additionalGids"]):
            self.owner(user["uid"], group, "user")
        for device in spec["linux"].get("devices") or ():
            # A runtime mounts the host's device then, which it finds by the path in the container.
            path, number = str(device["path"]), os.makedev(device.get("major", 0), device.get("minor", 0))
            if not os.path.exists(path) or os.stat(path).st_rdev != number:
                raise InvalidArgument(
                    f"devices: {printable(path, 200)} has another name on the target, which cannot be with userns_mode"
                )

    def owner(self, uid: int, gid: int, what: str) -> t.Tuple[int, int]:
        """The owner on the host. InvalidArgument for one that the container does not have."""
        for kind, number in (("user", uid), ("group", gid)):
            if not 0 <= number < self.size:
                raise InvalidArgument(
                    f"userns_mode: the container has the {kind}s 0 to {self.size - 1}, and {printable(what, 200)} needs {number}: "
                    "give it more, for example auto:size=1000000"
                )
        return self.uid + uid, self.gid + gid

    def is_mapped(self, uid: int, gid: int) -> bool:
        """Whether an owner on the host is one of the container: no range begins below its own size, so it is not one to be mapped."""
        return self.uid <= uid < self.uid + self.size and self.gid <= gid < self.gid + self.size
