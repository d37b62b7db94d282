# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_exec over the engine in memory: what it says, and what process it asks for."""

from __future__ import annotations

import os
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.engines import EngineOptions
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.entry import As, enter, process_of
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite


def run(site: MemorySite, **options: t.Any) -> TaskResult:
    failing = options.pop("failing", False)
    return site.play(task("containerd_container_exec", **{"container": "web", **options}), failing=failing).last


def web(busybox: str, **options: t.Any) -> Task:
    return task("containerd_container", name="web", image=busybox, command=["sleep", "1000"], **options)


def test_results(site: MemorySite, busybox: str) -> None:
    site.play(web(busybox))
    done = run(site, command="sh -c 'echo one; echo two; exit 3'")
    assert (done.changed, done.value("rc"), done.value("stdout"), done.value("stderr")) == (True, 3, "one\ntwo", "")
    assert done.actions == ["run sh in the container web"]
    assert run(site, argv=["sh", "-c", "echo one; exit 0"], strip_empty_ends=False).value("stdout") == "one\n"
    detached = run(site, argv=["sleep", "5"], detach=True)
    assert detached.value("exec_id")
    assert not {"rc", "stdout", "stderr"} & set(detached.result)


def test_what_takes_too_long(site: MemorySite, busybox: str) -> None:
    site.play(web(busybox))
    late = run(site, command="sleep 5", timeout=0.1, failing=True)
    assert late.msg == "timeout: the command has not ended within 0.1 s, and was ended"
    assert "rc" not in late.result


def test_check_mode(site: MemorySite, busybox: str) -> None:
    site.play(web(busybox))
    site.memory.tasks.executed.clear()
    skipped = site.predict(task("containerd_container_exec", container="web", command="true")).last
    assert (skipped.changed, skipped.value("skipped")) == (False, True)
    assert skipped.actions == ["run true in the container web"]
    assert not site.memory.tasks.executed
    absent = task("containerd_container_exec", container="nobody", command="true")
    assert site.predict(absent, failing=True).last.msg.startswith("container: no container nobody in the namespace default")


def test_the_process_is_as_that_of_the_container(site: MemorySite, busybox: str) -> None:
    site.play(web(busybox, env={"A": "1", "B": "2"}, user="7:8", working_dir="/tmp", capabilities=["NET_ADMIN"]))
    (container,) = site.memory.containers.list()
    own = container.spec["process"]
    run(site, command="true")
    run(site, command="true", env={"B": "3", "C": "4"}, chdir="/etc")
    run(site, command="true", tty=True)
    run(site, command="true", privileged=True)
    plain, changed, terminal, privileged = site.memory.tasks.executed
    assert plain == {**own, "args": ["true"], "terminal": False}
    assert changed == {**plain, "cwd": "/etc", "env": [one.replace("B=2", "B=3") for one in own["env"]] + ["C=4"]}
    assert terminal["terminal"] is True
    assert "TERM=xterm" in terminal["env"]
    assert "CAP_SYS_ADMIN" in privileged["capabilities"]["effective"]
    assert "CAP_SYS_ADMIN" not in plain["capabilities"]["bounding"]


def test_a_container_that_does_not_run(site: MemorySite, busybox: str) -> None:
    site.play(web(busybox, paused=True))
    assert run(site, command="true", failing=True).msg == "container: web is paused: resume it first"
    site.play(task("containerd_container", name="web", state="stopped"))
    assert run(site, command="true", failing=True).msg == "container: web is stopped: start it first"


def test_what_cannot_be_in_a_command(site: MemorySite, busybox: str) -> None:
    """A runtime would run something else than was asked for."""
    site.play(web(busybox))
    inside = enter(site.memory, EngineOptions(), "web")
    for words, how in ((["a\udcff"], As()), (["a\0"], As()), (["a"], As(chdir="/\udcff")), (["a"], As(env={"A": "\udcff"}))):
        with pytest.raises(InvalidArgument, match="cannot be in a command"):
            process_of(inside, words, how)


def test_a_process_number_that_is_used_again(site: MemorySite, busybox: str) -> None:
    site.play(web(busybox))
    inside = enter(site.memory, EngineOptions(), "web")._replace(pid=os.getpid())
    with pytest.raises(Unavailable, match="the container web has just ended: run the task again"), inside.root():
        pass
