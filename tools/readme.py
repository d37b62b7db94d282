# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the table of modules in README.md between its two markers. Usage: python tools/readme.py [--check]"""

from __future__ import annotations

import ast
import pathlib
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- modules: written by tools/readme.py -->\n", "<!-- end of modules -->\n"


def documentation(path: pathlib.Path) -> str:
    """The DOCUMENTATION of a module file."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "DOCUMENTATION":
            return str(ast.literal_eval(node.value))
    raise SystemExit(f"{path.name} has no DOCUMENTATION")


def table() -> str:
    rows = ["| module | what it does |", "|---|---|"]
    for path in sorted((ROOT / "plugins" / "modules").glob("*.py")):
        rows.append(f"| `{path.stem}` | {yaml.safe_load(documentation(path))['short_description']} |")
    return "\n".join([*rows, ""])


def main() -> int:
    text = README.read_text()
    before, found, rest = text.partition(BEGIN)
    _old, ended, after = rest.partition(END)
    if not found or not ended:
        sys.exit("README.md has not the two markers of the table of modules")
    wanted = before + BEGIN + table() + END + after
    if wanted == text:
        return 0
    if "--check" in sys.argv[1:]:
        print("the table of modules in README.md is not up to date: run make generate")
        return 1
    README.write_text(wanted)
    print("wrote README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
