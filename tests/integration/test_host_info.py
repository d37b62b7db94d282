# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_host_info through ansible-playbook, on both engines: what it tells is what the host's own programs say."""

from __future__ import annotations

import pathlib
import subprocess

from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.usage import disk_usage
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, Site


def test_a_host(site: Site, busybox: str, tmp_path: pathlib.Path) -> None:
    options = {"name": "web", "image": busybox, "command": ["sleep", "1000"], "network_mode": "none", "stop_signal": "KILL"}
    site.play(task("containerd_container", **options))
    (found,) = site.predict(task("containerd_host_info", cni_conf_dir=str(tmp_path), containers=True, disk_usage=True)).results
    host = found.value("host_info")
    more = host["Containerd"]
    assert (host["Containers"], host["ContainersRunning"], host["Images"]) == (1, 1, 1)
    assert [one["Name"] for one in found.value("containers")] == ["/web"]
    assert host["KernelVersion"] == subprocess.run(["uname", "-r"], check=True, capture_output=True, text=True).stdout.strip()
    assert site.namespace in more["Namespaces"]
    assert more["Runtime"]["Name"] == "runc"
    said = subprocess.run(["runc", "--version"], check=True, capture_output=True, text=True).stdout.split()
    assert more["Runtime"]["Version"] == said[2]
    assert more["Runtime"]["Features"]["Seccomp"] is True
    assert "memory" in more["Cgroups"]["Controllers"]
    space = found.value("disk_usage")["Namespaces"][site.namespace]
    assert space["Content"]["Size"] == sum(site.blob_path(digest).stat().st_size for digest in site.blobs())
    assert space["Containers"]["Size"] == disk_usage(map(str, site.data.glob(f"containers/*/{site.namespace}/*")))
    assert space["Snapshots"]["overlayfs"]["Count"] == len(site.snapshots())
    if isinstance(site, DaemonSite):
        assert host["ServerVersion"] == site.daemon.ctr("version").stdout.split("Version:")[-1].split()[0]
        listed = [line.split() for line in site.daemon.ctr("plugins", "ls").stdout.splitlines()[1:]]
        told = {(one["Type"], one["Id"], one["Status"]) for one in more["Plugins"]}
        assert told == {(line[0], line[1], line[-1]) for line in listed if line}
        assert all(one["Error"] for one in more["Plugins"] if one["Status"] != "ok")
        assert "overlayfs" in more["Snapshotters"]
        assert host["DockerRootDir"] == str(site.daemon.root)
        components = {one["Component"] for one in more["Advisories"]}
        assert "containerd" in components, "all versions of the tests are older than the newest advisory"
    else:
        size = disk_usage([str(site.data / "snapshots" / "overlayfs")])
        assert 0 <= size - space["Snapshots"]["overlayfs"]["Size"] <= 4096
    assert all(one["Severity"] and one["FixedIn"] for one in more["Advisories"])


def test_the_examples(embedded_site: EmbeddedSite, busybox: str) -> None:
    embedded_site.play(task("containerd_image", name=busybox))
    asked, _assertion, every = embedded_site.play(
        *({**one, "ignore_errors": True} for one in examples_of("containerd_host_info"))
    ).results
    assert asked.value("host_info")["Images"] == 1
    assert every.value("containers") == []
    assert embedded_site.namespace in every.value("disk_usage")["Namespaces"]
