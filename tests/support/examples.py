# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of a module's EXAMPLES, to be run."""

from __future__ import annotations

import ast
import pathlib
import typing as t

import yaml

from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS, Task

PLUGINS = COLLECTIONS / "ansible_collections" / "fleet" / "containerd" / "plugins"
MODULES = PLUGINS / "modules"


def examples_of(module: str, replace: t.Optional[t.Mapping[str, str]] = None, kind: str = "modules") -> t.List[Task]:
    """The tasks (or plays, or documents) in order; replace: texts that stand for things of the test (a registry's name, a path).

    kind: the directory of another plugin.
    """
    text = _text(PLUGINS / kind / f"{module}.py")
    assert text, f"{module} has no EXAMPLES"
    for old, new in (replace or {}).items():
        assert old in text, f"{old} is not in the examples of {module}"
        text = text.replace(old, new)
    documents = list(yaml.safe_load_all(text))
    return documents if len(documents) > 1 else list(documents[0])


def _text(path: pathlib.Path) -> str:
    """A module's EXAMPLES; empty when it has none."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EXAMPLES":
            return str(ast.literal_eval(node.value)).strip()
    return ""


def never_run(modules: pathlib.Path, tests: pathlib.Path) -> t.List[str]:
    """The modules without EXAMPLES, or with some that no test function asks examples_of for."""
    asked: t.Set[str] = set()
    for path in tests.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "examples_of":
                asked.update(one.value for one in node.args[:1] if isinstance(one, ast.Constant))
    return sorted(path.stem for path in modules.glob("*.py") if path.stem not in asked or not _text(path))
