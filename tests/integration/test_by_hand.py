# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the guide to operations by hand, typed on a host with a container of each engine."""

from __future__ import annotations

import json
import subprocess

from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, Site
from ansible_collections.fleet.containerd.tests.support.waiting import until

_SCRIPT = "echo hello; echo oops >&2; exec sleep 1000"


def test_the_guide(site: Site, busybox: str) -> None:
    """All blocks of an engine's section, one after another in one shell."""
    web = task("containerd_container", name="web", image=busybox, command=["sh", "-c", _SCRIPT], hostname="by-hand")
    made = site.play(web).last
    facts = made.value("container")
    log = site.container_directory(made.result) / f"{facts['Id']}-json.log"
    # What it says comes there by way of another process.
    until(lambda: log.exists() and log.read_text().count("\n") == 2)
    replace = {"/var/lib/fleet-containerd": str(site.data), "/run/fleet-containerd": str(site.state)}
    blocks = blocks_of("guide_by_hand", replace, "sh")
    embedded = [block for block in blocks if "ctr " not in block and "/containerd-*/" not in block]
    lines = "\n".join([block for block in blocks if block not in embedded] if isinstance(site, DaemonSite) else embedded)
    names = [("/default", f"/{site.namespace}"), ("default", site.namespace)]
    if isinstance(site, DaemonSite):
        names.append(("ctr ", f"{site.daemon.bin}/ctr --address {site.daemon.address} "))
        # Of what ends at once, ctr may throw away what it says.
        names.append(('"$id" hostname', '"$id" sh -c "sleep 1; hostname"'))
    for old, new in names:
        lines = lines.replace(old, new)
    # starts: sh, runc, python3, tail (and ctr that tools/containerds.py fetched)
    done = subprocess.run(["sh", "-euxc", lines], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert [line.split()[0] for line in printed if facts["Id"] in line and busybox in line] == [facts["Id"]]
    logged = [json.loads(line) for line in printed if line.startswith("{")]
    assert sorted((one["stream"], one["log"]) for one in logged) == [("stderr", "oops\n"), ("stdout", "hello\n")]
    assert "by-hand" in printed
    assert any(str(facts["State"]["Pid"]) in line.split() for line in printed)
    assert (("hello" in printed) and ("oops" in printed)) is not isinstance(site, DaemonSite)
    # It was killed, and that is known a moment later; the next play starts it again.
    with site.engine() as engine:
        until(lambda: engine.tasks.state(facts["Id"]).status != "running")
    assert site.play(web).last.actions == ["start container web"]
