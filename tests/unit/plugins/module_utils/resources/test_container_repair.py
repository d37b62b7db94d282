# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container over the engine in memory: containers that are paused, that go by themselves, that died or are damaged."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import NAME
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import CREATED, RUNNING
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.container import RUNS, Options, container


def at(site: MemorySite, name: str = "app") -> t.Any:
    (found,) = site.memory.containers.list({NAME: name})
    return found


def test_paused(site: MemorySite, busybox: str) -> None:
    wanted: Options = {"image": busybox, **RUNS}
    (made,) = site.converge(container("app", paused=True, **wanted))
    assert made.actions[-2:] == ["start container app", "pause container app"]
    assert made.value("container")["State"]["Status"] == made.value("diff")["after"]["state"] == "paused"
    assert not site.play(container("app", **wanted)).last.changed
    for state in ("started", "present"):
        (resumed,) = site.converge(container("app", state=state, paused=False, **wanted))
        assert resumed.actions == ["resume container app"]
        assert resumed.value("diff") == {"before": {"state": "paused"}, "after": {"state": "running"}}
        (paused,) = site.converge(container("app", state=state, paused=True, **wanted))
        assert paused.actions == ["pause container app"]
        assert paused.value("diff") == {"before": {"state": "running"}, "after": {"state": "paused"}}
    changed = site.play(container("app", paused=True, env={"A": "1"}, **wanted)).last
    assert changed.actions[1:4] == [
        "start container app beside the old one",
        "pause container app",
        "give the name app to the new container",
    ]
    site.play(container("app", state="stopped"))
    assert not site.play(container("app", state="present", paused=False)).last.changed
    for options in ({"state": "stopped"}, {"state": "staged"}, {"detach": False}):
        refused = site.play(container("app", paused=True, ignore_errors=True, **options, **wanted)).last
        assert refused.msg.startswith("paused: true needs a container that runs: state=")


def test_one_that_goes_by_itself(site: MemorySite, busybox: str) -> None:
    """What a task sees and does where the program was late, or killed, that removes it."""
    wanted: Options = {"image": busybox, "auto_remove": True, **RUNS}
    first = site.play(container("app", **wanted)).last
    assert first.value("container")["HostConfig"]["AutoRemove"] is True
    assert site.memory.tasks.supervised[at(site).id].remove is True
    (live,) = site.converge(container("app", **{**wanted, "auto_remove": False}))
    assert live.actions == ["update auto_remove of container app"]
    assert site.memory.tasks.supervised[at(site).id].remove is False
    site.play(container("app", **wanted))
    site.memory.tasks.finish(at(site).id, 0)
    (again,) = site.converge(container("app", **wanted))
    old = first.value("container")["Id"]
    assert again.actions == [
        "remove container app, which has ended",
        "create container app",
        "start container app",
    ]
    assert again.value("container")["Id"] != old
    site.memory.tasks.finish(at(site).id, 0)
    (gone,) = site.converge(container("app", state="absent"))
    assert len(gone.actions) == 1
    assert site.memory.containers.list() == []


def test_a_job_that_goes_by_itself_tells_its_output_first(site: MemorySite, busybox: str) -> None:
    wanted: Options = {"image": busybox, "auto_remove": True, "detach": False, "command": ["sh", "-c", "echo done; exit 0"]}
    for _turn in range(2):
        done = site.play(container("job", **wanted)).last
        assert done.changed
        assert (done.value("status"), done.value("container")["Output"]) == (0, "done\n")
        assert done.actions[-1] == "remove container job"
        assert site.memory.containers.list() == []


def test_going_by_itself_and_being_started_again_contradict_each_other(site: MemorySite, busybox: str) -> None:
    said = "auto_remove: true and restart_policy: always: a container that goes when it has ended is not started again"
    wanted: Options = {"image": busybox, **RUNS}
    assert site.play(container("app", auto_remove=True, restart_policy="always", ignore_errors=True, **wanted)).last.msg == said
    site.play(container("app", restart_policy="always", **wanted))
    later = site.play(container("app", auto_remove=True, ignore_errors=True, **wanted)).last
    assert later.msg == f"{said} (what the task does not give is as the container has it)"


@pytest.mark.parametrize("status", ["died", "created", "no task"])
@pytest.mark.parametrize("state", ["started", "present", "stopped", "absent"])
def test_one_that_does_not_run_is_no_obstacle(site: MemorySite, busybox: str, status: str, state: str) -> None:
    wanted: Options = {"image": busybox, **RUNS}
    site.play(container("app", **wanted))
    tasks, one = site.memory.tasks, at(site)
    if status == "died":
        tasks.finish(one.id, 137)
    elif status == "created":
        # Whoever made it was killed before it was started.
        tasks._set(tasks.state(one.id)._replace(status=CREATED))
    else:
        tasks.delete(one.id, force=True)
    done = site.play(container("app", state=state, **wanted)).last
    assert done.actions == {"started": ["start container app"], "absent": ["remove container app"]}.get(state, [])
    if state == "started":
        assert site.task_of("app").status == RUNNING
    assert not site.play(container("app", state=state, **wanted)).last.changed
    assert len(site.memory.containers.list()) == (state != "absent")


def test_one_that_is_damaged_is_made_anew(site: MemorySite, busybox: str) -> None:
    wanted: Options = {"image": busybox, **RUNS}
    site.play(container("app", **wanted), container("app", state="stopped"))
    site.memory.snapshotter().remove(at(site).snapshot_key)
    assert not site.play(container("app", state="present", **wanted)).last.changed
    (mended,) = site.converge(container("app", **wanted))
    assert mended.value("recreated_because") == ["damaged"]
    assert mended.actions[:2] == ["create container app anew (damaged)", "start container app"]
    site.play(container("app", network_mode="bridge", **wanted), container("app", state="stopped"))
    directory = pathlib.Path(site.memory.container_dir(at(site).id))
    (directory / "networks.json").unlink()
    (mended,) = site.converge(container("app", **wanted))
    assert mended.value("recreated_because") == ["damaged"]
    site.play(container("app", state="stopped"))
    site.memory.snapshotter().remove(at(site).snapshot_key)
    assert site.play(container("app", state="absent")).last.changed
    assert site.memory.containers.list() == []


def test_a_removal_that_takes_too_long(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site.play(container("app", image=busybox, **RUNS))
    with monkeypatch.context() as patch:
        patch.setattr(type(site.memory.snapshotter()), "remove", lambda self, key: None)
        late = site.play(container("app", state="absent", removal_wait_timeout=0.2, ignore_errors=True)).last
        assert late.msg == "removal_wait_timeout: after 0.2 s there is still the snapshot of the container"
    site.play(container("app", image=busybox, **RUNS))
    assert site.play(container("app", state="absent", removal_wait_timeout=0)).last.changed


def test_a_start_that_a_killed_run_makes_meanwhile_is_one(
    site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shim starts the container between our look and our start."""
    wanted: Options = {"image": busybox, **RUNS}
    site.play(container("app", state="present", **wanted))
    real = site.memory.tasks.start

    def late(*given: t.Any) -> t.Any:
        real(*given)
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(site.memory.tasks, "start", late)
        started = site.play(container("app", **wanted)).last
    assert (started.failed, started.changed, site.memory.tasks.state(at(site).id).status) == (False, True, RUNNING)
    assert not site.play(container("app", **wanted)).last.changed
