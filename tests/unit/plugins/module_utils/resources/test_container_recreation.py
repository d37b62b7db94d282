# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container over the engine in memory: a new container takes the place of an old one."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import NAME, ROLE, STAGE, TO_RUN
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import steps
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.container import RUNS, Options, container, pid

CREATED = "create container app anew (env changed)"
BESIDE = [
    CREATED,
    "start container app beside the old one",
    "give the name app to the new container",
    "stop the old container app",
]


class _Killed(BaseException):
    """The process ends here: nothing is undone."""


def in_turn(why: str, change: str = "env changed") -> t.List[str]:
    """The actions where both cannot run at once."""
    return [
        f"create container app anew ({change})",
        f"stop the old container app, as {why}",
        "start container app",
        "give the name app to the new container",
    ]


def at(site: MemorySite, name: str = "app") -> t.Any:
    (found,) = site.memory.containers.list({NAME: name})
    return found


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, ""),
        ({"network_mode": "none"}, ""),
        ({"published_ports": ["8000"]}, ""),
        ({"published_ports": ["8000:80"]}, "both publish the port 8000/tcp of the host"),
        ({"network_mode": "host"}, "both use ports of the host"),
        ({"mac_address": "02:00:00:00:00:01"}, "both have the same address in the network bridge"),
        ({"volumes": ["/usr/share:/data"]}, "both may write to /usr/share"),
        ({"volumes": ["/usr/share:/data:ro"]}, ""),
        ({"mounts": [{"type": "bind", "source": "/usr/share", "target": "/data"}]}, "both may write to /usr/share"),
        ({"mounts": [{"type": "bind", "source": "/usr/share", "target": "/data", "read_only": True}]}, ""),
        ({"mounts": [{"type": "tmpfs", "target": "/data"}]}, ""),
        ({"devices": ["/dev/zero"]}, "both have the device /dev/zero"),
    ],
    ids=str,
)
def test_what_both_need_is_not_had_twice(site: MemorySite, busybox: str, options: Options, why: str) -> None:
    first = site.play(container("app", image=busybox, **RUNS, **options)).last.value("container")["Id"]
    running: t.List[int] = []
    start = site.memory.tasks.start

    def seen(*given: t.Any, **more: t.Any) -> t.Any:
        running.append(sum(one.status == "running" for one in site.memory.tasks.list()))
        return start(*given, **more)

    site.memory.tasks.start = seen  # type: ignore[method-assign]  # for a look at the moment of the start
    (changed,) = site.converge(container("app", image=busybox, env={"A": "1"}, **RUNS, **options))
    assert changed.actions == [*(in_turn(why) if why else BESIDE), f"remove the old container {first[:12]}"]
    assert running == [0 if why else 1]
    assert changed.value("recreated_because") == ["env"]
    assert at(site).labels.keys() & {STAGE, ROLE, TO_RUN} == set()


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ({"volumes": ["/usr:/a"]}, {"volumes": ["/usr/share:/a"]}, "both may write to /usr/share"),
        ({"volumes": ["/usr/share:/a"]}, {"volumes": ["/usr:/a"]}, "both may write to /usr"),
        ({"volumes": ["/usr/share:/a:ro"]}, {"volumes": ["/usr/share:/a"]}, ""),
        ({"volumes": ["/usr/lib:/a"]}, {"volumes": ["/usr/libexec:/a"]}, ""),
        (
            {"network_mode": "ns:/proc/self/ns/net"},
            {"network_mode": "ns:/proc/self/ns/net", "env": {"A": "1"}},
            "both are in the network of /proc/self/ns/net",
        ),
        ({"published_ports": ["8000:80"]}, {"published_ports": ["8001:80"], "env": {"A": "1"}}, ""),
        ({"published_ports": ["8000:80"]}, {"network_mode": "host"}, "both use ports of the host"),
        ({"network_mode": "none"}, {"network_mode": "host"}, ""),
        ({"network_mode": "host"}, {"network_mode": "none"}, ""),
    ],
    ids=str,
)
def test_what_only_one_needs_does_no_harm(site: MemorySite, busybox: str, before: Options, after: Options, why: str) -> None:
    site.play(container("app", image=busybox, **RUNS, **before))
    changed = site.play(container("app", image=busybox, **RUNS, **after)).last
    assert (changed.actions[1] == f"stop the old container app, as {why}") is bool(why), changed.actions
    assert ("start container app beside the old one" in changed.actions) is not bool(why)


