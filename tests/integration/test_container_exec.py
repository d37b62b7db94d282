# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_exec on both engines: what a command sees, what comes back of it, and what stays when its task is killed."""

from __future__ import annotations

import base64
import functools
import os
import signal
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.inside import executions, host_processes
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.waiting import until

Result = t.Dict[str, t.Any]
SEES = "id -u; id -g; id -G; pwd; echo $HOME; echo $A; ulimit -n; sed -n 's/^Cap[EB].*:.//p' /proc/self/status"


def started(site: Site, modules: Modules, busybox: str, **options: t.Any) -> t.Callable[..., Result]:
    """A container web; a function that runs a command in it."""
    how = {"name": "web", "image": busybox, "command": ["sleep", "1000"], "stop_signal": "KILL", **options}
    modules.run("containerd_container", **site.defaults, **how)
    return functools.partial(modules.result, "containerd_container_exec", container="web", **site.defaults)


def test_what_a_command_sees_and_says(site: Site, modules: Modules, busybox: str) -> None:
    # A soft limit below the hard one is not kept by each exec of runc 1.1.5: Go, in which it is written, raises its own when it starts.
    run = started(site, modules, busybox, env={"A": "own"}, ulimits=["nofile:500:500"], cap_drop=["CHOWN"], working_dir="/var")
    by_itself = run(argv=["sh", "-c", SEES])
    first = "".join(f"{word}\n" for word in ("0", "0", "0", "/var", "/root", "own", "500"))
    assert by_itself["stdout"].startswith(first), by_itself
    bounding, effective = by_itself["stdout"].split()[-2:]
    assert bounding == effective
    other = run(argv=["sh", "-c", SEES], user="65534", chdir="/tmp", env={"A": "ours"})["stdout"].splitlines()
    assert other == ["65534", "0", "0", "/tmp", "/", "ours", "500", "0" * 16, bounding]
    privileged = run(argv=["sh", "-c", SEES], privileged=True)["stdout"].split()
    assert int(privileged[-1], 16) & ~int(bounding, 16)
    assert run(command="id -u", user="1234")["stdout"] == "1234"
    assert run(command="sh -c 'exit 5'")["rc"] == 5
    assert run(command="cat", stdin="a line")["stdout"] == "a line"
    assert run(command="wc -c", stdin="four", stdin_add_newline=False)["stdout"] == "4"
    assert run(command="wc -c", stdin="four")["stdout"] == "5"
    assert run(command="sh -c 'echo a; echo'", strip_empty_ends=False)["stdout"] == "a\n\n"
    assert run(command="sh -c 'echo a; echo'")["stdout"] == "a"
    every = bytes(range(256))
    binary = run(argv=["sh", "-c", "printf '" + "".join(f"\\{one:03o}" for one in every) + "'"])
    assert base64.b64decode(binary["stdout_b64"]) == every
    assert "tty" in run(command="sh -c 'test -t 0 && test -t 1 && echo tty'", tty=True)["stdout"]
    missing = run(command="nope")
    assert missing["failed"]
    assert missing["msg"] == "the command nope is not in the image's PATH"


def test_it_is_run_once(site: Site, modules: Modules, busybox: str) -> None:
    run = started(site, modules, busybox)
    once = {"command": "touch /tmp/done", "creates": "/tmp/d*"}
    assert run(**once, _ansible_check_mode=True)["changed"]
    assert run(**once)["changed"]
    again = run(**once)
    assert (again["changed"], again["msg"], again["actions"]) == (False, "Did not run command since /tmp/d* exists", [])
    assert not run(**once, _ansible_check_mode=True)["changed"]
    removes = {"command": "rm /tmp/done", "removes": "/tmp/done"}
    assert run(**removes)["changed"]
    assert run(**removes)["msg"] == "Did not run command since /tmp/done does not exist"
    # Links do not lead out.
    run(command="ln -s /etc/debian_version /tmp/link")
    assert run(command="true", creates="/tmp/link")["changed"]


