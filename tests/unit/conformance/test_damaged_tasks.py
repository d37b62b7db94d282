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

from ansible_collections.fleet.containerd.plugins.module_utils.engine import labels as L
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import RUNNING, STOPPED, TaskIO
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.tasks import boot_id
from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.remove import remove_tree
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import steps
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.life import Stop
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import boot_time, with_argument
from ansible_collections.fleet.containerd.tests.support.leftovers import mounts_below
from ansible_collections.fleet.containerd.tests.support.loopfs import fill, loop_filesystem
from ansible_collections.fleet.containerd.tests.support.waiting import until

from .box import Box
from .conftest import Harness

pytestmark = pytest.mark.parametrize("harness", ["embedded-overlayfs"], indirect=True)


def run_at_once(box: Box, *args: str) -> t.Any:
    made = box.container(*args)
    box.engine.tasks.start(made, box.engine.snapshotter().mounts(made.snapshot_key), TaskIO(log_path=box.log(made)))
    return made


#: Of what the shim has written down, of the bundle, and of the runtime's state.
DAMAGES: t.Dict[str, t.Callable[[pathlib.Path, pathlib.Path, pathlib.Path], t.Any]] = {
    "cut": lambda ours, bundle, state: os.truncate(ours, 20),
    "empty": lambda ours, bundle, state: os.truncate(ours, 0),
    "types": lambda ours, bundle, state: ours.write_text('{"init": "1", "shim": null}'),
    "the runtime's": lambda ours, bundle, state: os.truncate(next(state.glob("st*")), 20),
    "both": lambda ours, bundle, state: [os.truncate(path, 20) for path in (ours, next(state.glob("st*")))],
    "no runtime": lambda ours, bundle, state: [(bundle / "runtime").unlink(), (bundle / "runtime").symlink_to("/nowhere/runc")],
    "no state": lambda ours, bundle, state: [remove_tree(str(state)), ours.write_text("[")],
    "no state, whole record": lambda ours, bundle, state: remove_tree(str(state)),
    "no config": lambda ours, bundle, state: [
        path.write_text("{") for path in (ours, bundle / "config.json", bundle / "init.pid")
    ],
}


def ours(box: Box, made: t.Any) -> pathlib.Path:
    return pathlib.Path(box.engine.container_dir(made.id)) / "state.json"


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_runs_is_known_and_goes_although_its_records_are_damaged(box: Box, tmp_path: pathlib.Path, damage: str) -> None:
    made = run_at_once(box, "sh", "-c", "sleep 1000 & echo $$; sleep 1000")
    before = box.engine.tasks.state(made.id)
    bundle, state = tmp_path / "state/default" / made.id, tmp_path / "state/runc/default" / made.id
    shims = list(with_argument(str(bundle)))
    assert len(shims) == 1
    DAMAGES[damage](ours(box, made), bundle, state)
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
    DAMAGES["both"](ours(box, made), tmp_path / "state/default" / made.id, tmp_path / "state/runc/default" / made.id)
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
    kept, kept_too = ours(box, ran).read_text(), ours(box, ended).read_text()
    for one in (ran, ended):
        box.engine.tasks.delete(one.id, force=True)
    for one, text in ((ran, kept), (ended, kept_too)):
        ours(box, one).write_text(text.replace(boot_id(), "0123-another-boot"))
    state = box.engine.tasks.state(ran.id)
    assert (state.status, state.exit_status, state.log_path) == (STOPPED, 255, running.log_path)
    assert abs(state.started_at - running.started_at) < 0.001
    assert state.exited_at >= max(state.started_at, boot_time() - 1)
    again = box.engine.tasks.state(ended.id)
    assert over.exit_status == 4
    assert again == over
    with pytest.raises(NotFound):
        box.engine.tasks.state(made.id)
    assert box.engine.tasks.delete(ran.id).exit_status == 255
    with pytest.raises(NotFound):
        box.engine.tasks.state(ran.id)


def test_an_end_that_was_asked_for_is_told_from_a_crash(box: Box) -> None:
    stopped, crashed = (run_at_once(box, "sleep", "1000") for _turn in range(2))
    stopped = box.engine.containers.update(stopped._replace(extensions={L.DESIRED: {}}), ["extensions"])
    steps.stop(box.engine, stopped, Stop(kill=signal.SIGKILL))
    box.engine.tasks.signal(crashed.id, signal.SIGKILL)
    assert box.engine.tasks.wait(crashed.id, 10).exit_status == 137
    assert [json.loads(ours(box, one).read_text())["asked"] for one in (stopped, crashed)] == [True, False]


def test_an_exit_status_on_a_full_disk(harness: Harness, tmp_path: pathlib.Path) -> None:
    with (
        loop_filesystem(64) as disk,
        contextlib.closing(EmbeddedEngine("default", f"{disk.path}/data", f"{tmp_path}/state")) as engine,
    ):
        box = Box(engine, harness)
        try:
            made = run_at_once(box, "sh", "-c", "trap 'echo last; exit 0' TERM; echo ready; while :; do sleep 0.02; done")
            until(lambda: "ready" in box.output(made))
            fill(disk.path)
            engine.tasks.signal(made.id, signal.SIGTERM)
            state = engine.tasks.wait(made.id, 10)
            assert (state.status, state.exit_status) == (STOPPED, 0)
            assert [path.name for path in (tmp_path / "state" / "default" / made.id).glob("*.json")].count("state.json") == 1
            assert engine.tasks.delete(made.id).exit_status == 0
            with pytest.raises(NotFound):
                engine.tasks.state(made.id)
        finally:
            (disk.path / "filler").unlink()
            box.close()
