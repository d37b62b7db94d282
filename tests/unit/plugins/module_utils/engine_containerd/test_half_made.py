# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon that is killed while it makes a task, a host that was reset, a full disk: nothing is lost, or in anybody's way."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import threading
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import RUNNING, STOPPED, TaskIO
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd import stdio, tasks
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, NotFound, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.hooks import hooks, install_hook
from ansible_collections.fleet.containerd.plugins.module_utils.network import netns
from ansible_collections.fleet.containerd.plugins.module_utils.network.connected import Connected, keep
from ansible_collections.fleet.containerd.plugins.module_utils.network.places import Places
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import steps as container_steps
from ansible_collections.fleet.containerd.plugins.module_utils.rpc.channel import Channel
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.logs import read
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, Daemon, running_containerd
from ansible_collections.fleet.containerd.tests.support.leftovers import unmount_below
from ansible_collections.fleet.containerd.tests.support.loopfs import fill, loop_filesystem
from ansible_collections.fleet.containerd.tests.support.waiting import until

from .conftest import Live

RUNC = pathlib.Path("/run/containerd/runc/default")


class DyingInCreate(Channel):
    """A channel whose daemon is killed some time after it was asked to make a task."""

    def __init__(self, daemon: Daemon, seconds: float) -> None:
        super().__init__(daemon.address, "default")
        self._timer = threading.Timer(seconds, daemon.kill)

    def open(self, method: str, timeout: t.Optional[float] = 60.0, whole: bool = True) -> t.Any:
        if method.endswith("Tasks/Create"):
            self._timer.start()
        return super().open(method, timeout, whole)

    def wait(self) -> None:
        self._timer.join()


@pytest.mark.parametrize("version", sorted(RELEASES))
def test_a_daemon_that_dies_while_it_makes_a_task(version: str, busybox: str, tmp_path: pathlib.Path) -> None:
    """The first run after it makes the container run, or takes away all of it."""
    with running_containerd(version) as daemon:
        image = Live(daemon, tmp_path / "data").pull(busybox)
        for seconds in (0.03, 0.07) if version == "1.6" else (0.05,):
            dying = Live(daemon, tmp_path / "data")
            dying.engine._rpc = rpc = DyingInCreate(daemon, seconds)
            started, removed = dying.make(image, "sleep", "1000"), dying.make(image, "sleep", "1000")
            for container in (started, removed):
                if container is removed:
                    dying = Live(daemon, tmp_path / "data")
                    dying.engine._rpc = rpc = DyingInCreate(daemon, seconds)
                try:
                    container_steps.start(dying.engine, container)
                except Unavailable:
                    rpc.wait()
                rpc.wait()
                daemon.start()
            live = Live(daemon, tmp_path / "data")
            container_steps.start(live.engine, started)
            assert live.engine.tasks.state(started.id).status == RUNNING
            for container in (started, removed):
                container_steps.remove(live.engine, container)
                with pytest.raises(NotFound):
                    live.engine.tasks.state(container.id)
        # A daemon may answer before the shim has ended.
        deadline = time.monotonic() + 5
        while daemon.shims() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert daemon.shims() == []
        live.nothing_left()


@pytest.mark.parametrize("version", sorted(RELEASES))
def test_a_host_that_was_reset(version: str, busybox: str, tmp_path: pathlib.Path) -> None:
    """What the runtime has of the container is still there: the first play works all the same."""
    with running_containerd(version) as daemon:
        live = Live(daemon, tmp_path / "data")
        container = live.make(live.pull(busybox), "sleep", "1000")
        container_steps.start(live.engine, container)
        began = live.engine.tasks.state(container.id).started_at
        shutil.copytree(RUNC / container.id, tmp_path / "runc", ignore=lambda directory, names: [])
        live.engine.tasks.delete(container.id, force=True)
        task = pathlib.Path(live.engine.container_dir(container.id)) / "state.json"
        task.write_text(json.dumps({"boot": "another", "log": "/log", "started_at": began}))
        shutil.copytree(tmp_path / "runc", RUNC / container.id)
        state = live.engine.tasks.state(container.id)
        assert (state.status, state.exit_status, state.started_at, state.log_path) == (STOPPED, 255, began, "/log")
        assert state.exited_at >= began
        container_steps.start(live.engine, container)
        assert live.engine.tasks.state(container.id).status == RUNNING
        container_steps.remove(live.engine, container)
        live.nothing_left()
        assert not (RUNC / container.id).exists()


