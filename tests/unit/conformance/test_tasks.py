# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TaskService: what runs, over the engines that run real processes."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import resource
import secrets
import signal
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import (
    PAUSED,
    RUNNING,
    STOPPED,
    TaskIO,
)
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    EngineError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.steps import stop
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.values import Stop
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.json_log import rotation
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import arguments_of
from ansible_collections.fleet.containerd.tests.support.cgroups import limits_of
from ansible_collections.fleet.containerd.tests.support.waiting import until

from .box import Box

REAL = ("embedded-overlayfs", "containerd-1.6", "containerd-1.7", "containerd-2.1")
pytestmark = pytest.mark.parametrize("harness", REAL, indirect=True)


def test_a_task_goes_through_its_life(box: Box) -> None:
    tasks = box.engine.tasks
    made = box.container("sh", "-c", "echo out; echo err >&2; exit 3")
    with pytest.raises(NotFound):
        tasks.state(made.id)
    mounts = box.engine.snapshotter().mounts(made.snapshot_key)
    assert tasks.start(made, mounts, TaskIO(log_path=box.log(made))).status in (RUNNING, STOPPED)
    with pytest.raises(AlreadyExists):
        tasks.start(made, mounts, TaskIO())
    state = tasks.wait(made.id, 10)
    assert (state.status, state.exit_status) == (STOPPED, 3)
    assert tasks.wait(made.id, 10).exit_status == 3
    assert (box.output(made, "stdout"), box.output(made, "stderr")) == ("out\n", "err\n")
    with pytest.raises(FailedPrecondition):
        box.engine.containers.delete(made.id)
    assert tasks.delete(made.id).exit_status == 3
    with pytest.raises(NotFound):
        tasks.state(made.id)


def test_the_runtime_is_looked_for_where_it_will_be(box: Box) -> None:
    path = box.engine.tasks.find_runtime("runc")
    assert os.access(path, os.X_OK)
    assert box.engine.tasks.find_runtime(path) == path
    for name in ("no-such-runtime", "/no/such/runtime"):
        with pytest.raises(NotFound, match=f"^runtime: {name} is not installed on the target: install the package "):
            box.engine.tasks.find_runtime(name)


def test_what_start_says(box: Box) -> None:
    made = box.container("sh", "-c", "echo out; sleep 1000")
    mounts = box.engine.snapshotter().mounts(made.snapshot_key)
    state = box.engine.tasks.start(made, mounts, TaskIO(log_path=box.log(made)))
    assert (state.status, state.started_at > 0) == (RUNNING, True)
    assert until(lambda: box.output(made)) == "out\n"
    bad = box.container("nope")
    with pytest.raises(EngineError, match="nope"):
        box.engine.tasks.start(bad, box.engine.snapshotter().mounts(bad.snapshot_key), TaskIO())
    with pytest.raises(NotFound):
        box.engine.tasks.state(bad.id)


def test_a_short_life_does_not_end_before_it_starts(box: Box) -> None:
    for _turn in range(5):
        made = box.container("true")
        box.engine.tasks.start(made, box.engine.snapshotter().mounts(made.snapshot_key), TaskIO())
        state = box.engine.tasks.wait(made.id, 10)
        assert 0 < state.started_at <= state.exited_at


def test_a_running_task(box: Box) -> None:
    made = box.run("sleep", "1000")
    tasks = box.engine.tasks
    state = tasks.state(made.id)
    assert state.status == RUNNING
    command = pathlib.Path(f"/proc/{state.pid}/cmdline")
    until(lambda: command.read_bytes() == b"sleep\x001000\x00")
    assert made.id in [one.container_id for one in tasks.list()]
    with pytest.raises(Unavailable):
        tasks.wait(made.id, 0.2)
    with pytest.raises(FailedPrecondition):
        tasks.delete(made.id)
    tasks.signal(made.id, signal.SIGKILL)
    assert tasks.wait(made.id, 10).exit_status == 128 + signal.SIGKILL
    with pytest.raises((FailedPrecondition, NotFound)):
        tasks.signal(made.id, signal.SIGTERM)


def test_delete_by_force_leaves_nothing(box: Box) -> None:
    made = box.run("sleep", "1000")
    pid = box.engine.tasks.state(made.id).pid
    box.engine.tasks.delete(made.id, force=True)
    assert not os.path.exists(f"/proc/{pid}")
    assert made.id not in pathlib.Path("/proc/self/mountinfo").read_text()
    assert not os.path.exists(f"/sys/fs/cgroup/memory/{box.engine.namespace}/{made.id}")


def test_another_process_of_ours_sees_the_task(box: Box, harness: t.Any) -> None:
    made = box.run("sleep", "1000")
    other = harness.open()
    assert other.tasks.state(made.id).pid == box.engine.tasks.state(made.id).pid
    other.tasks.delete(made.id, force=True)
    with pytest.raises(NotFound):
        box.engine.tasks.state(made.id)


def test_a_terminal(box: Box) -> None:
    made = box.run("sh", "-c", "tty; stty size; exit 4", tty=True)
    assert box.engine.tasks.wait(made.id, 10).exit_status == 4
    assert "/dev/pts/" in until(lambda: box.output(made))


