# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_push: its module, out of the library."""

from __future__ import annotations

from ..plugin_utils.library import WithLibrary as ActionModule

__all__ = ["ActionModule"]
