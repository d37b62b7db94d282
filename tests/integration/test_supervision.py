# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restart policies and health checks: containers that end, hang or are stopped while no task looks."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine import labels as L
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import RESTARTING, RUNNING, STOPPED, TaskState
from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import steps
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.find import find_container
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.jobs import container_lock
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.life import Stop
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import boot_id
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.resources import limit, resources_of
from ansible_collections.fleet.containerd.tests.support import waiting
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.attack import FULL
from ansible_collections.fleet.containerd.tests.support.cgroups import limits_of
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.leftovers import processes_with, unmount_below
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import CGROUPS, DaemonSite, EmbeddedSite, Site

#: It ends by SIGTERM at once.
WAITS = ["sh", "-c", "trap 'exit 0' TERM; echo up; while true; do sleep 0.05; done"]
#: For what ends, or is ended, soon: on a busy machine that could be before a task has looked at its start.
UNWATCHED: t.Dict[str, t.Any] = {"ready": {"for": 0}}
Looks = t.Callable[[TaskState], t.Any]


def container(name: str, busybox: str = "", script: str = "", **options: t.Any) -> Task:
    if busybox:
        options.update(image=busybox, command=["sh", "-c", script] if script else WAITS)
    return task("containerd_container", name=name, **options)


def state(site: Site, name: str) -> TaskState:
    with site.engine() as engine:
        found = find_container(engine, name)
        assert found, name
        try:
            return t.cast(TaskState, engine.tasks.state(found.id))
        except NotFound:
            return TaskState(found.id, "")


def until(site: Site, name: str, look: Looks, seconds: float = 30.0) -> TaskState:
    deadline, found = time.monotonic() + seconds, state(site, name)
    while not look(found):
        assert time.monotonic() < deadline, f"{name}: {found}"
        time.sleep(0.03)
        found = state(site, name)
    return found


def health(site: Site, name: str) -> t.Mapping[str, t.Any]:
    with site.engine() as engine:
        found = find_container(engine, name)
        assert found
        return t.cast(t.Mapping[str, t.Any], engine.tasks.health(found.id))


def healthy(site: Site, name: str, status: str, seconds: float = 30.0) -> t.Mapping[str, t.Any]:
    deadline = time.monotonic() + seconds
    while True:
        found = health(site, name)
        if found.get("Status") == status:
            return found
        assert time.monotonic() < deadline, f"{name}: {found}"
        time.sleep(0.03)


def lines(result: TaskResult) -> t.List[t.Dict[str, str]]:
    path = pathlib.Path(result.value("container")["LogPath"])
    return [json.loads(line) for line in path.read_text().splitlines()]


