# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_reset: its module, never out of the library of the target: that goes, too, and a second run must not bring it back."""

from __future__ import annotations

import typing as t

from ..plugin_utils.library import WithLibrary


class ActionModule(WithLibrary):
    """The default action of a module."""

    def _keeps_library(self, variables: t.Mapping[str, t.Any]) -> bool:
        return False
