# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container: a container is made, started, stopped and removed."""

from __future__ import annotations

import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.stories.sites import AnySite

Options = t.Dict[str, t.Any]
#: A command that runs until it is killed, and no waiting for that.
RUNS: Options = {"command": ["sleep", "1000"], "stop_signal": "KILL"}


def container(name: str, ignore_errors: bool = False, **options: t.Any) -> Task:
    return {**task("containerd_container", name=name, **options), "ignore_errors": ignore_errors}


def pid(result: TaskResult) -> int:
    return int(result.value("container")["State"]["Pid"])


def is_created(site: AnySite, busybox: str) -> TaskResult:
    (made,) = site.converge(container("web", image=busybox, network_mode="none", **RUNS), diff=True)
    assert made.actions == [f"pull image {busybox}", "create container web", "start container web"]
    diff, facts = made.value("diff"), made.value("container")
    assert diff["before"] == {"exists": False}
    image = {"name": busybox, "digest": facts["Containerd"]["ManifestDigest"]}
    given = {"command": ["sleep", "1000"], "stop_signal": 9, "network_mode": "none"}
    assert diff["after"] == {"exists": True, "state": "running", "image": image, **given}
    assert (facts["Name"], facts["Config"]["Image"]) == ("/web", busybox)
    assert (facts["Path"], facts["Args"]) == ("sleep", ["1000"])
    return made


def is_removed(site: AnySite) -> None:
    (gone,) = site.converge(container("web", state="absent"), diff=True)
    assert gone.actions == ["remove container web"]
    assert gone.value("diff") == {"before": {"exists": True, "state": "running"}, "after": {"exists": False}}
    assert gone.value("container") == {}


def is_present(site: AnySite, busybox: str) -> None:
    (present,) = site.converge(container("one", image=busybox, state="present", **RUNS))
    assert present.actions[-1] == "create container one"
    assert present.value("container")["State"]["Status"] == "created"


def is_started(site: AnySite, busybox: str) -> TaskResult:
    """present stops nothing."""
    (started,) = site.converge(container("one", image=busybox, **RUNS))
    assert started.actions == ["start container one"]
    same = site.play(container("one", image=busybox, state="present", **RUNS), container("one")).results
    assert not any(result.changed for result in same)
    assert pid(same[1]) == pid(started)
    return started


def is_stopped(site: AnySite) -> None:
    (stopped,) = site.converge(container("one", state="stopped"), diff=True)
    assert stopped.actions == ["stop container one"]
    assert stopped.value("container")["State"]["Status"] == "exited"
    assert stopped.value("container")["State"]["ExitCode"] == 137
    assert stopped.value("diff") == {"before": {"state": "running"}, "after": {"state": "stopped"}}


def is_started_again(site: AnySite, busybox: str) -> None:
    """Another one begins stopped."""
    again, restarted, fresh = site.play(
        container("one"), container("one", restart=True), container("two", image=busybox, state="stopped", **RUNS)
    ).results
    assert again.actions == ["start container one"]
    assert restarted.actions == ["stop container one", "start container one"]
    assert pid(again) != pid(restarted)
    assert fresh.actions == ["create container two"]
    assert fresh.value("container")["State"]["Running"] is False