def test_an_exit_status_on_a_full_disk(
    daemon: Daemon, busybox: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in memory then, also where the daemon has forgotten it; nobody waits for the log writer in vain."""
    monkeypatch.setattr(tasks, "_LOG_SECONDS", 60.0)
    with loop_filesystem(16) as disk:
        live = Live(daemon, disk.path / "data")
        live.engine = ContainerdEngine(daemon.address, "default", "", str(live.data_root), str(tmp_path / "state"))
        image = live.pull(busybox)
        container = live.make(image, "sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done")
        container_steps.start(live.engine, container)
        log, deadline = live.engine.tasks.state(container.id).log_path, time.monotonic() + 20
        while b"ready" not in read(log) and time.monotonic() < deadline:
            time.sleep(0.02)
        fill(disk.path)
        live.engine.tasks.signal(container.id, signal.SIGTERM)
        started = time.monotonic()
        assert live.engine.tasks.wait(container.id, 10).exit_status == 7
        assert time.monotonic() - started < 30
        live.daemon.ctr("task", "rm", container.id)
        assert live.engine.tasks.state(container.id).exit_status == 7
        (disk.path / "filler").unlink()
        live.remove(container)
        assert list((tmp_path / "state").rglob("*.json")) == []
        live.nothing_left()


def test_records_that_are_damaged(daemon: Daemon, busybox: str, tmp_path: pathlib.Path) -> None:
    live = Live(daemon, tmp_path / "data")
    container = live.make(live.pull(busybox), "sleep", "1000")
    container_steps.start(live.engine, container)
    task = pathlib.Path(live.engine.container_dir(container.id)) / "state.json"
    for text in ("", "[", "[]", '{"started_at": "x"}', '{"log": 5}', '{"started_at": 1e999, "log": null}'):
        task.write_text(text)
        assert live.engine.tasks.state(container.id).status == RUNNING
        assert [one.container_id for one in live.engine.tasks.list()] == [container.id]
    live.remove(container)


def test_the_end_of_an_earlier_run_is_not_taken_for_that_of_the_last(
    daemon: Daemon, busybox: str, tmp_path: pathlib.Path
) -> None:
    """The restart monitor starts containers again; their end is in the daemon before the log writer has written it down."""
    live = Live(daemon, tmp_path / "data")
    container = live.make(live.pull(busybox), "sh", "-c", "exit 4")
    container_steps.start(live.engine, container)
    ended = live.engine.tasks.wait(container.id, 20)
    path = pathlib.Path(live.engine.container_dir(container.id)) / "state.json"
    until(lambda: "exited_at" in json.loads(path.read_text()))
    last = json.loads(path.read_text())
    path.write_text(json.dumps({**last, "exit_status": 9, "exited_at": last["exited_at"] - 1}))
    state = live.engine.tasks.state(container.id)
    assert (state.exit_status, state.exited_at) == (4, pytest.approx(ended.exited_at, abs=0.001))
    path.write_text(json.dumps({**last, "oom_killed": True}))
    assert live.engine.tasks.state(container.id).oom_killed
    live.remove(container)


@pytest.mark.parametrize("error", [ValueError, OSError])
def test_a_log_writer_that_cannot_be_started(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, error: t.Type[Exception]
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(stdio, "start_to_stay", refuse)
    io = TaskIO(stdin=True, log_path=str(tmp_path / "log"))
    said = "log writer of the container 123 cannot be started"
    directories = (str(tmp_path), str(tmp_path), str(tmp_path / "spare"))
    with pytest.raises(FailedPrecondition, match=said), stdio.Stdio(*directories, io, 0, 0.0) as made:
        made.attach("123", os.getpid())


class DeafAfterStart(Channel):
    """A channel whose daemon goes when it has started a task, before it answers."""

    gone = False

    def open(self, method: str, timeout: t.Optional[float] = 60.0, whole: bool = True) -> t.Any:
        if self.gone:
            raise Unavailable("the daemon is gone")
        answer = super().open(method, timeout, whole)
        self.gone = method.endswith("Tasks/Start")
        return answer


def test_a_start_whose_answer_is_lost_leaves_the_container_its_networks(live: Live, busybox: str, tmp_path: pathlib.Path) -> None:
    places = Places(
        *(str(tmp_path / "net.d"), "", ()), *(str(tmp_path / name) for name in ("cache", "addresses", "pins", "names"))
    )
    made = live.make(live.pull(busybox), "sleep", "1000")
    path = pathlib.Path(live.engine.container_dir(made.id)) / "networks.json"
    connected = Connected(f"default-{made.id}", (), (), places=places)
    keep(str(path), connected)
    install_hook(str(live.data_root))
    spec = {**made.spec, "hooks": hooks(str(live.data_root), str(path))}
    container = live.engine.containers.update(made._replace(spec=spec), ["spec"])
    with contextlib.closing(Live(live.daemon, live.data_root).engine) as lost:
        lost._rpc = DeafAfterStart(live.daemon.address, "default")
        with pytest.raises(Unavailable):
            container_steps.start(lost, container)
    try:
        assert live.engine.tasks.state(container.id).status == RUNNING
        assert netns.is_another(connected.pin)
        container_steps.remove(live.engine, container)
        assert not os.path.lexists(connected.pin)
    finally:
        unmount_below(tmp_path / "pins")
