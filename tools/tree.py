# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real copy of the collection at .../ansible_collections/fleet/containerd, where ansible-test accepts it. Prints its path.

Usage: python tools/tree.py DIRECTORY. ansible-test refuses the symbolic link that everything else uses, and lists its
files through git: hence a copy of what git knows or would add, as a repository of its own.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def make_tree(directory: pathlib.Path) -> pathlib.Path:
    """Copy the collection below directory, and replace an earlier copy. Returns the root of the copy."""
    target = directory / "ansible_collections" / "fleet" / "containerd"
    if target.exists():
        shutil.rmtree(target)
    # safe.directory: in CI the checkout often belongs to another user.
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-coz", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    for name in sorted(filter(None, set(names))):
        source = ROOT / name
        if source.is_file() or source.is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name, follow_symlinks=False)
    subprocess.run(["git", "init", "-q", "."], cwd=target, check=True)
    return target


if __name__ == "__main__":
    print(make_tree(pathlib.Path(sys.argv[1]).resolve()))
