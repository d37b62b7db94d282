# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both engines on a real host with systemd and control groups of version 2: what may end there, and what must not.

The tests are one story, in this order, since a login to an emulated machine takes many seconds.
"""

from __future__ import annotations

import json
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import task

from .conftest import IMAGE, Host

pytestmark = pytest.mark.timeout(3600)

# Not more often: that alone would keep an emulated processor busy.
_TICK = ["sh", "-c", "while sleep 4; do echo tick; done"]
_CHECK = {"test": "true", "interval": "9s", "timeout": "60s"}
#: Uses more memory than it may, on request.
_EATER = ["sh", "-c", "until test -e /go/now; do sleep 9; done; exec dd if=/dev/zero of=/dev/shm/x bs=1M count=60"]
#: Containers by name: one for each engine and each way in which we write the log.
KINDS: t.Dict[str, t.Dict[str, t.Any]] = {
    "runc": {"engine": "embedded", "command": _TICK},
    "crun": {"engine": "embedded", "runtime": "crun", "command": _TICK},
    "daemon": {"engine": "containerd", "command": _TICK},
    "fifos": {"engine": "containerd", "interactive": True, "command": _TICK},
    "runc-kept": {"engine": "embedded", "restart_policy": "always", "command": _TICK},
    "daemon-kept": {"engine": "containerd", "restart_policy": "unless-stopped", "command": _TICK},
    "daemon-checked": {"engine": "containerd", "restart_policy": "on-failure", "healthcheck": _CHECK, "command": _TICK},
    "runc-eater": {"engine": "embedded", "command": _EATER, "volumes": ["/run/go:/go"]},
    "crun-eater": {"engine": "embedded", "runtime": "crun", "command": _EATER, "volumes": ["/run/go:/go"]},
    "daemon-eater": {"engine": "containerd", "command": _EATER, "volumes": ["/run/go:/go"]},
}
TICKING = [name for name in KINDS if "eater" not in name]
#: Those that come back by themselves.
KEPT = ["runc-kept", "daemon-kept", "daemon-checked"]
EATERS = [name for name in KINDS if "eater" in name]
Facts = t.Dict[str, t.Any]


def _converge(host: Host, *names: str) -> t.Dict[str, t.Dict[str, t.Any]]:
    """The results by container."""
    return {name: host.module("containerd_container", name=name, image=IMAGE, **KINDS[name]) for name in names}


def _look(host: Host, *names: str) -> t.Dict[str, Facts]:
    """The facts of containers."""
    found = {}
    for name in names:
        (found[name],) = host.module("containerd_container_info", name=name, engine=KINDS[name]["engine"])["containers"]
    return found


def _grow(host: Host, made: t.Mapping[str, Facts]) -> None:
    """Check that every log grows."""
    before = host.sh("; ".join(f"wc -l <{one['LogPath']}" for one in made.values())).split()
    tests = [f"test $(wc -l <{one['LogPath']}) -gt $(({count} + 1))" for one, count in zip(made.values(), before)]
    host.until(" && ".join(tests), patience=120)


def _scope(facts: Facts) -> str:
    return f"fleet-default-{facts['Id']}.scope"


@pytest.fixture(scope="module")
def made(host: Host, image: str) -> t.Dict[str, Facts]:
    """The containers, made and started by one play."""
    host.sh("mkdir -p /run/go; rm -f /run/go/now")
    return {name: result["container"] for name, result in _converge(host, *KINDS).items()}


def test_the_machine_is_what_this_is_about(host: Host) -> None:
    assert host.sh("stat -f -c %T /sys/fs/cgroup; cat /proc/1/comm") == "cgroup2fs\nsystemd\n"
    assert host.sh("python3 -V").startswith({"bookworm": "Python 3.11.", "trixie": "Python 3.13."}[host.suite])


def test_the_same_again_changes_nothing(host: Host, made: t.Dict[str, Facts]) -> None:
    again = _converge(host, *KINDS)
    assert {name: (one["changed"], one["actions"]) for name, one in again.items()} == dict.fromkeys(KINDS, (False, []))


def test_a_playbook_leaves_its_compiled_code_for_the_next_one(host: Host, made: t.Dict[str, Facts]) -> None:
    look = "ls -l --time-style=full-iso /var/cache/fleet-containerd | grep -v ^total"
    play = [task("containerd_container_info", name="runc", engine="embedded")]
    assert len(host.play(play).last.value("containers")) == 1
    kept = host.sh(look)
    assert len(kept.splitlines()) == 1
    assert len(host.play(play).last.value("containers")) == 1
    assert host.sh(look) == kept


def test_systemctl_knows_every_container(host: Host, made: t.Dict[str, Facts]) -> None:
    scopes = {name: _scope(facts) for name, facts in made.items()}
    shown = host.sh(f"systemctl show -p Id -p ActiveState -p ControlGroup {' '.join(scopes.values())}").split("\n\n")
    pids = [one["State"]["Pid"] for one in made.values()]
    groups = host.sh("; ".join(f"cat /proc/{pid}/cgroup" for pid in pids)).splitlines()
    for (name, scope), properties, group in zip(scopes.items(), shown, groups):
        wanted = {f"Id={scope}", "ActiveState=active", f"ControlGroup=/system.slice/{scope}"}
        assert set(properties.split()) == wanted, name
        # crun puts the container in a group below its scope.
        assert f"{group}/".startswith(f"0::/system.slice/{scope}/"), name


def test_what_writes_logs_is_in_no_login(host: Host, made: t.Dict[str, Facts]) -> None:
    """Each of our shims has a scope, and so has the log writer that no shim of containerd has started."""
    groups = host.sh("for one in $(pgrep -f ctr.pyz); do test $one = $$ || cat /proc/$one/cgroup; done").split()
    assert [one for one in groups if "user.slice" in one] == []
    for name, facts in made.items():
        of_its_own = [one for one in groups if f"/fleet-shim-{facts['Id']}-" in one or f"/fleet-log-{facts['Id']}-" in one]
        assert len(of_its_own) == (KINDS[name]["engine"] == "embedded" or name == "fifos"), name


def test_the_end_of_a_login_ends_nothing(host: Host, made: t.Dict[str, Facts]) -> None:
    ticking = {name: made[name] for name in TICKING}
    _grow(host, ticking)
    ended = host.sh("loginctl show-user root -p Sessions --value").strip()
    host.machine.ssh("loginctl terminate-user root", check=False)
    host.close()
    # A command in a login that is about to end would fail.
    host.until(f"for one in {ended}; do loginctl show-session $one >/dev/null 2>&1 && exit 1; done; true")
    _grow(host, ticking)
    found = _look(host, *TICKING)
    assert {name: (one["State"]["Status"], one["State"]["Pid"]) for name, one in found.items()} == {
        name: ("running", one["State"]["Pid"]) for name, one in ticking.items()
    }


def test_a_limit_is_kept_and_a_kill_for_memory_is_told(host: Host, made: t.Dict[str, Facts]) -> None:
    limits = [f"systemctl set-property --runtime {_scope(made[name])} MemoryMax=16M" for name in EATERS]
    host.sh(" && ".join([*limits, "touch /run/go/now"]))
    host.until(" && ".join(f"! test -e /proc/{made[name]['State']['Pid']}" for name in EATERS))
    for name, facts in _look(host, *EATERS).items():
        state = facts["State"]
        assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 137, True), name
    assert host.sh("systemctl list-units --all --no-legend 'fleet-*eater*' --state=failed") == ""


#: Options, and what systemd has of them (org.freedesktop.systemd1); then others, and then those without limits.
_LIMITS: t.List[t.Tuple[t.Dict[str, t.Any], t.Dict[str, str]]] = [
    (
        {"memory": "64m", "memory_reservation": "16m", "cpus": 0.5, "pids_limit": 50, "cpu_shares": 512},
        {
            "MemoryMax": str(64 << 20),
            "MemoryLow": str(16 << 20),
            "CPUQuotaPerSecUSec": "500ms",
            "TasksMax": "50",
            "CPUWeight": "20",
        },
    ),
    (
        {"memory": "96m", "memory_reservation": "32m", "cpus": 0.25, "pids_limit": 60, "cpu_shares": 1024},
        {
            "MemoryMax": str(96 << 20),
            "MemoryLow": str(32 << 20),
            "CPUQuotaPerSecUSec": "250ms",
            "TasksMax": "60",
            "CPUWeight": "39",
        },
    ),
    (
        {"memory": 0, "memory_reservation": 0, "cpus": 0, "pids_limit": 0, "cpu_shares": 0},
        {"MemoryMax": "infinity", "MemoryLow": "0", "CPUQuotaPerSecUSec": "infinity", "TasksMax": "infinity", "CPUWeight": "100"},
    ),
]


def test_limits_change_while_a_container_runs(host: Host, made: t.Dict[str, Facts]) -> None:
    """Also for systemd, which would otherwise set the old ones again when it is reloaded.

    crun has a group of its own below the scope, which systemd leaves alone. crun 1.8 does not tell systemd, and cannot lift limits.
    """
    for name in ("runc", "crun", "daemon"):
        for options, wanted in _LIMITS[: 2 if name == "crun" else None]:
            done = host.module("containerd_container", name=name, image=IMAGE, **KINDS[name], **options)
            assert done["actions"] == [f"update {', '.join(sorted(options))} of container {name}"]
            assert done["container"]["State"]["Pid"] == made[name]["State"]["Pid"]
            host.sh("systemctl daemon-reload")
            own = host.sh(f"cat /proc/{made[name]['State']['Pid']}/cgroup").strip().partition("::")[2]
            for file, key in (("memory.max", "MemoryMax"), ("memory.low", "MemoryLow"), ("pids.max", "TasksMax")):
                limit = wanted[key].replace("infinity", "max")
                places = f"/sys/fs/cgroup{own}/{file} /sys/fs/cgroup/system.slice/{_scope(made[name])}/{file}"
                assert limit in host.sh(f"cat {places}").split(), (name, file)
            if name != "crun" or host.suite != "bookworm":
                shown = host.sh(f"systemctl show {' '.join(f'-p {one}' for one in wanted)} {_scope(made[name])}")
                assert set(shown.split()) == {f"{key}={value}" for key, value in wanted.items()}, name


def test_no_process_is_killed_for_a_new_limit(host: Host, made: t.Dict[str, Facts]) -> None:
    """Version 2 would kill."""
    fill = ["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=40; touch /go/full; exec sleep 9999"]
    options: t.Dict[str, t.Any] = {
        "name": "full",
        "image": IMAGE,
        "command": fill,
        "volumes": ["/run/go:/go"],
        "stop_signal": "KILL",
    }
    for engine in ("embedded", "containerd"):
        full = host.module("containerd_container", **options, engine=engine)["container"]
        host.until("test -e /run/go/full && rm /run/go/full")
        with pytest.raises(AssertionError, match="memory: the container uses [0-9]+m now, so it cannot be limited to 20m"):
            host.module("containerd_container", **options, engine=engine, memory="20m")
        enough = host.module("containerd_container", **options, engine=engine, memory="80m")["container"]
        assert enough["State"]["Pid"] == full["State"]["Pid"]
        host.module("containerd_container", name="full", engine=engine, state="absent")


def test_the_journal_of_the_host(host: Host, image: str) -> None:
    """With its fields, also of what is too large for a datagram (memfd)."""
    large = {f"LARGE_{number}": "x" * 120_000 for number in range(4)}
    for engine in ("embedded", "containerd"):
        name = f"journal-{engine}"
        done = host.module(
            "containerd_container",
            name=name,
            image=IMAGE,
            engine=engine,
            command=["sh", "-c", "echo out; echo err >&2"],
            detach=False,
            env=large,
            log_driver="journald",
            log_options={"tag": "{{.Name}}", "env-regex": "^LARGE"},
        )
        assert sorted(done["container"]["Output"].split()) == ["err", "out"]
        look = f"journalctl -o json --all CONTAINER_NAME={name}"
        host.until(f"test $({look} | wc -l) = 2", patience=60)
        found = {one["MESSAGE"]: one for one in map(json.loads, host.sh(look).splitlines())}
        assert {text: one["PRIORITY"] for text, one in found.items()} == {"out": "6", "err": "3"}
        for one in found.values():
            assert (one["SYSLOG_IDENTIFIER"], one["CONTAINER_ID_FULL"]) == (name, done["container"]["Id"])
            assert {key: one[key] for key in large} == large
        host.module("containerd_container", name=name, engine=engine, state="absent")


def test_a_restart_of_the_daemon_ends_nothing(host: Host, made: t.Dict[str, Facts]) -> None:
    host.sh("systemctl restart containerd")
    ticking = {name: made[name] for name in TICKING}
    _grow(host, ticking)
    assert {name: one["State"]["Pid"] for name, one in _look(host, *TICKING).items()} == {
        name: one["State"]["Pid"] for name, one in ticking.items()
    }


def test_who_has_a_policy_is_started_again(host: Host, made: t.Dict[str, Facts]) -> None:
    """Also with systemd's control groups: a new run is a new scope."""
    host.sh(f"kill -9 {' '.join(str(made[name]['State']['Pid']) for name in KEPT)}")
    found = _back(host, {name: made[name] for name in KEPT})
    _grow(host, found)
    for name, facts in found.items():
        assert host.sh(f"systemctl show -P ActiveState {_scope(facts)}") == "active\n", name
        made[name] = facts


