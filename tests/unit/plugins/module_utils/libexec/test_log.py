# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log writer of containerd's tasks, without containerd."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS

_LOG = """
import sys
from ansible_collections.fleet.containerd.plugins.module_utils.libexec import main
main.main(["log", *sys.argv[1:]])
"""


@pytest.mark.parametrize("spare", ["spares/some-id.json", "file/spares/some-id.json"], ids=["beside", "nowhere"])
def test_the_log_is_written_where_the_state_cannot_be(tmp_path: pathlib.Path, spare: str) -> None:
    (tmp_path / "file").touch()
    log, pipes = tmp_path / "log", [os.pipe() for _name in ("stdout", "stderr", "ready")]
    fds = [pipes[0][0], pipes[1][0], pipes[2][1]]
    arguments = [str(tmp_path / "file"), str(log), "0", "1", str(tmp_path / spare), "0", "0", "0.0", *map(str, fds)]
    command = [sys.executable, "-c", _LOG, *arguments]
    with subprocess.Popen(command, cwd=tmp_path, env={"PYTHONPATH": str(COLLECTIONS)}, pass_fds=fds) as process:
        for fd in fds:
            os.close(fd)
        assert os.read(pipes[2][0], 1) == b""
        os.write(pipes[0][1], b"a line\n")
        for fd in (pipes[0][1], pipes[1][1], pipes[2][0]):
            os.close(fd)
        assert process.wait(10) == 0
    assert json.loads(log.read_text())["log"] == "a line\n"
    assert (tmp_path / spare).exists() == spare.startswith("spares")


def watches(pid: int) -> bool:
    """Whether a process has a descriptor of another one. Those of files go while we look."""
    for path in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if "pidfd" in os.readlink(path):
                return True
    return False


def test_it_asks_nothing_of_a_shim_that_waits_for_its_end(tmp_path: pathlib.Path) -> None:
    """The container ends because its task is deleted, and SIGTERM comes before the log writer has seen that."""
    bundle, pipes = tmp_path / "bundle", [os.pipe() for _name in ("stdout", "stderr", "ready")]
    bundle.mkdir()
    fds = [pipes[0][0], pipes[1][0], pipes[2][1]]
    arguments = [str(tmp_path), str(tmp_path / "log"), "0", "1", str(tmp_path / "spare"), "0", "0", "0.0", *map(str, fds)]
    command = [sys.executable, "-c", _LOG, *arguments]
    with socket.socket(socket.AF_UNIX) as shim, subprocess.Popen(["sleep", "60"]) as init:
        shim.bind(str(tmp_path / "socket"))
        shim.listen()
        (bundle / "address").write_text(f"unix://{tmp_path / 'socket'}")
        (bundle / "config.json").write_text("{}")
        (bundle / "init.pid").write_text(str(init.pid))
        with subprocess.Popen(command, cwd=bundle, env={"PYTHONPATH": str(COLLECTIONS)}, pass_fds=fds) as process:
            os.close(pipes[2][1])
            assert os.read(pipes[2][0], 1) == b""
            deadline = time.monotonic() + 10
            while not watches(process.pid) and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(signal.SIGSTOP)
            init.kill()
            init.wait()
            os.write(pipes[0][1], b"the last line\n")
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
            try:
                assert process.wait(10) == 0
            finally:
                process.kill()
    assert json.loads((tmp_path / "log").read_text())["log"] == "the last line\n"
    for fd in (pipes[0][0], pipes[0][1], pipes[1][0], pipes[1][1], pipes[2][0]):
        os.close(fd)
