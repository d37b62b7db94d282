# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the draft of a container from the rows of its options: to create it, and in check mode to find errors."""

from __future__ import annotations

import os
import typing as t

from ...engine.models import Runtime
from ...errors import InvalidArgument, printable
from ...runtime import rootfs
from ...runtime_spec.base import base
from ...runtime_spec.cgroups import host_facts
from ...runtime_spec.mount_points import arrange
from .options.row import Context, Draft
from .options.table import ROWS, render

if t.TYPE_CHECKING:
    from ...runtime_spec.user_namespace import Mapping


def drafted(namespace: str, context: Context, labels: t.Mapping[str, str]) -> Draft:
    """Make a draft. Raises errors about the image's files for these options. Writes nothing."""
    rootfs.check_rootfs(context.root)
    draft = Draft(base(context.container_id, namespace, host_facts()), labels, Runtime())
    render(draft, [row.option for row in ROWS], context)
    arrange(draft.spec)
    if context.mapping:
        _check_users(draft, context.mapping)
    return draft


def _check_users(draft: Draft, mapping: Mapping) -> None:
    """What cannot be with users of its own. A runtime mounts devices of the host then, which it finds by their path in the container."""
    user = draft.process["user"]
    for group in (user["gid"], *user["additionalGids"]):
        mapping.owner(user["uid"], group, "user")
    for device in draft.spec["linux"].get("devices") or ():
        path, number = str(device["path"]), os.makedev(device.get("major", 0), device.get("minor", 0))
        if not os.path.exists(path) or os.stat(path).st_rdev != number:
            raise InvalidArgument(
                f"devices: {printable(path, 200)} has another name on the target, which cannot be with userns_mode"
            )
