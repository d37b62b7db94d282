# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a container that stays: what reaches the task, the record, and what is left when something goes wrong on the way."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, ResourceExhausted
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec import cgroups
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite

MIB = 1 << 20
Limits = t.Dict[str, t.Any]


@pytest.fixture
def image(site: MemorySite, busybox: str) -> str:
    return busybox


def asked(image: str, **options: t.Any) -> Task:
    return task("containerd_container", name="web", image=image, command=["sleep", "1000"], **options)


def limits(site: MemorySite) -> Limits:
    """What updates told the task."""
    return site.memory.tasks.limits.get(record(site).id, {})


def record(site: MemorySite) -> t.Any:
    (container,) = site.memory.containers.list()
    return container


def written(site: MemorySite) -> Limits:
    """The limits that the next start gives."""
    return {key: value for key, value in record(site).spec["linux"]["resources"].items() if key != "devices"}


def mark(site: MemorySite) -> pathlib.Path:
    return pathlib.Path(site.memory.container_path(record(site).id), "updating")


def test_the_task_gets_the_limits_with_those_that_depend_on_them(site: MemorySite, image: str) -> None:
    site.play(asked(image, memory="64m", pids_limit=9))
    (changed,) = site.converge(asked(image, memory="128m", cpus=0.5, pids_limit=-1))
    assert changed.actions == ["update cpus, memory, pids_limit of container web"]
    assert limits(site) == {
        "memory": {"limit": 128 * MIB, "swap": 256 * MIB},
        "cpu": {"quota": 50000, "period": 100000},
        "pids": {"limit": -1},
    }
    assert written(site) == {"memory": {"limit": 128 * MIB, "swap": 256 * MIB}, "cpu": {"quota": 50000, "period": 100000}}
    facts = changed.value("container")["HostConfig"]
    assert (facts["Memory"], facts["MemorySwap"], facts["NanoCpus"], facts["CpuQuota"]) == (128 * MIB, 256 * MIB, 500000000, 0)
    assert not mark(site).exists()


def test_a_stopped_container_gets_them_with_its_next_start(site: MemorySite, image: str) -> None:
    site.play(asked(image, memory="64m"), task("containerd_container", name="web", state="stopped"))
    changed = site.play(asked(image, memory="128m", state="stopped")).last
    assert changed.actions == ["update memory of container web"]
    assert limits(site) == {}
    assert written(site)["memory"]["limit"] == 128 * MIB


def test_a_limit_that_is_given_does_not_follow_another_one(site: MemorySite, image: str) -> None:
    """Neither when it was the default before."""
    site.play(asked(image, memory="64m"))
    (changed,) = site.converge(asked(image, memory="128m", memory_swap="128m"))
    assert changed.actions == ["update memory of container web"]
    assert limits(site)["memory"] == {"limit": 128 * MIB, "swap": 128 * MIB}
    assert changed.value("container")["HostConfig"]["MemorySwap"] == 128 * MIB
    site.play(asked(image, memory="256m", memory_swap="1g", comparisons={"memory_swap": "ignore"}), failing=True)
    assert limits(site)["memory"]["limit"] == 128 * MIB
    # The default, by its name: it follows.
    site.converge(asked(image, memory="256m", memory_swap=0))
    assert limits(site)["memory"] == {"limit": 256 * MIB, "swap": 512 * MIB}
    site.converge(asked(image, memory="300m"))
    assert limits(site)["memory"] == {"limit": 300 * MIB, "swap": 600 * MIB}


