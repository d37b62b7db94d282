# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the resources push to registries. Apart from options.py, so that only tasks that push are sent this code."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ...registry.options import RegistryOptions
    from ...registry.pusher import Pusher


def registry_pusher(options: RegistryOptions) -> Pusher:
    """MissingLibrary without requests."""
    from ...registry.pusher import Pusher

    return Pusher(options)
