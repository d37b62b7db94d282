# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_wait: asks the target for the job and the progress file, and shows a line whenever something has changed.

A module shows nothing before it ends, and a callback cannot ask the target: only an action plugin can do both.
"""

from __future__ import annotations

import shlex
import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils.progress import told

display = Display()


class ActionModule(ActionBase):
    """It only reads."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        from ..module_utils.argument_specs.containerd_image_wait import SPEC

        super().run(tmp, task_vars)
        _result, options = self.validate_argument_spec(SPEC["argument_spec"])
        host = (task_vars or {}).get("inventory_hostname", "")
        path = self._remote_expand_user(options["progress_file"])
        deadline, shown = time.monotonic() + options["timeout"], ""
        while True:
            status = self._status(options["jid"], task_vars)
            line = told(self._progress(path))
            if line not in ("", shown):
                display.display(f"[{host}] {line}")
                shown = line
            if status.get("failed") or status.get("finished"):
                return status
            if time.monotonic() >= deadline:
                return {
                    **status,
                    "failed": True,
                    "msg": f"timeout: the pull has not ended within {options['timeout']:g} s: {line}",
                }
            time.sleep(options["delay"])

    def _status(self, job: str, task_vars: t.Any) -> t.Dict[str, t.Any]:
        directory = self.get_shell_option("async_dir", default="~/.ansible_async")
        arguments = {"jid": job, "mode": "status", "_async_dir": directory}
        return dict(self._execute_module("ansible.legacy.async_status", module_args=arguments, task_vars=task_vars))

    def _progress(self, path: str) -> str:
        """The content of the file; empty if it does not exist yet."""
        found = self._low_level_execute_command(f"cat {shlex.quote(path)}", sudoable=True)
        return str(found.get("stdout", "")) if not found.get("rc") else ""
