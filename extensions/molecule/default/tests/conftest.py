# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""testinfra in containers of the inventory, without Ansible between."""

from __future__ import annotations

pytest_plugins = ["ansible_collections.fleet.containerd.extensions.testinfra.backend"]
