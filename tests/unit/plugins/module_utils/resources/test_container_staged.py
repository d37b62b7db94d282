# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container over the engine in memory: state staged, and state previous."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import NAME, ROLE, STAGE
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Layout, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.container import RUNS, Options, container, pid

CREATED = "create container app anew (env changed): take the staged one, "


def staged(site: MemorySite) -> t.List[str]:
    return [one.id for one in site.memory.containers.list({ROLE: "staged"})]


def test_staged_and_switched(site: MemorySite, busybox: str) -> None:
    old = site.play(container("app", image=busybox, **RUNS)).last
    new: Options = {"image": busybox, "env": {"A": "1"}, **RUNS}
    (made,) = site.converge(container("app", state="staged", **new))
    assert made.actions == ["stage container app (env changed)"]
    assert made.value("recreated_because") == ["env"]
    diff = made.value("diff")
    assert (diff["before"]["staged"], diff["after"]["staged"]) == (False, True)
    assert (diff["before"]["env"].get("A"), diff["after"]["env"]["A"]) == (None, "1")
    assert (made.value("container")["Id"], pid(made)) == (old.value("container")["Id"], pid(old))
    (one,) = staged(site)
    assert (made.value("staged")["Id"], made.value("staged")["State"]["Status"]) == (one, "created")
    # What is asked for now is what runs: the staged one waits.
    same = site.play(container("app", image=busybox, **RUNS)).last
    assert (same.changed, staged(site)) == (False, [one])
    (switched,) = site.converge(container("app", **new))
    assert switched.actions[0] == CREATED + one[:12]
    assert switched.actions[1:3] == ["start container app beside the old one", "give the name app to the new container"]
    assert switched.value("container")["Id"] == one
    (left,) = site.memory.containers.list()
    assert left.labels[NAME] == "app"
    assert left.labels.keys() & {STAGE, ROLE} == set()


def test_another_one_is_staged_instead(site: MemorySite, busybox: str) -> None:
    site.play(container("app", image=busybox, **RUNS))
    first, second = site.play(
        container("app", image=busybox, state="staged", env={"A": "1"}, labels={"a": "b"}, **RUNS),
        container("app", image=busybox, state="staged", env={"A": "1"}, **RUNS),
    ).results
    one = first.value("staged")["Id"]
    assert second.actions == [f"remove the staged container {one[:12]}", "stage container app (env changed)"]
    (two,) = staged(site)
    third = site.play(container("app", image=busybox, env={"A": "2"}, **RUNS)).last
    assert third.actions[:2] == [f"remove the staged container {two[:12]}", "create container app anew (env changed)"]
    assert staged(site) == []
    site.play(container("app", image=busybox, state="staged", recreate=True, **RUNS))
    (gone,) = site.converge(container("app", state="absent"))
    assert gone.actions[0] == "remove container app"
    assert site.memory.containers.list() == []


def test_the_first_one_is_staged(site: MemorySite, busybox: str) -> None:
    (made,) = site.converge(container("app", state="staged", image=busybox, **RUNS))
    assert made.actions == [f"pull image {busybox}", "stage container app"]
    assert made.value("container") == {}
    assert "recreated_because" not in made.result
    (one,) = staged(site)
    # As it is not there yet, nobody else can be misled.
    assert site.play(container("app", state="stopped", ignore_errors=True)).last.failed
    (begun,) = site.converge(container("app", image=busybox, **RUNS))
    assert begun.actions == [f"create container app: take the staged one, {one[:12]}", "start container app"]
    assert begun.value("container")["Id"] == one
    site.play(container("two", state="staged", image=busybox, **RUNS))
    (gone,) = site.converge(container("two", state="absent"))
    assert gone.actions[0].startswith("remove the staged container ")


def test_a_staged_one_that_is_no_good_goes(site: MemorySite, busybox: str) -> None:
    old = site.play(container("app", image=busybox, **RUNS)).last.value("container")["Id"]
    bad: Options = {"image": busybox, "command": ["sh", "-c", "exit 3"]}
    site.play(container("app", state="staged", **bad))
    failed = site.play(container("app", ignore_errors=True, **bad)).last
    assert (
        failed.msg
        == "the container app ended as soon as it was started: exit status 3; it printed nothing; the old container app still runs"
    )
    assert [one.id for one in site.memory.containers.list()] == [old]


def test_a_tag_that_has_moved_is_staged_again(site: MemorySite, registry: FakeRegistry, layout: Layout, busybox: str) -> None:
    site.play(container("app", image=busybox, **RUNS))
    new: Options = {"image": busybox, "pull": "always", **RUNS}
    for number in "12":
        registry.push(layout.path, small_image(layout, Labels={"release": number}), "busybox", "1")
        (made,) = site.converge(container("app", state="staged", **new))
        assert made.value("staged")["Config"]["Labels"]["release"] == number
        assert made.value("recreated_because") == ["image"]
    (switched,) = site.converge(container("app", **new))
    assert switched.value("container")["Config"]["Labels"]["release"] == "2"


