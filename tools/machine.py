# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command of extensions/ while a bare Debian machine runs, which it finds in the variables that the scenarios of molecule read.

Usage, as root: python tools/machine.py COMMAND [ARGUMENT ...], for example molecule test, or sh to look around.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".build" / "link"))

from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS  # noqa: E402  # needs the path above
from ansible_collections.fleet.containerd.tests.support.machines import running_machines  # noqa: E402


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    with running_machines() as machines, machines.running("systemd") as machine:
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_CONNECTION_PLUGINS": str(ROOT / "tests" / "support" / "connection_plugins"),
            "MOLECULE_CONNECTION": "enter",
            "MOLECULE_HOST": str(machine.pid),
            "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        return subprocess.run(sys.argv[1:], check=False, cwd=ROOT / "extensions", env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
