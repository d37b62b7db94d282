# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that are interrupted, hang or fail, and recreations that go wrong, by the modules' own entry points."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import signal
import subprocess
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import RUNNING
from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import steps
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.find import find_container
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.jobs import container_lock, output_of
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.values import Stop
from ansible_collections.fleet.containerd.tests.support.modules import Modules, running_modules
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.stories.container_jobs import a_service_ends_at_once

KIND = "containerd_container"
SERVICE = ["sleep", "1000"]
#: For what does not depend on the daemon's version.
TWO = pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)


class Jobs:
    """The tasks of one test. other: modules beside those of modules."""

    def __init__(self, site: Site, modules: Modules, other: Modules, image: str) -> None:
        self.site, self.modules, self.other = site, modules, other
        self.options = {**site.defaults, "image": image, "stop_signal": "KILL"}

    def job(self, script: str, **options: t.Any) -> t.Dict[str, t.Any]:
        return {**self.options, "name": "job", "command": ["sh", "-c", script], "detach": False, **options}

    def status(self, name: str = "job") -> str:
        """What a container is doing; empty when there is none."""
        with self.site.engine() as engine:
            container = find_container(engine, name)
            try:
                return str(engine.tasks.state(container.id).status) if container else ""
            except NotFound:
                return "created"

    def until_printed(self, text: str) -> None:
        """As the container that runs now has it in its log."""
        self.until("running")
        deadline = time.monotonic() + 60
        while True:
            with self.site.engine() as engine:
                container = find_container(engine, "job")
                if container and text in output_of(engine, container):
                    return
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def until(self, status: str, name: str = "job", seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self.status(name) != status:
            assert time.monotonic() < deadline, f"{name} is {self.status(name) or 'not there'}, not {status or 'gone'}"
            time.sleep(0.02)


@pytest.fixture
def jobs(site: Site, modules: Modules, busybox: str, tmp_path: pathlib.Path) -> t.Iterator[Jobs]:
    modules.run("containerd_image", **site.defaults, name=busybox)
    with running_modules(tmp_path / "other-result") as other:
        yield Jobs(site, modules, other, busybox)


@pytest.fixture
def patient(tmp_path: pathlib.Path) -> t.Iterator[Modules]:
    """Modules that look long enough at what they have started to see its end, however busy the host is."""
    with running_modules(tmp_path / "patient-result", under=["env", "GRACE_SECONDS=60"]) as found:
        yield found


def test_others_stop_and_remove_what_a_task_waits_for(jobs: Jobs) -> None:
    def meanwhile(**options: t.Any) -> t.Callable[[int], None]:
        def act(_pid: int) -> None:
            jobs.until_printed("begun")
            began = time.monotonic()
            assert jobs.other.run(KIND, **{**jobs.site.defaults, "name": "job", "stop_timeout": 300, **options})["changed"]
            # Less than the lock and the container's end are waited for.
            assert time.monotonic() - began < 120

        return act

    stopped = jobs.modules.meanwhile(meanwhile(state="stopped"), KIND, **jobs.job("echo begun; sleep 1000"))
    assert stopped["failed"]
    assert stopped["status"] == 137
    assert stopped["msg"] == (
        "the container job was stopped by somebody else while this task waited for its end: exit status 137\n"
        "The last that it printed:\nbegun"
    )
    # What was stopped has not done its work, whatever status it ended with.
    script = "trap 'exit 0' TERM; echo begun; sleep 1000 & wait"
    polite = jobs.modules.meanwhile(meanwhile(state="stopped"), KIND, **jobs.job(script, stop_signal="TERM"))
    assert (polite["failed"], polite["status"]) == (True, 0)
    assert jobs.modules.run(KIND, **jobs.job(script, stop_signal="TERM"), _ansible_check_mode=True)["actions"] == [
        "start container job",
        "wait for container job to end",
    ]
    gone = jobs.modules.meanwhile(meanwhile(state="absent", force_kill=True), KIND, **jobs.job("echo begun; sleep 1000"))
    assert gone["failed"]
    assert gone["changed"]
    assert gone["msg"] == "the container job was removed by somebody else while this task waited for its end"
    assert jobs.status() == ""


@TWO
def test_a_job_ends_with_its_task(jobs: Jobs, tmp_path: pathlib.Path) -> None:
    def ended() -> None:
        deadline = time.monotonic() + 60
        while jobs.status() == "running":
            assert time.monotonic() < deadline
            time.sleep(0.02)

    # At whatever moment it comes.
    def term(pid: int) -> None:
        jobs.until("running")
        os.kill(pid, signal.SIGTERM)
        ended()

    def kill(pid: int) -> None:
        jobs.until("running")
        os.kill(pid, signal.SIGKILL)
        ended()

    def hang_up(_pid: int) -> None:
        jobs.until("running")
        os.close(reader)
        ended()
        # So that a result can be looked for.
        fifo.unlink()
        fifo.touch()

    result = jobs.modules.meanwhile(term, KIND, **jobs.job("sleep 1000"))
    assert result["msg"].startswith("the task was interrupted: SIGTERM came")
    jobs.modules.meanwhile(kill, KIND, **jobs.job("sleep 1001"))
    fifo = tmp_path / "result"
    fifo.unlink()
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    jobs.modules.meanwhile(hang_up, KIND, **jobs.job("sleep 1002"))
    assert jobs.modules.result(KIND, **jobs.job("exit 4"))["status"] == 4


@TWO
def test_a_job_for_whom_nobody_waits_does_not_start(jobs: Jobs, tmp_path: pathlib.Path) -> None:
    fifo = tmp_path / "result"
    fifo.unlink()
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def act(pid: int) -> None:
        deadline = time.monotonic() + 60
        while os.readlink(f"/proc/{pid}/fd/1") != str(fifo):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.close(reader)
        # So that a result can be looked for.
        fifo.unlink()
        fifo.touch()
        held.close()

    with jobs.site.engine() as engine, contextlib.ExitStack() as held:
        held.enter_context(container_lock(engine, "job"))
        jobs.modules.meanwhile(act, KIND, **jobs.job("sleep 1000"))
    assert jobs.status() == ""


@TWO
@pytest.mark.parametrize("again", [False, True])
def test_a_task_that_is_interrupted_while_others_are_at_work(jobs: Jobs, again: bool) -> None:
    """It ends its job all the same, but not what they have started."""

    def act(pid: int) -> None:
        jobs.until("running")
        with jobs.site.engine() as engine, container_lock(engine, "job"):
            container = find_container(engine, "job")
            assert container
            if again:
                steps.stop(engine, container, Stop(kill=True))
                steps.start(engine, container)
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 60
            while pathlib.Path(f"/proc/{pid}").exists():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert (engine.tasks.state(container.id).status == RUNNING) is again

    result = jobs.modules.meanwhile(act, KIND, **jobs.job("sleep 1000"))
    assert result["msg"].startswith("the task was interrupted: SIGTERM came")


@TWO
def test_what_runs_without_a_task_is_waited_for(jobs: Jobs, tmp_path: pathlib.Path) -> None:
    """Its task and the task's guard were killed together."""
    (tmp_path / "v").mkdir()
    script = "until test -e /v/go; do sleep 0.05; done; echo done"
    options = jobs.job(script, volumes=[f"{tmp_path}/v:/v"], cleanup=True)
    first = jobs.modules.run(KIND, **{**options, "detach": True, "cleanup": False})

    def let_go(pid: int) -> None:
        # Its guard is there.
        deadline = time.monotonic() + 60
        while not pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (tmp_path / "v" / "go").touch()

    joined = jobs.modules.meanwhile(let_go, KIND, **options)
    assert joined["actions"] == ["wait for container job to end", "remove container job"]
    assert joined["container"]["Id"] == first["container"]["Id"]
    assert joined["container"]["Output"] == "done\n"


@TWO
def test_a_job_runs_once_at_a_time(jobs: Jobs, tmp_path: pathlib.Path) -> None:
    (tmp_path / "v").mkdir()
    options = jobs.job("until test -e /v/go; do sleep 0.05; done; echo done", volumes=[f"{tmp_path}/v:/v"], cleanup=True)

    def second(_pid: int) -> None:
        jobs.until("running")
        other: t.Dict[str, t.Any] = jobs.other.meanwhile(lambda _pid: (tmp_path / "v" / "go").touch(), KIND, **options)
        assert other["actions"][0] == "create container job"
        assert other["container"]["Output"] == "done\n"

    first = jobs.modules.meanwhile(second, KIND, **options)
    assert first["container"]["Output"] == "done\n"
    assert jobs.status() == ""


@TWO
def test_a_service_that_ends_at_once(jobs: Jobs, patient: Modules) -> None:
    run = functools.partial(jobs.modules.run, KIND, **jobs.options)
    looking = functools.partial(patient.result, KIND, **jobs.options)
    a_service_ends_at_once(run, looking, "echo port in use >&2", lambda name: bool(jobs.status(name)))


def test_an_old_container_that_cannot_be_removed(jobs: Jobs) -> None:
    web = {**jobs.options, "name": "web"}
    old = jobs.modules.run(KIND, **web, command=SERVICE)["container"]
    log = old["LogPath"]
    subprocess.run(["chattr", "+i", log], check=True)
    try:
        new = jobs.modules.run(KIND, **web, command=["sleep", "1001"])
        assert new["actions"][-1] == "start container web"
        assert new["container"]["State"]["Running"]
        assert pathlib.Path(f"/proc/{new['container']['State']['Pid']}/cmdline").read_bytes() == b"sleep\x001001\x00"
        assert not pathlib.Path(f"/proc/{old['State']['Pid']}").exists()
        (warning,) = [line for line in map(str, new["warnings"]) if "CVE" not in line]
        assert f"remove the old container {old['Id'][:12]}" in warning
        assert "Operation not permitted" in warning
        same = jobs.modules.run(KIND, **web, command=["sleep", "1001"])
        assert not same["changed"]
        assert jobs.modules.run(KIND, **{**web, "name": "other"}, command=SERVICE)["changed"]
    finally:
        for path in jobs.site.data.rglob(os.path.basename(log)):
            subprocess.run(["chattr", "-i", path], check=True)
    assert not jobs.modules.run(KIND, **web, command=["sleep", "1001"])["changed"]
    assert not list(jobs.site.data.rglob(os.path.basename(log)))


def test_a_task_whose_record_is_damaged_is_seen(embedded_site: EmbeddedSite, modules: Modules, busybox: str) -> None:
    modules.run("containerd_image", **embedded_site.defaults, name=busybox)
    options = {**embedded_site.defaults, "name": "web", "image": busybox, "command": SERVICE, "stop_signal": "KILL"}
    made = modules.run(KIND, **options)["container"]
    os.truncate(pathlib.Path(made["LogPath"]).parent / "state.json", 20)
    checked = modules.run(KIND, **options)
    assert not checked["changed"]
    assert checked["container"]["State"]["Pid"] == made["State"]["Pid"]


def test_interrupted_while_making_a_container(
    embedded_site: EmbeddedSite, modules: Modules, busybox: str, tmp_path: pathlib.Path
) -> None:
    modules.run("containerd_image", **embedded_site.defaults, name=busybox)
    options = {**embedded_site.defaults, "name": "web", "image": busybox, "command": SERVICE, "stop_signal": "KILL"}
    whole = modules.duration(KIND, **options)
    for turn in range(8):
        modules.run(KIND, **embedded_site.defaults, name="web", state="absent")
        result = modules.meanwhile(functools.partial(terminate_after, whole * turn / 8), KIND, **options)
        if "msg" in result:
            assert result["msg"] == "the task was interrupted: SIGTERM came"
            assert embedded_site.leftovers() == [], turn
            assert embedded_site.strays() == [], turn


def terminate_after(seconds: float, pid: int) -> None:
    time.sleep(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
