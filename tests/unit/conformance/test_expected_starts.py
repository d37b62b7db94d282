# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shims that are started before their container is complete: the start takes them, and without it nothing of them stays."""

from __future__ import annotations

import os
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import RUNNING, Container, TaskIO
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import with_argument
from ansible_collections.fleet.containerd.tests.support.waiting import until

from .box import Box
from .conftest import Harness

pytestmark = pytest.mark.parametrize("harness", ["embedded-overlayfs"], indirect=True)


def shims(container: Container) -> t.List[int]:
    """Also one that has just been forked and is about to be a shim."""
    return sorted(process.pid for process, words in with_argument(container.id) if "shim" in words)


def start(box: Box, container: Container, io: TaskIO) -> None:
    mounts = box.engine.snapshotter().mounts(container.snapshot_key)
    assert box.engine.tasks.start(container, mounts, io).status == RUNNING


def test_the_start_takes_the_shim_that_waits(box: Box) -> None:
    made = box.container("sleep", "1000")
    io = TaskIO(log_path=box.log(made))
    box.engine.tasks.expect(made, io)
    until(lambda: bool(shims(made)))
    waiting = shims(made)
    start(box, made, io)
    assert shims(made) == waiting
    assert len(waiting) == 1


def test_a_start_with_something_else_has_its_own_shim(box: Box) -> None:
    made = box.container("sleep", "1000")
    box.engine.tasks.expect(made, TaskIO(log_path=box.log(made)))
    until(lambda: bool(shims(made)))
    waiting = shims(made)
    start(box, made, TaskIO(log_path=box.log(made), log_max_size=1000))
    assert len(shims(made)) == 1
    assert shims(made) != waiting


def test_a_start_that_does_not_come(harness: Harness, box: Box) -> None:
    made = box.container("sleep", "1000")
    other = harness.open()
    other.tasks.expect(made, TaskIO(log_path=box.log(made)))
    until(lambda: bool(shims(made)))
    other.close()
    assert shims(made) == []


def test_a_process_that_is_killed_before_the_start(harness: Harness, box: Box) -> None:
    made = box.container("sleep", "1000")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            harness.open().tasks.expect(made, TaskIO(log_path=box.log(made)))
            os.write(writer, b".")
            os.kill(os.getpid(), 9)
        finally:
            os._exit(1)
    assert os.read(reader, 1) == b"."
    assert os.waitpid(child, 0)[1] == 9
    until(lambda: shims(made) == [])
    os.close(reader)
    os.close(writer)
