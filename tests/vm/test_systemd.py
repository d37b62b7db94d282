# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd as the first process of a container, with control groups of version 2, below a systemd that has made the group for it."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.archives import members_of, tar
from ansible_collections.fleet.containerd.tests.support.debian import masks
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, directory, symlink, tar_of

from .conftest import Host

pytestmark = pytest.mark.timeout(3600)

IMAGE = "example.com/systemd:1"
_DIRECTORIES = ("dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var")
#: The programs and units of the host, and its users. An emulated processor would unpack them for minutes.
_VOLUMES = ["/usr:/usr:ro", "/etc/passwd:/etc/passwd:ro", "/etc/group:/etc/group:ro"]
_BOOTED = 'case "$(systemctl is-system-running)" in running | degraded) ;; *) exit 1 ;; esac'


@pytest.fixture(scope="module")
def userland(host: Host, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image that is an empty Debian."""
    links = [symlink(name, f"usr/{name}") for name in ("bin", "lib", "lib64", "sbin")]
    # With it, though empty, this is no first boot, in which systemd enables all that it finds.
    known = Entry("etc/machine-id")
    layout = Layout(tmp_path_factory.mktemp("layout"))
    layout.tag(layout.image([tar_of([*map(directory, _DIRECTORIES), *links, known]), masks()]), IMAGE)
    host.send(tar(members_of(layout)), "cat >/root/systemd.tar")
    for engine in ("embedded", "containerd"):
        host.module("containerd_image_load", path="/root/systemd.tar", engine=engine)
    return IMAGE


@pytest.mark.parametrize("kind", ["runc", "crun", "daemon"])
def test_systemd_runs_in_a_container(host: Host, userland: str, kind: str) -> None:
    """Without a privilege it starts all its units, each in a control group below that of the container, and stops when asked to."""
    engine: t.Dict[str, t.Any] = {"engine": "containerd" if kind == "daemon" else "embedded"}
    more = {"runtime": "crun"} if kind == "crun" else {}
    made = host.module(
        "containerd_container",
        name=f"booted-{kind}",
        image=userland,
        command=["/sbin/init"],
        systemd="true",
        volumes=_VOLUMES,
        network_mode="none",
        ready={"command": ["/bin/sh", "-c", _BOOTED], "timeout": 300},
        **engine,
        **more,
    )["container"]
    pid = made["State"]["Pid"]
    inside = f"nsenter -t {pid} -a -r -w"
    assert host.sh(f"{inside} systemctl --failed --no-legend --plain; {inside} systemctl is-system-running") == "running\n"
    assert host.sh(f"{inside} cat /proc/1/comm /proc/1/cgroup") == "systemd\n0::/init.scope\n"
    host.sh(f"{inside} systemd-run -q --unit=own sleep 1000")
    assert host.sh(f"{inside} systemctl show own -p ControlGroup --value") == "/system.slice/own.service\n"
    (group,) = host.sh("cat /proc/$(pgrep -f '[s]leep 1000$')/cgroup").splitlines()
    assert group.startswith(f"0::/system.slice/fleet-default-{made['Id']}.scope/")
    assert group.endswith("/system.slice/own.service")
    stopped = host.module("containerd_container", name=made["Name"][1:], state="stopped", stop_timeout=120, **engine)
    assert stopped["container"]["State"]["ExitCode"] == 0
    host.module("containerd_container", name=made["Name"][1:], state="absent", **engine)
    assert host.sh(f"systemctl list-units --all --no-legend 'fleet-default-{made['Id']}*'") == ""
