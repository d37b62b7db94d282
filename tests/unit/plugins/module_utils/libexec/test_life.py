# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a life of a container leaves for the next one."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS

_CLEAR = """
import sys
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.life import Life
Life(sys.argv[1], ["/bin/true"], "", None).clear("web")
"""


def test_what_a_killed_runc_has_left_goes(tmp_path: pathlib.Path) -> None:
    """.init.pid: runc writes that first, and a runc that finds it starts nothing."""
    for name in ("init.pid", ".init.pid", "runtime.log", "config.json"):
        (tmp_path / name).touch()
    # In a process of its own, since all children are waited for. starts: (of .venv)
    subprocess.run([sys.executable, "-c", _CLEAR, tmp_path], env={"PYTHONPATH": str(COLLECTIONS)}, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
