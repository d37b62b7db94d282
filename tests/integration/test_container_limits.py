# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of containers: what the kernel has, when they are made and when they change while the container runs."""

from __future__ import annotations

import pathlib
import random
import re
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.attack import FULL
from ansible_collections.fleet.containerd.tests.support.cgroups import group_of, limits_of, version
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.site import Site
from ansible_collections.fleet.containerd.tests.support.stories.container import RUNS
from ansible_collections.fleet.containerd.tests.support.waiting import until

MIB = 1 << 20
Options = t.Dict[str, t.Any]
Kernel = t.Dict[str, t.Any]


class Case(t.NamedTuple):
    """Options of a container, and what the kernel has; then other ones while it runs, and then those that mean "no limit"."""

    made: Options
    has: Kernel
    changed: Options
    then: Kernel
    free: Options


#: One line an option.
CASES: t.Dict[str, Case] = {
    "memory": Case(
        {"memory": "64m"}, {"memory": 64 * MIB, "memory_swap": 128 * MIB},
        {"memory": "256m"}, {"memory": 256 * MIB, "memory_swap": 512 * MIB}, {"memory": 0},
    ),
    "memory_swap": Case(
        {"memory": "64m", "memory_swap": "64m"}, {"memory": 64 * MIB, "memory_swap": 64 * MIB},
        {"memory_swap": "unlimited"}, {"memory": 64 * MIB, "memory_swap": None}, {"memory_swap": 0, "memory": 0},
    ),
    "memory_reservation": Case(
        {"memory_reservation": "32m"}, {"memory_reservation": 32 * MIB},
        {"memory_reservation": "16m"}, {"memory_reservation": 16 * MIB}, {"memory_reservation": 0},
    ),
    "cpus": Case({"cpus": 0.5}, {"quota": 50000, "period": 100000}, {"cpus": 1}, {"quota": 100000, "period": 100000}, {"cpus": 0}),
    "cpu_quota": Case(
        {"cpu_quota": 20000, "cpu_period": 50000}, {"quota": 20000, "period": 50000},
        {"cpu_quota": 30000}, {"quota": 30000, "period": 50000}, {"cpu_quota": -1, "cpu_period": 0},
    ),
    "cpu_shares": Case({"cpu_shares": 512}, {"shares": 512}, {"cpu_shares": 2048}, {"shares": 2048}, {"cpu_shares": 0}),
    "cpuset": Case(
        {"cpuset_cpus": "0", "cpuset_mems": "0"}, {"cpus": 0, "mems": 0},
        {"cpuset_cpus": "1"}, {"cpus": 1, "mems": 0}, {"cpuset_cpus": "", "cpuset_mems": ""},
    ),
    "pids_limit": Case({"pids_limit": 50}, {"pids": 50}, {"pids_limit": 60}, {"pids": 60}, {"pids_limit": -1}),
    "blkio_weight": Case({"blkio_weight": 300}, {"weight": 300}, {"blkio_weight": 200}, {"weight": 200}, {"blkio_weight": 0}),
}  # fmt: skip


Result = t.Dict[str, t.Any]
Run = t.Callable[..., Result]


@pytest.fixture
def run(site: Site, modules: Modules, busybox: str) -> Run:
    def running(name: str, fails: bool = False, **options: t.Any) -> Result:
        found = modules.result("containerd_container", **{**site.defaults, **RUNS, "image": busybox, "name": name, **options})
        assert bool(found.get("failed")) is fails, found
        return found

    return running


def pid(result: Result) -> int:
    return int(result["container"]["State"]["Pid"])


def test_limits(run: Run) -> None:
    without = pid(run("without"))
    for option, case in CASES.items():
        name = option.replace("_", "-")
        made = run(name, **case.made)
        assert limits_of(pid(made), *case.has) == case.has, option
        assert not run(name, **case.made)["changed"]
        foreseen = run(name, **case.changed, _ansible_check_mode=True)
        assert limits_of(pid(made), *case.has) == case.has, option
        changed = run(name, **case.changed)
        assert changed["actions"] == foreseen["actions"] == [f"update {', '.join(sorted(case.changed))} of container {name}"]
        assert (pid(changed), limits_of(pid(changed), *case.then)) == (pid(made), case.then), option
        assert not run(name, **case.changed)["changed"]
        freed = run(name, **case.free)
        assert (pid(freed), limits_of(pid(freed), *case.then)) == (pid(made), limits_of(without, *case.then)), option


def disk() -> t.Tuple[str, str]:
    """Path and number of the disk that this machine runs from, or of another whole one."""
    found = [path for path in sorted(pathlib.Path("/sys/block").iterdir()) if pathlib.Path("/dev", path.name).is_block_device()]
    return f"/dev/{found[-1].name}", (found[-1] / "dev").read_text().strip()


