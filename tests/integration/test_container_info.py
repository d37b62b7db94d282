# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_info through ansible-playbook."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.stories.container_info import (
    container,
    containers,
    info,
    nothing_there_and_nothing_made,
)


def test_nothing_there_and_nothing_made(site: Site) -> None:
    nothing_there_and_nothing_made(site)


def test_containers(site: Site, host: t.Any, busybox: str, tmp_path: pathlib.Path) -> None:
    web = containers(site, busybox, tmp_path)
    assert host.process.get(pid=web["State"]["Pid"]).args == "sleep 1000"


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
    one, labelled, filtered = embedded_site.play(*examples_of("containerd_container_info")).results
    assert one.value("container")["Name"] == "/web"
    assert [found["Name"] for found in labelled.value("containers")] == ["/front"]
    assert filtered.value("containers") == []
