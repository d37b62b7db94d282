# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_library as a task of its own: have the library there."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ..plugin_utils.library import ABSENT, WithLibrary


class ActionModule(WithLibrary):
    """Its module, with the options that only the controller knows."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        result = dict(ActionBase.run(self, tmp, task_vars))
        if self._task.args:
            options = ", ".join(sorted(map(str, self._task.args)))
            return {**result, "failed": True, "msg": f"{options}: a task has no options, the action plugin gives them"}
        answer = self.ask_library({}, task_vars)
        if answer.get("missing_library") == ABSENT:
            if self._task.check_mode:
                return {**result, "changed": True}
            answer = self.ask_library({"file": self.send_library()}, task_vars)
        if answer.pop("missing_library", None):
            answer = {
                "failed": True,
                "msg": "the host cannot keep code in /var/cache/fleet-containerd: only root can write there",
            }
        answer.pop("invocation", None)
        return {**result, **answer}
