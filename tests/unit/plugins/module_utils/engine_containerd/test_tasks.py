# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks on live daemons: logs with no client attached, exit statuses, signals, what survives a daemon that is killed."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import threading
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import (
    PAUSED,
    RUNNING,
    STOPPED,
    TaskState,
)
from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.logs import read
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import arguments_of
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, running_containerd
from ansible_collections.fleet.containerd.tests.support.waiting import until

from .conftest import Live


def ended(live: Live, container_id: str) -> TaskState:
    return live.engine.tasks.wait(container_id, 20)


def entries(path: str) -> t.List[t.Dict[str, str]]:
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def test_output_goes_to_a_json_file(live: Live, busybox: str) -> None:
    container = live.make(live.pull(busybox), "sh", "-c", "echo out; echo err >&2; exit 42")
    live.run(container)
    state = ended(live, container.id)
    assert (state.status, state.exit_status, state.oom_killed) == (STOPPED, 42, False)
    assert state.started_at <= state.exited_at <= time.time()
    assert state.log_path == live.io(container).log_path
    found = sorted((one["stream"], one["log"]) for one in entries(state.log_path))
    assert found == [("stderr", "err\n"), ("stdout", "out\n")]
    assert live.engine.tasks.delete(container.id).exit_status == 42
    with pytest.raises(NotFound):
        live.engine.tasks.state(container.id)


@pytest.mark.parametrize("daemon", ["1.7"], indirect=True)
def test_a_shim_that_is_slow_to_answer_does_not_make_a_container_stopped(live: Live, busybox: str) -> None:
    container = live.make(live.pull(busybox), "sleep", "1000")
    live.run(container)
    # That of an earlier test may not have ended yet.
    (shim,) = [pid for pid in live.daemon.shims() if container.id in arguments_of(pid)]
    os.kill(shim, signal.SIGSTOP)
    waker = threading.Timer(3.0, os.kill, (shim, signal.SIGCONT))
    waker.start()
    try:
        assert live.engine.tasks.state(container.id).status == RUNNING
        assert [one.status for one in live.engine.tasks.list()] == [RUNNING]
    finally:
        waker.join()
    live.engine.tasks.delete(container.id, force=True)


def test_a_terminal(live: Live, busybox: str) -> None:
    container = live.make(live.pull(busybox), "sh", "-c", "tty; echo err >&2", tty=True)
    live.run(container, tty=True)
    state = ended(live, container.id)
    assert state.exit_status == 0
    # The shim may carry it later than the end of the container is told.
    until(lambda: read(state.log_path).endswith(b"err\r\n"))
    assert [(one["stream"], one["log"]) for one in entries(state.log_path)] == [
        ("stdout", "/dev/pts/0\r\n"),
        ("stdout", "err\r\n"),
    ]
    live.engine.tasks.delete(container.id)


def test_a_terminal_that_is_short_and_one_that_says_much(live: Live, busybox: str) -> None:
    image = live.pull(busybox)
    for number in range(8):
        container = live.make(image, "sh", "-c", f"echo {number}; seq {number * 300}", tty=True)
        live.run(container, tty=True)
        path, lines = ended(live, container.id).log_path, [str(number), *map(str, range(1, number * 300 + 1)), ""]
        # What the shim carries later than usual is written, too, as long as the task is there.
        until(lambda path=path, lines=lines: read(path).decode().split("\r\n") == lines)
        live.engine.tasks.delete(container.id)


def test_rotation_and_nothing_is_lost_in_between(live: Live, busybox: str) -> None:
    container = live.make(live.pull(busybox), "sh", "-c", "for i in $(seq 2000); do echo line $i; done")
    live.run(container, log_max_size=20_000, log_max_files=20)
    state = ended(live, container.id)
    assert len(list(pathlib.Path(state.log_path).parent.glob("*-json.log*"))) > 3
    assert read(state.log_path).decode().splitlines() == [f"line {i}" for i in range(1, 2001)]
    live.engine.tasks.delete(container.id)


def test_no_log(live: Live, busybox: str) -> None:
    container = live.make(live.pull(busybox), "sh", "-c", "echo lost; exit 3")
    mounts = live.engine.snapshotter().mounts(container.snapshot_key)
    started = live.engine.tasks.start(container, mounts, live.io(container)._replace(log_path=""))
    assert started.status in (RUNNING, STOPPED)
    assert ended(live, container.id).exit_status == 3
    assert list(pathlib.Path(live.engine.container_dir(container.id)).glob("*.log")) == []
    live.engine.tasks.delete(container.id)