def seconds_of(stamp: str) -> float:
    """The seconds within a day."""
    hours, minutes, seconds = stamp.partition("T")[2].rstrip("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def kill(found: TaskState) -> None:
    os.kill(found.pid, signal.SIGKILL)


def test_policies(site: Site, busybox: str) -> None:
    """Each container as its policy says, and an explicit stop wins, also over a start that is pending."""
    fails = "echo run; sleep 1; exit 3"
    once, twice, _ended, always, slow = site.play(
        container("once", busybox, fails, **UNWATCHED),
        container("twice", busybox, fails, restart_policy="on-failure", restart_retries=2, **UNWATCHED),
        container("ended", busybox, "sleep 0.3", restart_policy="on-failure"),
        container("always", busybox, "echo run; sleep 0.4", restart_policy="always", **UNWATCHED),
        container("slow", busybox, fails, restart_policy="always", restart_delay="60s", **UNWATCHED),
    ).results
    assert twice.value("container")["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    waits = until(site, "slow", lambda one: one.status == RESTARTING)
    assert (waits.exit_status, waits.restarts) == (3, 0)
    until(site, "always", lambda one: len(lines(always)) >= 3)
    shown = {one["Name"]: one for one in site.play(task("containerd_container_info")).last.value("containers")}
    assert shown["/always"]["RestartCount"] >= 2
    assert (shown["/slow"]["State"]["Status"], shown["/slow"]["State"]["Restarting"]) == ("restarting", True)
    again, stopped, gave_up = site.play(
        container("slow", busybox, fails, restart_policy="always", restart_delay="60s"),
        container("always", state="stopped", stop_timeout=0),
        container("slow", state="stopped"),
    ).results
    assert not again.changed
    assert stopped.changed
    assert gave_up.actions == ["stop container slow"]
    assert gave_up.value("container")["State"]["Status"] == "exited"
    runs = len(lines(always))
    finished = until(site, "twice", lambda one: one.status == STOPPED and len(lines(twice)) == 3)
    assert finished.exit_status == 3
    facts = site.play(task("containerd_container_info", name=["twice"])).last.value("container")
    assert (facts["RestartCount"], facts["State"]["ExitCode"]) == (2, 3)
    time.sleep(2.5)
    assert [state(site, name).status for name in ("once", "ended", "always", "slow", "twice")] == [STOPPED] * 5
    assert [len(lines(one)) for one in (once, always, slow, twice)] == [1, runs, 1, 3]


def test_the_delay_doubles_up_to_its_limit(site: Site, busybox: str) -> None:
    """By our own supervisors. The times are so long that what a busy machine needs for a start hides neither the doubling nor the limit."""
    options = {"restart_policy": "always", "restart_delay": "500ms", "restart_max_delay": "2s", **UNWATCHED}
    made = site.play(container("web", busybox, "echo run; sleep 0.25; exit 1", **options)).last
    until(site, "web", lambda one: one.restarts >= 5 and len(lines(made)) >= 6)
    times = [seconds_of(one["time"]) for one in lines(made)][:6]
    gaps = [after - before - 0.25 for before, after in zip(times, times[1:])]
    # A start takes a part of a second, seconds on a busy machine. A line may get its time as late as at the end of the run.
    for gap, wanted in zip(gaps, (0.5, 1.0, 2.0, 2.0, 2.0)):
        assert wanted - 0.25 <= gap <= wanted + 5.5, gaps
    assert gaps[2] > gaps[0]


@pytest.mark.parametrize("options", [{"tty": True}, {"interactive": True}], ids=["tty", "interactive"])
def test_a_terminal_and_a_standard_input_come_back(site: Site, busybox: str, options: t.Dict[str, t.Any]) -> None:
    made = site.play(container("web", busybox, restart_policy="on-failure", stop_timeout=1, **options)).last
    before = until(site, "web", lambda one: one.status == RUNNING and lines(made))
    kill(before)
    after = until(site, "web", lambda one: one.status == RUNNING and one.pid != before.pid and len(lines(made)) == 2)
    target = os.readlink(f"/proc/{after.pid}/fd/0")
    assert ("pts" in target) if options.get("tty") else ("pipe" in target or "stdin" in target), target


def test_a_policy_changes_while_the_container_runs(site: Site, busybox: str) -> None:
    options: t.Dict[str, t.Any] = {"restart_delay": "100ms", "stop_timeout": 1}
    made = site.play(container("web", busybox, **options)).last
    # Nothing else may change files meanwhile: not what it prints at its start, and not the program that has started it.
    waiting.until(lambda: len(lines(made)) == 1)
    (changed,) = site.converge(container("web", busybox, restart_policy="always", **options))
    assert changed.actions == ["update restart_policy of container web"]
    before, shims = state(site, "web"), len(site.shims())
    assert before.status == RUNNING
    kill(before)
    after = until(site, "web", lambda one: one.status == RUNNING and one.pid != before.pid and len(lines(made)) == 2)
    waiting.until(lambda: len(site.shims()) == shims)
    (changed,) = site.converge(container("web", busybox, restart_policy="no", **options))
    assert state(site, "web").pid == after.pid
    kill(after)
    until(site, "web", lambda one: one.status == STOPPED)
    time.sleep(0.5)
    assert state(site, "web").status == STOPPED
    # In the delay before a start, too.
    site.play(container("web", busybox, restart_policy="always", **{**options, "restart_delay": "30s"}))
    kill(until(site, "web", lambda one: one.status == RUNNING))
    until(site, "web", lambda one: one.status == RESTARTING)
    site.play(container("web", busybox, restart_policy="no", state="present", **{**options, "restart_delay": "30s"}))
    until(site, "web", lambda one: one.status == STOPPED, 5)


@pytest.mark.parametrize("how", ["stop", "halt"])
def test_an_end_wins_over_a_start_that_waits_for_it(site: Site, busybox: str, how: str) -> None:
    """Who stops a container, or takes a start back, has the lock on its name, which the program wants that starts it again."""
    site.play(container("web", busybox, restart_policy="always", restart_delay="100ms", stop_signal="KILL"))
    with site.engine() as engine:
        (found,) = engine.containers.list()
        with container_lock(engine, "web"):
            kill(state(site, "web"))
            time.sleep(0.7)
            began = time.monotonic()
            if how == "stop":
                steps.stop(engine, found, Stop())
            else:
                steps.halt(engine, found)
            assert time.monotonic() - began < 10
    time.sleep(0.5)
    assert state(site, "web").status == (STOPPED if how == "stop" else "")


def test_limits_change_while_it_waits_for_its_next_start(site: Site, busybox: str) -> None:
    """The shim starts it from the bundle, the others from the record."""
    site.play(container("web", busybox, restart_policy="always", restart_delay="4s", memory="64m", stop_signal="KILL"))
    before = state(site, "web")
    kill(before)
    until(site, "web", lambda one: one.status == RESTARTING)
    with site.engine() as engine:
        (found,) = engine.containers.list()
        spec = copy.deepcopy(dict(found.spec))
        limit(spec, "memory", limit=96 << 20, swap=192 << 20)
        engine.tasks.update(found._replace(spec=spec), resources_of(spec))
        engine.containers.update(found._replace(spec=spec), ["spec"])
        assert engine.tasks.state(found.id).status == RESTARTING
    after = until(site, "web", lambda one: one.status == RUNNING and one.pid != before.pid)
    assert limits_of(after.pid, "memory") == {"memory": 96 << 20}


def test_the_monitor_of_the_daemon_is_told_live(site: Site, busybox: str) -> None:
    """From nothing to it, from it to our own supervisor, and to nothing."""
    if not isinstance(site, DaemonSite) or site.daemon.version == "1.6":
        pytest.skip("without a daemon, and with containerd 1.6, we do everything ourselves")

    def status() -> t.Optional[str]:
        with site.engine() as engine:
            (found,) = engine.containers.list()
        return t.cast(t.Optional[str], found.labels.get("containerd.io/restart.status"))

    site.play(container("web", busybox, stop_timeout=1))
    assert status() is None
    site.play(container("web", busybox, restart_policy="always"))
    assert status() == "running"
    site.play(container("web", busybox, restart_policy="always", healthcheck={"test": "true", "interval": "200ms"}))
    assert status() is None
    healthy(site, "web", "healthy")
    before = state(site, "web")
    kill(before)
    until(site, "web", lambda one: one.status == RUNNING and one.pid != before.pid)
    site.play(container("web", busybox, restart_policy="always", healthcheck={"test": ["NONE"]}))
    assert status() == "running"
    site.play(container("web", state="stopped"))
    assert status() is None


#: A check that looks at a file, and prints.
LOOKS: t.Dict[str, t.Any] = {"test": "echo seen; test -e /tmp/ok", "interval": "150ms", "timeout": "20s", "retries": 2}


def write(found: TaskState, path: str, text: str = "") -> None:
    """A file in a running container."""
    pathlib.Path(f"/proc/{found.pid}/root{path}").write_text(text)


def told_health(site: Site, found: TaskState) -> pathlib.Path:
    """The file in which a supervisor tells what the checks of a container have found."""
    there = [*site.state.rglob("health.json"), *pathlib.Path("/run/fleet-containerd/health").glob("*.json")]
    (path,) = (path for path in there if found.container_id in str(path) and not path.name.startswith("."))
    return path


def test_health(site: Site, busybox: str) -> None:
    """Starting, healthy, unhealthy and healthy again, as docker tells it; and what a check sees of the container."""
    options: t.Dict[str, t.Any] = {"user": "user", "env": {"A": "b c"}, "working_dir": "/var", "stop_timeout": 1}
    sees = {"test": ["CMD", "sh", "-c", "id -u; pwd; echo $A; cat /proc/self/oom_score_adj"], "interval": "150ms"}
    # So many that it is still starting when the task tells of it.
    looks = {**LOOKS, "retries": 8}
    (made, _sees) = site.play(
        container("web", busybox, healthcheck=looks, stop_timeout=1), container("sees", busybox, healthcheck=sees, **options)
    ).results
    assert made.value("container")["State"]["Health"]["Status"] == "starting"
    assert made.value("container")["Config"]["Healthcheck"] == {
        "Test": ["CMD-SHELL", LOOKS["test"]],
        "Interval": 150 * 10**6,
        "Timeout": 20 * 10**9,
        "Retries": 8,
    }
    bad = healthy(site, "web", "unhealthy")
    assert bad["FailingStreak"] >= 8
    assert {(one["ExitCode"], one["Output"]) for one in bad["Log"]} == {(1, "seen\n")}
    web = state(site, "web")
    # What a runc leaves that is killed while it says which process it has started.
    told = told_health(site, web)
    told.with_name(f".{told.name}.pid").touch()
    write(web, "/tmp/ok")
    good = healthy(site, "web", "healthy")
    assert (good["FailingStreak"], good["Log"][-1]["ExitCode"], len(good["Log"]) <= 5) == (0, 0, True)
    os.unlink(f"/proc/{web.pid}/root/tmp/ok")
    healthy(site, "web", "unhealthy")
    assert state(site, "web").pid == web.pid
    assert healthy(site, "sees", "healthy")["Log"][0]["Output"] == "1000\n/var\nb c\n0\n"
    shown = site.play(task("containerd_container_info", name=["web"])).last.value("container")
    assert shown["State"]["Health"]["Status"] == "unhealthy"
    # Another check, in place; then none.
    site.play(container("web", busybox, healthcheck={**LOOKS, "test": ["CMD", "true"]}, stop_timeout=1))
    healthy(site, "web", "healthy")
    changed = site.play(container("web", busybox, healthcheck={"test": ["NONE"]}, stop_timeout=1)).last
    assert changed.actions == ["update healthcheck of container web"]
    assert "Health" not in changed.value("container")["State"]
    assert state(site, "web").pid == web.pid


def test_a_check_that_hangs_is_ended_with_all_that_it_has_started(site: Site, busybox: str) -> None:
    """And one that prints for ever, and one that leaves a process, and one whose program is not there."""
    hangs = "sleep 4321 & (sleep 4322 > /dev/null 2>&1 &) ; echo begun; sleep 4323"
    checks = {
        "hangs": {"test": hangs, "timeout": "1s"},
        "prints": {"test": "yes", "timeout": "1s"},
        "leaves": {"test": "sleep 4324 & sleep 4325 > /dev/null 2>&1 & echo left"},
        "missing": {"test": ["CMD", "/not/there"]},
    }
    site.play(
        *(
            container(name, busybox, healthcheck={"interval": "100ms", "timeout": "20s", "retries": 1, **check}, stop_timeout=1)
            for name, check in checks.items()
        )
    )
    healthy(site, "hangs", "unhealthy")
    # On a busy machine the first ones may not get as far.
    late = (-1, "Health check exceeded timeout (1s): begun\n")
    waiting.until(lambda: late in [(one["ExitCode"], one["Output"]) for one in health(site, "hangs")["Log"]], 30)
    waiting.until(lambda: any(4000 < len(one["Output"]) < 4200 for one in health(site, "prints")["Log"]), 30)
    assert healthy(site, "leaves", "healthy")["Log"][0]["Output"] == "left\n"
    missing = healthy(site, "missing", "unhealthy")["Log"][0]
    assert missing["ExitCode"] not in (0, -1)
    assert "/not/there" in missing["Output"]
    # At any moment at most those of one check live, and none when there are no more checks.
    site.play(*(container(name, busybox, healthcheck={"test": ["NONE"]}, stop_timeout=1) for name in checks))
    waiting.until(lambda: left_over(site) == [])


def left_over(site: Site) -> t.List[str]:
    """What runs in the containers besides their first processes, and what they do all the time."""
    found = []
    for one in pathlib.Path("/proc").iterdir():
        if one.name.isdigit():
            try:
                groups, line = (one / "cgroup").read_text(), (one / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if site.namespace in groups and line and "trap" not in line and "sleep 0.05" not in line:
                found.append(line)
    return found


@pytest.mark.parametrize("how", ["kill", "restart", "stop"])
def test_what_follows_when_it_turns_unhealthy(site: Site, busybox: str, how: str) -> None:
    policy = "always" if how == "kill" else "no"
    # It ends at once when it is asked to, but what is at once on a busy machine?
    options: t.Dict[str, t.Any] = {"healthcheck": {**LOOKS, "on_failure": how}, "stop_timeout": 20, **UNWATCHED}
    made = site.play(container("web", busybox, restart_policy=policy, **options)).last
    first = made.value("container")["State"]["Pid"]
    if how == "stop":
        found = until(site, "web", lambda one: one.status == STOPPED)
        assert found.exit_status == 0
        time.sleep(0.5)
        assert state(site, "web").status == STOPPED
        # It was asked for: only a task starts it again.
        again = site.play(container("web", busybox, **options)).last
        assert again.actions == ["start container web"]
        return

    def written(one: TaskState) -> bool:
        """It may be ended again before that."""
        with contextlib.suppress(OSError):
            write(one, "/tmp/ok")
            return True
        return False

    found = until(site, "web", lambda one: one.status == RUNNING and one.pid != first and written(one))
    assert found.restarts >= 1
    healthy(site, "web", "healthy")
    assert len(lines(made)) >= 2


def test_the_check_of_an_image(site: Site, registry: Registry, layout: Layout) -> None:
    """It is inherited, in parts or as a whole, and can be taken away; failures in the start period do not count."""
    second = 10**9
    check = {"Test": ["CMD-SHELL", "test -e /tmp/ok"], "Interval": second // 5, "Retries": 1, "StartPeriod": 600 * second}
    check["StartInterval"] = second // 10
    registry.push(layout.path, busybox_image(layout, Healthcheck=check, Cmd=WAITS), "checked", "1")
    image = f"{registry.address}/checked:1"
    options: t.Dict[str, t.Any] = {"image": image, "stop_timeout": 1}
    site.play(task("containerd_image", name=image))
    whole, part, none = site.converge(
        task("containerd_container", name="whole", **options),
        task("containerd_container", name="part", healthcheck={"test_cli_compatible": True, "start_period": "0"}, **options),
        task("containerd_container", name="none", healthcheck={"test": ["NONE"]}, **options),
    )
    assert whole.value("container")["Config"]["Healthcheck"] == check
    assert part.value("container")["Config"]["Healthcheck"] == {**check, "StartPeriod": 0}
    assert none.value("container")["Config"]["Healthcheck"] is None
    healthy(site, "part", "unhealthy")
    deadline = time.monotonic() + 20
    while len(health(site, "whole").get("Log", [])) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    waiting = health(site, "whole")
    assert (waiting["Status"], waiting["FailingStreak"]) == ("starting", 0)
    write(state(site, "whole"), "/tmp/ok")
    healthy(site, "whole", "healthy")
    assert health(site, "none") == {}


def test_a_paused_container_is_not_asked(site: Site, busybox: str) -> None:
    """And a check that has begun before, which is not over in time then, says nothing."""
    slow = {**LOOKS, "test": "sleep 1", "timeout": "3s", "retries": 1}
    site.play(container("web", busybox, healthcheck=slow, stop_timeout=1))
    healthy(site, "web", "healthy")
    time.sleep(0.5)
    with site.engine() as engine:
        (found,) = engine.containers.list()
        engine.tasks.pause(found.id)
        time.sleep(6.5)
        before = engine.tasks.health(found.id)
        time.sleep(0.6)
        assert engine.tasks.health(found.id) == before
        assert before["Status"] == "healthy"
        engine.tasks.resume(found.id)
    deadline = time.monotonic() + 20
    while health(site, "web") == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def power_off(site: Site) -> None:
    """The host has gone, and is up again: no process and no mount, what is in memory is lost, and the boot is another one."""
    for root in (site.data, site.state):
        for pid in processes_with(root):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    if isinstance(site, DaemonSite):
        site.daemon.kill()
        for pid in processes_with(site.daemon.base):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    killed_in_groups(site)
    time.sleep(0.5)
    # What was just being started, or forked, comes into its group after that.
    waiting.until(lambda: not killed_in_groups(site))
    unmount_below(site.data)
    places = [site.state, site.daemon.state] if isinstance(site, DaemonSite) else [site.state]
    for place in places:
        unmount_below(place)
        shutil.rmtree(place, ignore_errors=True)
    if isinstance(site, DaemonSite):
        shutil.rmtree(f"/run/containerd/runc/{site.namespace}", ignore_errors=True)
    for path in sorted(CGROUPS.glob(f"*/{site.namespace}/*"), reverse=True):
        if path.is_dir():
            path.rmdir()
    for path in site.data.glob("containers/*/*/*/state.json"):
        path.write_text(path.read_text().replace(boot_id(), "0123-another-boot"))
    if isinstance(site, DaemonSite):
        site.daemon.start()


def killed_in_groups(site: Site) -> t.List[int]:
    """The processes in the control groups of its containers, which are killed."""
    found = [int(line) for group in CGROUPS.glob(f"*/{site.namespace}/*/cgroup.procs") for line in group.read_text().split()]
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def ipc_of(site: Site, name: str) -> str:
    return os.readlink(f"/proc/{state(site, name).pid}/ns/ipc")


def interrupted_recreations(site: Site) -> str:
    """The host goes when "replaced" was stopped for a new one, and "swapped" had no name any more, its new one not yet: that one's id."""
    with site.engine() as engine:
        old = find_container(engine, "replaced")
        steps.intend(engine, old)
        steps.stop(engine, old, Stop())
        old, new = find_container(engine, "swapped"), find_container(engine, "new")
        for one, labels in ((old, {L.STAGE: "swapped", L.ROLE: L.FORMER}), (new, {L.STAGE: "swapped"})):
            kept = {key: value for key, value in one.labels.items() if key != L.NAME}
            engine.containers.update(one._replace(labels={**kept, **labels}), ["labels"])
    return new.id


def test_a_reboot(site: Site, busybox: str) -> None:
    """Who has a policy comes back, unless somebody had stopped it, or it had ended as it should. Who uses another one waits for that. What
    is to go when it has ended goes.
    """
    user = {"restart_policy": "always", "restart_delay": "100ms", "stop_timeout": 0, "ipc_mode": "container:delayed"}
    memory = {"type": "tmpfs", "device": "tmpfs"}
    (always,) = site.play(
        container("always", busybox, restart_policy="always", stop_timeout=0),
        container("checked", busybox, restart_policy="on-failure", healthcheck={**LOOKS, "test": "true"}, stop_timeout=0),
        container(
            "delayed", busybox, restart_policy="unless-stopped", restart_delay="100ms", stop_timeout=0, ipc_mode="shareable"
        ),
        container("user", busybox, **user),
        container("stopped", busybox, restart_policy="always", restart_delay="100ms", stop_timeout=0),
        container("by-monitor", busybox, restart_policy="always", stop_timeout=0),
        container("ended", busybox, "true", restart_policy="on-failure"),
        container("plain", busybox, stop_timeout=0),
        task("containerd_volume", name="memory", driver_options=memory, state_root=str(site.state)),
        container("mounted", busybox, "mkdir /m/x; sleep 1000", restart_policy="always", volumes=["memory:/m"], stop_timeout=0),
        container("goes", busybox, auto_remove=True, stop_timeout=0),
        container("pending", busybox, "sleep 0.3; exit 1", restart_policy="on-failure", restart_delay="60s", **UNWATCHED),
        container("by-monitor", state="stopped"),
        container("stopped", state="stopped"),
        container("replaced", busybox, restart_policy="on-failure"),
        container("swapped", busybox, restart_policy="always", stop_timeout=0),
        container("new", busybox, restart_policy="always", stop_timeout=0),
    ).results[:1]
    until(site, "ended", lambda one: one.status == STOPPED)
    until(site, "pending", lambda one: one.status == RESTARTING)
    new = interrupted_recreations(site)
    healthy(site, "checked", "healthy")
    went = time.time()
    power_off(site)
    assert state(site, "plain").exit_status == 255
    # starts: (the machine's Python)
    done = subprocess.run([str(site.data / "libexec" / "restore")], capture_output=True, text=True, check=False, env={})
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("always", "checked", "delayed", "user", "replaced", "swapped"):
        until(site, name, lambda one: one.status == RUNNING)
    with site.engine() as engine:
        assert find_container(engine, "swapped").id == new
    healthy(site, "checked", "healthy")
    waiting.until(lambda: len(lines(always)) == 2)
    until(site, "pending", lambda one: one.started_at > went)
    assert [state(site, name).status for name in ("stopped", "by-monitor", "ended", "plain")] == [STOPPED] * 4
    assert ipc_of(site, "user") == ipc_of(site, "delayed")
    # What its volume is was mounted before.
    mount = site.state / "volumes" / site.namespace / "memory"
    until(site, "mounted", lambda one: one.status == RUNNING and os.path.ismount(mount) and (mount / "x").exists())
    with site.engine() as engine:
        assert find_container(engine, "goes") is None
    # It is supervised as before.
    before = state(site, "delayed")
    kill(before)
    until(site, "delayed", lambda one: one.status == RUNNING and one.pid != before.pid)
    follows = site.play(container("user", busybox, **user)).last
    stop = "stop container user, as the container delayed has another ipc namespace by now"
    assert follows.actions == [stop, "start container user"]
    assert ipc_of(site, "user") == ipc_of(site, "delayed")
    # Once more: there is nothing to do.
    again = [state(site, name).pid for name in ("always", "checked", "delayed")]
    # starts: (the same)
    subprocess.run([str(site.data / "libexec" / "restore")], check=True, env={})
    assert [state(site, name).pid for name in ("always", "checked", "delayed")] == again


def test_a_daemon_that_goes_and_comes_back(site: Site, busybox: str) -> None:
    """Containers run on, are still asked for their health and supervised, and one that ends meanwhile comes back with the daemon."""
    if not isinstance(site, DaemonSite):
        pytest.skip("the embedded engine has no daemon")
    options: t.Dict[str, t.Any] = {"restart_policy": "always", "stop_timeout": 0}
    site.play(
        container("stays", busybox, healthcheck=LOOKS, **options), container("ends", busybox, restart_delay="100ms", **options)
    )
    stays, ends = state(site, "stays"), state(site, "ends")
    site.daemon.kill()
    kill(ends)
    write(stays, "/tmp/ok")
    time.sleep(1.5)
    site.daemon.start()
    healthy(site, "stays", "healthy")
    assert state(site, "stays").pid == stays.pid
    until(site, "ends", lambda one: one.status == RUNNING and one.pid != ends.pid)


def holds(site: Site) -> t.Dict[str, t.Any]:
    """How much of what could leak there is after a stop, and of our own process."""
    site.wait_for_ends()
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().count(str(site.data.parent))
    # What a check has found, and its process, is there when one has been done, or begun, before the stop.
    health = ("health.json", "health.json.pid")
    files = {str(path) for root in (site.data, site.state) for path in root.glob("**/*") if not path.name.endswith(health)}
    mine = len(os.listdir("/proc/self/fd"))
    return {
        "processes": list(site.shims().values()),
        "mounts": mounts,
        "cgroups": len(site.cgroups()),
        "files": files,
        "fds": mine,
    }


def test_many_starts_and_stops_leave_nothing(site: Site, busybox: str) -> None:
    """Supervised ones, asked for their health all the time."""
    cycles = 200 if FULL and isinstance(site, EmbeddedSite) else 20
    check = {"test": "true", "interval": "10ms"}
    site.play(container("web", busybox, restart_policy="always", healthcheck=check, stop_signal="KILL"))
    with site.engine() as engine:
        (found,) = engine.containers.list()
        before: t.Dict[str, t.Any] = {}
        for turn in range(cycles):
            steps.stop(engine, found, Stop(kill=signal.SIGKILL))
            if turn == 4:
                before = holds(site)
            steps.start(engine, found)
        steps.stop(engine, found, Stop(kill=signal.SIGKILL))
        after = holds(site)
        assert after.pop("files") ^ before.pop("files") == set()
        assert after == before


def test_many_restarts_leave_nothing_in_the_shim(embedded_site: EmbeddedSite, busybox: str) -> None:
    """It stays the same process: descriptors, children, memory."""
    site = embedded_site
    delays = {"restart_delay": "1ms", "restart_max_delay": "1ms"}
    site.play(container("web", busybox, "echo x; exit 1", restart_policy="always", state="present", **delays))
    with site.engine() as engine:
        (found,) = engine.containers.list()
        steps.start(engine, found)
    # Not by its arguments: a child has the same ones until it is a runtime.
    shim = supervisor_of(site, until(site, "web", lambda one: one.restarts >= 5))

    def now() -> t.Tuple[int, int, int]:
        """At the moment between two runs, when there is least. Memory: also what it shares with a child until that is a program."""
        found = []
        for _turn in range(100):
            text = pathlib.Path(f"/proc/{shim}/smaps_rollup").read_text()
            (anonymous,) = (int(line.split()[1]) for line in text.splitlines() if line.startswith("Anonymous:"))
            children = pathlib.Path(f"/proc/{shim}/task/{shim}/children").read_text().split()
            found.append((len(os.listdir(f"/proc/{shim}/fd")), len(children), anonymous))
            time.sleep(0.01)
        return t.cast(t.Tuple[int, int, int], tuple(map(min, zip(*found))))

    before = now()
    until(site, "web", lambda one: one.restarts >= (150 if FULL else 30), 120)
    after, deadline = now(), time.monotonic() + 20
    while any(now > then for now, then in zip(after[:2], before[:2])) and time.monotonic() < deadline:
        # On a busy machine that moment is rare.
        after = now()
    assert all(now <= then for now, then in zip(after[:2], before[:2])), (before, after)
    assert after[2] - before[2] < 200, (before, after)


def supervisor_of(site: Site, found: TaskState) -> int:
    """The process that looks after a container: what its state says."""
    (path,) = site.data.glob(f"containers/*/*/{found.container_id}/state.json")
    return int(json.loads(path.read_text())["shim"][0])


def test_a_supervisor_that_is_killed_comes_back_with_the_next_task(site: Site, busybox: str) -> None:
    """The container runs on; the task sees that nobody looks after it, and check mode, too."""
    quiet = "trap 'exit 0' TERM; while true; do sleep 0.05; done"
    options: t.Dict[str, t.Any] = {
        "restart_policy": "always",
        "restart_delay": "100ms",
        "healthcheck": {"test": "true", "interval": "200ms"},
    }
    asked = container("web", busybox, quiet, stop_timeout=1, **options)
    site.play(asked)
    before = state(site, "web")
    os.kill(supervisor_of(site, before), signal.SIGKILL)
    # With it goes the check that it may have begun, which writes files.
    site.wait_for_ends()
    time.sleep(0.3)
    alone = state(site, "web")
    assert (alone.status, alone.pid) == (RUNNING, before.pid)
    (again,) = site.converge(asked)
    assert again.actions == ["supervise container web again"]
    assert state(site, "web").pid == before.pid
    healthy(site, "web", "healthy")
    kill(before)
    after = until(site, "web", lambda one: one.status == RUNNING and one.pid != before.pid)
    assert after.restarts == 1
    healthy(site, "web", "healthy")
    # It is a supervisor as any other.
    kill(after)
    until(site, "web", lambda one: one.status == RUNNING and one.restarts == 2)
    stopped = site.play(container("web", state="stopped", stop_timeout=1)).last
    assert stopped.value("container")["State"]["Status"] == "exited"
    time.sleep(0.5)
    assert state(site, "web").status == STOPPED
