# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container over the engine in memory: making, comparing, changing and removing, as far as nothing has to run."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import NAME, STAGE
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import STOPPED
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.interrupt import Interrupted
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import steps
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, small_image, symlink, tar_of
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories import container as stories
from ansible_collections.fleet.containerd.tests.support.stories.container import RUNS, Options, container, pid


def names(site: MemorySite) -> t.List[str]:
    return sorted(one.labels[NAME] for one in site.memory.containers.list())


def test_create_again_and_absent(site: MemorySite, busybox: str) -> None:
    stories.is_created(site, busybox)
    stories.is_removed(site)
    assert site.records()["containers"] == site.records()["tasks"] == []


def test_states(site: MemorySite, busybox: str) -> None:
    stories.is_present(site, busybox)
    assert site.records()["tasks"] == []
    stories.is_started(site, busybox)
    stories.is_stopped(site)
    stories.is_started_again(site, busybox)


def test_a_paused_container_counts_as_one_that_runs(site: MemorySite, busybox: str) -> None:
    made = site.play(container("one", image=busybox, **RUNS)).last
    site.memory.tasks.pause(made.value("container")["Id"])
    same = site.play(container("one", image=busybox, **RUNS)).last
    assert (same.changed, same.value("container")["State"]["Status"]) == (False, "paused")
    (stopped,) = site.converge(container("one", state="stopped"))
    assert stopped.value("container")["State"]["ExitCode"] == 137


def test_live_changes(site: MemorySite, busybox: str) -> None:
    options: Options = {"image": busybox, "command": ["sleep", "1000"]}
    first = site.play(container("live", labels={"tier": "front"}, stop_timeout=1, stop_signal="KILL", **options)).last
    (changed,) = site.converge(container("live", labels={"tier": "back"}, stop_timeout=2, stop_signal="INT", **options))
    assert changed.actions == ["update labels, stop_signal, stop_timeout of container live"]
    assert changed.value("diff") == {
        "before": {"labels": {"tier": "front"}, "stop_signal": 9, "stop_timeout": 1},
        "after": {"labels": {"tier": "back"}, "stop_signal": 2, "stop_timeout": 2},
    }
    assert "recreated_because" not in changed.result
    facts = changed.value("container")
    assert pid(changed) == pid(first)
    assert facts["Config"]["Labels"] == {"tier": "back"}
    assert (facts["Config"]["StopSignal"], facts["Config"]["StopTimeout"]) == ("SIGINT", 2)
    added, more, strict, emptied = site.play(
        container("live", labels={"extra": "1"}, stop_signal="KILL"),
        container("live", labels={"tier": "back"}),
        container("live", labels={"extra": "1"}, comparisons={"labels": "strict"}),
        container("live", labels={}),
    ).results
    assert added.value("container")["Config"]["Labels"] == {"tier": "back", "extra": "1"}
    assert not more.changed
    assert strict.actions == ["update labels of container live"]
    assert strict.value("container")["Config"]["Labels"] == {"extra": "1"}
    assert emptied.changed
    assert emptied.value("container")["Config"]["Labels"] == {}
    assert pid(emptied) == pid(first)
    stopped = site.play(container("live", labels={"tier": "last"}, state="stopped")).last
    assert stopped.actions == ["update labels of container live", "stop container live"]
    assert stopped.value("diff")["after"] == {"labels": {"tier": "last"}, "state": "stopped"}


def test_comparisons(site: MemorySite, busybox: str, tmp_path: pathlib.Path) -> None:
    volumes = [f"{tmp_path}:/a", f"{tmp_path}:/b"]
    base: Options = {"image": busybox, **RUNS}
    site.play(container("c", env={"A": "1", "B": "2"}, volumes=volumes, hostname="one", **base))
    same = [
        container("c", **base),
        container("c", env={"B": "2"}, volumes=volumes[1:], **base),
        container("c", env={"A": "0"}, volumes=[f"{tmp_path}:/z"], comparisons={"env": "ignore", "volumes": "ignore"}),
        container("c", env={"A": "0"}, hostname="two", comparisons={"*": "ignore"}),
        container("c", command=["sleep"], comparisons={"command": "allow_more_present"}),
        container("c", volumes=volumes[::-1], comparisons={"volumes": "strict"}),
        container("c", env={"A": "1", "B": "2", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}),
    ]
    different = {
        "env": container("c", env={"A": "1"}, comparisons={"env": "strict"}, **base),
        "volumes": container("c", volumes=volumes[:1], comparisons={"volumes": "strict"}, **base),
        "hostname": container("c", env={"A": "0"}, hostname="two", comparisons={"*": "ignore", "hostname": "strict"}, **base),
        "command": container("c", command=["true"], image=busybox),
    }
    results = site.predict(*same, *different.values()).results
    assert [one.actions for one in results[: len(same)]] == [[]] * len(same)
    assert [one.value("recreated_because") for one in results[len(same) :]] == [[option] for option in different]


