# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_logs: what processes print on each engine, while they run and after their end, and who else has made them."""

from __future__ import annotations

import json
import pathlib
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, Site

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


def test_what_processes_print(host: Host) -> None:
    """Both streams, a pattern that comes later, the end, and the next start."""
    script = "echo one; sleep 0.2; echo two >&2; until test -e /go; do sleep 0.1; done; echo ready; sleep 1; echo last; exit 3"
    host.container(script)
    waited = host.logs(follow=True, pattern="t[w]o", timeout=20)
    assert (waited["output"], waited["matched"], waited["running"]) == ("one\ntwo", True, True)
    host.modules.run("containerd_container_exec", **host.site.defaults, container="web", argv=["touch", "/go"])
    began = time.monotonic()
    assert host.logs(follow=True, pattern="^ready$", tail="0", timeout=20)["matched"]
    ended = host.logs(follow=True, timeout=20)
    assert time.monotonic() - began < 10
    assert (ended["output"], ended["stderr"], ended["status"]) == ("one\ntwo\nready\nlast", "two", "stopped")
    assert ended["stdout"] == "one\nready\nlast"
    stamped = host.logs(timestamps=True, tail="1", streams=["stderr"])["output"]
    assert stamped.endswith("Z two")
    assert stamped.startswith(time.strftime("%Y-", time.gmtime()))
    failed = host.logs(failing=True, follow=True, pattern="never")["msg"]
    assert failed == "pattern: the container web does not run with the exit status 3, and has not printed 'never'"
    host.container(script)
    assert host.logs(since="start", follow=True, timeout=20)["output"] == "one\ntwo\nready\nlast"
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


@pytest.mark.parametrize("backend", ["containerd-1.6", "containerd-1.7", "containerd-2.1"], indirect=True)
def test_of_the_kubelet(host: Host, tmp_path: pathlib.Path) -> None:
    """A record as the CRI plugin makes it, and a log in the kubelet's format."""
    assert isinstance(host.site, DaemonSite)
    container_id = host.container("exec sleep 1000")["container"]["Id"]
    path = tmp_path / "0.log"
    path.write_text(
        "2026-11-28T09:00:00.1Z stdout P half \n2026-11-28T09:00:00.2Z stdout F line\n2026-11-28T09:00:01Z stderr F oops\n"
    )
    metadata = {"Version": "v1", "Metadata": {"ID": container_id, "Name": "web_pod_default", "LogPath": str(path)}}
    extension = {
        "type_url": "github.com/containerd/cri/pkg/store/container/Metadata",
        "value": json.dumps(metadata).encode(),
    }
    with host.site.engine() as engine:
        record = dict(engine.containers._get(container_id))
        before = record["extensions"]
        for extensions in ({"io.cri-containerd.container.metadata": extension}, before):
            changed = {"container": {**record, "extensions": extensions}, "update_mask": {"paths": ["extensions"]}}
            engine._rpc.call("containers.v1.Containers/Update", changed)
            if extensions is not before:
                found = host.logs(container=container_id[:12])
                assert (found["output"], found["stderr"]) == ("half line\noops", "oops")
                assert host.logs(since="2026-11-28T09:00:01Z")["output"] == "oops"
    host.absent()


@pytest.mark.parametrize("backend", ["containerd-2.1"], indirect=True)
def test_made_by_ctr(site: Site, modules: Modules, busybox: str) -> None:
    assert isinstance(site, DaemonSite)
    modules.run("containerd_image", **site.defaults, name=busybox)
    site.ctr("container", "create", busybox, "strange", "true")
    said = modules.result("containerd_container_logs", **site.defaults, container="strange")
    assert "was made neither by this collection nor by nerdctl or the kubelet" in said["msg"]
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
