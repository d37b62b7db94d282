# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers with users of their own (userns_mode): root inside is another user on the host, for processes and for files."""

from __future__ import annotations

import os
import pathlib
import random
import tempfile
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, busybox_image, directory, hardlink, symlink, tar_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.namespaces import HOST
from ansible_collections.fleet.containerd.tests.support.networked import Networked, networked, pid_of
from ansible_collections.fleet.containerd.tests.support.registry import Registry

#: Room for two of auto; those of remap.
FIRST, SIZE, GROUP, SHARED = 1_000_000_000, 65536, 1_100_000_000, 500_000
SUBUID = f"somebody:100000:65536\nfleet-containerd:{FIRST}:{2 * SIZE}\ndockremap:{SHARED}:{SIZE}\n"
SUBGID = f"fleet-containerd:{GROUP}:{2 * SIZE}\ndockremap:{SHARED}:{SIZE}\n"
#: What a container prints about its files: as who is in it sees them.
LOOK = "stat -c '%n %u:%g %a' / /own /own/file /other /own/link /setuid /vol /vol/seed /new /new/vol /etc/hosts /etc/resolv.conf 2>&1"
SEEN = """/ 0:0 755
/own 7:8 750
/own/file 7:8 640
/other 7:8 640
/own/link 0:0 777
/setuid 0:0 4755
/vol 5:5 755
/vol/seed 5:6 600
/new 0:0 755
/new/vol 0:0 755
/etc/hosts 65534:65534 644
/etc/resolv.conf 65534:65534 644"""


@pytest.fixture(scope="module")
def image(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Owners, links, a setuid program, volumes that the image has and has not."""
    layout = Layout(tmp_path_factory.mktemp("users"))
    files = [
        directory("own", 0o750, uid=7, gid=8),
        Entry("own/file", b"text", mode=0o640, uid=7, gid=8),
        hardlink("other", "own/file"),
        symlink("own/link", "/etc"),
        Entry("setuid", b"#!/bin/sh\n", mode=0o4755),
        directory("vol", uid=5, gid=5),
        Entry("vol/seed", b"seed", mode=0o600, uid=5, gid=6),
    ]
    registry.push(layout.path, busybox_image(layout, [tar_of(files)], Volumes={"/vol": {}, "/new/vol": {}}), "users", "1")
    return f"{registry.address}/users:1"


@pytest.fixture(params=["", *sorted(RELEASES)], ids=lambda version: f"containerd-{version}" if version else "embedded")
def site(request: pytest.FixtureRequest, modules: Modules, image: str) -> t.Iterator[Networked]:
    """On a host whose directories other users get through, as they do in /run and /var/lib."""
    with tempfile.TemporaryDirectory(prefix="fleet-users-") as base, networked(pathlib.Path(base), request.param) as made:
        for path in (base, str(made.daemon.base) if made.daemon else base):
            os.chmod(path, 0o711)
        for name, text in (("subuid", SUBUID), ("subgid", SUBGID)):
            pathlib.Path(base, name).write_text(text)
            made.run("mount", "--bind", f"{base}/{name}", f"/etc/{name}")
        made.fetch(image, modules)
        yield made


def status(pid: int, field: str) -> str:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))


def uid_map(pid: int) -> t.List[int]:
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/uid_map").read_text().split()]


def inside(site: Networked, pid: int, script: str) -> str:
    """What a shell prints that root of the container runs there."""
    enter = ["nsenter", "-t", str(pid), "-U", "-m", "-n", "-p", "-i", "-S", "0", "-G", "0", "-r", "-w"]
    return site.run(*enter, "busybox", "sh", "-c", script)


def test_users_of_its_own(site: Networked) -> None:
    wanted = {"userns_mode": "auto", "published_ports": ["8080:80"], "hostname": "web"}
    made = site.web(**wanted)
    told, pid = made["container"], pid_of(made)
    assert told["HostConfig"]["UsernsMode"] == "auto"
    assert told["Containerd"]["UidMappings"] == [{"ContainerID": 0, "HostID": FIRST, "Size": SIZE}]
    assert told["Containerd"]["GidMappings"] == [{"ContainerID": 0, "HostID": GROUP, "Size": SIZE}]
    assert uid_map(pid) == [0, FIRST, SIZE]
    assert status(pid, "Uid").split() == [str(FIRST)] * 4
    assert status(pid, "Gid").split() == [str(GROUP)] * 4
    assert inside(site, pid, LOOK) == SEEN
    # Port 80 is bound by who is root in the container only.
    assert site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    assert inside(site, pid, "echo text >/made; chown 7:8 /made; id -u") == "0"
    found = os.stat(f"/proc/{pid}/root/made")
    assert (found.st_uid, found.st_gid) == (FIRST + 7, GROUP + 8)
    assert not site.web(**wanted)["changed"]
    assert site.container("web", restart=True)["container"]["Containerd"]["UidMappings"][0]["HostID"] == FIRST
    assert site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    # A new one beside the old one gets others, and one more there are not.
    again = site.web(**wanted, env={"A": "1"})
    assert again["recreated_because"] == ["env"]
    assert uid_map(pid_of(again)) == [0, FIRST + SIZE, SIZE]
    second = site.web("second", userns_mode="auto")
    assert uid_map(pid_of(second)) == [0, FIRST, SIZE]
    for check in (True, False):
        failed = site.container("third", True, **site.page_options("third"), userns_mode="auto", _ansible_check_mode=check)
        assert "fleet-containerd" in failed["msg"], failed
        assert "65536" in failed["msg"]
    shared = [site.web(name, userns_mode="remap") for name in ("third", "fourth")]
    assert [uid_map(pid_of(one)) for one in shared] == [[0, SHARED, SIZE]] * 2
    host = site.web("fourth", userns_mode="host")
    assert host["recreated_because"] == ["userns_mode"]
    assert uid_map(pid_of(host))[:2] == [0, 0]
    assert host["container"]["Containerd"]["UidMappings"] == []
    for name in ("web", "second", "third", "fourth"):
        site.container(name, state="absent")
    assert site.left() == [[], [], []]
