# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log writer of containerd's tasks, without containerd."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

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
    arguments = [str(tmp_path / "file"), str(log), "0", "1", str(tmp_path / spare), "0", *map(str, fds)]
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
