# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of a module's EXAMPLES, to be run."""

from __future__ import annotations

import ast
import typing as t

import yaml

from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS, Task

MODULES = COLLECTIONS / "ansible_collections" / "fleet" / "containerd" / "plugins" / "modules"


def examples_of(module: str, replace: t.Optional[t.Mapping[str, str]] = None) -> t.List[Task]:
    """The tasks in order; replace: texts that stand for things of the test (a registry's name, a path)."""
    for node in ast.parse((MODULES / f"{module}.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EXAMPLES":
            text = str(ast.literal_eval(node.value))
            for old, new in (replace or {}).items():
                assert old in text, f"{old} is not in the examples of {module}"
                text = text.replace(old, new)
            return list(yaml.safe_load(text))
    raise AssertionError(f"{module} has no EXAMPLES")
