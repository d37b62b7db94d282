# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers that a task waits for, and services that end at once, over the engine in memory."""

from __future__ import annotations

import threading
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import NAME
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.interrupt import Interrupted
from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.container_jobs import a_service_ends_at_once

Act = t.Callable[[str], None]


def container(name: str, **options: t.Any) -> Task:
    return {**task("containerd_container", name=name, stop_signal="KILL", **options), "ignore_errors": True}


def job(script: str, **options: t.Any) -> Task:
    """A shell script that the task waits for."""
    return container("job", command=["sh", "-c", script], **{"detach": False, **options})


def status(site: MemorySite, name: str = "job") -> str:
    """What a container is doing; empty when there is none."""
    found = site.memory.containers.list({NAME: name})
    return str(site.memory.tasks.state(found[0].id).status) if found else ""


def meanwhile(site: MemorySite, monkeypatch: pytest.MonkeyPatch, act: Act) -> None:
    """Do something, once, while a task waits for the end of a container."""
    wait, done = site.memory.tasks.wait, threading.Event()

    def waits(container_id: str, timeout: t.Optional[float] = None) -> t.Any:
        if not done.is_set():
            done.set()
            act(container_id)
        return wait(container_id, timeout)

    monkeypatch.setattr(site.memory.tasks, "wait", waits)


def test_waiting_for_the_end(site: MemorySite, busybox: str) -> None:
    (done,) = site.converge(job("echo one; echo two", image=busybox))
    assert done.actions[-2:] == ["start container job", "wait for container job to end"]
    assert done.value("diff")["after"]["state"] == "stopped"
    assert (done.value("status"), done.value("container")["Output"]) == (0, "one\ntwo\n")
    assert done.value("container")["State"]["Status"] == "exited"
    again, restarted, failed, checked = site.play(
        job("echo one; echo two", image=busybox),
        job("echo one; echo two", image=busybox, restart=True),
        job("echo why; exit 3", image=busybox),
        {**job("echo why; exit 3", image=busybox), "check_mode": True},
    ).results
    assert not again.changed
    assert (again.value("status"), again.value("container")["Output"]) == (0, "one\ntwo\n")
    assert restarted.actions == ["start container job", "wait for container job to end"]
    assert (failed.failed, failed.changed) == (True, True)
    assert failed.msg == "the container job ended: exit status 3\nThe last that it printed:\nwhy"
    assert (failed.value("status"), failed.value("container")["Output"]) == (3, "why\n")
    # What has failed is done again.
    assert checked.actions == ["start container job", "wait for container job to end"]
    silent = site.play(job("exit 4", image=busybox)).last
    assert silent.msg == "the container job ended: exit status 4; it printed nothing"


def test_cleanup(site: MemorySite, busybox: str) -> None:
    checked = site.predict(job("echo gone", image=busybox, cleanup=True)).last
    cleaned, failed = site.play(
        job("echo gone", image=busybox, cleanup=True), job("echo bad; exit 2", image=busybox, cleanup=True)
    ).results
    assert cleaned.actions == checked.actions
    assert cleaned.actions[-1] == "remove container job"
    assert cleaned.value("container")["Output"] == "gone\n"
    assert cleaned.value("diff")["after"]["exists"] is False
    assert cleaned.value("diff")["after"]["state"] == "ended and removed"
    assert (failed.failed, failed.value("status"), failed.actions[-1]) == (True, 2, "remove container job")
    assert status(site) == ""


def test_the_last_lines_of_many(site: MemorySite, busybox: str) -> None:
    failed = site.play(job("; ".join(f"echo line {number}" for number in range(100)) + "; exit 3", image=busybox)).last
    lines = "\n".join(f"line {number}" for number in range(80, 100))
    assert failed.msg == f"the container job ended: exit status 3\nThe last that it printed:\n{lines}"


def test_the_rest_of_an_interrupted_run_is_no_result(site: MemorySite, busybox: str) -> None:
    # As a run leaves it that was cut off between the end of the job and the removal.
    site.play(job("echo first", image=busybox))
    checked = site.predict(job("echo first", image=busybox, cleanup=True)).last
    again = site.play(job("echo first", image=busybox, cleanup=True)).last
    assert again.value("container")["Output"] == "first\n"
    assert again.actions == checked.actions == [
        "remove container job, left by an interrupted run",
        "create container job",
        "start container job",
        "wait for container job to end",
        "remove container job",
    ]  # fmt: skip
    assert status(site) == ""


@pytest.mark.parametrize("named", ["with options", "alone"])
def test_what_somebody_else_has_left_is_no_rest(site: MemorySite, busybox: str, named: str) -> None:
    site.play(job("true", image=busybox))
    (record,) = site.memory.containers.list()
    site.memory.containers.update(record._replace(extensions={}), ["extensions"])
    options = {"command": ["sh", "-c", "true"]} if named == "with options" else {}
    wanted = task("containerd_container", name="job", image=busybox, detach=False, cleanup=True, **options)
    refused = site.play({**wanted, "ignore_errors": True}).last
    assert refused.failed
    assert "the container job was not made by this collection" in refused.msg
    assert status(site) == "stopped"