def test_standard_input_is_kept_open_when_asked(box: Box) -> None:
    kept = box.run("cat", stdin=True)
    ended = box.run("cat")
    assert box.engine.tasks.wait(ended.id, 10).exit_status == 0
    assert box.engine.tasks.state(kept.id).status == RUNNING


@contextlib.contextmanager
def as_a_poor_service() -> t.Iterator[pathlib.Path]:
    """This process as a service with hard settings; its control group."""
    version_1 = pathlib.Path("/sys/fs/cgroup/pids")
    parent = version_1 if version_1.is_dir() else pathlib.Path("/sys/fs/cgroup")
    group = parent / f"fleet-test-{secrets.token_hex(4)}"
    group.mkdir()
    (group / "cgroup.procs").write_text(str(os.getpid()))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (777, files[1]))
    umask, nice, hangup = os.umask(0o077), os.getpriority(os.PRIO_PROCESS, 0), signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.setpriority(os.PRIO_PROCESS, 0, nice + 5)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        yield group
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        signal.signal(signal.SIGHUP, hangup)
        os.umask(umask)
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
        (parent / "cgroup.procs").write_text(str(os.getpid()))
        until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


_LOOK = """
ulimit -Sn; ulimit -Sc; umask
read -r line </proc/self/stat; set -- $line; shift 18; echo "nice $1"
while read -r key value; do case "$key" in SigBlk:|SigIgn:) echo "$key$value";; esac; done </proc/self/status
"""


def test_nothing_depends_on_who_runs_the_task(box: Box) -> None:
    """Neither how a container runs, nor how long what holds it lives: that is in no group of ours, so nobody ends it with us."""
    with as_a_poor_service() as group:
        kept = box.run("cat", stdin=True)
        made = box.run("sh", "-c", _LOOK)
        box.engine.tasks.wait(made.id, 10)
        left = [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    assert left == [os.getpid()]
    *found, blocked, ignored = box.output(made).split()
    assert found == ["1024", "0", "0022", "nice", "0"]
    assert int(blocked.partition(":")[2], 16) == 0
    assert int(ignored.partition(":")[2], 16) & 1 << signal.SIGHUP - 1 == 0
    assert box.engine.tasks.state(kept.id).status == RUNNING


def test_what_writes_the_log_outlives_signals_to_end(box: Box) -> None:
    made = box.run("sh", "-c", "read -r line; echo after", stdin=True)
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    (writer,) = [pid for pid in pids if any(box.log(made) in one for one in arguments_of(pid))]
    # For the log writer, SIGTERM says that the task has been deleted.
    deadly = [signal.SIGTERM] if isinstance(box.engine, EmbeddedEngine) else []
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, *deadly):
        os.kill(writer, number)
    pathlib.Path(f"/proc/{box.engine.tasks.state(made.id).pid}/fd/0").write_text("go\n")
    assert box.engine.tasks.wait(made.id, 10).exit_status == 0
    # A daemon's shim carries it to the log writer, which does not keep the end of the container back for that.
    assert until(lambda: box.output(made)) == "after\n"


@pytest.mark.parametrize("command", ["nope", "/nope", "/etc/passwd"])
def test_a_bad_command_is_named_and_leaves_nothing(box: Box, command: str) -> None:
    with pytest.raises((InvalidArgument, FailedPrecondition, EngineError), match=command):
        box.run(command)
    with pytest.raises(NotFound):
        box.engine.tasks.state(box.made[-1].id)
    assert box.made[-1].id not in pathlib.Path("/proc/self/mountinfo").read_text()


def test_pause_and_resume(box: Box) -> None:
    made = box.run("sleep", "1000")
    box.engine.tasks.pause(made.id)
    assert box.engine.tasks.state(made.id).status == PAUSED
    box.engine.tasks.resume(made.id)
    assert box.engine.tasks.state(made.id).status == RUNNING