def test_what_it_was_before_is_back(site: MemorySite, registry: FakeRegistry, layout: Layout, busybox: str) -> None:
    """The same image, although its tag has moved and its record is gone, and the same options: not one more."""
    first = site.play(container("app", image=busybox, labels={"tier": "front"}, **RUNS)).last
    registry.push(layout.path, small_image(layout, Labels={"release": "2"}), "busybox", "1")
    second = site.play(container("app", image=busybox, pull="always", env={"A": "1"}, **RUNS)).last
    assert second.value("recreated_because") == ["env", "image"]
    site.play(task("containerd_image", name=busybox, state="absent", force=True))
    asked = len(registry.seen)
    (back,) = site.converge(container("app", state="previous"))
    assert len(registry.seen) == asked
    assert back.actions[:2] == ["create container app anew (previous)", "start container app beside the old one"]
    assert back.value("recreated_because") == ["previous"]
    diff = back.value("diff")
    assert diff["after"]["image"]["digest"] == first.value("container")["Containerd"]["ManifestDigest"]
    now, then = back.value("container"), first.value("container")
    for where in ("Image", "Path", "Args"):
        assert now[where] == then[where]
    assert now["Config"] == {**then["Config"], "Hostname": now["Config"]["Hostname"], "Env": now["Config"]["Env"]}
    assert not any(one.startswith("A=") for one in now["Config"]["Env"])
    assert not site.play(container("app", image=busybox, labels={"tier": "front"}, pull="never", **RUNS)).last.changed


def test_what_failed_is_not_what_comes_back(site: MemorySite, busybox: str) -> None:
    ends: Options = {"image": busybox, "command": ["sleep", "1001"], "stop_signal": "KILL"}
    site.play(container("app", image=busybox, env={"A": "1"}, **RUNS), container("app", **ends))
    site.memory.tasks.finish(site.task_of("app").container_id, 3)
    third = site.play(container("app", image=busybox, command=["sleep", "1002"], stop_signal="KILL")).last
    assert third.changed
    back = site.play(container("app", state="previous")).last
    assert "A=1" in back.value("container")["Config"]["Env"]
    assert back.value("container")["Args"] == ["1000"]
    # A release after that has this one before it.
    site.play(container("app", **ends))
    again = site.play(container("app", state="previous")).last
    assert "A=1" in again.value("container")["Config"]["Env"]


def test_nothing_is_known(site: MemorySite, busybox: str) -> None:
    missing = site.play(container("app", state="previous", ignore_errors=True)).last
    start = "state: previous: of a container app before this one nothing is known: "
    assert missing.msg == f"{start}there is no such container"
    site.play(container("app", image=busybox, **RUNS))
    first = site.play(container("app", state="previous", ignore_errors=True), check=True).last
    assert first.msg == f"{start}no task has replaced it by another one"


def test_a_previous_one_that_is_no_good_any_more(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site.play(container("app", image=busybox, **RUNS))
    second = site.play(container("app", image=busybox, env={"A": "1"}, **RUNS)).last
    start = site.memory.tasks.start

    def refuse(made: t.Any, *given: t.Any, **more: t.Any) -> t.Any:
        raise FailedPrecondition("the runtime refuses")

    with monkeypatch.context() as patch:
        patch.setattr(site.memory.tasks, "start", refuse)
        failed = site.play(container("app", state="previous", ignore_errors=True)).last
    assert failed.msg == "the runtime refuses; the old container app still runs"
    assert start
    now = site.play(container("app", image=busybox, env={"A": "1"}, **RUNS)).last
    assert (now.changed, now.value("container")["Id"]) == (False, second.value("container")["Id"])
    assert site.play(container("app", state="previous")).last.changed


def test_digests_are_not_enough(site: MemorySite, busybox: str) -> None:
    """Contents of files and secrets are not kept with the container: they have to be given again, and to be the same."""
    files = [{"path": "/etc/app.conf", "content": "one"}]
    site.play(container("app", image=busybox, files=files, **RUNS), container("app", image=busybox, env={"A": "1"}, **RUNS))
    said = "state: previous: files: only digests are kept of those before: give them as they were"
    for more in ({}, {"files": [{"path": "/etc/app.conf", "content": "two"}]}):
        failed = site.play(container("app", state="previous", ignore_errors=True, **more)).last
        assert failed.msg == said
    back = site.play(container("app", state="previous", files=files)).last
    assert back.value("container")["Containerd"]["Files"] == ["/etc/app.conf"]