def test_options_of_the_same_thing_take_the_place_of_each_other(site: MemorySite, image: str) -> None:
    site.play(asked(image, cpu_quota=20000, cpu_period=50000))
    (changed,) = site.converge(asked(image, cpus=0.75))
    assert changed.actions == ["update cpus of container web"]
    assert limits(site)["cpu"] == {"quota": 75000, "period": 100000}
    facts = changed.value("container")["HostConfig"]
    assert (facts["CpuQuota"], facts["CpuPeriod"], facts["NanoCpus"]) == (0, 0, 750000000)
    (back,) = site.converge(asked(image, cpu_quota=30000))
    assert limits(site)["cpu"] == {"quota": 30000, "period": 100000}
    assert back.value("container")["HostConfig"]["NanoCpus"] == 0


def failed(site: MemorySite, asked_for: Task) -> TaskResult:
    """It fails in check mode as well as when it runs, and changes nothing."""
    before = (written(site), limits(site))
    predicted, real = site.play(asked_for, check=True, failing=True).last, site.play(asked_for, failing=True).last
    assert predicted.msg == real.msg
    assert not real.changed
    assert (written(site), limits(site)) == before
    assert not mark(site).exists()
    return real


def test_contradictions_with_what_the_container_has(site: MemorySite, image: str) -> None:
    site.play(asked(image, memory="64m", memory_swap="96m"))
    assert failed(site, asked(image, memory="128m")).msg == (
        "memory_swap: 96m is less than memory: 128m; it is the sum of memory and swap "
        "(what the task does not give is as the container has it)"
    )


def test_limits_that_cannot_be_had_now(site: MemorySite, image: str) -> None:
    site.play(asked(image, memory="64m", pids_limit=9))
    site.memory.tasks.memory[record(site).id] = 32 * MIB
    refused = site.play(asked(image, memory="16m", pids_limit=5), failing=True).last
    assert refused.msg == f"memory: the container uses more than {16 * MIB} bytes"
    assert refused.value("failed_action") == "update memory, pids_limit of container web"
    assert not refused.changed
    assert written(site) == {"memory": {"limit": 64 * MIB, "swap": 128 * MIB}, "pids": {"limit": 9}}
    # What the runtime may have set before it failed is put back.
    assert limits(site) == written(site)
    assert not mark(site).exists()
    assert not site.play(asked(image, memory="64m", pids_limit=9)).last.changed


