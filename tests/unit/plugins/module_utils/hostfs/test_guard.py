# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guard acts for a process that is killed, and only then."""

from __future__ import annotations

import errno
import os
import pathlib
import signal
import time

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.guard import guarded


def test_where_no_more_processes_are_allowed_there_is_no_guard(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    before, done = os.listdir("/proc/self/fd"), False
    with guarded((tmp_path / "will").touch):
        done = True
    assert done
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("killed", [False, True])
def test_a_guard_acts_for_a_process_that_is_killed(tmp_path: pathlib.Path, killed: bool) -> None:
    will = tmp_path / "will"
    pid = os.fork()
    if not pid:
        try:
            with guarded(will.touch):
                if killed:
                    os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == (signal.SIGKILL if killed else 0)
    deadline = time.monotonic() + 20
    while killed and not will.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    # The guard of a process that has ended well is gone before it.
    assert will.exists() is killed