def test_a_paused_task_can_be_stopped_and_deleted(box: Box) -> None:
    """A frozen process takes no signal before it is thawed, on version 1 of the control groups not even SIGKILL."""
    stopped = box.run("sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    deleted = box.run("sleep", "1000")
    until(lambda: "ready" in box.output(stopped))
    for made in (stopped, deleted):
        box.engine.tasks.pause(made.id)
    started = time.monotonic()
    stop(box.engine, stopped, Stop())
    assert box.engine.tasks.state(stopped.id).exit_status == 5
    box.engine.tasks.delete(deleted.id, force=True)
    assert time.monotonic() - started < 30


def test_limits_change_while_it_runs(box: Box) -> None:
    made, names = box.run("sleep", "1000"), ("memory", "memory_swap", "pids", "quota", "period", "shares", "cpus")
    pid, tasks = box.engine.tasks.state(made.id).pid, box.engine.tasks
    before = limits_of(pid, *names)
    few = {"memory": {"limit": 64 << 20, "swap": 128 << 20}, "pids": {"limit": 50}}
    tasks.update(made, {**few, "cpu": {"quota": 50000, "period": 100000, "cpus": "0"}})
    now = {"memory": 64 << 20, "memory_swap": 128 << 20, "pids": 50, "quota": 50000, "period": 100000, "cpus": 0}
    assert limits_of(pid, *names) == {**before, **now}
    tasks.update(made, {"pids": {"limit": 40}})
    assert limits_of(pid, *names) == {**before, **now, "pids": 40}
    more = {"memory": {"limit": 256 << 20, "swap": 256 << 20}, "cpu": {"shares": 512}}
    tasks.update(made, more)
    grown = {"memory": 256 << 20, "memory_swap": 256 << 20, "shares": 512}
    assert limits_of(pid, *names) == {**before, **now, "pids": 40, **grown}
    tasks.pause(made.id)
    free = {"memory": {"limit": -1, "swap": -1}, "pids": {"limit": -1}}
    tasks.update(made, {**free, "cpu": {"quota": -1, "period": 100000, "shares": 1024, "cpus": str(before["cpus"])}})
    assert limits_of(pid, *names) == before
    tasks.resume(made.id)
    tasks.signal(made.id, signal.SIGKILL)
    tasks.wait(made.id, 10)
    with pytest.raises(FailedPrecondition):
        tasks.update(made, few)
    tasks.delete(made.id)
    with pytest.raises(NotFound):
        tasks.update(made, few)


_MEMORY = "dd if=/dev/zero of=/dev/shm/x bs=1M count=40; dd if=/dev/zero of=/cached bs=1M count=60 conv=fsync; echo done; exec sleep 1000"


def test_no_process_is_killed_for_a_new_limit(box: Box) -> None:
    made = box.run("sh", "-c", _MEMORY)
    # All of it goes to the disk, which may be busy.
    until(lambda: "done" in box.output(made), 120)
    pid = box.engine.tasks.state(made.id).pid
    with pytest.raises(FailedPrecondition, match="^memory: the container uses [0-9]+m now, so it cannot be limited to 20m"):
        box.engine.tasks.update(made, {"memory": {"limit": 20 << 20, "swap": 20 << 20}})
    assert limits_of(pid, "memory") == {"memory": None}
    # The kernel takes away what it has only cached of files.
    box.engine.tasks.update(made, {"memory": {"limit": 60 << 20, "swap": 60 << 20}})
    assert limits_of(pid, "memory") == {"memory": 60 << 20}
    assert box.engine.tasks.state(made.id).status == RUNNING


def test_a_next_start_by_whoever_holds_it_has_the_new_limits(box: Box) -> None:
    made = box.run("sleep", "1000")
    changed = made._replace(spec={**made.spec, "annotations": {"changed": "yes"}})
    box.engine.tasks.update(changed, {"pids": {"limit": 50}})
    if isinstance(box.engine, EmbeddedEngine):
        # A daemon makes a bundle from the record.
        (config,) = pathlib.Path(box.engine._state_root).rglob("config.json")
        assert json.loads(config.read_text())["annotations"] == {"changed": "yes"}


def test_the_rotation_changes_while_it_runs(box: Box) -> None:
    made = box.run(
        "sh", "-c", "i=0; while read -r line; do echo $i$line; i=$((i+1)); done", stdin=True, log_max_size=400, log_max_files=5
    )
    path = pathlib.Path(box.log(made))
    with open(f"/proc/{box.engine.tasks.state(made.id).pid}/fd/0", "w") as stream:

        def say(lines: int) -> None:
            stream.write(("x" * 50 + "\n") * lines)
            stream.flush()

        say(20)
        until(lambda: "19x" in box.output(made))
        assert len(list(path.parent.glob("out.log.?"))) == 4
        pathlib.Path(rotation(str(path))).write_text("100000 2\n")
        say(30)
        until(lambda: "49x" in box.output(made))
    assert [one.name for one in sorted(path.parent.glob("out.log*"))] == ["out.log", "out.log.1", "out.log.rotation"]
    assert path.stat().st_size > 3000


def test_the_log_is_json_and_rotates(box: Box) -> None:
    made = box.run(
        "sh", "-c", 'i=0; while [ $i -lt 200 ]; do echo "line $i"; i=$((i+1)); done', log_max_size=4000, log_max_files=3
    )
    box.engine.tasks.wait(made.id, 20)
    until(lambda: "line 199" in box.output(made))
    files = sorted(pathlib.Path(box.log(made)).parent.glob("out.log*"))
    assert [path.name for path in files] == ["out.log", "out.log.1", "out.log.2"]
    for path in files:
        assert path.stat().st_size <= 4000
        for line in path.read_text().splitlines():
            assert set(json.loads(line)) == {"log", "stream", "time"}
    assert box.output(made).endswith("line 198\nline 199\n")


def test_strange_output_is_kept_as_well_as_can_be(box: Box) -> None:
    made = box.run("sh", "-c", "printf 'a\\377b\"\\\\\\t\\033[1mx'; printf '%020000d\\n' 5")
    box.engine.tasks.wait(made.id, 20)
    found = until(lambda: box.output(made))
    assert found.startswith('a\ufffdb"\\\t\x1b[1mx0000')
    assert len(found) == 11 + 20001
