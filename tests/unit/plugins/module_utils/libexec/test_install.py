# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What older releases have put on the target goes with the first container of a new one."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time

from ansible_collections.fleet.containerd.plugins.module_utils.libexec.install import install


def test_old_releases_go_unless_they_run(tmp_path: pathlib.Path) -> None:
    for name, age in (("old", 2), ("running", 2), ("young", 0)):
        path = tmp_path / "libexec" / (name * 8) / "ctr.pyz"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path.parent, (time.time() - age * 86400,) * 2)
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", str(tmp_path / "libexec" / ("running" * 8) / "ctr.pyz")]
    with subprocess.Popen(command, stdin=subprocess.PIPE):
        own = install(str(tmp_path))
        assert sorted(path.name[:3] for path in (tmp_path / "libexec").iterdir() if str(path) not in own) == ["run", "you"]
        assert install(str(tmp_path)) == own
    assert os.path.exists(own)
