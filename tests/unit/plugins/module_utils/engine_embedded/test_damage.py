# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of the embedded engine whose records are damaged: every question has an answer, and removal removes."""

from __future__ import annotations

import contextlib
import json
import pathlib
import random
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import RUNNING, STOPPED
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded import tasks
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.tasks import EmbeddedTasks
from ansible_collections.fleet.containerd.plugins.module_utils.engine_host.place import Place
from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import Process, boot_id, start_time

ID = "c0ffee" * 10 + "beef"
ODD: t.Tuple[t.Any, ...] = (
    None, True, -1, 0, 1, 1e400, 10**30, "", "x", "\x00", "../../etc", [], [1], [1, 2, 3], ["1", "2"], [None, None], [-1, -1], {}, {"a": 1},
)  # fmt: skip


@pytest.fixture
def stranger() -> t.Iterator[subprocess.Popen[bytes]]:
    """A process that is no container's, whatever a record says."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        assert process.poll() is None
        process.kill()


class Ground:
    """What a task that has run leaves, with a runtime that fails at everything."""

    def __init__(self, base: pathlib.Path, stranger: int) -> None:
        self.tasks = EmbeddedTasks("default", f"{base}/data", f"{base}/state", Place(f"{base}/data", "default"))
        self.bundle, self.kept = base / "state/default" / ID, pathlib.Path(self.tasks._place.container_path(ID))
        self.runtime = base / "state/runc/default" / ID
        init = [stranger, start_time(stranger)]
        task = {"boot": boot_id(), "init": init, "shim": init, "runtime": "/bin/false", "log": "/log", "started_at": 5.5}
        ended = {**task, "exit_status": 3, "exited_at": 6.5, "oom_killed": False}
        linux = {"cgroupsPath": f"/default/{ID}"}
        self.files: t.Dict[pathlib.Path, t.Any] = {
            self.bundle / "config.json": {"linux": linux},
            self.bundle / "init.pid": stranger,
            self.bundle / "state.json": ended,
            self.runtime / "state.json": {"id": ID},
            self.kept / "state.json": task,
        }

    def write(self, changed: pathlib.Path, text: t.Optional[bytes]) -> None:
        for path, value in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            data = json.dumps(value).encode() if path != changed else text
            if data is not None:
                path.write_bytes(data)
        (self.bundle / "runtime").symlink_to("/bin/false")

    def mutation(self, dice: random.Random) -> t.Tuple[pathlib.Path, t.Optional[bytes]]:
        path, value = dice.choice(list(self.files.items()))
        text = json.dumps(value).encode()
        at = dice.randrange(len(text) + 1)
        if isinstance(value, dict) and dice.random() < 0.5:
            return path, json.dumps({**value, dice.choice(list(value)): dice.choice(ODD)}).encode()
        others = (
            None,
            text[:at],
            text[:at] + dice.randbytes(3) + text[at + 3 :],
            json.dumps(dice.choice(ODD)).encode(),
            b"[" * 9999,
        )
        return path, dice.choice(others)


def test_no_damage_is_met_with_a_traceback(tmp_path: pathlib.Path, stranger: subprocess.Popen[bytes]) -> None:
    ground, dice = Ground(tmp_path, stranger.pid), random.Random(7)
    for _turn in range(200):
        path, text = ground.mutation(dice)
        ground.write(path, text)
        with contextlib.suppress(NotFound):
            assert ground.tasks.state(ID).status in (RUNNING, STOPPED)
        with contextlib.suppress(EngineError):
            dice.choice([lambda: ground.tasks.signal(ID, 0), ground.tasks.list])()
        with contextlib.suppress(NotFound):
            ground.tasks.delete(ID, force=True)
        assert not [file for file in ground.files if file.exists()], (path, text)
        with pytest.raises(NotFound):
            ground.tasks.state(ID)


def test_a_removal_without_a_state_directory(tmp_path: pathlib.Path, stranger: subprocess.Popen[bytes]) -> None:
    ground = Ground(tmp_path, stranger.pid)
    ground.runtime.mkdir(parents=True)
    with pytest.raises(NotFound):
        ground.tasks.delete(ID, force=True)
    assert not ground.runtime.exists()
    assert not (tmp_path / "state" / "default").exists()


def test_an_end_that_is_in_the_bundle_only(tmp_path: pathlib.Path, stranger: subprocess.Popen[bytes]) -> None:
    ground = Ground(tmp_path, stranger.pid)
    ground.write(ground.kept / "state.json", b'{"boot": ')
    state = ground.tasks.state(ID)
    assert (state.status, state.exit_status, state.started_at, state.exited_at) == (STOPPED, 3, 5.5, 6.5)


def test_a_shim_that_forks_for_the_runtime_when_it_is_killed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new process looks like its shim until it has become the runtime, which then would make a container that nobody knows."""
    ground = Ground(tmp_path, 1)
    ground.bundle.mkdir(parents=True)
    with subprocess.Popen(["sleep", "1000"]) as shim, subprocess.Popen(["sleep", "5"]) as forked:

        def looks_like_a_shim(bundle: str) -> t.Iterator[t.Tuple[Process, t.List[str]]]:
            yield from (
                (Process.of(one.pid), [bundle]) for one in ((shim,) if shim.poll() is None else (forked,)) if one.poll() is None
            )

        monkeypatch.setattr(tasks, "_shims", looks_like_a_shim)
        with pytest.raises(NotFound):
            ground.tasks.delete(ID, force=True)
        assert (shim.wait(1), forked.wait(1)) == (-9, -9)