def test_a_record_that_cannot_be_written(site: MemorySite, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site.play(asked(image, pids_limit=9, log_options={"max-size": "1k"}))

    def full(*_arguments: t.Any) -> t.Any:
        raise ResourceExhausted("no space")

    with monkeypatch.context() as patch:
        patch.setattr(type(site.memory.containers), "update", full)
        site.play(asked(image, pids_limit=5, log_options={"max-size": "2k"}), failing=True)
    assert limits(site)["pids"] == {"limit": 9}
    assert rotation(site) == "1024 1\n"
    assert not mark(site).exists()


def rotation(site: MemorySite) -> str:
    found = record(site)
    return pathlib.Path(site.memory.container_path(found.id), f"{found.id}-json.log.rotation").read_text()


def killed(site: MemorySite, image: str, monkeypatch: pytest.MonkeyPatch, after: str, **options: t.Any) -> None:
    """A run that is killed right after this: before the task got the limits, or before the record."""

    class Killed(BaseException):
        pass

    def kill(*_arguments: t.Any) -> t.Any:
        raise Killed

    store = {"mark": (type(site.memory.tasks), "update"), "task": (type(site.memory.containers), "update")}[after]
    with monkeypatch.context() as patch:
        patch.setattr(*store, kill)
        # A killed process takes nothing back.
        patch.setattr(
            "ansible_collections.fleet.containerd.plugins.module_utils.resources.container.live._done", lambda step: False
        )
        with pytest.raises(Killed):
            site.play(asked(image, **options))
    assert mark(site).exists()


@pytest.mark.parametrize("after", ["mark", "task"])
def test_a_killed_run_is_completed_whatever_is_asked_by_then(
    site: MemorySite, image: str, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    first, second = {"pids_limit": 9}, {"pids_limit": 5, "memory": "64m", "log_options": {"max-size": "2k"}}
    site.play(asked(image, **first))
    killed(site, image, monkeypatch, after, **second)
    (again,) = site.converge(asked(image, **second))
    assert again.actions == ["update log_options, memory, pids_limit of container web"]
    assert limits(site) == {"pids": {"limit": 5}, "memory": {"limit": 64 * MIB, "swap": 128 * MIB}}
    assert rotation(site) == "2048 1\n"

    third = {"pids_limit": 7, "memory": 0, "cpus": 1}
    killed(site, image, monkeypatch, after, **third)
    (back,) = site.converge(asked(image, **second))
    assert back.actions == ["complete the interrupted update of container web"]
    assert back.value("diff") == {"before": {}, "after": {}}
    assert (limits(site)["pids"], limits(site)["memory"]["limit"]) == ({"limit": 5}, 64 * MIB)
    if after == "task":
        assert limits(site)["cpu"] == {"quota": -1, "period": 100000}
    assert not mark(site).exists()


def test_a_damaged_mark_is_a_mark(site: MemorySite, image: str) -> None:
    site.play(asked(image, pids_limit=9))
    made = record(site)
    site.memory.containers.update(made._replace(labels={**made.labels, "of": "another tool"}), ["labels"])
    for damage in (b"", b"[", b"[1]", b"\xff"):
        mark(site).write_bytes(damage)
        (done,) = site.converge(asked(image, pids_limit=9))
        assert done.actions == ["complete the interrupted update of container web"]
        assert limits(site)["pids"] == {"limit": 9}
    assert record(site).labels["of"] == "another tool"


def test_what_only_the_record_has_leaves_the_task_alone(site: MemorySite, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: t.Any) -> t.Any:
        raise FailedPrecondition("the task was touched")

    site.play(asked(image, stop_timeout=1))
    monkeypatch.setattr(type(site.memory.tasks), "update", never)
    assert site.converge(asked(image, stop_timeout=2, stop_signal="INT", labels={"a": "b"}))


def test_nothing_in_place_if_that_is_not_wanted(site: MemorySite, image: str) -> None:
    site.play(asked(image, memory="64m", labels={"a": "1"}))
    (made,) = site.converge(asked(image, memory="128m", labels={"a": "2"}, update_in_place=False))
    assert made.value("recreated_because") == ["labels", "memory"]
    assert not site.play(asked(image, memory="128m", labels={"a": "2"})).last.changed


def test_what_a_target_lacks_is_told_of_live_changes_too(site: MemorySite, image: str) -> None:
    site.play(asked(image, cpus=0.5))
    assert "cpus: 9999 is more than the target has" in failed(site, asked(image, cpus=9999)).msg
    assert not site.play(asked(image, cpus=9999, comparisons={"cpus": "ignore"})).last.changed


def test_limits_of_a_container_of_another_tool(site: MemorySite, image: str) -> None:
    """They are told, from its specification; without any, as docker tells it."""
    site.play(asked(image, state="present"))
    made = record(site)
    resources = {"memory": {"limit": 64 * MIB, "swap": -1}, "cpu": {"shares": 512, "cpus": "0"}, "pids": {"limit": 7}}
    for name, limits_there in (("other", resources), ("bare", {})):
        spec = {**made.spec, "linux": {**made.spec["linux"], "resources": limits_there}}
        if name == "bare":
            spec["mounts"] = []
        site.memory.containers.create(made._replace(id=name, spec=spec, labels={}, extensions={}))
    told = site.play(task("containerd_container_info")).last.value("containers")
    found = {one["Id"]: one["HostConfig"] for one in told}
    names = (
        "Memory",
        "MemorySwap",
        "MemorySwappiness",
        "CpuShares",
        "CpuQuota",
        "NanoCpus",
        "CpusetCpus",
        "PidsLimit",
        "ShmSize",
    )
    assert [found["other"][name] for name in names] == [64 * MIB, -1, None, 512, 0, 0, "0", 7, 64 * MIB]
    assert [found["bare"][name] for name in names] == [0, 0, None, 0, 0, 0, "", None, 0]


def hosts(site: MemorySite) -> t.List[str]:
    """The lines that a task asks for, in the container's /etc/hosts, and what others have written there."""
    lines = pathlib.Path(site.memory.container_path(record(site).id), "hosts").read_text().splitlines()
    return lines[2:]


def test_lines_of_etc_hosts_in_place(site: MemorySite, image: str) -> None:
    site.play(asked(image, network_mode="none", etc_hosts={"a": "192.0.2.1"}))
    path = pathlib.Path(site.memory.container_path(record(site).id), "hosts")
    mounted, begin, end = path.stat().st_ino, "# begin fleet.containerd (etc_hosts)", "# end fleet.containerd (etc_hosts)"
    with path.open("a") as stream:
        stream.write("192.0.2.9 of-the-container\n")
    (more,) = site.converge(asked(image, network_mode="none", etc_hosts={"b": "192.0.2.2"}))
    assert more.actions == ["update etc_hosts of container web"]
    assert hosts(site) == [begin, "192.0.2.1\ta", "192.0.2.2\tb", end, "192.0.2.9 of-the-container"]
    assert more.value("container")["HostConfig"]["ExtraHosts"] == ["a:192.0.2.1", "b:192.0.2.2"]
    assert record(site).labels["nerdctl/extraHosts"] == '["a:192.0.2.1", "b:192.0.2.2"]'
    assert not site.play(asked(image, network_mode="none", etc_hosts={"a": "192.0.2.1"})).last.changed
    site.converge(asked(image, network_mode="none", etc_hosts={}))
    assert hosts(site) == ["192.0.2.9 of-the-container"]
    assert path.stat().st_ino == mounted


def test_who_has_the_hosts_file_of_another_network_gets_a_new_container(site: MemorySite, image: str) -> None:
    site.play(asked(image, network_mode="host"))
    (made,) = site.converge(asked(image, network_mode="host", etc_hosts={"a": "192.0.2.1"}))
    assert made.value("recreated_because") == ["etc_hosts"]
    (live,) = site.converge(asked(image, network_mode="host", etc_hosts={"a": "192.0.2.2"}))
    assert "recreated_because" not in live.result
    (back,) = site.converge(asked(image, network_mode="host", etc_hosts={}))
    assert back.value("recreated_because") == ["etc_hosts"]


def in_vain(result: TaskResult) -> t.List[str]:
    return sorted(one for one in result.result.get("warnings") or [] if "it has no effect" in one)


def test_what_the_kernel_of_a_target_cannot_do(site: MemorySite, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning names what was asked for in vain; what was only a default is left out without one.

    I21: values that the kernel cannot have or show are compared as they were given, so they are no difference the next time.
    """
    for name, value in (("limits_swap", False), ("weighs_disks", False), ("version", 2)):
        monkeypatch.setattr(cgroups, name, lambda value=value: value)
    quiet = site.play(asked(image, memory="64m")).last
    assert (in_vain(quiet), written(site)) == ([], {"memory": {"limit": 64 * MIB}})
    loud = {"memory_swap": "96m", "memory_swappiness": 10, "oom_killer": True, "blkio_weight": 300}
    told = site.play(asked(image, memory="64m", **loud)).last
    why = {
        "memory_swap": "the kernel of the target does not limit swap space",
        "memory_swappiness": "only version 1 of the control groups has it",
        "oom_killer": "only version 1 of the control groups has it",
        "blkio_weight": "the kernel of the target weighs no disks",
    }
    assert in_vain(told) == sorted(f"{option}: it has no effect: {reason}" for option, reason in why.items())
    assert written(site) == {"memory": {"limit": 64 * MIB}}
    assert not site.play(asked(image, memory="64m", **loud)).last.changed