def test_a_limit_for_a_job(site: MemorySite, busybox: str) -> None:
    late = site.play(job("echo begun; sleep 1000", image=busybox, wait_timeout=0.05, cleanup=True)).last
    assert late.failed
    assert late.msg == (
        "the container job has not ended within 0.05 s (wait_timeout), so it was stopped: exit status 137\n"
        "The last that it printed:\nbegun"
    )
    assert (late.value("status"), late.value("container")["Output"]) == (137, "begun\n")
    assert late.actions[-1] == "remove container job"
    assert status(site) == ""
    assert not site.play(job("echo ok", image=busybox, wait_timeout=300)).last.failed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cleanup": True}, "cleanup: needs detach=false"),
        ({"wait_timeout": 5}, "wait_timeout: 5 seconds need detach=false"),
        ({"wait_timeout": 0, "detach": False}, "wait_timeout: 0 is not a number of seconds above 0"),
        ({"wait_timeout": float("inf"), "detach": False}, "wait_timeout: inf is not a number of seconds above 0"),
    ],
)
def test_options_that_need_each_other(site: MemorySite, busybox: str, options: t.Dict[str, t.Any], message: str) -> None:
    assert site.predict(container("job", image=busybox, **options)).last.msg == message


def test_others_stop_and_remove_what_a_task_waits_for(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(**options: t.Any) -> Act:
        def act(_container_id: str) -> None:
            # Under the lock of the name, which the waiting task has let go.
            assert site.play(container("job", **options)).last.changed

        return act

    for options, word in (
        ({"state": "stopped"}, "was stopped by somebody else while this task waited for its end: exit status 137"),
        ({"state": "absent"}, "was removed by somebody else while this task waited for its end"),
        ({"restart": True}, "was started again by somebody else while this task waited for its end"),
    ):
        with monkeypatch.context() as patch:
            meanwhile(site, patch, other(**options))
            ended = site.play(job("echo begun; sleep 1000", image=busybox, wait_timeout=0.3)).last
        assert ended.failed
        assert ended.msg.startswith(f"the container job {word}"), ended.msg
        site.play(container("job", state="absent"))


def test_what_was_stopped_has_not_done_its_work(site: MemorySite, busybox: str) -> None:
    site.play(job("echo begun; sleep 1000", image=busybox, detach=True), container("job", state="stopped"))
    (record,) = site.memory.containers.list()
    # It has ended politely.
    state = site.memory.tasks.state(record.id)
    site.memory.tasks._set(state._replace(exit_status=0))
    checked = site.predict(job("echo begun; sleep 1000", image=busybox)).last
    assert checked.actions == ["start container job", "wait for container job to end"]


def test_what_runs_without_a_task_is_waited_for(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its task and the task's guard were killed together."""
    script = "echo begun; sleep 1000"
    first = site.play(job(script, image=busybox, detach=True)).last
    meanwhile(site, monkeypatch, lambda container_id: site.memory.tasks.finish(container_id) and None)
    joined = site.play(job(script, image=busybox, cleanup=True)).last
    assert joined.actions == ["wait for container job to end", "remove container job"]
    assert joined.value("container")["Id"] == first.value("container")["Id"]
    assert joined.value("container")["Output"] == "begun\n"


@pytest.mark.parametrize("cleanup", [False, True])
def test_a_job_ends_with_its_task(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch, cleanup: bool) -> None:
    def interrupt(_container_id: str) -> None:
        raise Interrupted("SIGTERM came")

    meanwhile(site, monkeypatch, interrupt)
    ended = site.play(job("echo begun; sleep 1000", image=busybox, cleanup=cleanup)).last
    assert ended.msg == "the task was interrupted: SIGTERM came"
    assert ended.value("failed_action") == "wait for container job to end"
    assert status(site) == ("" if cleanup else "stopped")


def test_another_run_that_somebody_else_has_started_is_left_alone(
    site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(_container_id: str) -> None:
        assert site.play(container("job", restart=True)).last.changed
        raise Interrupted("SIGTERM came")

    meanwhile(site, monkeypatch, act)
    assert site.play(job("echo begun; sleep 1000", image=busybox)).last.failed
    assert status(site) == "running"


def test_a_wait_that_cannot_be(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(_container_id: str) -> None:
        raise Unavailable("the shim does not answer")

    meanwhile(site, monkeypatch, hang)
    failed = site.play(job("echo begun; sleep 1000", image=busybox)).last
    assert failed.msg == "the shim does not answer"
    assert status(site) == "running"


def test_a_job_that_cannot_start(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: t.Any, **_more: t.Any) -> t.Any:
        raise FailedPrecondition("the runtime refuses")

    site.play(task("containerd_image", name=busybox))
    monkeypatch.setattr(site.memory.tasks, "start", refuse)
    failed = site.play(job("true", image=busybox)).last
    assert (failed.msg, failed.changed) == ("the runtime refuses", False)
    assert status(site) == ""


def test_a_service_that_ends_at_once(site: MemorySite, busybox: str) -> None:
    def run(name: str, **options: t.Any) -> t.Dict[str, t.Any]:
        return site.play(container(name, image=busybox, **options)).last.result

    site.play(task("containerd_image", name=busybox))
    a_service_ends_at_once(run, run, "echo port in use", lambda name: bool(status(site, name)))


def test_out_of_memory_is_said(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(site, monkeypatch, lambda container_id: site.memory.tasks.finish(container_id, 137, oom_killed=True) and None)
    ended = site.play(job("echo begun; sleep 1000", image=busybox)).last
    assert ended.msg.startswith("the container job ended: exit status 137 (out of memory)\n")
    assert ended.value("container")["State"]["OOMKilled"] is True