def test_options_that_are_taken_back(site: MemorySite, busybox: str, tmp_path: pathlib.Path) -> None:
    base: Options = {"image": busybox, "stop_signal": "KILL"}
    volumes = [f"{tmp_path}:/a"]
    site.play(container("c", command=["sleep", "1000"], env={"A": "1"}, volumes=volumes, working_dir="/tmp", **base))
    (emptied,) = site.converge(container("c", command=["sleep", "1000"], env={}, volumes=[], **base))
    assert emptied.value("recreated_because") == ["env", "volumes"]
    assert "reset to the image's default: working_dir" in emptied.actions[0]
    diff = emptied.value("diff")
    assert (diff["before"]["working_dir"], diff["after"]["working_dir"]) == ("/tmp", "/")
    facts = emptied.value("container")
    assert not [item for item in facts["Config"]["Env"] if item.startswith("A=")]
    assert facts["Mounts"] == []
    assert facts["Config"]["WorkingDir"] == "/"
    image_command = site.play(container("c", command=[], tty=True, interactive=True, **base)).last
    assert image_command.value("container")["Path"] == "sh"
    assert image_command.value("container")["State"]["Running"] is True


def test_the_image_moves(site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
    name = f"{registry.address}/release:1"
    options: Options = {"image": name, **RUNS}
    registry.push(layout.path, small_image(layout, Labels={"release": "1"}), "release", "1")
    first = site.play(container("app", **options)).last
    digest = registry.push(layout.path, small_image(layout, Labels={"release": "2"}), "release", "1")
    assert not site.play(container("app", **options)).last.changed
    (moved,) = site.converge(container("app", pull="always", **options))
    assert moved.value("recreated_because") == ["image"]
    assert moved.actions[0].startswith(f"pull image {name} (the registry has {digest[:19]}")
    assert moved.actions[1] == "create container app anew (image changed)"
    assert moved.value("diff")["after"]["image"] == {"name": name, "digest": digest}
    assert moved.value("container")["Config"]["Labels"] == {"release": "2"}
    assert [one.pid for one in site.memory.tasks.list()] == [pid(moved)] != [pid(first)]
    third = registry.push(layout.path, small_image(layout, Labels={"release": "3"}), "release", "1")
    newer, by_id, other_id, ignored = site.play(
        container("app", pull="newer", **options),
        container("app", **{**options, "image": third}),
        container("app", ignore_errors=True, **{**options, "image": "sha256:" + "1" * 64}),
        container("app", comparisons={"image": "ignore"}, **{**options, "image": f"{registry.address}/release:1"}),
    ).results
    assert newer.value("recreated_because") == ["image"]
    assert not by_id.changed
    assert other_id.failed
    assert "an image id cannot be pulled" in other_id.msg
    assert not ignored.changed


def test_another_image_by_its_id(site: MemorySite, registry: FakeRegistry, layout: Layout, busybox: str) -> None:
    other = f"{registry.address}/other:1"
    registry.push(layout.path, small_image(layout, Labels={"other": "1"}), "other", "1")
    site.play(container("app", image=busybox, **RUNS))
    by_id = site.play(task("containerd_image", name=other)).last.value("config_digest")
    (moved,) = site.converge(container("app", image=by_id, **RUNS))
    assert moved.value("recreated_because") == ["image"]
    assert moved.value("diff")["after"]["image"] == {"id": by_id}


def test_an_index_that_moves_for_other_platforms_only(site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
    ours, name = small_image(layout), f"{registry.address}/index:1"
    for number in range(2):
        arm = layout.image([], {"Labels": {"release": str(number)}}, architecture="arm64")
        registry.push(layout.path, layout.index([ours, arm]), "index", "1")
        done = site.play(container("app", image=name, pull="always", **RUNS)).last
    assert not done.changed
    moved = small_image(layout, Labels={"release": "2"})
    registry.push(layout.path, layout.index([moved]), "index", "1")
    (changed,) = site.converge(container("app", image=name, pull="always", **RUNS))
    assert changed.value("recreated_because") == ["image"]
    assert changed.value("diff")["after"]["image"] == {"name": name, "digest": moved["digest"]}


def test_image_name_mismatch(site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
    """I12: the same image by another name is no difference, unless that is asked for."""
    for tag in ("1", "alias"):
        registry.push(layout.path, small_image(layout), "named", tag)
    name, alias = f"{registry.address}/named:1", f"{registry.address}/named:alias"
    site.play(container("app", image=name, **RUNS), task("containerd_image", name=alias))
    ignored = site.play(container("app", image=alias, **RUNS)).last
    assert not ignored.changed
    (renamed,) = site.converge(container("app", image=alias, image_name_mismatch="recreate", **RUNS))
    assert renamed.value("recreated_because") == ["image"]
    assert renamed.value("container")["Config"]["Image"] == alias


def test_a_failed_change_leaves_the_old_container_running(site: MemorySite, busybox: str) -> None:
    first = site.play(container("app", image=busybox, env={"A": "1"}, **RUNS)).last
    for options, message in (
        ({"command": ["no-such-command"]}, "the command no-such-command is not in the image's PATH"),
        ({"command": ["/bin/nothing"]}, "the command /bin/nothing is not in the image"),
        ({"user": "nobody-knows"}, "user: the image has no user 'nobody-knows' in its /etc/passwd"),
        ({"working_dir": "/bin/sh"}, "working_dir: /bin/sh is not a directory in the image"),
    ):
        failed = site.play(container("app", image=busybox, ignore_errors=True, **{**RUNS, **options})).last
        assert failed.failed
        assert failed.msg == message
        assert failed.value("failed_action").startswith("create container app anew (")
        (left,) = site.memory.containers.list()
        assert left.id == first.value("container")["Id"]
        assert site.task_of("app").pid == pid(first)
        assert len([one for one in site.snapshots() if one.kind != "committed"]) == 1
    assert not site.play(container("app", image=busybox, env={"A": "1"}, **RUNS)).last.changed


@pytest.mark.parametrize("again", [False, True], ids=["new", "anew"])
@pytest.mark.parametrize("moment", ["recorded", "made"])
def test_an_interruption_right_after_a_container_was_made_leaves_none(
    site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch, moment: str, again: bool
) -> None:
    site.play(container("app", image=busybox, **RUNS), *([] if again else [container("app", state="absent")]))
    records, paths = site.records(), set(site.tree())
    owner, name = (site.memory.containers, "create") if moment == "recorded" else (steps, "create")
    create = getattr(owner, name)

    def interrupted(*given: t.Any, **more: t.Any) -> t.Any:
        create(*given, **more)
        raise Interrupted("SIGTERM came")

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        failed = site.play(container("app", image=busybox, env={"A": "1"}, ignore_errors=True, **RUNS)).last
    assert failed.msg == "the task was interrupted: SIGTERM came"
    assert failed.value("failed_action").startswith("create container app")
    assert (site.records(), set(site.tree())) == (records, paths)


def test_a_start_that_fails_gives_the_old_container_back(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = site.play(container("app", image=busybox, **RUNS)).last
    start = site.memory.tasks.start

    def refuse(made: t.Any, *given: t.Any, **more: t.Any) -> t.Any:
        if made.spec["process"]["args"] == ["sleep", "1001"]:
            raise FailedPrecondition("the runtime refuses")
        return start(made, *given, **more)

    monkeypatch.setattr(site.memory.tasks, "start", refuse)
    wanted = {**RUNS, "command": ["sleep", "1001"]}
    failed = site.play(container("app", image=busybox, ignore_errors=True, **wanted)).last
    assert failed.msg == "the runtime refuses; the old container app still runs"
    assert failed.value("failed_action") == "start container app beside the old one"
    assert failed.value("undone") == ["create container app anew (command changed)"]
    assert not failed.changed
    (left,) = site.memory.containers.list()
    assert left.id == old.value("container")["Id"]
    assert names(site) == ["app"]
    assert site.task_of("app").status == "running"
    fresh = site.play(container("new", image=busybox, ignore_errors=True, **wanted)).last
    assert (fresh.msg, fresh.changed) == ("the runtime refuses", False)
    assert names(site) == ["app"]


def test_recreate_and_restart(site: MemorySite, busybox: str) -> None:
    first = site.play(container("app", image=busybox, **RUNS)).last
    recreate, restart = site.play(
        container("app", image=busybox, recreate=True, **RUNS), container("app", image=busybox, restart=True, **RUNS)
    ).results
    assert recreate.value("recreated_because") == ["recreate"]
    assert recreate.value("container")["Id"] != first.value("container")["Id"]
    assert restart.actions == ["stop container app", "start container app"]
    assert restart.value("container")["Id"] == recreate.value("container")["Id"]
    # What did not run does not run afterwards, and the other way round.
    for before, after in (("running", "running"), ("stopped", "created")):
        made = site.play(container("app", image=busybox, recreate=True, state="present", **RUNS)).last
        assert made.value("diff")["before"]["state"] == before
        assert made.value("diff")["after"]["state"] == after
        assert made.value("container")["State"]["Status"] == after
        site.play(container("app", state="stopped"))


def test_a_foreign_container_is_not_touched(site: MemorySite, busybox: str) -> None:
    site.play(container("app", image=busybox, **RUNS))
    (record,) = site.memory.containers.list()
    site.memory.containers.update(record._replace(extensions={}), ["extensions"])
    alone, refused = site.play(container("app"), container("app", image=busybox, ignore_errors=True, **RUNS)).results
    assert not alone.changed
    assert alone.value("container")["Containerd"]["ManagedByUs"] is False
    assert refused.failed
    assert "was not made by this collection" in refused.msg
    assert "adopt" in refused.msg
    assert "command, stop_signal cannot be compared" in refused.msg
    (adopted,) = site.converge(container("app", image=busybox, adopt=True, **RUNS))
    assert adopted.value("recreated_because") == ["adopt"]


def test_what_an_interrupted_recreation_left_goes(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site.play(container("app", image=busybox, **RUNS), container("rest", image=busybox, state="present", **RUNS))
    (rest,) = site.memory.containers.list({NAME: "rest"})
    labels = {key: value for key, value in rest.labels.items() if key != NAME}
    site.memory.containers.update(rest._replace(labels={**labels, STAGE: "app"}), ["labels"])
    word = f"remove container {rest.id[:12]}, left by an interrupted run"
    delete = site.memory.containers.delete

    def refuse(container_id: str, keep_volumes: bool = False) -> None:
        if container_id == rest.id:
            raise FailedPrecondition("Operation not permitted")
        delete(container_id, keep_volumes)

    with monkeypatch.context() as patch:
        patch.setattr(site.memory.containers, "delete", refuse)
        same = site.play(container("app", image=busybox, **RUNS)).last
        assert (same.changed, same.actions) == (False, [])
        (warning,) = [line for line in same.value("warnings") if "CVE" not in line]
        assert warning.startswith(f"{word}: Operation not permitted. Remove what prevents it")
        absent = site.play(container("app", state="absent", ignore_errors=True)).last
        assert (absent.failed, absent.actions, absent.msg) == (True, ["remove container app"], "Operation not permitted")
    (swept,) = site.converge(container("app", state="absent"))
    assert swept.actions == [word]
    assert site.memory.containers.list() == []


def test_what_cannot_be_removed_of_the_old_one_is_a_warning(
    site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = site.play(container("web", image=busybox, **RUNS)).last.value("container")
    delete = site.memory.containers.delete

    def refuse(container_id: str, keep_volumes: bool = False) -> None:
        if container_id == old["Id"]:
            raise FailedPrecondition("removing the log: Operation not permitted")
        delete(container_id, keep_volumes)

    options: Options = {"image": busybox, "stop_signal": "KILL", "command": ["sleep", "1001"]}
    with monkeypatch.context() as patch:
        patch.setattr(site.memory.containers, "delete", refuse)
        new = site.play(container("web", **options)).last
        assert new.actions[-1] == "stop the old container web"
        assert new.value("container")["State"]["Running"]
        (warning,) = [line for line in new.value("warnings") if "CVE" not in line]
        assert f"remove the old container {old['Id'][:12]}: removing the log: Operation not permitted" in warning
        assert "The new container is in service" in warning
        assert not site.play(container("web", **options)).last.changed
    site.play(container("web", **options))
    assert [one.id for one in site.memory.containers.list()] == [new.value("container")["Id"]]


def test_an_image_that_could_write_to_the_host_is_refused(site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
    for name in ("dev", "proc", "sys"):
        registry.push(layout.path, small_image(layout, [tar_of([symlink(name, "/elsewhere")])]), "hostile", name)
        wanted = container(name, image=f"{registry.address}/hostile:{name}", command=["true"], ignore_errors=True)
        refused = site.play(wanted).last
        assert refused.msg == f"the image's /{name} is not a directory: such an image can write to the host, it is refused"
    assert site.memory.containers.list() == []
    assert all(info.kind == "committed" for info in site.snapshots())


def test_the_volumes_of_an_image(site: MemorySite, registry: FakeRegistry, layout: Layout, tmp_path: pathlib.Path) -> None:
    """I27: the volumes that an image declares are the base, and no difference to what a task gives."""
    files = tar_of([Entry("seed/file", b"from the image"), Entry("file", b"stays a file")])
    volumes: t.Dict[str, t.Any] = {path: {} for path in ("/seed", "/new//one/", "/file", "/covered", "/", "/proc/x")}
    registry.push(layout.path, small_image(layout, [files], Volumes=volumes), "volumes", "1")
    (tmp_path / "covered").mkdir()
    options: Options = {"image": f"{registry.address}/volumes:1", "volumes": [f"{tmp_path}/covered:/covered"], **RUNS}
    (made,) = site.converge(container("one", **options))
    mounts = made.value("container")["Mounts"]
    assert sorted((one["Type"], one["Destination"]) for one in mounts) == [
        ("bind", "/covered"),
        ("volume", "/new/one"),
        ("volume", "/seed"),
    ]
    (seed,) = (pathlib.Path(one["Source"]) for one in mounts if one["Destination"] == "/seed")
    assert (seed / "file").read_text() == "from the image"
    (seed / "file").write_text("changed")
    site.play(container("one", restart=True))
    assert (seed / "file").read_text() == "changed"
    site.play(container("one", state="absent", keep_volumes=False))
    assert not seed.exists()


def test_a_start_that_races_with_others(site: MemorySite, busybox: str) -> None:
    """What a task has found may have ended, or be gone, when it comes to it."""
    made = site.play(container("one", image=busybox, **RUNS)).last.value("container")["Id"]
    tasks, signal = site.memory.tasks, site.memory.tasks.signal

    def ended(container_id: str, number: int) -> None:
        tasks.finish(container_id, 3)
        signal(container_id, number)

    def gone(container_id: str, _number: int) -> None:
        tasks.delete(container_id, force=True)
        raise NotFound("no task")

    for interfere, status in ((ended, 3), (gone, 0)):
        tasks.signal = interfere  # type: ignore[method-assign]  # for this test
        stopped = site.play(container("one", state="stopped")).last
        assert stopped.actions == ["stop container one"]
        assert stopped.value("container")["State"]["ExitCode"] == status
        tasks.signal = signal  # type: ignore[method-assign]  # as before
        site.play(container("one"))
    assert tasks.state(made).status == "running"


def test_stopping(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal that is sent, and what follows when it is not enough."""
    tasks, signal = site.memory.tasks, site.memory.tasks.signal
    sent: t.List[int] = []

    def stubborn(container_id: str, number: int) -> None:
        sent.append(number)
        if number in (2, 9, 10):
            signal(container_id, number)

    monkeypatch.setattr(tasks, "signal", stubborn)
    rows: t.List[t.Tuple[Options, Options, t.List[int], int]] = [
        ({}, {}, [15, 9], 137),
        ({"stop_signal": "USR1"}, {}, [10], 138),
        ({"stop_signal": "USR1"}, {"stop_signal": "2"}, [2], 130),
        ({"stop_signal": "USR1"}, {"force_kill": True}, [9], 137),
        ({"stop_signal": "USR1"}, {"force_kill": True, "kill_signal": "SIGINT"}, [2], 130),
        ({"stop_signal": "USR1"}, {"force_kill": True, "kill_signal": 12, "stop_signal": "INT"}, [12, 9], 137),
        ({"stop_signal": "USR1"}, {"kill_signal": "INT"}, [10], 138),
        ({"stop_timeout": 300}, {"stop_timeout": 0}, [15, 9], 137),
    ]
    for number, (made, options, signals, status) in enumerate(rows):
        name = f"c{number}"
        site.play(container(name, image=busybox, command=["sleep", "1000"], **{"stop_timeout": 0, **made}))
        sent.clear()
        stopped = site.play(container(name, state="stopped", **options)).last
        assert stopped.value("container")["State"]["ExitCode"] == status
        assert sent == signals
        assert not site.play(container(name, state="stopped")).last.changed
    assert {task.status for task in tasks.list()} == {STOPPED}
