# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shim with a pretended runtime, for orders of events that a real one brings about once in many hundred runs."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import select
import signal
import subprocess
import sys

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.libexec import shim
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import Process
from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS

_SHIM = """
os.close(output[1])
os.close(error[1])
shim = Shim([base, base, base + "/log", "0", "1", "1", str(answer[1]), "pipes", str(output[0]), str(error[0])])
sys.exit(shim.run())
"""

_BEGINNING = """
import ctypes, os, sys, time
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.shim import Shim
base = sys.argv[1]
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
answer, output, error = os.pipe(), os.pipe(), os.pipe()
"""

#: The init process ends, as a child of the shim's, while the runtime has not ended yet.
_SHORT_LIFE = """
if not os.fork():
    parent = os.fork()
    if not parent:
        init = os.fork()
        if not init:
            os.write(output[1], b"short\\n")
            os._exit(3)
        with open(base + "/init.pid", "w") as stream:
            stream.write(str(init))
        os._exit(0)
    os.waitpid(parent, 0)
    time.sleep(0.3)
    os._exit(0)
"""

#: The runtime has ended; a process that it has left is the parent of init, and ends after it.
_LATE_PARENT = """
ready = os.pipe()
runtime = os.fork()
if not runtime:
    if not os.fork():
        init = os.fork()
        if not init:
            time.sleep(0.3)
            os.write(output[1], b"short\\n")
            os._exit(3)
        with open(base + "/init.pid", "w") as stream:
            stream.write(str(init))
        os.write(ready[1], b"x")
        os.close(output[1])
        time.sleep(3)
        os._exit(0)
    os.read(ready[0], 1)
    os._exit(0)
"""


@pytest.mark.parametrize("runtime", [_SHORT_LIFE, _LATE_PARENT], ids=["before its runtime", "before its parent"])
def test_a_container_that_ends(runtime: str, tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-c", _BEGINNING + runtime + _SHIM, str(tmp_path)]
    subprocess.run(command, check=True, env={"PYTHONPATH": str(COLLECTIONS)}, timeout=30)
    ended = json.loads((tmp_path / "exit.json").read_text())
    assert ended["exit_status"] == 3
    assert ended["pid"] == shim.init_pid(str(tmp_path))
    assert json.loads((tmp_path / "log").read_text())["log"] == "short\n"


def test_a_container_is_kept_where_no_thread_can_be_started(tmp_path: pathlib.Path) -> None:
    """What a thread would have done is done before the output is read."""
    refuse = """
from ansible_collections.fleet.containerd.plugins.module_utils.libexec import shim as module
def refuse(*args):
    raise RuntimeError("can't start new thread")
module.start_new_thread = refuse
"""
    command = [sys.executable, "-c", _BEGINNING + _SHORT_LIFE + refuse + _SHIM, str(tmp_path)]
    subprocess.run(command, check=True, env={"PYTHONPATH": str(COLLECTIONS)}, timeout=30)
    assert json.loads((tmp_path / "exit.json").read_text())["exit_status"] == 3


@pytest.fixture(params=["no call", "not in Python", "there"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One before Linux 5.3, a Python built for such a one, and ours."""

    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    if request.param == "no call":
        monkeypatch.setattr(os, "pidfd_open", refuse)
    elif request.param == "not in Python":
        monkeypatch.delattr(os, "pidfd_open")


@pytest.mark.usefixtures("kernel")
def test_the_end_of_a_process_is_told_on_every_kernel() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        told = shim.watch(process.pid)
        known = Process.of(process.pid)
        assert select.select([told], [], [], 0.15)[0] == []
        assert not known.wait(0.05)
        assert known.signal(signal.SIGTERM)
        assert known.wait(10)
        assert select.select([told], [], [], 10)[0] == [told]
        os.close(told)
        assert not known.signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
