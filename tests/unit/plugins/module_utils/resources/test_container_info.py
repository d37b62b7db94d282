# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_info over the engine in memory."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container, Runtime, TaskState
from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound, Unavailable
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.container_info import (
    containers,
    info,
    nothing_there_and_nothing_made,
)


def test_nothing_there_and_nothing_made(site: MemorySite) -> None:
    nothing_there_and_nothing_made(site)


def test_containers(site: MemorySite, busybox: str, tmp_path: pathlib.Path) -> None:
    containers(site, busybox, tmp_path)
    found = site.play(info(filters={"network": ["bridge", "back"]})).last.value("containers")
    assert [one["Name"] for one in found] == ["/idle"]


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
