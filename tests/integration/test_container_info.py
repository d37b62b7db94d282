# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_info through ansible-playbook."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site


def info(**options: t.Any) -> Task:
    return {"name": "info", "fleet.containerd.containerd_container_info": options}


def container(name: str, image: str, **options: t.Any) -> Task:
    return task("containerd_container", name=name, image=image, stop_signal="KILL", **options)


def test_nothing_there_and_nothing_made(site: Site) -> None:
    every, named = site.predict(info(), info(name=["web"])).results
    assert (every.value("containers"), every.value("exists")) == ([], True)
    assert (named.value("containers"), named.value("container"), named.value("exists")) == ([], {}, False)
    assert site.untouched()


def test_containers(site: Site, host: t.Any, busybox: str, tmp_path: pathlib.Path) -> None:
    volume = f"{tmp_path}:/v:ro"
    made = site.play(
        container("web", busybox, command=["sleep", "1000"], labels={"tier": "front"}, volumes=[volume], env={"A": "1"}),
        container("job", busybox, command=["true"], labels={"tier": "back"}, detach=False),
        container("idle", busybox, state="present", read_only=True, user="user"),
    ).results
    long_id = made[0].value("container")["Id"]
    before = site.everything()
    every, one, by_id, short, front, any_tier, mixed = site.play(
        info(),
        info(name=["web"]),
        info(name=[long_id]),
        info(name=[long_id[:12]]),
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
    assert [one["Name"] for one in front.value("containers")] == ["/web"]
    assert [one["Name"] for one in any_tier.value("containers")] == ["/job", "/web"]
    assert ([one["Name"] for one in mixed.value("containers")], mixed.value("exists")) == (["/web"], False)
    assert host.process.get(pid=web["State"]["Pid"]).args == "sleep 1000"
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


def test_a_killed_container_and_a_killed_shim(site: Site, host: t.Any, busybox: str) -> None:
    killed, lost = site.play(
        container("killed", busybox, command=["sleep", "1000"]), container("lost", busybox, command=["sleep", "1001"])
    ).results
    host.run(f"kill -9 {killed.value('container')['State']['Pid']}")
    (shim,) = [pid for pid, arguments in site.shims().items() if lost.value("container")["Id"] in " ".join(arguments)]
    host.run(f"kill -9 {shim} {lost.value('container')['State']['Pid']}")
    (result,) = site.play(info()).results
    ended = {one["Name"]: one["State"] for one in result.value("containers")}
    assert (ended["/killed"]["Status"], ended["/killed"]["ExitCode"]) == ("exited", 137)
    assert (ended["/lost"]["Status"], ended["/lost"]["ExitCode"]) == ("exited", 255)
    again = site.play(container("lost", busybox, command=["sleep", "1001"])).last
    assert again.actions == ["start container lost"]
    assert again.value("container")["State"]["Running"] is True


def test_examples(embedded_site: EmbeddedSite, busybox: str) -> None:
    embedded_site.play(
        container("web", busybox, state="present"),
        container("front", busybox, state="present", labels={"tier": "frontend"}),
    )
    one, labelled = embedded_site.play(*examples_of("containerd_container_info")).results
    assert one.value("container")["Name"] == "/web"
    assert [found["Name"] for found in labelled.value("containers")] == ["/front"]
