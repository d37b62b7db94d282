# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container: its module, unless the task has options of docker_container that are not here. It shows how far long pulls are."""

from __future__ import annotations

import typing as t

from ..plugin_utils.progress import shown
from ..plugin_utils.with_release import WithRelease


class ActionModule(WithRelease):
    """The default action of a module, for options that the module has."""

    one_image = True

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        with shown(self, task_vars):
            return super().run(tmp, task_vars)
