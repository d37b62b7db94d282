# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of Docker's modules that are not here: a task with one fails with a sentence that says what to do instead.

The controller looks, so targets are sent nothing for it.
"""

from __future__ import annotations

import importlib
import typing as t

from ansible.plugins.action import ActionBase

from .from_docker.differences import refused, rules_of
from .library import WithLibrary

_SPECS = "ansible_collections.fleet.containerd.plugins.module_utils.argument_specs."


class WithoutDocker(WithLibrary):
    """The default action of a module. Options that only say what is so here anyway are left out."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        module, arguments = self._task.action.rpartition(".")[2], self._task.args
        if not rules_of(module).keys().isdisjoint(arguments):
            known = importlib.import_module(_SPECS + module).SPEC["argument_spec"]
            found = refused(module, arguments, known)
            problems = [
                f"{name}: {arguments[name]!r:.80} is not possible here: {instead}" for name, instead in found.items() if instead
            ]
            if problems:
                result = dict(ActionBase.run(self, tmp, task_vars))
                return {**result, "failed": True, "msg": "; ".join(problems), "error": "InvalidArgument"}
            self._task.args = {name: value for name, value in arguments.items() if name not in found}
        return dict(super().run(tmp, task_vars))
