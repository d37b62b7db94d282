# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-test sanity on a copy of the collection, with no ignore file. Usage: python tools/sanity.py [ansible-test options]

ansible-test downloads a get-pip.py from its project's own server. We replace it by the standard library's ensurepip: PIP below is
put where ansible-test keeps its download. The files of ansible-test go to .build/sanity.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import typing as t

import ansible_test

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASE = ROOT / ".build" / "sanity"
#: Its arguments are those of pip install: the version of pip that ansible-test wants, and options.
PIP = '''"""Bootstrap pip from the standard library, then let it install what was asked for."""

import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip", "--upgrade", "--default-pip"])
wanted = [argument for argument in sys.argv[1:] if argument.startswith("pip==")]
if wanted:
    subprocess.check_call([sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"] + wanted)
'''


def pip_version() -> str:
    """The version of pip that this ansible-test asks for."""
    source = pathlib.Path(next(iter(ansible_test.__path__)), "_internal", "python_requirements.py").read_text()
    found = re.search(r"""\bpip=['"]([0-9.]+)['"]""", source)
    if not found:
        sys.exit("the version of pip that this ansible-test asks for is not found in its python_requirements.py")
    return found.group(1)


def sanity(arguments: t.Sequence[str]) -> int:
    """The exit status of ansible-test; 1 also when it tested nothing."""
    from tree import make_tree

    target = make_tree(BASE)
    ignores = list((target / "tests" / "sanity").glob("ignore*"))
    if ignores:
        print(f"{ignores[0].name}: no ignore files; mend what ansible-test finds")
        return 1
    cache = BASE / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / f"get_pip_{pip_version().replace('.', '_')}.py").write_text(PIP)
    environment = {
        **os.environ,
        "HOME": str(BASE),
        # Keep the user's configuration of pip, which may name a mirror.
        "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", os.path.expanduser("~/.config")),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(BASE),
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment.pop("PYTHONPATH", None)
    command = ["ansible-test", "sanity", "--color", "no", "--python", f"{sys.version_info[0]}.{sys.version_info[1]}", *arguments]
    done = subprocess.run(
        command, cwd=target, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(done.stdout)
    if "All targets skipped" in done.stdout:
        print("ansible-test found no files to test")
        return 1
    return done.returncode


if __name__ == "__main__":
    sys.exit(sanity(sys.argv[1:]))
