# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container over the engine in memory: state healthy, and how a start proves itself."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import RESTARTING, RUNNING
from ansible_collections.fleet.containerd.plugins.module_utils.errors import Unavailable
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.container import RUNS, Options, container

CHECK: Options = {"healthcheck": {"test": ["CMD", "true"]}}
NO_CHECK = "the container has no health check: give healthcheck, or an image that has one"


@pytest.fixture
def health(site: MemorySite, monkeypatch: pytest.MonkeyPatch) -> t.List[str]:
    """What the health checks of all containers say next; the last one stays."""
    says = ["starting", "healthy"]

    def look(container_id: str) -> t.Dict[str, t.Any]:
        status = says.pop(0) if len(says) > 1 else says[0]
        return {"Status": status, "FailingStreak": 0, "Log": [{"ExitCode": 1, "Output": "no\tdatabase\n"}]}

    monkeypatch.setattr(site.memory.tasks, "health", look)
    return says


def test_a_new_container_is_waited_for(site: MemorySite, busybox: str, health: t.List[str]) -> None:
    (made,) = site.converge(container("web", image=busybox, state="healthy", **CHECK, **RUNS))
    assert made.actions[-2:] == ["start container web", "wait until container web is healthy"]
    assert made.value("container")["State"]["Health"]["Status"] == "healthy"


def test_one_that_turns_unhealthy_is_a_failure(site: MemorySite, busybox: str, health: t.List[str]) -> None:
    old = site.play(container("web", image=busybox, **CHECK, **RUNS)).last.value("container")["Id"]
    health[:] = ["starting", "unhealthy"]
    new = container("web", image=busybox, state="healthy", env={"A": "1"}, ignore_errors=True, **CHECK, **RUNS)
    failed = site.play(new).last
    assert failed.msg == "the container web is unhealthy (no\\tdatabase); it printed nothing; the old container web still runs"
    assert failed.value("failed_action") == "wait until container web is healthy"
    assert failed.value("undone") == ["start container web beside the old one", "create container web anew (env changed)"]
    assert not failed.changed
    health[:] = ["healthy"]
    same = site.play(container("web", image=busybox, state="healthy", **CHECK, **RUNS)).last
    assert (same.changed, same.value("container")["Id"]) == (False, old)


def test_one_that_runs_is_waited_for_without_a_change(site: MemorySite, busybox: str, health: t.List[str]) -> None:
    wanted: Options = {"image": busybox, "state": "healthy", "healthy_wait_timeout": 0.2, **CHECK, **RUNS}
    site.play(container("web", image=busybox, **CHECK, **RUNS))
    for check in (True, False):
        health[:] = ["starting", "starting", "healthy"]
        same = site.play(container("web", **{**wanted, "healthy_wait_timeout": 30}), check=check).last
        assert not same.changed
        assert health == ["healthy"]
        health[:] = ["starting"]
        late = site.play(container("web", ignore_errors=True, **wanted), check=check).last
        assert (late.failed, late.changed) == (True, False)
        words = "the container web is not ready after 0.2 s: its health check says starting; it printed nothing"
        assert late.msg == words
    health[:] = ["starting"] * 20 + ["healthy"]
    assert not site.play(container("web", **{**wanted, "healthy_wait_timeout": 0})).last.changed


def test_there_has_to_be_a_check(site: MemorySite, busybox: str) -> None:
    for options, option in (({"state": "healthy"}, "state: healthy"), ({"ready": {"health": True}}, "ready.health")):
        for check in (True, False):
            failed = site.play(container("web", image=busybox, ignore_errors=True, **options, **RUNS), check=check).last
            assert failed.msg == f"{option}: {NO_CHECK}"
    assert site.memory.containers.list() == []
    site.play(container("web", image=busybox, **RUNS))
    assert site.play(container("web", state="healthy", ignore_errors=True)).last.msg == f"state: healthy: {NO_CHECK}"
    missing = site.play(container("gone", state="healthy", ignore_errors=True)).last
    assert missing.msg == "image: needed to create the container gone"


