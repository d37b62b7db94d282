# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of containers over their lives, on each engine: ends, kills, crashes and reboots leak nothing, and all comes back."""

from __future__ import annotations

import json
import os
import pathlib
import random
import re
import shutil
import signal
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.network.connected import alone
from ansible_collections.fleet.containerd.plugins.module_utils.network.places import Places
from ansible_collections.fleet.containerd.tests.support.attack import FULL
from ansible_collections.fleet.containerd.tests.support.modules import running_modules
from ansible_collections.fleet.containerd.tests.support.namespaces import HOST, OUTSIDE, listening, seen
from ansible_collections.fleet.containerd.tests.support.networked import Networked, address, pid_of

NOTHING: t.List[t.Any] = [[], [], []]
HELLO = "hello from web"
#: System calls of a module that change something.
CALLS = "write,pwrite64,sendto,sendmsg,mkdir,rename,renameat,link,linkat,unlink,unlinkat,ftruncate,mount,umount2,setns,kill"
STATIC = {"networks": [{"name": "front", "ipv4_address": "10.9.1.7"}], "published_ports": ["8080:80", "90"]}


@pytest.fixture
def site(networked_site: Networked) -> Networked:
    return networked_site


@pytest.fixture
def front(site: Networked) -> Networked:
    site.network("front", "10.9.1.0/24")
    return site


def end(site: Networked, name: str = "web") -> None:
    """Its process ends, and nobody asked for it."""
    os.kill(pid_of({"container": site.facts(name)}), signal.SIGKILL)


def test_a_container_that_has_ended_holds_nothing(front: Networked) -> None:
    front.web(**STATIC)
    end(front)
    assert front.left() == NOTHING
    assert front.facts("web")["NetworkSettings"]["Networks"]["front"]["IPAddress"] == ""
    # The port is the host's again.
    with listening(front.world.host, 8080) as server:
        assert seen(server, front.world.outside, HOST, 8080) == OUTSIDE
    other = front.web("other", **STATIC)
    assert front.page(f"http://{HOST}:8080/", outside=True) == "hello from other"
    assert address(other, "front") == "10.9.1.7"
    # It cannot be had twice, and who has it is told.
    refused = front.container("web", state="started", failing=True)
    assert "10.9.1.7 is taken in the network front: the container other" in refused["msg"]
    end(front, "other")
    assert front.left() == NOTHING
    assert front.container("web", state="started")["changed"]
    assert front.page(f"http://{HOST}:8080/", outside=True) == HELLO
    # One that has done its work.
    job = front.web("job", command=["true"], networks=[{"name": "front"}], detach=False)
    assert address(job, "front") == ""
    for name in ("web", "other", "job"):
        front.container(name, state="absent")
    assert front.left() == NOTHING


def test_what_nobody_detached_is_detached_by_the_next_start(front: Networked) -> None:
    """Whoever sees the end of a container was killed. Another tool's reservation stays."""
    front.web(**STATIC)
    theirs = front.path("/var/lib/cni/networks/front/10.9.1.99")
    theirs.write_text("default-abc\r\neth0")
    front.crash()
    assert front.left(patience=0) != NOTHING
    front.start()
    other = front.web("other", **STATIC)
    assert address(other, "front") == "10.9.1.7"
    assert front.page(f"http://{HOST}:8080/", outside=True) == "hello from other"
    front.container("other", state="absent")
    theirs.unlink()
    assert front.left() == NOTHING
    # The same of a container that no engine knows any more.
    third = front.web("third", networks=[{"name": "front"}], published_ports=["8081:80"])
    front.crash()
    (directory,) = front.data.glob(f"containers/*/*/{third['container']['Id']}")
    shutil.rmtree(directory)
    front.start()
    front.web("other", networks=[{"name": "front"}])
    assert "third" not in str(front.left(patience=0))
    assert [line for line in front.ruleset() if "8081" in line] == []
    front.container("other", state="absent")
    assert front.left() == NOTHING