def test_what_a_start_sets(run: Run) -> None:
    path, number = disk()
    made = run(
        "set",
        ulimits=["nofile:100:200", "core:0", "stack:1048576:-1"],
        oom_score_adj=300,
        shm_size="16m",
        sysctls={"kernel.msgmax": 4096, "net.ipv4.ip_unprivileged_port_start": "99"},
        device_read_bps=[{"path": path, "rate": "1m"}],
        device_write_bps=[{"path": path, "rate": "2m"}],
        device_read_iops=[{"path": path, "rate": 300}],
        device_write_iops=[{"path": path, "rate": 400}],
        **({"memory_swappiness": 0, "oom_killer": True, "memory": "64m"} if version() == 1 else {}),
    )  # fmt: skip
    limits = [line.split() for line in pathlib.Path(f"/proc/{pid(made)}/limits").read_text().splitlines()]
    assert [line[3:5] for line in limits if line[:3] == ["Max", "open", "files"]] == [["100", "200"]]
    assert [line[4:6] for line in limits if line[:4] == ["Max", "core", "file", "size"]] == [["0", "0"]]
    assert [line[3:5] for line in limits if line[:3] == ["Max", "stack", "size"]] == [["1048576", "unlimited"]]
    assert pathlib.Path(f"/proc/{pid(made)}/oom_score_adj").read_text() == "300\n"
    mounts = [line.split() for line in pathlib.Path(f"/proc/{pid(made)}/mountinfo").read_text().splitlines()]
    assert [line[-1].split(",")[1] for line in mounts if line[4] == "/dev/shm"] == ["size=16384k"]
    if version() == 1:
        rates = limits_of(pid(made), "read_bps", "write_bps", "read_iops", "write_iops", "memory_swappiness")
        asked = {"read_bps": MIB, "write_bps": 2 * MIB, "read_iops": 300, "write_iops": 400}
        assert rates == {**{name: f"{number} {rate}" for name, rate in asked.items()}, "memory_swappiness": 0}
    facts = made["container"]["HostConfig"]
    assert facts["Ulimits"][0] == {"Name": "nofile", "Soft": 100, "Hard": 200}
    assert (facts["ShmSize"], facts["OomScoreAdj"]) == (16 * MIB, 300)
    assert facts["BlkioDeviceReadBps"] == [{"Path": path, "Rate": MIB}]
    job = run(
        "job",
        command=["sh", "-c", "cd /proc/sys; cat kernel/msgmax net/ipv4/ip_unprivileged_port_start net/ipv4/conf/lo/forwarding"],
        sysctls={"kernel.msgmax": 4096, "net.ipv4.ip_unprivileged_port_start": "99", "net.ipv4.conf.lo.forwarding": 1},
        detach=False,
    )
    assert job["container"]["Output"].split() == ["4096", "99", "1"]


def test_a_limit_holds(run: Run) -> None:
    """Processes are refused, memory kills, and what cannot be had now changes nothing."""
    forks = "i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done"
    few = run("few", True, command=["sh", "-c", forks], pids_limit=5, detach=False)
    assert "can't fork" in few["container"]["Output"]
    eats = "dd if=/dev/zero of=/dev/shm/x bs=1M count=40 2>/dev/null; echo done"
    big = run("big", command=["sh", "-c", eats], memory="16m", memory_swap="16m", detach=False)
    assert (big["container"]["State"]["OOMKilled"], big["container"]["Output"]) == (True, "done\n")
    uses = run("uses", command=["sh", "-c", f"{eats}; exec sleep 1000"], memory="64m", pids_limit=50)
    log = pathlib.Path(uses["container"]["LogPath"])
    until(lambda: "done" in log.read_text())
    before = limits_of(pid(uses), "memory", "memory_swap", "pids")
    for how in ({"_ansible_check_mode": True}, {}):
        refused = run("uses", True, command=["sh", "-c", f"{eats}; exec sleep 1000"], memory="20m", pids_limit=40, **how)
        assert re.match("memory: the container uses 4[0-9]m now, so it cannot be limited to 20m", refused["msg"])
        assert not refused.get("changed")
    assert limits_of(pid(uses), "memory", "memory_swap", "pids") == before