def test_a_container_of_another_tool_ends_first(site: MemorySite, busybox: str) -> None:
    site.play(container("app", image=busybox, **RUNS))
    site.memory.containers.update(at(site)._replace(extensions={}), ["extensions"])
    adopted = site.play(container("app", image=busybox, adopt=True, **RUNS)).last
    assert adopted.actions[:4] == in_turn("nobody knows what it needs", "adopt")


def test_one_that_does_not_run_is_replaced_and_started(site: MemorySite, busybox: str) -> None:
    old = site.play(container("app", image=busybox, **RUNS), container("app", state="stopped")).last.value("container")["Id"]
    changed = site.play(container("app", image=busybox, env={"A": "1"}, **RUNS)).last
    assert changed.actions == [
        CREATED,
        "start container app",
        "give the name app to the new container",
        f"remove the old container {old[:12]}",
    ]
    stopped = site.play(container("app", image=busybox, state="stopped", **RUNS, recreate=True)).last
    assert stopped.actions[:3] == [
        "create container app anew (recreate)",
        "stop the old container app",
        "give the name app to the new container",
    ]
    assert stopped.value("container")["State"]["Status"] == "created"


@pytest.mark.parametrize("more", [{}, {"network_mode": "host"}], ids=["beside", "in turn"])
@pytest.mark.parametrize("state", ["started", "present"])
def test_a_release_that_fails_at_once_leaves_the_old_one_in_service(
    site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch, more: Options, state: str
) -> None:
    old = site.play(container("app", image=busybox, **RUNS, **more)).last.value("container")
    broken = {**RUNS, "command": ["sh", "-c", "echo no database; exit 3"], **more}
    failed = site.play(container("app", image=busybox, state=state, ignore_errors=True, **broken)).last
    back = "is back and runs" if more else "still runs"
    assert failed.msg == (
        f"the container app ended as soon as it was started: exit status 3; the old container app {back}\n"
        "The last that it printed:\nno database"
    )
    assert (failed.value("status"), failed.changed) == (3, False)
    now = site.play(container("app", image=busybox, **RUNS, **more)).last
    assert (now.changed, now.value("container")["Id"]) == (False, old["Id"])
    assert now.value("container")["State"]["Running"]
    assert (now.value("container")["State"]["Pid"] == old["State"]["Pid"]) is not bool(more)
    assert len(site.memory.containers.list()) == 1


