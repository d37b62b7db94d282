# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role reset and containerd_reset, on both engines: the host afterwards is what it was before, compared by pictures."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.usage import disk_usage
from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.networked import Networked
from ansible_collections.fleet.containerd.tests.support.pictures import Picture, differences, picture

Result = t.Dict[str, t.Any]
#: Directories of the host that are its own, so that nobody else changes them meanwhile.
_PLACES = ("/etc/cni", "/var/lib/cni", "/run/netns", "/run/fleet-containerd", "/var/cache")
#: What a daemon makes once below its directories, and keeps: empty directories, and its own files.
_OF_DAEMON = ("io.containerd.", "containerd.sock", "log", "tmpmounts")


class Host:
    """A host with containers of every kind."""

    def __init__(self, site: Networked, modules: Modules, image: str) -> None:
        self.site, self._outside, self._image = site, modules, image
        site.run("mount", "-t", "tmpfs", "none", "/var/cache")
        self.namespaces = [site.namespace] if site.daemon else []
        self.before = self.look()

    def look(self) -> t.Tuple[Picture, t.List[str]]:
        site = self.site
        daemon = [str(site.daemon.base)] if site.daemon else []
        found = picture(site.under, site.under.pid, [*_PLACES, str(site.data), str(site.state), *daemon], [site.namespace])
        if site.daemon:
            below = f"{site.daemon.base}/"
            files = [one for one in found["files"] if not (one.startswith(below) and any(name in one for name in _OF_DAEMON))]
            found["files"] = [*files, *map(str, site.daemon.base.glob("**/rootfs/*"))]
        return found, self.records()

    def records(self) -> t.List[str]:
        """What the daemon has, in any namespace."""
        if not self.site.daemon:
            return []
        ctr = self.site.daemon.ctr
        found = []
        for namespace in ctr("namespaces", "list", "-q").stdout.split():
            for words in (["images"], ["containers"], ["tasks"], ["snapshots"], ["content"], ["leases"]):
                lines = ctr(
                    *words, "list", *(["-q"] if words[0] not in ("snapshots", "leases") else []), namespace=namespace
                ).stdout
                found += [f"{namespace} {words[0]} {line}" for line in lines.splitlines() if not line.startswith(("KEY", "ID"))]
            found.append(f"{namespace} is there")
        return found

    def module(self, name: str, failing: bool = False, check: bool = False, **options: t.Any) -> Result:
        given = {**self.site.defaults, **options, **({"_ansible_check_mode": True} if check else {})}
        result = self.site.modules.result(name, **given)
        assert bool(result.get("failed")) is failing, result
        return result

    def fill(self) -> t.Dict[str, Result]:
        """Containers that run, are stopped, paused, restarted and watched; networks with published ports; volumes; secrets."""
        site = self.site
        site.fetch(self._image, self._outside)
        self.module("containerd_network", name="net", ipam_config=[{"subnet": "10.9.0.0/24"}])
        self.module("containerd_volume", name="plain")
        self.module("containerd_volume", name="memory", driver_options={"type": "tmpfs", "device": "tmpfs"})
        check = {"test": ["CMD", "true"], "interval": "1s"}
        made = {
            "web": site.web(
                "web",
                networks=[{"name": "net"}],
                published_ports=["8080:80"],
                restart_policy="always",
                volumes=["plain:/plain", "memory:/memory", "/alone"],
                secrets=[{"name": "key", "content": "hush"}],
            ),
            "watched": site.web("watched", healthcheck=check, restart_policy="on-failure", restart_delay="100ms"),
            "paused": site.web("paused", networks=[{"name": "net"}], paused=True),
        }
        site.web("job", command=["sh", "-c", "echo done"], detach=False)
        site.web("failing", command=["sh", "-c", "sleep 0.3; exit 1"], restart_policy="always", restart_delay="1s")
        site.container("joined", image=self._image, command=["sleep", "1000"], stop_signal="KILL", network_mode="container:web")
        assert site.page("http://127.0.0.1:8080/") == "hello from web"
        return made

    def play(self, check: bool = False, failing: bool = False, **variables: t.Any) -> ansible.Play:
        """The role, as users have it."""
        tasks = [{"name": "reset", "ansible.builtin.include_role": {"name": "fleet.containerd.reset"}, "vars": variables}]
        return ansible.play(tasks, check=check, failing=failing, defaults=self.site.defaults, under=self.site.under)

    def reset(self, **options: t.Any) -> Result:
        return self.module("containerd_reset", namespaces=self.namespaces, **options)

    def assert_clean(self) -> None:
        """As before it was used; what a daemon removes in the background may take a moment."""
        deadline = time.monotonic() + 3
        while True:
            (picture_now, records), (picture_before, records_before) = self.look(), self.before
            found = differences(picture_before, picture_now)
            if not found and records == records_before:
                return
            if time.monotonic() > deadline:
                assert not found, "\n".join(found)
                assert records == records_before
            time.sleep(0.1)


@pytest.fixture
def host(networked_site: Networked, modules: Modules, busybox: str) -> Host:
    if networked_site.daemon:
        # The fixture has fetched an image already.
        defaults = networked_site.defaults
        modules.run("containerd_image", **{**defaults, "name": busybox, "state": "absent"})
        networked_site.daemon.ctr("namespaces", "remove", networked_site.namespace, check=False)
    else:
        modules.run("containerd_image", **{**networked_site.defaults, "name": busybox, "state": "absent"})
    for root in (networked_site.data, networked_site.state):
        subprocess.run(["rm", "-rf", str(root)], check=True)
    return Host(networked_site, modules, busybox)


def test_a_host_as_it_was(host: Host) -> None:
    """Without a confirmation nothing goes; check mode tells what would; the second run changes nothing."""
    host.fill()
    filled = host.look()
    assert differences(host.before[0], filled[0]), "nothing was made"
    named = {"reset_namespaces": host.namespaces}
    refused = host.play(failing=True, **named).last
    assert "set reset_confirm to localhost" in refused.msg
    assert not differences(filled[0], host.look()[0])
    told = host.play(check=True, **named)
    assert not differences(filled[0], host.look()[0])
    done = host.play(reset_confirm="localhost", **named)
    host.assert_clean()
    again = host.play(reset_confirm=["other", "localhost"], **named)
    host.assert_clean()
    (foreseen,), (real,), (last,) = (
        [one for one in play.results if "space_reclaimed" in one.result] for play in (told, done, again)
    )
    names = {"web", "watched", "paused", "job", "failing", "joined"}
    for one in (foreseen, real):
        assert {name.partition("/")[2] for name in one.value("containers")} == names
        assert [name.partition("/")[2] for name in one.value("volumes")] == ["memory", "plain"]
        assert sorted(one.value("networks")) == ["bridge", "net"]
        assert len(one.value("images")) == 1
        assert one.value("space_reclaimed") > 1_000_000
    assert [one.partition(" (")[0] for one in foreseen.actions] == [one.partition(" (")[0] for one in real.actions]
    assert not last.changed
    assert done.last.value("msg")[-1] == f"localhost  {real.value('space_reclaimed')} bytes"
    assert again.last.value("msg") == ["localhost  clean"]


def test_the_playbook_of_the_guide(host: Host, tmp_path: pathlib.Path) -> None:
    if host.site.daemon:
        pytest.skip("it names no namespace of the daemon")
    host.site.web(networks=[{"name": "bridge"}])