def test_limits_that_something_else_has_changed(run: Run) -> None:
    """They are seen in the kernel, and set again; without a new container, and not where they are not compared."""
    options: Options = {"memory": "64m", "cpus": 0.5, "pids_limit": 50}
    has = {"memory": 64 * MIB, "quota": 50000, "pids": 50}
    made = run("web", **options)
    one, two = version() == 1, {"memory": "memory.max", "pids": "pids.max", "cpu": "cpu.max"}
    others = {"memory": str(96 * MIB), "pids": "60", "cpu": "70000" if one else "70000 100000"}
    names = {"memory": "memory.limit_in_bytes", "pids": "pids.max", "cpu": "cpu.cfs_quota_us"} if one else two

    def change(*controllers: str) -> None:
        for name in controllers:
            if name == "memory" and one:
                (group_of(pid(made), name) / "memory.memsw.limit_in_bytes").write_text(str(256 * MIB))
            (group_of(pid(made), name) / names[name]).write_text(others[name])

    change("memory", "pids", "cpu")
    assert limits_of(pid(made), *has) != has
    action = "set cpus, memory, pids_limit of container web again, which something else has changed"
    assert run("web", **options, _ansible_check_mode=True)["actions"] == [action]
    again = run("web", **options)
    assert (again["actions"], pid(again), limits_of(pid(made), *has)) == ([action], pid(made), has)
    assert not run("web", **options)["changed"]
    change("pids")
    assert not run("web", **options, comparisons={"pids_limit": "ignore"})["changed"]
    assert not run("web", **options, update_in_place=False)["changed"]
    # With another change at the same time.
    both = run("web", **{**options, "memory": "80m"})
    assert both["actions"] == ["update memory of container web"]
    assert limits_of(pid(made), *has) == {**has, "memory": 80 * MIB}


def test_its_files_change_while_it_runs(run: Run) -> None:
    """What the process inside reads, and what is written of its output."""
    speaks = ["sh", "-c", "while sleep 0.1; do cat /etc/hosts; done"]
    made = run("web", command=speaks, etc_hosts={"a": "192.0.2.1"}, log_options={"max-size": "300", "max-file": 2})
    log = pathlib.Path(made["container"]["LogPath"])
    rotated = log.with_name(f"{log.name}.1")
    until(lambda: rotated.exists() and "192.0.2.1\\ta" in log.read_text())
    changed = run("web", command=speaks, etc_hosts={"a": "192.0.2.2"}, log_options={"max-size": "1g", "max-file": 1})
    assert changed["actions"] == ["update etc_hosts, log_options of container web"]
    assert pid(changed) == pid(made)
    until(lambda: "192.0.2.2\\ta" in log.read_text() and log.stat().st_size > 3000)
    assert not rotated.exists()
    assert pathlib.Path(f"/proc/{pid(made)}/root/etc/hosts").read_text().count("192.0.2.") == 1


#: All system calls of a change that leave something.
CALLS = "write,pwrite64,sendto,sendmsg,mkdir,rename,renameat,renameat2,unlink,unlinkat,ftruncate,clone,clone3,vfork"
#: How many moments are tried when not all are.
FEW = 4


@pytest.mark.timeout(1500 if FULL else 600)
@pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)
def test_a_change_that_is_killed_is_completed_or_taken_back(site: Site, modules: Modules, run: Run) -> None:
    """Whatever the next run asks for, the task has it then: not only the record."""
    names = ("memory", "memory_swap", "pids", "quota")
    few: Options = {"memory": "64m", "pids_limit": 50, "cpus": 0, "log_options": {"max-size": "1m"}}
    many: Options = {"memory": "128m", "pids_limit": 60, "cpus": 0.5, "log_options": {"max-size": "2m"}}
    kernel = {
        50: {"memory": 64 * MIB, "memory_swap": 128 * MIB, "pids": 50, "quota": None},
        60: {"memory": 128 * MIB, "memory_swap": 256 * MIB, "pids": 60, "quota": 50000},
    }
    made = run("web", **few)
    image, rotation = made["container"]["Config"]["Image"], pathlib.Path(f"{made['container']['LogPath']}.rotation")
    killed = {**site.defaults, **RUNS, "image": image, "name": "web", **many}
    count = len(modules.killed_at(CALLS, 0, "containerd_container", **killed))
    assert count > 5
    run("web", **few)
    chosen = range(1, count + 1) if FULL else random.Random(13).sample(range(1, count + 1), FEW)
    wrong = []
    for number in chosen:
        for then in (few, many):
            calls = modules.killed_at(CALLS, number, "containerd_container", **killed)
            done = run("web", **then)
            found = limits_of(pid(done), *names)
            size = rotation.read_text().split()[0]
            same = (pid(done), found, size) == (
                pid(made),
                kernel[then["pids_limit"]],
                str(int(then["log_options"]["max-size"][0]) * MIB),
            )
            wrong += [f"killed at call {number} of {count} ({calls[-2][:80]}), then {then}: {found}, {size}"] * (not same)
            wrong += [f"{number}: changed again"] * run("web", **then)["changed"]
            run("web", **few)
    assert not wrong, "\n".join(wrong)
