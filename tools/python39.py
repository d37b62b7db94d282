# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that all code for targets runs on Python 3.9. Usage: python tools/python39.py

On every machine the code is parsed by that grammar, and vermin looks for newer parts of the standard library. If there is a
Python 3.9, it imports every file, with only the packages that Ansible itself brings; if there is none, the gate's line says so.
"""

from __future__ import annotations

import ast
import pathlib
import shutil
import subprocess
import sys
import tempfile
import typing as t

import ansible

ROOT = pathlib.Path(__file__).resolve().parent.parent
TRAVELS = ("plugins/module_utils", "plugins/modules")
_COLLECTION = "ansible_collections.fleet.containerd."
_IMPORT = "import importlib, sys; sys.path.insert(0, sys.argv[1]); [importlib.import_module(name) for name in sys.argv[2:]]"


def newer(paths: t.Sequence[pathlib.Path]) -> str:
    """The parts of these files that Python 3.9 does not have, one on each line; empty without any."""
    wrong = ""
    for path in paths:
        try:
            ast.parse(path.read_text(), feature_version=(3, 9))
        except SyntaxError as error:
            wrong += f"{path}:{error.lineno}: {error.msg}\n"
    if wrong:
        return wrong  # vermin ignores files that it cannot parse
    vermin = [str(pathlib.Path(sys.executable).with_name("vermin")), "--no-config-file", "--no-parse-comments"]
    command = [*vermin, "--target=3.9-", "--quiet", "--violations", "--processes=1", *map(str, paths)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout if done.returncode else ""


def interpreter() -> str:
    """A Python 3.9 that starts (pyenv's python3.9 in PATH may not); empty when there is none."""
    # starts: (no package: a note says that there is none)
    candidates = [shutil.which("python3.9") or "", *map(str, pathlib.Path.home().glob(".pyenv/versions/3.9.*/bin/python3.9"))]
    for path in filter(None, candidates):
        # starts: (what was found)
        if subprocess.run([path, "-c", "pass"], capture_output=True, check=False).returncode == 0:
            return path
    return ""


def files(root: pathlib.Path) -> t.List[pathlib.Path]:
    return [path for directory in TRAVELS for path in sorted((root / directory).rglob("*.py"))]


def imported(python: str, root: pathlib.Path) -> str:
    """Python's errors when it cannot import the files of the collection at root; empty when it can."""
    names = [_COLLECTION + ".".join(path.relative_to(root).with_suffix("").parts) for path in files(root)]
    with tempfile.TemporaryDirectory(prefix="fleet-python39-") as base:
        above = pathlib.Path(base, "ansible_collections", "fleet")
        above.mkdir(parents=True)
        (above / "containerd").symlink_to(root)
        pathlib.Path(base, "ansible").symlink_to(next(iter(ansible.__path__)))
        # Isolated, and without site-packages: every target must have what a file imports at its top.
        command = [python, "-I", "-S", "-B", "-c", _IMPORT, base, *names]
        # starts: (a Python 3.9)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout if done.returncode else ""


def main() -> int:
    python = interpreter()
    if not python:
        print("note: no Python 3.9 is on this machine, so nothing was imported by one")
    problems = newer(files(ROOT)) + (imported(python, ROOT) if python else "")
    print(problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
