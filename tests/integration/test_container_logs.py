# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_logs: what processes print on each engine, while they run and after their end, and who else has made them."""

from __future__ import annotations

import contextlib
import pathlib
import secrets
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support import cri
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.containerds import running_containerd
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, Site
from ansible_collections.fleet.containerd.tests.support.waiting import until

Result = t.Dict[str, t.Any]
TWO = pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)


class Host:
    """The modules against a site, without a playbook."""

    def __init__(self, site: Site, modules: Modules, image: str) -> None:
        self.site, self.modules, self.image = site, modules, image

    def container(self, script: str, **options: t.Any) -> Result:
        how: Result = {"image": self.image, "network_mode": "none", "stop_signal": "KILL", "command": ["sh", "-c", script]}
        return self.modules.run("containerd_container", **self.site.defaults, **{**how, "name": "web", **options})

    def logs(self, failing: bool = False, **options: t.Any) -> Result:
        result = self.modules.result("containerd_container_logs", **{**self.site.defaults, "container": "web", **options})
        assert bool(result.get("failed")) is failing, result
        return result

    def absent(self) -> None:
        self.modules.run("containerd_container", **self.site.defaults, name="web", state="absent")


@pytest.fixture
def host(site: Site, modules: Modules, busybox: str) -> Host:
    return Host(site, modules, busybox)


def at_its_end(pid: int) -> bool:
    """Whether a process has a log open, and is at its end."""
    for path in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(path.readlink()).endswith("-json.log"):
                position = (path.parent.parent / "fdinfo" / path.name).read_text().split()[1]
                return int(position) == path.stat().st_size > 0
    return False


def test_what_processes_print(host: Host) -> None:
    """Both streams, a pattern that comes later, the end, and the next start."""
    script = "echo one; sleep 0.2; echo two >&2; until test -e /go; do sleep 0.1; done; echo ready; sleep 0.5; echo last; exit 3"
    pid = host.container(script)["container"]["State"]["Pid"]
    waited = host.logs(follow=True, pattern="t[w]o", timeout=20)
    # There is a pipe for each stream: which of two lines came first can only be told of the same one.
    assert (waited["stdout"], waited["stderr"], waited["matched"], waited["running"]) == ("one", "two", True, True)

    def go(module: int) -> None:
        """When it has looked at all that is there."""
        until(lambda: at_its_end(module))
        pathlib.Path(f"/proc/{pid}/root/go").touch()

    new = {**host.site.defaults, "container": "web", "follow": True, "pattern": "^ready$", "tail": "0", "timeout": 20}
    assert host.modules.meanwhile(go, "containerd_container_logs", **new)["output"] == "ready"
    began = time.monotonic()
    ended = host.logs(follow=True, timeout=20)
    assert time.monotonic() - began < 10
    assert (ended["stdout"], ended["stderr"], ended["status"]) == ("one\nready\nlast", "two", "stopped")
    assert ended["output"].endswith("\nready\nlast")
    stamped = host.logs(timestamps=True, tail="1", streams=["stderr"])["output"]
    assert stamped.endswith("Z two")
    assert stamped.startswith(time.strftime("%Y-", time.gmtime()))
    failed = host.logs(failing=True, follow=True, pattern="never")["msg"]
    assert failed == "pattern: the container web does not run with the exit status 3, and has not printed 'never'"
    # It fails so soon now that a task on a busy machine could see it.
    host.container(script, ready={"for": 0})
    again = host.logs(since="start", follow=True, timeout=20)
    assert (again["stdout"], again["stderr"]) == ("one\nready\nlast", "two")
    assert host.logs()["lines"] == 8
    host.absent()


@TWO
def test_rotated_files(host: Host) -> None:
    """Each line once, over rotations while it is followed; a few lines of a large log in a short time."""
    script = "i=0; while test $i -lt 3000; do echo line $i; i=$((i+1)); done; sleep 0.5; echo more; exec sleep 1000"
    host.container(script, log_options={"max-size": "20k", "max-file": "50"})
    seen = host.logs(follow=True, pattern="^more$", timeout=30)["output"].split("\n")
    assert seen == [*(f"line {number}" for number in range(3000)), "more"]
    assert host.logs(tail="2")["output"] == "line 2999\nmore"
    assert host.logs(tail="1500")["output"].split("\n") == seen[-1500:]
    host.absent()