@pytest.mark.parametrize("tty", [False, True])
def test_standard_input_is_kept_open(live: Live, busybox: str, tty: bool) -> None:
    container = live.make(live.pull(busybox), "cat", tty=tty)
    live.run(container, tty=tty, stdin=True)
    with pytest.raises(Unavailable):
        live.engine.tasks.wait(container.id, 0.5)
    live.engine.tasks.delete(container.id, force=True)


def test_life(live: Live, busybox: str) -> None:
    tasks = live.engine.tasks
    container = live.make(live.pull(busybox), "sleep", "1000")
    mounts = live.engine.snapshotter().mounts(container.snapshot_key)
    made = tasks.start(container, mounts, live.io(container))
    assert made.status == RUNNING
    assert made.pid > 0
    with pytest.raises(AlreadyExists):
        tasks.start(container, mounts, live.io(container))
    assert container.id in live.daemon.ctr("task", "ls").stdout
    tasks.pause(container.id)
    assert tasks.state(container.id).status == PAUSED
    tasks.resume(container.id)
    assert tasks.state(container.id).status == RUNNING
    assert [one.container_id for one in tasks.list()] == [container.id]
    for forbidden in (lambda: tasks.delete(container.id), lambda: live.engine.containers.delete(container.id)):
        with pytest.raises(FailedPrecondition):
            forbidden()
    with pytest.raises(Unavailable):
        tasks.wait(container.id, 0.1)
    tasks.signal(container.id, signal.SIGKILL)
    assert ended(live, container.id).exit_status == 137
    with pytest.raises(FailedPrecondition):
        tasks.signal(container.id, signal.SIGTERM)
    with pytest.raises(FailedPrecondition):
        live.engine.containers.delete(container.id)
    tasks.delete(container.id)
    with pytest.raises(NotFound):
        tasks.delete(container.id)


def test_what_others_kill_is_noticed(live: Live, busybox: str) -> None:
    container = live.make(live.pull(busybox), "sleep", "1000")
    live.run(container)
    live.daemon.ctr("task", "kill", "-s", "9", container.id)
    assert ended(live, container.id).exit_status == 137
    live.daemon.ctr("task", "rm", container.id)
    assert live.engine.tasks.state(container.id).exit_status == 137
    live.engine.tasks.delete(container.id)


@pytest.mark.parametrize("paused", [False, True])
def test_forced_removal(live: Live, busybox: str, paused: bool) -> None:
    container = live.make(live.pull(busybox), "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    live.run(container)
    if paused:
        live.engine.tasks.pause(container.id)
    assert live.engine.tasks.delete(container.id, force=True).exit_status == 137
    # A daemon may answer before the shim has ended.
    until(lambda: live.daemon.shims() == [])


def test_a_command_that_is_not_there(live: Live, busybox: str) -> None:
    container = live.make(live.pull(busybox), "no-such-command")
    with pytest.raises(InvalidArgument, match="the command no-such-command is not in the image"):
        live.run(container)
    with pytest.raises(NotFound):
        live.engine.tasks.state(container.id)


@pytest.mark.parametrize("version", sorted(RELEASES))
def test_a_daemon_that_is_killed(version: str, busybox: str, tmp_path: pathlib.Path) -> None:
    """Containers and logs go on; one that ends meanwhile keeps its exit status, also where the daemon forgets it."""
    with running_containerd(version) as daemon:
        live = Live(daemon, tmp_path / "data")
        image = live.pull(busybox)
        stays = live.make(image, "sh", "-c", "while :; do echo tick; sleep 0.1; done")
        ends = live.make(image, "sh", "-c", "sleep 1; echo last; exit 42")
        live.run(stays)
        live.run(ends)
        daemon.kill()
        with pytest.raises(Unavailable):
            live.engine.tasks.state(stays.id)
        time.sleep(1.5)
        before = len(read(live.io(stays).log_path))
        daemon.start()
        state = ended(live, ends.id)
        assert (state.status, state.exit_status) == (STOPPED, 42)
        assert read(state.log_path) == b"last\n"
        assert live.engine.tasks.state(stays.id).status == RUNNING
        time.sleep(0.3)
        assert len(read(live.io(stays).log_path)) > before > 0
        for container in (stays, ends):
            live.engine.tasks.delete(container.id, force=True)
            live.remove(container)
        live.nothing_left()
