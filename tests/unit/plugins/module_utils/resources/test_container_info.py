# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_info over the engine in memory."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container, Runtime, TaskState
from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound, Unavailable
from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite


def info(**options: t.Any) -> Task:
    return {"name": "info", "fleet.containerd.containerd_container_info": options}


def container(name: str, image: str, **options: t.Any) -> Task:
    return task("containerd_container", name=name, image=image, stop_signal="KILL", **options)


def test_nothing_there_and_nothing_made(site: MemorySite) -> None:
    every, named = site.predict(info(), info(name=["web"])).results
    assert (every.value("containers"), every.value("exists")) == ([], True)
    assert (named.value("containers"), named.value("container"), named.value("exists")) == ([], {}, False)
    assert site.untouched()


def test_containers(site: MemorySite, busybox: str, tmp_path: pathlib.Path) -> None:
    volume = f"{tmp_path}:/v:ro"
    made = site.play(
        container("web", busybox, command=["sleep", "1000"], labels={"tier": "front"}, volumes=[volume], env={"A": "1"}),
        container("job", busybox, command=["true"], labels={"tier": "back"}, detach=False),
        container("idle", busybox, state="present", read_only=True, user="user"),
    ).results
    long_id = made[0].value("container")["Id"]
    before = site.everything()
    every, one, by_id, short, shortest, front, any_tier, mixed = site.play(
        info(),
        info(name=["web"]),
        info(name=[long_id]),
        info(name=[long_id[:12]]),
        info(name=[long_id[:3]]),
        info(labels={"tier": "front"}),
        info(labels={"tier": ""}),
        info(name=["web", "job", "nobody"], labels={"tier": "front"}),
    ).results
    assert site.everything() == before
    assert [one["Name"] for one in every.value("containers")] == ["/idle", "/job", "/web"]
    assert [one["State"]["Status"] for one in every.value("containers")] == ["created", "exited", "running"]
    web = one.value("container")
    assert web == made[0].value("container")
    for result in (by_id, short):
        assert result.value("container")["Name"] == "/web"
    assert shortest.value("exists") is False
    assert [one["Name"] for one in front.value("containers")] == ["/web"]
    assert [one["Name"] for one in any_tier.value("containers")] == ["/job", "/web"]
    assert ([one["Name"] for one in mixed.value("containers")], mixed.value("exists")) == (["/web"], False)
    assert web["State"]["StartedAt"] > web["Created"] > "2020"
    assert web["Config"]["Labels"] == {"tier": "front"}
    assert "A=1" in web["Config"]["Env"]
    assert [(mount["Source"], mount["Destination"], mount["RW"]) for mount in web["Mounts"]] == [(str(tmp_path), "/v", False)]
    assert web["HostConfig"]["Binds"] == [volume]
    assert web["HostConfig"]["NetworkMode"] == "none"
    assert web["Containerd"]["Namespace"] == site.namespace
    idle, job, _web = every.value("containers")
    assert idle["HostConfig"]["ReadonlyRootfs"] is True
    assert idle["Config"]["User"] == "user"
    assert (job["State"]["ExitCode"], job["State"]["Pid"], job["State"]["Running"]) == (0, 0, False)
    assert job["State"]["FinishedAt"] >= job["State"]["StartedAt"]


def test_what_others_have_made(site: MemorySite) -> None:
    """As ctr and the kubelet leave it: other binds, no name, no options."""
    spec = {
        "process": {"args": ["server"], "user": {"uid": 5, "gid": 6}, "cwd": "/"},
        "mounts": [
            {"type": "proc", "source": "proc", "destination": "/proc"},
            {"type": "bind", "source": "/srv", "destination": "/data", "options": ["rbind", "ro", "rshared"]},
        ],
        "linux": {"namespaces": [{"type": "pid"}]},
    }
    site.memory.containers.create(Container("c" * 64, "docker.io/library/x:1", spec, "native", "c" * 64))
    facts = site.play(info()).last.value("containers")[0]
    assert (facts["Name"], facts["Path"], facts["Config"]["User"]) == (f"/{'c' * 64}", "server", "5:6")
    assert facts["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/srv",
            "Destination": "/data",
            "Mode": "ro",
            "RW": False,
            "Propagation": "rshared",
        }
    ]
    assert facts["HostConfig"]["NetworkMode"] == "host"
    assert facts["Containerd"]["ManagedByUs"] is False


def test_a_shim_that_hangs_hides_no_other_container(site: MemorySite, monkeypatch: pytest.MonkeyPatch) -> None:
    def state(container_id: str) -> TaskState:
        if container_id == "a" * 64:
            raise Unavailable("the shim does not answer")
        raise NotFound("no task")

    for digit in "ab":
        site.memory.containers.create(Container(digit * 64, "none", {}, "", "", runtime=Runtime(binary="runc")))
    monkeypatch.setattr(site.memory.tasks, "state", state)
    found = site.play(info()).last
    assert [one["State"]["Status"] for one in found.value("containers")] == ["unknown", "created"]
    assert found.value("warnings") == ["the state of the container aaaaaaaaaaaa is unknown: the shim does not answer"]
