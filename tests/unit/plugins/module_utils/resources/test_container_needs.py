# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container over the engine in memory: containers that depend on others."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import NAME
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import needs
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.container import RUNS, Options, container


class Killed(BaseException):
    """The end of a process that nobody can handle."""


def status(site: MemorySite, name: str) -> str:
    (found,) = site.memory.containers.list({NAME: name})
    return str(site.memory.tasks.state(found.id).status)


def test_what_a_container_needs_is_started_before_it(site: MemorySite, busybox: str) -> None:
    """Also what that needs, each once; what runs is left alone."""
    common: Options = {"image": busybox, **RUNS}
    stopped = [container(name, state="stopped") for name in ("disk", "db", "cache")]
    site.play(
        container("disk", **common),
        container("db", depends_on=["disk"], **common),
        container("cache", requires=[{"name": "disk"}], **common),
        *stopped,
    )
    wanted: Options = {"depends_on": [{"name": "db", "condition": "service_started"}, "cache"]}
    (made,) = site.converge(container("web", **wanted, **common))
    starts = [
        "start container disk, on which cache depends",
        "start container cache, on which web depends",
        "start container db, on which web depends",
    ]
    assert made.actions == ["create container web", *starts, "start container web"]
    told = {"condition": "started", "restart": True}
    assert made.value("container")["Containerd"]["DependsOn"] == [{"name": "cache", **told}, {"name": "db", **told}]
    site.play(container("web", state="stopped"), container("db", state="stopped"))
    (again,) = site.converge(container("web", state="started"))
    assert again.actions == [starts[2], "start container web"]


def test_a_start_that_fails_stops_what_it_has_started(site: MemorySite, busybox: str) -> None:
    site.play(container("db", image=busybox, **RUNS), container("db", state="stopped"))
    broken = {**RUNS, "command": ["sh", "-c", "exit 3"]}
    failed = site.play(container("web", image=busybox, depends_on=["db"], ignore_errors=True, **broken)).last
    assert failed.failed
    assert not failed.changed
    assert status(site, "db") == "stopped"
    assert not site.memory.containers.list({NAME: "web"})


def test_who_depends_on_one_that_is_made_anew_is_started_again(site: MemorySite, busybox: str) -> None:
    common: Options = {"image": busybox, **RUNS}
    pids = {}
    site.play(container("db", **common))
    for name, wanted in (("web", ["db"]), ("calm", [{"name": "db", "restart": False}]), ("off", ["db"])):
        result = site.play(container(name, depends_on=wanted, **common)).last.value("container")
        pids[name] = result["State"]["Pid"]
    site.play(container("off", state="stopped"))
    (changed,) = site.converge(container("db", env={"A": "1"}, **common))
    assert changed.actions[-1] == "start container web again, as it depends on db"
    assert not [one for one in changed.actions if "calm" in one or "off" in one]
    now = {one.labels[NAME]: site.memory.tasks.state(one.id) for one in site.memory.containers.list() if one.labels[NAME] != "db"}
    assert (now["web"].pid != pids["web"], now["calm"].pid == pids["calm"]) == (True, True)
    assert now["off"].status == "stopped"
    # A change in place is no other container, and takes back the restarts.
    quiet = site.play(container("web", depends_on=[{"name": "db", "restart": False}], **common)).last
    assert quiet.actions == ["update depends_on of container web"]
    last = site.play(container("db", env={"A": "2"}, **common)).last
    assert not [one for one in last.actions if "web" in one]


def test_killed_before_those_that_depend_on_it_are_started_again(
    site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run does that, and the one after it nothing."""
    common: Options = {"image": busybox, **RUNS}
    site.play(container("db", **common))
    web = site.play(container("web", depends_on=["db"], **common)).last.value("container")["State"]["Pid"]
    changed = container("db", env={"A": "1"}, **common)

    def killed(*_given: t.Any) -> t.NoReturn:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(needs, "_restart", killed)
        with pytest.raises(Killed):
            site.play(changed)
    (done,) = site.converge(changed)
    assert done.actions == ["start container web again, as it depends on db"]
    assert site.memory.tasks.state(site.memory.containers.list({NAME: "web"})[0].id).pid != web


def test_a_job_that_is_made_anew_starts_nobody_again(site: MemorySite, busybox: str) -> None:
    """Neither at once nor by the next run."""
    job: Options = {"image": busybox, "command": ["true"], "detach": False}
    site.play(container("job", **job))
    site.play(container("web", image=busybox, depends_on=["job"], **RUNS))
    pid = site.memory.tasks.state(site.memory.containers.list({NAME: "web"})[0].id).pid
    changed = {**job, "env": {"A": "1"}}
    assert not [one for one in site.play(container("job", **changed)).last.actions if "web" in one]
    assert not site.play(container("job", **changed)).last.changed
    assert site.memory.tasks.state(site.memory.containers.list({NAME: "web"})[0].id).pid == pid


def test_circles_and_names_that_nobody_has(site: MemorySite, busybox: str) -> None:
    common: Options = {"image": busybox, **RUNS}
    site.play(container("a", **common), container("b", depends_on=["a"], **common), container("c", depends_on=["b"], **common))
    wrong: t.List[t.Tuple[str, Options, str]] = [
        ("a", {"depends_on": ["c"]}, "a needs c needs b needs a: this is a circle, so none of them could be the first"),
        ("a", {"depends_on": ["a"]}, "a needs a: this is a circle, so none of them could be the first"),
        ("new", {"depends_on": ["no-such"]}, "there is no container no-such: make it first"),
        ("new", {"depends_on": [{"name": "a", "condition": "healthy"}]}, "a is to be healthy, and has no health check"),
    ]
    for name, options, message in wrong:
        for check in (True, False):
            result = site.play({**container(name, **options, **common), "ignore_errors": True}, check=check).last
            assert result.msg == f"depends_on: {message}"
    # One that went later is a failure of the start, before anything is stopped.
    site.play(container("b", state="stopped"), container("a", state="absent"))
    failed = site.play(container("b", state="started", ignore_errors=True)).last
    assert failed.msg == "depends_on: there is no container a: make it first"
