# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_prune: its module. Release files are on the controller, so the module gets the names and digests in them."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ..plugin_utils.library import WithLibrary


class ActionModule(WithLibrary):
    """The default action of a module, for which release files are read here."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        if self._task.args.get("keep_releases"):
            from ..plugin_utils.release import pin, pin_kept

            problem = pin(self, pin_kept)
            if problem:
                return {**ActionBase.run(self, tmp, task_vars), **problem}
        return dict(super().run(tmp, task_vars))
