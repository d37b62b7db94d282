# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the daemon tells of itself."""

from __future__ import annotations

import os
import typing as t

from ..engine.models import About, Plugin
from ..errors import printable
from ..rpc.channel import Channel

_SNAPSHOTTER, _CONTENT = "io.containerd.snapshotter.v1", "io.containerd.content.v1"
#: Of a plugin that the daemon leaves out, since the host does not have what it needs.
_UNIMPLEMENTED = 12


def about(rpc: Channel) -> About:
    version = rpc.call("version.v1.Version/Version")
    found = rpc.call("introspection.v1.Introspection/Plugins")["plugins"]
    plugins = tuple(sorted(map(_plugin, found)))
    working = tuple(sorted(one.id for one in plugins if one.type == _SNAPSHOTTER and one.status == "ok"))
    content = next((one["exports"].get("root", "") for one in found if one["type"] == _CONTENT), "")
    return About(version["version"], version["revision"], plugins, working, os.path.dirname(content))


def _plugin(message: t.Mapping[str, t.Any]) -> Plugin:
    error = message["init_err"]
    if error is None:
        return Plugin(message["type"], message["id"])
    status = "skip" if error["code"] == _UNIMPLEMENTED or "skip plugin" in error["message"] else "error"
    return Plugin(message["type"], message["id"], status, printable(error["message"], 400))