def everything(site: Networked) -> t.List[t.Any]:
    """What 100 starts must leave as it was."""
    places = ("/run/netns", "/run/fleet-containerd", "/var/lib/cni", "/etc/cni")
    files = sorted(str(one) for place in places for one in site.path(place).rglob("*"))
    return [
        site.run("nft", "-j", "list", "ruleset"),
        site.run("ip", "-j", "link"),
        site.run("ip", "-j", "addr"),
        site.run("ip", "netns"),
        files,
    ]


def at_rest(site: Networked) -> t.List[t.Any]:
    """The same, as soon as nothing changes: hooks have ended, and the kernel tells a bridge late that it has lost its last port."""
    before = everything(site)
    while True:
        time.sleep(1.5)
        now = everything(site)
        if now == before and "/.locks/" not in str(now):
            return now
        before = now


@pytest.mark.timeout(900 if FULL else 300)
def test_cycles_leave_everything_as_it_was(site: Networked) -> None:
    options = {"published_ports": ["8080:80", "8443:443/udp"], "networks": [{"name": "bridge"}, {"name": "front"}]}
    site.network("front", "10.9.1.0/24", "fd00:9::/64")
    site.web(**options)
    site.container("web", state="stopped")
    before = at_rest(site)
    for cycle in range((20 if site.daemon else 100) if FULL else 8):
        if cycle % 4 == 3:
            site.container("web", state="absent")
            site.web(**options)
        elif cycle % 4 == 2:
            site.container("web", state="started", restart=True)
            end(site)
            assert site.left() == NOTHING
        else:
            assert site.container("web", state="started")["changed"]
        site.container("web", state="stopped")
    # Programs of the last stop may still be at it.
    deadline = time.monotonic() + 20
    while everything(site) != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert everything(site) == before
    site.container("web", state="absent")
    assert site.left() == NOTHING


def test_a_reboot(front: Networked) -> None:
    made = front.web(**STATIC)
    other = front.web("other", networks=[{"name": "front"}])
    ports = made["container"]["NetworkSettings"]["Ports"]
    front.reboot()
    assert front.facts("web")["State"]["Status"] == "exited"
    # The addresses of those that do not run are still reserved on disk.
    new = front.web("new", networks=[{"name": "front"}])
    assert address(new, "front")
    again = front.web(**STATIC)
    assert again["actions"] == ["start container web"]
    assert address(again, "front") == "10.9.1.7"
    assert again["container"]["NetworkSettings"]["Ports"] == ports
    assert front.page(f"http://{HOST}:8080/", outside=True) == HELLO
    assert front.container("other", state="started")["changed"]
    assert other["changed"]
    assert front.inside(pid_of({"container": front.facts("other")}), "wget", "-qO-", "http://web/") == HELLO
    for name in ("web", "other", "new"):
        front.container(name, state="absent")
    assert front.left() == NOTHING


MONITORS = pytest.mark.parametrize("networked_site", ["1.7", "2.1"], indirect=True)


def monitored(site: Networked, wanted: str = "running") -> str:
    """Have containerd's restart monitor keep it running, or not; its id."""
    container_id = str(site.facts("web")["Id"])
    assert site.daemon
    site.daemon.ctr("containers", "label", container_id, f"containerd.io/restart.status={wanted}", namespace=site.namespace)
    return container_id


@MONITORS
def test_the_restart_monitor(front: Networked) -> None:
    """containerd starts it again, without us and after an upgrade, and it is attached; also after a reboot."""
    made = front.web(**STATIC)
    monitored(front)
    # The next release: the link leads elsewhere, and the old file is gone.
    link = front.data / "libexec/hook.pyz"
    old = pathlib.Path(os.readlink(link))
    new = old.parent.parent / "new" / old.name
    shutil.copytree(old.parent, new.parent)
    link.unlink()
    link.symlink_to(new)
    shutil.rmtree(old.parent)
    end(front)
    time.sleep(1)
    assert front.page(f"http://{HOST}:8080/", outside=True, patience=40) == HELLO
    assert pid_of({"container": front.facts("web")}) != pid_of(made)
    front.reboot()
    assert front.page(f"http://{HOST}:8080/", outside=True, patience=40) == HELLO
    facts = front.facts("web")
    assert address({"container": facts}, "front") == "10.9.1.7"
    assert facts["NetworkSettings"]["Ports"] == made["container"]["NetworkSettings"]["Ports"]
    monitored(front, "")
    front.container("web", state="absent")
    assert front.left() == NOTHING


