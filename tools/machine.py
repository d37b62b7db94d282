# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command in extensions/ beside a bare Debian machine, which it finds in the variables of the molecule scenarios.

Usage, as root: python tools/machine.py COMMAND [ARGUMENT ...], for example molecule test -s host, or sh to look around. MOLECULE_IMAGE
names the image that the scenario runs a container of; without, it is pulled from the internet.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".build" / "link"))

from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS  # noqa: E402  # needs the path above
from ansible_collections.fleet.containerd.tests.support.machines import running_machines  # noqa: E402


def environment(home: str, **variables: str) -> t.Dict[str, str]:
    """That of a command of Ansible with this collection, in the virtual environment. home: for what it keeps."""
    return {
        **os.environ,
        "ANSIBLE_HOME": home,
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        **variables,
    }


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with (
        running_machines() as machines,
        machines.running("systemd") as machine,
        tempfile.TemporaryDirectory(prefix="fleet-machine-") as home,
    ):
        found = environment(
            home,
            ANSIBLE_CONNECTION_PLUGINS=str(ROOT / "tests" / "support" / "connection_plugins"),
            MOLECULE_CONNECTION="enter",
            MOLECULE_HOST=str(machine.pid),
        )
        # starts: molecule (or what the user gives)
        return subprocess.run(sys.argv[1:], check=False, cwd=ROOT / "extensions", env=found).returncode


if __name__ == "__main__":
    sys.exit(main())
