# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container through ansible-playbook: making, changing, comparing and removing containers that really run."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.site import Site
from ansible_collections.fleet.containerd.tests.support.stories import container as stories
from ansible_collections.fleet.containerd.tests.support.stories.container import RUNS, Options, container, pid


def read(path: str) -> str:
    return pathlib.Path(path).read_text()


def environment(number: int) -> t.Dict[str, str]:
    lines = read(f"/proc/{number}/environ").rstrip("\0").split("\0")
    return dict(line.partition("=")[::2] for line in lines)


def inside(number: int, *command: str) -> str:
    """What a command prints in the namespaces of a process."""
    enter = ["nsenter", "-t", str(number), "-m", "-u", "-n", "-p", "-r", "-w"]
    # starts: nsenter (and what the image has)
    return subprocess.run([*enter, *command], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.packed
def test_create_again_and_absent(site: Site, host: t.Any, busybox: str) -> None:
    made = stories.is_created(site, busybox)
    process = host.process.get(pid=pid(made))
    assert process.args == "sleep 1000"
    assert process.user == "root"
    assert len(site.cgroups()) > 1
    network = os.open(f"/proc/{pid(made)}/ns/net", os.O_RDONLY)
    assert len(processes_inside(network)) == 1
    assert host.mount_point(str(site.bundle(made.value("container")["Id"]) / "rootfs")).filesystem == "overlay"
    stories.is_removed(site)
    assert site.leftovers() == []
    assert not host.file(f"/proc/{pid(made)}").exists
    # Still open here, so that nobody else's can have its number by now.
    assert processes_inside(network) == []
    os.close(network)


def processes_inside(network: int) -> t.List[pathlib.Path]:
    """Those of an open network namespace."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(network)):
                found.append(path)
    return found


def test_states(site: Site, host: t.Any, busybox: str) -> None:
    stories.is_present(site, busybox)
    assert site.cgroups() == []
    started = stories.is_started(site, busybox)
    assert host.process.get(pid=pid(started)).comm == "sleep"
    stories.is_stopped(site)
    assert not host.file(f"/proc/{pid(started)}").exists
    stories.is_started_again(site, busybox)


#: Options that one can see the effect of on the host. VOLUME stands for the test's directory.
OPTIONS: t.Dict[str, Options] = {
    "command": {"command": "sleep '1001'"},
    "entrypoint": {"command": ["1000"], "entrypoint": ["/bin/sleep"]},
    "env": {"env": {"A": "2"}},
    "hostname": {"hostname": "two"},
    "interactive": {"interactive": True},
    "log_driver": {"log_driver": "none"},
    "log_options": {"log_options": {"max-size": "2m", "max-file": 2}},
    "network_mode": {"network_mode": "host"},
    "read_only": {"read_only": True},
    "runtime": {"runtime": "/usr/sbin/runc"},
    "tty": {"tty": True},
    "user": {"user": "1000:2000"},
    "volumes": {"volumes": ["VOLUME:/v:ro"]},
    "working_dir": {"working_dir": "/tmp/"},
}


def test_a_change_makes_the_container_anew(site: Site, host: t.Any, busybox: str) -> None:
    """Which options do so, and what the diff shows of each, is for unit tests."""
    first = site.play(container("web", image=busybox, env={"A": "1"}, labels={"tier": "front"}, **RUNS)).last
    (live,) = site.converge(container("web", labels={"tier": "back"}, stop_signal="KILL"), diff=True)
    assert live.actions == ["update labels of container web"]
    assert live.value("diff") == {"before": {"labels": {"tier": "front"}}, "after": {"labels": {"tier": "back"}}}
    assert pid(live) == pid(first)
    (second,) = site.converge(container("web", image=busybox, env={"A": "2"}, **RUNS), diff=True)
    old = first.value("container")["Id"]
    assert second.value("recreated_because") == ["env"]
    assert second.actions == [
        "create container web anew (env changed); not asked for any more and reset to the image's default: labels",
        "start container web beside the old one",
        "give the name web to the new container",
        "stop the old container web",
        f"remove the old container {old[:12]}",
    ]
    diff = second.value("diff")
    assert (diff["before"]["env"]["A"], diff["after"]["env"]["A"]) == ("1", "2")
    assert second.value("container")["Id"] != old
    assert environment(pid(second))["A"] == "2"
    assert not host.file(f"/proc/{pid(first)}").exists
    bad = site.play(container("web", image=busybox, command=["no-such-command"], ignore_errors=True)).last
    assert bad.msg == "the command no-such-command is not in the image's PATH"
    assert bad.value("failed_action").startswith("create container web anew (command changed)")
    assert host.process.get(pid=pid(second)).args == "sleep 1000"
    assert not site.play(container("web", image=busybox, env={"A": "2"}, **RUNS)).last.changed


def test_options_take_effect(site: Site, host: t.Any, busybox: str, tmp_path: pathlib.Path) -> None:
    options = json.loads(json.dumps(OPTIONS).replace("VOLUME", str(tmp_path)))
    made = site.play(*(container(name.replace("_", "-"), image=busybox, **{**RUNS, **one}) for name, one in options.items()))
    now = {option: pid(result) for option, result in zip(options, made.results)}
    facts = {option: result.value("container") for option, result in zip(options, made.results)}
    assert host.process.get(pid=now["command"]).args == "sleep 1001"
    assert host.process.get(pid=now["entrypoint"]).args == "/bin/sleep 1000"
    env = environment(now["env"])
    assert (env["A"], env.get("B")) == ("2", None)
    assert env["PATH"].startswith("/usr/local/sbin")
    assert env["HOSTNAME"] == facts["env"]["Id"][:12]
    assert inside(now["hostname"], "/bin/hostname") == "two"
    assert read(f"/proc/{now['hostname']}/environ").count("HOSTNAME=two") == 1
    assert pathlib.Path(f"/proc/{now['interactive']}/fd/0").readlink().name.startswith("pipe:")
    assert os.stat(f"/proc/{now['command']}/fd/0").st_rdev == os.stat("/dev/null").st_rdev
    assert facts["log_driver"]["HostConfig"]["LogConfig"]["Type"] == "none"
    assert facts["log_driver"]["LogPath"] == ""
    assert facts["log_options"]["HostConfig"]["LogConfig"]["Config"] == {"max-size": str(2 << 20), "max-file": "2"}
    assert pathlib.Path(f"/proc/{now['network_mode']}/ns/net").readlink() == pathlib.Path("/proc/self/ns/net").readlink()
    links = inside(now["command"], "/bin/ip", "-o", "link")
    assert links.startswith("1: lo:")
    assert "\n" not in links
    root = [line.split() for line in read(f"/proc/{now['read_only']}/mountinfo").splitlines() if line.split()[4] == "/"]
    assert "ro" in root[-1][5].split(",")
    assert facts["runtime"]["HostConfig"]["Runtime"] == "/usr/sbin/runc"
    assert str(pathlib.Path(f"/proc/{now['tty']}/fd/0").readlink()).startswith("/dev/pts/")
    status = read(f"/proc/{now['user']}/status")
    assert "Uid:\t1000\t1000\t1000\t1000\n" in status
    assert "Gid:\t2000\t2000\t2000\t2000\n" in status
    before = read(f"/proc/{now['volumes']}/mountinfo")
    volume = [line.split() for line in before.splitlines() if line.split()[4] == "/v"]
    assert "ro" in volume[0][5].split(",")
    assert str(pathlib.Path(f"/proc/{now['working_dir']}/cwd").readlink()) == "/tmp"
