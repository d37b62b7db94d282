# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_info: which containers it finds, and what it tells of them."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.stories.sites import AnySite


def info(**options: t.Any) -> Task:
    return {"name": "info", "fleet.containerd.containerd_container_info": options}


def container(name: str, image: str, **options: t.Any) -> Task:
    return task("containerd_container", name=name, image=image, stop_signal="KILL", **options)


def nothing_there_and_nothing_made(site: AnySite) -> None:
    every, named = site.predict(info(), info(name=["web"])).results
    assert (every.value("containers"), every.value("exists")) == ([], True)
    assert (named.value("containers"), named.value("container"), named.value("exists")) == ([], {}, False)
    assert site.untouched()


def containers(site: AnySite, busybox: str, directory: pathlib.Path) -> t.Dict[str, t.Any]:
    """The facts of the one that runs."""
    volume = f"{directory}:/v:ro"
    made = site.play(
        container(
            "web",
            busybox,
            command=["sleep", "1000"],
            labels={"tier": "front"},
            volumes=[volume],
            env={"A": "1"},
            network_mode="none",
        ),
        container("job", busybox, command=["true"], labels={"tier": "back"}, detach=False, network_mode="host"),
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
    web: t.Dict[str, t.Any] = one.value("container")
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
    assert [(mount["Source"], mount["Destination"], mount["RW"]) for mount in web["Mounts"]] == [(str(directory), "/v", False)]
    assert web["HostConfig"]["Binds"] == [volume]
    assert web["HostConfig"]["NetworkMode"] == "none"
    assert web["Containerd"]["Namespace"] == site.namespace
    image = {"status": ["running", "created"], "image": busybox}
    filters: t.Sequence[t.Tuple[t.Dict[str, t.Any], t.Sequence[str]]] = [
        ({"status": "running"}, ["/web"]),
        ({"status": ["created", "exited"]}, ["/idle", "/job"]),
        (image, ["/idle", "/web"]),
        ({"ancestor": web["Image"]}, ["/idle", "/job", "/web"]),
        ({"image": "nobody/nothing:1"}, []),
        ({"label": ["tier=front", "tier"]}, ["/web"]),
        ({"label": {"tier": ""}}, ["/job", "/web"]),
        ({"name": "^(web|jo)"}, ["/job", "/web"]),
        ({"id": [long_id[:5]]}, ["/web"]),
        ({"exited": 0}, ["/job"]),
        ({"exited": 1}, []),
        ({"network": "host"}, ["/job"]),
        ({"volume": "/v"}, ["/web"]),
        ({"volume": str(directory), "health": "none"}, ["/web"]),
        ({"health": "healthy"}, []),
    ]
    filtered = site.play(*(info(filters=one) for one, _names in filters), info(name=["web"], filters={"exited": 0})).results
    for (one_filter, names), result in zip(filters, filtered):
        assert [found["Name"] for found in result.value("containers")] == names, one_filter
    assert (filtered[-1].value("container"), filtered[-1].value("exists")) == ({}, False)
    idle, job, _web = every.value("containers")
    assert idle["HostConfig"]["ReadonlyRootfs"] is True
    assert idle["Config"]["User"] == "user"
    assert (job["State"]["ExitCode"], job["State"]["Pid"], job["State"]["Running"]) == (0, 0, False)
    assert job["State"]["FinishedAt"] >= job["State"]["StartedAt"]
    return web