@TWO
def test_a_console(host: Host) -> None:
    host.container("echo out; echo err >&2; exec sleep 1000", tty=True)
    found = host.logs(follow=True, pattern="err", timeout=20)
    assert found["stdout"].replace("\r", "") == "out\nerr"
    assert host.logs(streams=["stderr"])["output"] == ""
    host.absent()


@pytest.mark.parametrize("version", ["1.6", "1.7", "2.1"])
def test_of_the_kubelet(version: str, registry: Registry, layout: Layout, modules: Modules, tmp_path: pathlib.Path) -> None:
    """The log that the CRI plugin writes: long lines in pieces, both streams, and rotated as the kubelet does it."""
    registry.push(layout.path, busybox_image(layout, Cmd=["sleep", "1000"]), "pause", "1")
    image, logs = f"{registry.address}/pause:1", tmp_path / "logs"
    logs.mkdir()
    waits = "until test -e {}; do sleep 0.1; done"
    script = "; ".join(
        (
            "head -c 20000 /dev/zero | tr '\\0' x; echo",
            waits.format("/seen"),
            "echo oops >&2",
            waits.format("/go"),
            "echo more; exec sleep 1000",
        )
    )
    with running_containerd(version, cri=True, pause=image) as daemon:
        how = {"engine": "containerd", "address": daemon.address, "data_root": str(tmp_path / "data"), "namespace": "k8s.io"}
        cri.pull(daemon.address, image)
        pod = cri.Pod(daemon.address, f"pod-{secrets.token_hex(4)}", str(logs))
        try:
            made = pod.start("web", image, ["sh", "-c", script])
            defaults = {**how, "container": made[:12]}
            # The two streams have no common order.
            modules.run("containerd_container_logs", **defaults, follow=True, pattern="^x+$", timeout=20)
            modules.run("containerd_container_exec", **defaults, argv=["touch", "/seen"])
            found = modules.run("containerd_container_logs", **defaults, follow=True, pattern="oops", timeout=20)
            assert (found["stdout"], found["stderr"], found["lines"]) == ("x" * 20000, "oops", 2)
            (logs / "web.log").rename(logs / "web.log.20261128-090000")
            pod.reopen(made)
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
            modules.run("containerd_container_exec", **defaults, argv=["sh", "-c", "sleep 1; touch /go"])
            rest = modules.run("containerd_container_logs", **defaults, follow=True, pattern="^more$", since=moment, timeout=20)
            assert rest["output"] == "more"
            whole = modules.run("containerd_container_logs", **defaults, timestamps=True)["output"].split("\n")
            words = [line.split(" ")[1][:4] for line in whole]
            # The two streams have no common order.
            assert (sorted(words[:2]), words[2:]) == (["oops", "xxxx"], ["more"])
            copied = {**defaults, "container_path": "/etc/new", "content": "new\n"}
            assert modules.run("containerd_container_copy", **copied)["changed"]
            assert modules.run("containerd_container_exec", **defaults, argv=["cat", "/etc/new"])["stdout"] == "new"
        finally:
            pod.remove()


@pytest.mark.parametrize("backend", ["containerd-2.1"], indirect=True)
def test_made_by_ctr(site: Site, modules: Modules, busybox: str) -> None:
    assert isinstance(site, DaemonSite)
    modules.run("containerd_image", **site.defaults, name=busybox)
    log = site.data / "strange.log"
    site.ctr("run", "-d", "--log-uri", f"file://{log}", busybox, "strange", "sh", "-c", "echo printed; exec sleep 1000")
    try:
        until(lambda: log.exists() and log.read_text() == "printed\n")
        said = modules.result("containerd_container_logs", **site.defaults, container="strange")
        assert said["msg"] == (
            "container: strange was made neither by this collection nor by nerdctl or the kubelet, so its output is only where the tool "
            "that made it has sent it: with ctr, in the file of --log-uri"
        )
    finally:
        site.ctr("task", "rm", "-f", "strange")
        site.ctr("container", "rm", "strange")


def test_examples(site: Site, busybox: str) -> None:
    script = "echo ready to accept connections; exec sleep 1000"
    web = task(
        "containerd_container",
        name="web",
        image=busybox,
        command=["sh", "-c", script],
        stop_signal="KILL",
        network_mode="none",
    )
    played = site.play(web, *examples_of("containerd_container_logs")).results
    assert not any(one.changed for one in played[1:])
    assert played[-1].value("matched")