def calls(site: MemorySite, monkeypatch: pytest.MonkeyPatch, last: int) -> t.List[str]:
    """The process is killed instead of its last call (from 0) that changes something in the engine."""
    made: t.List[str] = []
    owners: t.List[t.Any] = [site.memory.containers, site.memory.tasks]

    def counted(name: str, real: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def call(*given: t.Any, **more: t.Any) -> t.Any:
            if len(made) == last:
                raise _Killed
            made.append(name)
            return real(*given, **more)

        return call

    for owner, names in zip(owners, (("create", "update", "delete"), ("start", "signal", "give_up", "delete"))):
        for name in names:
            monkeypatch.setattr(owner, name, counted(name, getattr(owner, name)))
    return made


@pytest.mark.parametrize("more", [{}, {"network_mode": "host"}], ids=["beside", "in turn"])
@pytest.mark.parametrize("state", ["started", "present"])
@pytest.mark.parametrize("revert", [False, True], ids=["again", "reverted"])
def test_killed_at_each_change_the_next_run_converges(
    site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch, more: Options, state: str, revert: bool
) -> None:
    """With one container that has the name and runs, and nothing else; beside each other, one with the name runs all the time."""
    old, new = ({"image": busybox, "env": {"A": one}, "network_mode": "none", **RUNS, **more} for one in "12")
    for last in range(30):
        site.play(container("app", state="absent"))
        site.play(container("app", **old))
        with monkeypatch.context() as patch:
            made = calls(site, patch, last)
            patch.setattr(
                "ansible_collections.fleet.containerd.plugins.module_utils.kernel.converge._Execution._undo", lambda *_: ([], [])
            )
            try:
                site.play(container("app", **new, state=state))
                break
            except _Killed:
                assert len(made) == last
        running = [one for one in site.memory.tasks.list() if one.status == "running"]
        if not more:
            assert running, f"no container runs after a kill at the call {last}: {made}"
        then = site.play(container("app", **(old if revert else new), state=state)).last
        (left,) = site.memory.containers.list()
        assert left.labels[NAME] == "app"
        assert left.labels.keys() & {STAGE, ROLE} == set()
        assert then.value("container")["State"]["Running"], f"call {last}: {made}: {then.actions}"
        assert not site.play(container("app", **(old if revert else new), state=state)).last.changed
        assert f"A={1 if revert else 2}" in then.value("container")["Config"]["Env"]
        site.play(container("app", state="stopped"))
        assert not site.play(container("app", state="present")).last.changed, f"it is not to run any more after {made}"
    else:
        pytest.fail("the recreation has more calls than expected")
    assert last > 5


def test_a_swap_that_was_interrupted_is_completed(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site.play(container("app", image=busybox, **RUNS))

    def killed(*given: t.Any) -> t.NoReturn:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(steps, "take_name", killed)
        patch.setattr(steps, "swap_back", killed)
        with pytest.raises(_Killed):
            site.play(container("app", image=busybox, env={"A": "1"}, **RUNS))
    new, old = sorted(site.memory.containers.list(), key=lambda one: one.labels.get(ROLE, ""))
    site.memory.tasks.state(new.id)
    (done,) = site.converge(container("app", image=busybox, env={"A": "1"}, **RUNS))
    assert done.actions == [
        f"give the name app to the container {new.id[:12]}, as an interrupted task was about to",
        f"remove container {old.id[:12]}, left by an interrupted run",
    ]
    assert pid(done) == site.task_of("app").pid


def test_stopped_on_purpose_it_stays_stopped(site: MemorySite, busybox: str) -> None:
    site.play(container("app", image=busybox, **RUNS))
    steps.intend(site.memory, at(site))
    steps.stop(site.memory, at(site), steps.Stop())
    (stopped,) = site.converge(container("app", state="stopped"))
    assert stopped.actions == ["leave container app stopped, as an interrupted task has"]
    assert not site.play(container("app", state="present")).last.changed


def test_what_an_interrupted_task_has_stopped_runs_again_after_a_failure(site: MemorySite, busybox: str) -> None:
    site.play(container("app", image=busybox, **RUNS))
    steps.intend(site.memory, at(site))
    steps.stop(site.memory, at(site), steps.Stop())
    broken: Options = {"image": busybox, "command": ["sh", "-c", "exit 3"]}
    failed = site.play(container("app", ignore_errors=True, **broken)).last
    said = "the container app ended as soon as it was started: exit status 3; it printed nothing"
    assert failed.msg == f"{said}; the old container app is back and runs"
    assert site.task_of("app").status == "running"
    assert not site.play(container("app", image=busybox, **RUNS)).last.changed
    assert TO_RUN not in at(site).labels


def test_an_old_one_that_cannot_be_stopped_is_a_warning(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = site.play(container("app", image=busybox, **RUNS)).last.value("container")["Id"]
    signal = site.memory.tasks.signal

    def refuse(container_id: str, number: int) -> None:
        if container_id == old:
            raise FailedPrecondition("it hangs in the kernel")
        signal(container_id, number)

    monkeypatch.setattr(site.memory.tasks, "signal", refuse)
    monkeypatch.setattr(steps, "_KILL_SECONDS", 0.01)
    done = site.play(container("app", image=busybox, env={"A": "1"}, **RUNS)).last
    assert done.changed
    assert any(
        "stop the old container app: " in one and "The new container is in service" in one for one in done.value("warnings")
    )
    assert len(site.memory.containers.list()) == 1


def broken(text: str = "no database") -> Options:
    return {**RUNS, "command": ["sh", "-c", f"echo {text}; exit 3"]}


@pytest.mark.parametrize("more", [{}, {"network_mode": "host"}], ids=["beside", "in turn"])
def test_a_new_one_that_fails_may_stay(site: MemorySite, busybox: str, more: Options) -> None:
    """on_recreate_failure=keep_new: it has the name, and the old one is gone; what that was can be had again."""
    old = site.play(container("app", image=busybox, **RUNS, **more)).last.value("container")["Id"]
    asked = {"image": busybox, "on_recreate_failure": "keep_new", "ignore_errors": True, **broken(), **more}
    failed = site.play(container("app", **asked)).last
    assert (
        failed.msg == "the container app ended as soon as it was started: exit status 3\nThe last that it printed:\nno database"
    )
    assert (failed.changed, failed.value("recreated_because")) == (True, ["command"])
    assert failed.actions[-1] == f"remove the old container {old[:12]}"
    now = failed.value("container")
    assert (now["Id"] != old, now["State"]["Status"], now["State"]["ExitCode"]) == (True, "exited", 3)
    assert [one.id for one in site.memory.containers.list()] == [now["Id"]]
    back = site.play(container("app", state="previous")).last
    assert back.value("container")["State"]["Running"]
    assert back.value("container")["Config"]["Cmd"] == RUNS["command"]


def test_a_new_one_that_is_not_ready_may_stay_and_run(site: MemorySite, busybox: str) -> None:
    site.play(container("app", image=busybox, **RUNS))
    ready = {"command": ["false"], "timeout": 1}
    asked = {
        "image": busybox,
        "env": {"A": "1"},
        "on_recreate_failure": "keep_new",
        "ready": ready,
        "ignore_errors": True,
        **RUNS,
    }
    failed = site.play(container("app", **asked)).last
    assert failed.msg.startswith("the container app is not ready after 1 s: command false: exit status 1")
    assert failed.value("container")["State"]["Running"]
    assert failed.value("container")["Config"]["Env"][-1] == "A=1"


def names(site: MemorySite) -> t.List[str]:
    return sorted(one.labels.get(NAME, "") for one in site.memory.containers.list())


def test_some_of_the_old_ones_stay(site: MemorySite, busybox: str) -> None:
    """keep_old: stopped, under a name of their own; the oldest go first, and state=absent takes all."""
    ids = [site.play(container("app", image=busybox, **RUNS)).last.value("container")["Id"]]
    for number in range(3):
        asked = container("app", image=busybox, keep_old=2, env={"A": str(number)}, **RUNS)
        (changed,) = site.converge(asked)
        ids.append(changed.value("container")["Id"])
    assert changed.actions[-2:] == [
        f"keep the old container as app-old-{ids[2][:12]}",
        f"remove the old container {ids[0][:12]}",
    ]
    assert names(site) == sorted(["app", f"app-old-{ids[1][:12]}", f"app-old-{ids[2][:12]}"])
    old = site.memory.containers.get(ids[2])
    assert old.labels.keys() & {STAGE, ROLE, TO_RUN} == set()
    assert site.memory.tasks.state(ids[2]).status == "stopped"
    # One that is in use stays, and does not count.
    site.play(container(f"app-old-{ids[1][:12]}", state="started"))
    site.play(container("app", image=busybox, env={"A": "x"}, **RUNS))
    assert names(site) == sorted(["app", f"app-old-{ids[1][:12]}"])
    site.play(container(f"app-old-{ids[1][:12]}", state="stopped", force_kill=True))
    (gone,) = site.converge(container("app", state="absent", force_kill=True))
    assert gone.actions == ["remove container app", f"remove the old container {ids[1][:12]}"]
    assert not site.memory.containers.list()


def test_an_old_one_that_a_killed_run_left_is_kept(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = site.play(container("app", image=busybox, **RUNS)).last.value("container")["Id"]
    asked = container("app", image=busybox, keep_old=1, env={"A": "1"}, **RUNS)
    with monkeypatch.context() as patch:
        patch.setattr(steps, "stop", _killed)
        with pytest.raises(_Killed):
            site.play(asked)
    site.play(asked)
    assert names(site) == sorted(["app", f"app-old-{old[:12]}"])
    assert site.memory.tasks.state(old).status == "stopped"


def _killed(*_arguments: t.Any) -> None:
    raise _Killed
