# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that run although what is known of them is damaged, full disks and reboots: nothing of them is lost or left."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import RUNNING, STOPPED, TaskIO
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.tasks import boot_id
from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.remove import remove_tree
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import boot_time, with_argument
from ansible_collections.fleet.containerd.tests.support.leftovers import mounts_below
from ansible_collections.fleet.containerd.tests.support.loopfs import fill, loop_filesystem

from .conftest import Harness
from .test_tasks import Box, until

pytestmark = pytest.mark.parametrize("harness", ["embedded-overlayfs"], indirect=True)


@pytest.fixture
def box(harness: Harness) -> t.Iterator[Box]:
    found = Box(harness.open(), harness)
    yield found
    found.close()


def run_at_once(box: Box, *args: str) -> t.Any:
    made = box.container(*args)
    box.engine.tasks.start(made, box.engine.snapshotter().mounts(made.snapshot_key), TaskIO(log_path=box.log(made)))
    return made


DAMAGES: t.Dict[str, t.Callable[[pathlib.Path, pathlib.Path], t.Any]] = {
    "cut": lambda bundle, state: os.truncate(bundle / "task.json", 20),
    "empty": lambda bundle, state: os.truncate(bundle / "task.json", 0),
    "types": lambda bundle, state: (bundle / "task.json").write_text('{"init": "1", "shim": null}'),
    "the runtime's": lambda bundle, state: os.truncate(next(state.glob("st*")), 20),
    "both": lambda bundle, state: [os.truncate(path, 20) for path in (bundle / "task.json", next(state.glob("st*")))],
    "no runtime": lambda bundle, state: [(bundle / "runtime").unlink(), (bundle / "runtime").symlink_to("/nowhere/runc")],
    "no state": lambda bundle, state: [remove_tree(str(state)), (bundle / "task.json").write_text("[")],
    "no state, whole record": lambda bundle, state: remove_tree(str(state)),
    "no config": lambda bundle, state: [(bundle / name).write_text("{") for name in ("task.json", "config.json", "init.pid")],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_runs_is_known_and_goes_although_its_records_are_damaged(box: Box, tmp_path: pathlib.Path, damage: str) -> None:
    made = run_at_once(box, "sh", "-c", "sleep 1000 & echo $$; sleep 1000")
    before = box.engine.tasks.state(made.id)
    bundle, state = tmp_path / "state/default" / made.id, tmp_path / "state/runc/default" / made.id
    shims = list(with_argument(str(bundle)))
    assert len(shims) == 1
    DAMAGES[damage](bundle, state)
    after = box.engine.tasks.state(made.id)
    assert (after.status, after.pid, after.log_path) == (RUNNING, before.pid, before.log_path)
    assert abs(after.started_at - before.started_at) < 0.05
    assert box.engine.tasks.delete(made.id, force=True).status == STOPPED
    with pytest.raises(NotFound):
        box.engine.tasks.state(made.id)
    assert not os.path.exists(f"/proc/{before.pid}")
    assert not shims[0][0].alive
    assert not bundle.exists()
    assert not state.exists()
    assert not list(pathlib.Path("/sys/fs/cgroup").glob(f"*/default/{made.id}"))
    assert mounts_below(tmp_path / "state") == []
    box.engine.tasks.start(made, box.engine.snapshotter().mounts(made.snapshot_key), TaskIO())


def test_a_frozen_container_without_records_goes_too(box: Box, tmp_path: pathlib.Path) -> None:
    made = run_at_once(box, "sleep", "1000")
    pid = box.engine.tasks.state(made.id).pid
    box.engine.tasks.pause(made.id)
    DAMAGES["both"](tmp_path / "state/default" / made.id, tmp_path / "state/runc/default" / made.id)
    box.engine.tasks.delete(made.id, force=True)
    assert not os.path.exists(f"/proc/{pid}")


def test_times_of_a_short_life(box: Box) -> None:
    made = run_at_once(box, "true")
    state = box.engine.tasks.wait(made.id, 10)
    assert 0.001 < state.exited_at - state.started_at < 60


def test_what_ran_before_a_reboot(box: Box, tmp_path: pathlib.Path) -> None:
    """The bundle is gone with the file system in memory, and the boot is another one."""
    ran, ended, made = run_at_once(box, "sleep", "1000"), run_at_once(box, "sh", "-c", "exit 4"), box.container("true")
    running, over = box.engine.tasks.state(ran.id), box.engine.tasks.wait(ended.id, 10)
    start = pathlib.Path(box.engine.container_dir(ran.id)) / "start.json"
    kept = until(lambda: start.exists() and start.read_text())
    for one in (ran, ended):
        box.engine.tasks.delete(one.id, force=True)
    start.write_text(kept.replace(boot_id(), "0123-another-boot"))
    (start.parent.parent / ended.id / "exit.json").write_text(json.dumps({"exit_status": 4, "started_at": 5, "exited_at": 6}))
    state = box.engine.tasks.state(ran.id)
    assert (state.status, state.exit_status, state.log_path) == (STOPPED, 255, running.log_path)
    assert abs(state.started_at - running.started_at) < 0.001
    assert state.exited_at >= max(state.started_at, boot_time() - 1)
    again = box.engine.tasks.state(ended.id)
    assert (again.status, again.exit_status, again.started_at, again.exited_at) == (STOPPED, over.exit_status, 5, 6)
    with pytest.raises(NotFound):
        box.engine.tasks.state(made.id)
    assert box.engine.tasks.delete(ran.id).exit_status == 255
    with pytest.raises(NotFound):
        box.engine.tasks.state(ran.id)


def test_an_exit_status_on_a_full_disk(harness: Harness, tmp_path: pathlib.Path) -> None:
    with (
        loop_filesystem(64) as disk,
        contextlib.closing(EmbeddedEngine("default", f"{disk.path}/data", f"{tmp_path}/state")) as engine,
    ):
        box = Box(engine, harness)
        try:
            made = run_at_once(box, "sh", "-c", "trap 'echo last; exit 0' TERM; echo ready; while :; do sleep 0.02; done")
            start = pathlib.Path(engine.container_dir(made.id)) / "start.json"
            until(start.exists)
            until(lambda: "ready" in box.output(made))
            fill(disk.path)
            engine.tasks.signal(made.id, signal.SIGTERM)
            state = engine.tasks.wait(made.id, 10)
            assert (state.status, state.exit_status) == (STOPPED, 0)
            assert sorted(path.name for path in start.parent.iterdir()) == ["out.log", "start.json"]
            assert engine.tasks.delete(made.id).exit_status == 0
            with pytest.raises(NotFound):
                engine.tasks.state(made.id)
        finally:
            (disk.path / "filler").unlink()
            box.close()
