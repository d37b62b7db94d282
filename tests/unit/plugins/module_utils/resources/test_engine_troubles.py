# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user reads when an engine fails in the middle of a task, or when another engine has what this one has not."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import NAME
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, ResourceExhausted
from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite


def image(name: t.Union[str, t.List[str]], **options: t.Any) -> Task:
    return {**task("containerd_image", name=name, **options), "name": "image", "ignore_errors": True}


def container(**options: t.Any) -> Task:
    wanted = {"name": "web", "command": ["sleep", "1000"], "stop_signal": "KILL", "network_mode": "none", **options}
    return {**task("containerd_container", **wanted), "ignore_errors": True}


def test_a_container_that_the_embedded_engine_has(tmp_path: pathlib.Path, busybox: str) -> None:
    """engine=auto means containerd since its socket is there."""
    site = MemorySite(tmp_path, kind="containerd")
    site.defaults["engine"] = "auto"
    with contextlib.closing(EmbeddedEngine("default", str(site.data), str(tmp_path / "state"))) as embedded:
        embedded.containers.create(Container("c" * 64, "none", {}, "", "", labels={NAME: "web"}))
    words = f"the container web is in the embedded engine (data_root {site.data}, namespace default), and engine=auto "
    gone = task("containerd_container", name="web", state="absent")
    for one in (container(image=busybox), container(state="stopped"), {**gone, "ignore_errors": True}):
        for result in (site.predict(one).last, site.play(one).last):
            assert result.failed
            assert result.msg.startswith(words)
    shown = site.play(task("containerd_container_info", name=["web", "other"])).last
    assert [text.startswith(words) for text in shown.value("warnings")] == [True]
    # Other names are as everywhere, and records that cannot be read stand in nobody's way.
    assert site.play(container(name="other", image=busybox)).last.changed
    (site.data / "metadata.db").write_bytes(b"damaged " * 1024)
    shown, made, absent = site.play(
        task("containerd_container_info", name="new"), container(name="new", image=busybox), {**gone, "ignore_errors": True}
    ).results
    for result in (shown, made):
        warnings = [text for text in result.value("warnings") if "CVE" not in text]
        assert len(warnings) == 1
        assert warnings[0].startswith("it cannot be told whether the embedded engine has a container new: ")
    assert not absent.changed
    site.close()


def test_a_disk_that_gets_full(site: MemorySite, busybox: str, hand_made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = site.memory.content.writer

    def full(ref: str, expected: t.Any = None) -> t.Any:
        if expected and "tar" in expected.media_type:
            raise ResourceExhausted("writing /x: No space left on device")
        return writer(ref, expected)

    with monkeypatch.context() as patch:
        patch.setattr(site.memory.content, "writer", full)
        one, several = site.play(image(busybox, retries=0), image([busybox, hand_made], retries=0)).results
    assert one.value("error") == "ResourceExhausted"
    assert one.msg.startswith(f"there is no room for {busybox} (")
    assert one.msg.endswith("writing /x: No space left on device")
    assert several.msg.startswith(f"there is no room for {busybox} (")
    assert several.msg.count("No space left on device") == 1
    assert [result["failed"] for result in several.value("images")] == [True, True]
    assert site.records()["images"] == []
    assert site.play(image([busybox, hand_made])).last.changed


def test_an_image_that_cannot_be_removed(site: MemorySite, busybox: str, hand_made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site.play(image([busybox, hand_made]))
    delete = site.memory.images.delete

    def refuse(name: str, *given: t.Any, **more: t.Any) -> None:
        if name == busybox:
            raise FailedPrecondition("it is held")
        delete(name, *given, **more)

    monkeypatch.setattr(site.memory.images, "delete", refuse)
    gone = site.play(image([busybox, hand_made], state="absent")).last
    assert (gone.failed, gone.msg, gone.changed) == (True, "it is held", True)
    assert gone.value("untagged") == [hand_made]
    assert [record.name for record in site.records()["images"]] == [busybox]


def test_an_image_that_goes_before_the_container_is_made(site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan was made with it; somebody else removes it then."""
    site.play(image(busybox))
    lock = site.memory.lock

    @contextlib.contextmanager
    def late(name: str, wait: t.Optional[float] = None) -> t.Iterator[None]:
        with lock(name, wait):
            if name == "container web":
                site.memory.images.delete(busybox)
            yield

    with monkeypatch.context() as patch:
        patch.setattr(site.memory, "lock", late)
        failed = site.play(container(image=busybox, pull="never")).last
    assert failed.msg == f"the image {busybox} cannot be used (it is not there), and pull is never"
    assert site.records()["containers"] == []


def test_a_paused_container_is_asked_to_stop_before_it_runs_on(
    site: MemorySite, busybox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site.play(container(image=busybox, stop_signal="TERM", stop_timeout=0)).last.value("container")["Id"]
    tasks, signal, resume, seen = site.memory.tasks, site.memory.tasks.signal, site.memory.tasks.resume, []

    def stubborn(container_id: str, number: int) -> None:
        seen.append(number)
        if number == 9:
            signal(container_id, number)

    def resumed(container_id: str) -> None:
        seen.append("resume")
        resume(container_id)

    tasks.pause(made)
    monkeypatch.setattr(tasks, "signal", stubborn)
    monkeypatch.setattr(tasks, "resume", resumed)
    stopped = site.play(task("containerd_container", name="web", state="stopped")).last
    assert stopped.value("container")["State"]["ExitCode"] == 137
    assert seen == [15, "resume", 9]