def test_a_job_has_nothing_to_prove(site: MemorySite, busybox: str) -> None:
    for options, said in (({"state": "healthy"}, "state: healthy"), ({"ready": {"for": 1}}, "ready")):
        failed = site.play(container("web", image=busybox, detach=False, ignore_errors=True, **options, **RUNS)).last
        assert failed.msg == f"{said}: needs detach=true: with detach=false the end counts"
    nothing = site.play(container("web", image=busybox, ready={"timeout": 5}, ignore_errors=True, **RUNS)).last
    assert nothing.msg == "ready: says nothing: give for, tcp, http, log, command or health"


@pytest.mark.parametrize(
    ("command", "ready", "words"),
    [
        (["sleep", "1000"], {"command": ["true"]}, ""),
        (["sleep", "1000"], {"for": 0.2}, ""),
        (["sh", "-c", "echo bye; exit 3"], {"for": 0}, ""),
        (["true"], {"for": 1}, "ended before it was ready: exit status 0; it printed nothing"),
        (
            ["sh", "-c", "echo bye; exit 3"],
            {"for": 1},
            "ended before it was ready: exit status 3\nThe last that it printed:\nbye",
        ),
        (
            ["sleep", "1000"],
            {"command": ["sh", "-c", "echo not yet; exit 1"], "timeout": 0.3},
            "is not ready after 0.3 s: command sh: exit status 1 (not yet); it printed nothing",
        ),
        (
            ["sleep", "1000"],
            {"command": ["sleep", "9"], "timeout": 0.3},
            "is not ready after 0.3 s: command sleep: it has not ended; it printed nothing",
        ),
    ],
    ids=str,
)
def test_what_proves_a_start(site: MemorySite, busybox: str, command: t.List[str], ready: Options, words: str) -> None:
    options: Options = {"image": busybox, "command": command, "ready": ready, "stop_signal": "KILL"}
    made = site.play(container("web", ignore_errors=True, **options)).last
    assert made.result.get("msg", "") == (f"the container web {words}" if words else "")
    assert len(site.memory.containers.list()) == (0 if words else 1)
    if words:
        assert made.result.get("status") == (3 if "status 3" in words else None)
    else:
        asks = ready != {"for": 0}
        assert (made.actions[-1] == "wait until container web is ready") is asks
        # What runs already is not asked.
        options["ready"] = {"command": ["false"]}
        assert command[0] == "sh" or not site.play(container("web", **options)).last.changed


@pytest.mark.parametrize("ready", [None, {"for": 1}], ids=["a moment", "ready"])
@pytest.mark.parametrize("status", [RESTARTING, RUNNING])
def test_a_crash_is_one_also_with_a_restart_policy(
    site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch, ready: t.Optional[Options], status: str
) -> None:
    """Whether its supervisor is about to start it again, or has."""
    site.play(container("web", image=busybox, **RUNS))
    tasks = site.memory.tasks
    start = tasks.start

    def crashes(made: t.Any, *given: t.Any, **more: t.Any) -> t.Any:
        state = start(made, *given, **more)
        return tasks._set(state._replace(status=status, exit_status=5 if status == RESTARTING else 0, restarts=1))

    def wait(container_id: str, timeout: t.Optional[float] = None) -> t.NoReturn:
        raise Unavailable("it has not ended")

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "start", crashes)
        patch.setattr(tasks, "wait", wait)
        wanted: Options = {"image": busybox, "restart_policy": "always", "command": ["sleep", "1001"], "stop_signal": "KILL"}
        failed = site.play(container("web", ready=ready, ignore_errors=True, **wanted)).last
    when = "before it was ready" if ready else "as soon as it was started"
    told = ": exit status 5" if status == RESTARTING else ""
    start_of = f"the container web ended {when}, and was started again{told}"
    assert failed.msg.startswith(start_of), failed.msg
    assert "the old container web still runs" in failed.msg
    assert not site.play(container("web", image=busybox, **RUNS)).last.changed