def test_a_boot_starts_them_too(host: Host) -> None:
    """The unit is there, and has nothing to do while they run."""
    assert host.sh("systemctl is-enabled fleet-containers.service") == "enabled\n"
    before = {name: one["State"]["Pid"] for name, one in _look(host, *KEPT).items()}
    host.sh("systemctl restart fleet-containers.service; systemctl stop fleet-containers.service")
    assert {name: one["State"]["Pid"] for name, one in _look(host, *KEPT).items()} == before


def _back(host: Host, before: t.Mapping[str, Facts]) -> t.Dict[str, Facts]:
    """The facts of containers when all of them run again."""
    deadline = time.monotonic() + 300
    while True:
        found = _look(host, *before)
        if all(one["State"]["Pid"] not in (0, before[name]["State"]["Pid"]) for name, one in found.items()):
            return found
        assert time.monotonic() < deadline, {name: one["State"] for name, one in found.items()}
        time.sleep(5)


def test_after_a_reboot_the_truth_is_told_and_a_play_starts_them_again(host: Host, made: t.Dict[str, Facts]) -> None:
    """Those with a policy run already; the one of them that a task had stopped does not."""
    host.module("containerd_container", name="runc-kept", engine="embedded", state="stopped", force_kill=True)
    boot = host.sh("cat /proc/sys/kernel/random/boot_id").strip()
    host.machine.ssh("systemctl reboot", check=False)
    host.close()
    host.until(f"test $(cat /proc/sys/kernel/random/boot_id) != {boot}", patience=900)
    back = _back(host, {name: made[name] for name in KEPT if name != "runc-kept"})
    _grow(host, back)
    for name, facts in _look(host, *(name for name in KINDS if name not in back)).items():
        state = facts["State"]
        assert (state["Status"], state["Pid"]) == ("exited", 0), name
        assert state["StartedAt"].startswith("20"), name
        assert state["FinishedAt"] > state["StartedAt"], name
    rest = [name for name in TICKING if name not in back]
    done = _converge(host, *rest)
    assert {name: one["actions"] for name, one in done.items()} == {name: [f"start container {name}"] for name in rest}
    _grow(host, {name: one["container"] for name, one in done.items()})
