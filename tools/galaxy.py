# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection's archive, install it where nothing else is, ask the installed copy for each module's documentation, and run
the demo from it.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

from tree import make_tree

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASE = ROOT / ".build" / "galaxy"
#: Names at the top of the archive that users do not need.
UNWANTED = {".ansible-lint", ".build", ".ci", ".git", ".gitignore", ".mypy.ini", ".venv", ".yamllint", "build", "tests", "tools"}


def main() -> int:
    shutil.rmtree(BASE, ignore_errors=True)
    source = make_tree(BASE / "source")
    installed = BASE / "installed"
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(installed), "ANSIBLE_HOME": str(BASE / "home")}

    def run(*command: str) -> str:
        path = pathlib.Path(sys.executable).with_name(command[0])
        done = subprocess.run([path, *command[1:]], cwd=source, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    run("ansible-galaxy", "collection", "build", "--output-path", str(BASE))
    archive = next(BASE.glob("fleet-containerd-*.tar.gz"))
    with tarfile.open(archive) as members:
        unwanted = sorted({name.split("/")[0] for name in members.getnames()} & UNWANTED)
    if unwanted:
        print(f"the archive has {', '.join(unwanted)}: add them to build_ignore in galaxy.yml")
        return 1
    run("ansible-galaxy", "collection", "install", "--offline", "-p", str(installed), str(archive))
    for path in sorted((ROOT / "plugins" / "modules").glob("*.py")):
        name = f"fleet.containerd.{path.stem}"
        if name not in json.loads(run("ansible-doc", "--json", "-t", "module", name)):
            print(f"the installed collection does not know {name}")
            return 1
    run("python", str(ROOT / "tools" / "demo.py"), "--collections", str(installed))
    print(f"{archive.name}: {archive.stat().st_size // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