def test_time_and_background(site: Site, modules: Modules, busybox: str) -> None:
    run = started(site, modules, busybox)
    began = time.monotonic()
    late = run(argv=["sh", "-c", "echo begun; sleep 1001"], timeout=2.5)
    assert late["failed"]
    assert (late["stdout"], late["msg"]) == ("begun", "timeout: the command has not ended within 2.5 s, and was ended")
    assert time.monotonic() - began < 20
    detached = run(argv=["sleep", "1002"], detach=True)
    assert detached["exec_id"]
    if isinstance(site, DaemonSite):
        assert detached["exec_id"] in site.ctr(
            "tasks", "ps", modules.run("containerd_container_info", **site.defaults, name=["web"])["container"]["Id"]
        )
    # The runtime answers a moment before it becomes the program.
    until(lambda: running(run) == ["sleep 1000", "sleep 1002"])


def running(run: t.Callable[..., Result]) -> t.List[str]:
    return sorted(line for line in run(command="ps -o args")["stdout"].splitlines() if line.startswith("sleep"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_task_leaves_no_process(site: Site, modules: Modules, busybox: str, number: int) -> None:
    run = started(site, modules, busybox)
    # Tests of other engines run at the same time.
    sleep = f"sleep {10_000_000 + os.getpid()}"

    def kill(pid: int) -> None:
        until(lambda: sleep in host_processes())
        os.kill(pid, number)

    modules.meanwhile(
        kill, "containerd_container_exec", container="web", argv=["sh", "-c", f"trap '' TERM HUP; {sleep}"], **site.defaults
    )
    until(lambda: sleep not in host_processes())
    assert running(run) == ["sleep 1000"]
    # Who has ended it removes that a moment later.
    until(lambda: not executions(site))


def test_in_containers_of_other_tools(site: Site, modules: Modules, busybox: str) -> None:
    if not isinstance(site, DaemonSite):
        return
    modules.run("containerd_image", name=busybox, **site.defaults)
    site.ctr("run", "-d", "--env", "A=theirs", busybox, "theirs", "/bin/sleep", "1000")
    run = functools.partial(modules.result, "containerd_container_exec", container="theirs", **site.defaults)
    assert run(argv=["/bin/sh", "-c", "echo $A; cat"], stdin="in", user="0")["stdout"] == "theirs\nin"
    site.ctr("tasks", "kill", "-s", "SIGKILL", "theirs")
    until(lambda: "STOPPED" in site.ctr("tasks", "ls"))
    assert "start it first" in run(command="true")["msg"]
    site.ctr("tasks", "rm", "theirs")
    site.ctr("containers", "rm", "theirs")


def test_many_leave_nothing(site: Site, modules: Modules, busybox: str) -> None:
    """What each of them left would be seen."""
    run = started(site, modules, busybox)
    (shim,) = site.shims()
    run(command="true")
    before = len(os.listdir(f"/proc/{shim}/fd"))
    for _turn in range(25):
        assert run(command="cat", stdin="x")["rc"] == 0
    assert not executions(site)
    assert running(run) == ["sleep 1000"]
    # A connection of the daemon comes and goes.
    assert len(os.listdir(f"/proc/{shim}/fd")) < before + 10


def test_examples(embedded_site: EmbeddedSite, busybox: str) -> None:
    db = task("containerd_container", name="db", image=busybox, command=["sleep", "1000"], stop_signal="KILL")
    made, asked, script, restored, beside = embedded_site.play(
        db, *examples_of("containerd_container_exec", {"pg_isready --quiet": "id -u", "nobody": "user"})
    ).results
    assert made.changed
    assert asked.value("rc") == 0
    assert script.value("stdout").splitlines()[1:] == ["/tmp", "hello"]
    assert restored.changed
    assert beside.value("exec_id")
