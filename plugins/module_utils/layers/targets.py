# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the mounts of a snapshot to the directories that a layer is written into, or was."""

from __future__ import annotations

import typing as t

from ..engine.models import Mount
from ..errors import Unimplemented


class Target(t.NamedTuple):
    """root is the layer's own directory. For an overlay it is the upper one, and lowers are those below it, top first."""

    root: str
    lowers: t.Tuple[str, ...] = ()
    overlay: bool = False


def apply_target(mounts: t.Sequence[Mount]) -> Target:
    """Unimplemented for mounts that are neither a bind nor an overlay."""
    if len(mounts) == 1 and mounts[0].type == "overlay":
        options = dict(option.partition("=")[::2] for option in mounts[0].options)
        if options.get("upperdir"):
            return Target(options["upperdir"], tuple(filter(None, options.get("lowerdir", "").split(":"))), True)
    if len(mounts) == 1 and mounts[0].type == "bind":
        return Target(mounts[0].source)
    raise Unimplemented(f"layers cannot be written into mounts of type {', '.join(m.type for m in mounts) or 'none'}")


def view_target(mounts: t.Sequence[Mount]) -> Target:
    """The same for the mounts of a view: root is the directory of the committed snapshot."""
    if len(mounts) == 1 and mounts[0].type == "bind":
        return Target(mounts[0].source)
    if len(mounts) == 1 and mounts[0].type == "overlay":
        options = dict(option.partition("=")[::2] for option in mounts[0].options)
        root, *lowers = options.get("lowerdir", "").split(":")
        if root:
            return Target(root, tuple(lowers), True)
    raise Unimplemented(f"layers cannot be found in mounts of type {', '.join(m.type for m in mounts) or 'none'}")
