# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shim with a pretended runtime, for an order of events that a real one brings about once in many hundred runs."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

from ansible_collections.fleet.containerd.plugins.module_utils.libexec import shim
from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS

#: The init process ends, as a child of the shim's, while the runtime has not ended yet.
_SHORT_LIFE = """
import ctypes, os, sys, time
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.shim import Shim
base = sys.argv[1]
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
answer, output, error = os.pipe(), os.pipe(), os.pipe()
if not os.fork():
    if not os.fork():
        init = os.fork()
        if not init:
            os.write(output[1], b"short\\n")
            os._exit(3)
        with open(base + "/init.pid", "w") as stream:
            stream.write(str(init))
        os._exit(0)
    os.wait()
    time.sleep(0.3)
    os._exit(0)
os.close(output[1])
os.close(error[1])
shim = Shim([base, base + "/exit.json", base + "/log", "0", "1", str(answer[1]), "pipes", str(output[0]), str(error[0])])
sys.exit(shim.run())
"""


def test_a_container_that_ends_before_its_runtime(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-c", _SHORT_LIFE, str(tmp_path)]
    subprocess.run(command, check=True, env={"PYTHONPATH": str(COLLECTIONS)}, timeout=30)
    ended = json.loads((tmp_path / "exit.json").read_text())
    assert ended["exit_status"] == 3
    assert ended["pid"] == shim.init_pid(str(tmp_path))
    assert json.loads((tmp_path / "log").read_text())["log"] == "short\n"
