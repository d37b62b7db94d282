# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the resources push to registries. Apart from registry_options.py, so that only tasks that push are sent this code."""

from __future__ import annotations

import typing as t

from .options import registry_options

if t.TYPE_CHECKING:
    from ...registry.pusher import Pusher


def registry_pusher(params: t.Mapping[str, t.Any]) -> Pusher:
    """What pushes for the registry options of a task. MissingLibrary without requests."""
    from ...registry.pusher import Pusher

    return Pusher(registry_options(params))
