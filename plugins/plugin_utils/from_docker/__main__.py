# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewrite the tasks of community.docker in playbooks as tasks of fleet.containerd, and list what has to be done by hand.

Usage: python3 .../ansible_collections/fleet/containerd/plugins/plugin_utils/from_docker [--write] PATH...

Shows the changes, and with --write makes them. A directory stands for all files of YAML in it, without those in files, templates and
hidden directories. Exit status: 0 if nothing is left to do by hand, 1 if something is, 2 if a path cannot be read or written.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import pathlib
import shutil
import sys
import tempfile
import types
import typing as t

if t.TYPE_CHECKING:
    from .convert import Converted

_COLLECTION = pathlib.Path(__file__).resolve().parent.parent.parent.parent
_PACKAGE = "ansible_collections.fleet.containerd.plugins.plugin_utils.from_docker"
_NOT_TASKS = ("files", "templates", "ansible_collections")


def _be_found() -> None:
    """A directory that Python runs as a program is in no package. Wherever the collection is installed: it is this one."""
    for name, path in ((".".join(_PACKAGE.split(".")[:parts]), _COLLECTION if parts == 3 else None) for parts in (1, 2, 3)):
        sys.modules[name] = package = types.ModuleType(name)
        package.__path__ = [str(path)] if path else []


def files_of(paths: t.Sequence[pathlib.Path]) -> t.Iterator[pathlib.Path]:
    """The files that are named, and those in directories."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for base, directories, names in os.walk(path):
            directories[:] = sorted(one for one in directories if one not in _NOT_TASKS and not one.startswith("."))
            yield from (pathlib.Path(base, one) for one in sorted(names) if one.endswith((".yml", ".yaml")))


def write(path: pathlib.Path, text: str) -> None:
    """Replace the content of a file; it keeps its mode, and whoever is interrupted leaves the old one."""
    real = path.resolve()
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="", dir=real.parent, delete=False) as new:
        try:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
            shutil.copymode(real, new.name)
            os.replace(new.name, real)
        except OSError:
            os.unlink(new.name)
            raise


class Report:
    """What is shown: on standard output changes and what is left, on standard error what cannot be read, and the sum."""

    def __init__(self, writes: bool) -> None:
        self._writes = writes
        self.tasks = self.left = 0
        self.unusable = False

    def unread(self, path: pathlib.Path, error: Exception) -> None:
        self.unusable = True
        sys.stderr.write(f"{path}: {error}\n")

    def not_yaml(self, path: pathlib.Path, error: Exception) -> None:
        mark = getattr(error, "problem_mark", None)
        self._show(path, mark.line + 1 if mark else 1, f"it is not YAML: {getattr(error, 'problem', None) or error}")

    def converted(self, path: pathlib.Path, before: str, found: Converted) -> None:
        self.tasks += found.tasks
        if not self._writes:
            sys.stdout.writelines(diff(path, before, found.text))
        for one in found.left:
            self._show(path, one.written if self._writes else one.line, one.what)

    def _show(self, path: pathlib.Path, line: int, what: str) -> None:
        self.left += 1
        sys.stdout.write(f"{path}:{line}: {what}\n")

    def end(self) -> int:
        """The exit status."""
        verb = "rewritten" if self._writes else "to rewrite"
        sys.stderr.write(f"tasks and defaults {verb}: {self.tasks}; left to do by hand: {self.left}\n")
        return 2 if self.unusable else 1 if self.left else 0


def main(arguments: t.Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="from_docker", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="change the files; without it, only show what would change")
    parser.add_argument("path", nargs="+", type=pathlib.Path, help="a playbook, a file of tasks, or a directory of them")
    options = parser.parse_args(arguments)
    try:
        import yaml
    except ImportError:
        parser.exit(2, "from_docker: needs PyYAML: run it with the Python that ansible --version names\n")
    convert = importlib.import_module(f"{_PACKAGE}.convert").convert
    report = Report(options.write)
    for path in files_of(options.path):
        try:
            text = path.read_bytes().decode("utf-8")
            if "docker" not in text and "fleet.containerd" not in text:
                continue
            found = convert(text)
            if options.write and found.text != text:
                write(path, found.text)
            report.converted(path, text, found)
        except (OSError, UnicodeDecodeError) as error:
            report.unread(path, error)
        except yaml.YAMLError as error:
            report.not_yaml(path, error)
    return report.end()


def diff(path: pathlib.Path, before: str, after: str) -> t.Iterator[str]:
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), str(path), str(path))
    return (line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


if __name__ == "__main__":
    _be_found()
    sys.exit(main(sys.argv[1:]))
