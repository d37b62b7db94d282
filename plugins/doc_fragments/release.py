# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragment: the release file that says which bytes the names of images mean."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  release:
    description:
      - A release file that M(fleet.containerd.containerd_image_lock) has written, on the controller. It is looked for where
        M(ansible.builtin.copy) looks for its O(ansible.builtin.copy#module:src).
      - The names of images mean the digests that the file has for them, and nothing else. The registry is not asked for tags, which may
        have moved since. A name that is not in the file is an error, unless it has a digest of its own.
      - An empty string means no release file, for a task whose default is one.
    type: path
"""