@MONITORS
def test_a_daemon_that_is_restarted(front: Networked) -> None:
    """What runs keeps its networks; what ends meanwhile gives them back."""
    made = front.web(**STATIC)
    assert front.daemon
    front.daemon.kill()
    assert front.page(f"http://{HOST}:8080/", outside=True) == HELLO
    front.daemon.start()
    assert not front.web(**STATIC)["changed"]
    assert pid_of({"container": front.facts("web")}) == pid_of(made)
    front.daemon.kill()
    os.kill(pid_of(made), signal.SIGKILL)
    assert front.left() == NOTHING
    front.daemon.start()
    assert front.web(**STATIC)["actions"] == ["start container web"]
    assert front.page(f"http://{HOST}:8080/", outside=True) == HELLO
    front.container("web", state="absent")
    assert front.left() == NOTHING


def test_one_after_the_other(front: Networked) -> None:
    """Who changes or attaches a container waits for who does so already, and goes on with what that one has left."""
    front.network("back", "10.9.2.0/24")
    front.network("third", "10.9.3.0/24")
    container_id = front.web(**LEFT)["container"]["Id"]
    places = Places(names_dir=str(front.path("/run/fleet-containerd/networks")))
    (path,) = front.data.glob(f"containers/*/*/{container_id}/networks.json")
    with ThreadPoolExecutor(1) as pool:
        with alone(f"{front.namespace}-{container_id}", places):
            waits = pool.submit(front.modules.run, "containerd_network", **front.defaults, name="back", connected=["web"])
            time.sleep(1.5)
            assert not waits.done()
            found = json.loads(path.read_text())
            path.write_text(json.dumps({**found, "names": ["late", *found["names"]]}))
        waits.result(60)
        found = json.loads(path.read_text())
        assert (found["names"][0], [one["network"] for one in found["endpoints"]]) == ("late", ["front", "back"])
        with alone(f"{front.namespace}-{container_id}", places):
            waits = pool.submit(front.container, "web", restart=True)
            time.sleep(1.5)
            assert not waits.done()
        waits.result(60)
        with alone(f"{front.namespace}-{container_id}", places):
            waits = pool.submit(front.web, **{**LEFT, "published_ports": ["8081:80"]})
            time.sleep(1.5)
            assert not waits.done()
            found = json.loads(path.read_text())
            path.write_text(
                json.dumps(
                    {
                        **found,
                        "endpoints": [*found["endpoints"], {**found["endpoints"][1], "network": "third", "interface": "eth7"}],
                    }
                )
            )
        assert sorted(waits.result(60)["container"]["NetworkSettings"]["Networks"]) == ["back", "front", "third"]
    assert "late" in front.inside(pid_of({"container": front.facts("web")}), "cat", "/etc/hosts")
    assert front.page(f"http://{HOST}:8081/", outside=True) == HELLO
    front.container("web", state="absent")
    assert front.left() == NOTHING


@pytest.mark.parametrize("networked_site", [""], indirect=True)
def test_tasks_at_the_same_time(front: Networked) -> None:
    """containerd_network connects and disconnects a container while its own task starts it again and changes its ports."""
    front.network("back", "10.9.2.0/24")
    front.web(**LEFT)
    with running_modules(front.base / "second", front.under) as second, ThreadPoolExecutor(1) as pool:

        def connect(number: int) -> None:
            second.run("containerd_network", **front.defaults, name="back", connected=["web"] * (number % 2))

        connecting = [pool.submit(connect, number) for number in range(9)]
        for number in range(4):
            front.web(**{**LEFT, "published_ports": [f"{8080 + number % 2}:80"]}, restart=number > 1)
        for one in connecting:
            one.result(60)
        connect(1)
        assert not second.run("containerd_network", **front.defaults, name="back", connected=["web"])["changed"]
    front.web(**LEFT)
    assert not front.web(**LEFT)["changed"]
    pid = pid_of({"container": front.facts("web")})
    assert front.page(f"http://{HOST}:8080/", outside=True) == HELLO
    assert sorted(front.facts("web")["NetworkSettings"]["Networks"]) == ["back", "front"]
    addresses = [one["IPAddress"] for one in front.facts("web")["NetworkSettings"]["Networks"].values()]
    assert all(one in front.inside(pid, "ip", "-o", "addr") for one in addresses), addresses
    front.container("web", state="absent")
    assert front.left() == NOTHING


class Act(t.NamedTuple):
    """before: what a container is like; task: what is killed; ip, port: of the page at the end, empty for none."""

    before: t.Dict[str, t.Any]
    task: t.Dict[str, t.Any]
    ip: str = ""
    port: str = ""


LEFT: t.Dict[str, t.Any] = {"networks": [{"name": "front", "ipv4_address": "10.9.1.7"}], "published_ports": ["8080:80"]}
RIGHT: t.Dict[str, t.Any] = {"networks": [{"name": "back", "ipv4_address": "10.9.2.7"}], "published_ports": ["8081:80"]}
ACTS = {
    "start": Act({**LEFT, "state": "stopped"}, LEFT, "10.9.1.7", "8080"),
    "stop": Act(LEFT, {"state": "stopped"}),
    "change": Act(LEFT, RIGHT, "10.9.2.7", "8081"),
    "recreate": Act(LEFT, {**LEFT, "env": {"A": "b"}}, "10.9.1.7", "8080"),
    "remove": Act(LEFT, {"state": "absent"}),
}


@pytest.mark.timeout(3000 if FULL else 300)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("networked_site", ["", "2.1"], indirect=True)
def test_killed_at_calls(front: Networked, act: str) -> None:
    """A task that is killed at calls that change something: its next run has what it asks for, and nothing else is left."""
    front.network("back", "10.9.2.0/24")
    one, wrong, choose = ACTS[act], t.cast(t.List[str], []), random.Random(11)

    def options(task: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        return {**front.defaults, "name": "web", **({} if task.get("state") == "absent" else front.page_options("web")), **task}

    def prepare() -> None:
        front.container("web", state="absent")
        front.web(**{**one.before, "state": "started"})
        if one.before.get("state"):
            front.web(**one.before)

    prepare()
    calls = len(front.modules.killed_at(CALLS, 0, "containerd_container", **options(one.task)))
    assert calls > 10
    moments = range(1, calls + 1)
    for number in sorted(choose.sample(moments, min(calls, 40 if FULL else 2))):
        prepare()
        where = f"{act}, killed at {number} of {calls}: {front.modules.killed_at(CALLS, number, 'containerd_container', **options(one.task))[-2:]}"
        front.modules.run("containerd_container", **options(one.task))
        if one.port:
            page = front.page(f"http://{HOST}:{one.port}/", outside=True)
            wrong += [f"{where}: no page"] * (page != HELLO)
            wrong += [f"{where}: the other port"] * any(
                re.search(r"\b808[01]\b", line) and one.port not in line for line in front.ruleset()
            )
            files, links, _rules = front.settled()
            addresses = [os.path.basename(name) for name in files if "/networks/" in name and "/var/lib/" in name]
            wrong += [f"{where}: {addresses}"] * (addresses != [one.ip])
            wrong += [f"{where}: {links}"] * (len(links) != 1)
            wrong += [f"{where}: {name}" for name in files if name.endswith(".new") or "/.locks/" in name]
            assert not front.modules.run("containerd_container", **options(one.task))["changed"], where
        else:
            wrong += [f"{where}: {left}" for left in front.left() if left]
    front.container("web", state="absent")
    wrong += [f"at last: {left}" for left in front.left() if left]
    assert not wrong, "\n".join(wrong)


def test_a_container_that_is_started_again_has_its_ports_again(site: Networked) -> None:
    """By its supervisor: the hook runs at each start."""
    made = site.web(published_ports=["8080:80"], restart_policy="on-failure", restart_delay="100ms")
    before = pid_of(made)
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not 0 < int(site.facts("web")["State"]["Pid"]) != before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert site.page(f"http://{HOST}:8080/", outside=True) == HELLO
    assert site.facts("web")["RestartCount"] == 1
    site.container("web", state="absent")
    assert site.left() == NOTHING
