# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of each option on each engine, one line an option: made, again, another value, none; in check mode first; and what the process
inside sees each time.

The container is a job, so its output is what it saw, and a job that has ended stays as asked.
"""

from __future__ import annotations

import functools
import pathlib
import re
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options import table
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.row import Live
from ansible_collections.fleet.containerd.tests.integration import test_container_limits as limits
from ansible_collections.fleet.containerd.tests.support.cgroups import version
from ansible_collections.fleet.containerd.tests.support.inside import (
    ALL_OF_HOST,
    DEFAULT,
    EFFECTIVE,
    NAMESPACE,
    Ground,
    another,
    bind,
    mask,
    matches,
    own,
    status,
)
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.networked import Networked
from ansible_collections.fleet.containerd.tests.support.site import Site

Options = t.Dict[str, t.Any]
Run = t.Callable[..., t.Dict[str, t.Any]]
#: The place of a fact, for what no process can see.
FACT = "fact:"
BEGIN = "BEGIN\n"


class Line(t.NamedTuple):
    """Two values of an option, and the one that means "none" (None: there is none, so it is left out and the container made anew).

    look: a script that the container runs, or the place of a fact. sees: what that tells with the two values and without one: text, or
    a pattern (begins with ^). more: other options that it takes.
    """

    first: t.Any
    second: t.Any
    none: t.Any
    look: str
    sees: t.Tuple[t.Any, t.Any, t.Any]
    more: Options = {}


def rated(option: str, rate: t.Any, name: str) -> Line:
    path, number = limits.disk()
    text = f"^{number} {{}}\n?" if version() == 1 else f"^{number} .*\\b{{}}\\b.*"
    script = f"cat /sys/fs/cgroup/blkio/blkio.throttle.{name}_device /sys/fs/cgroup/io.max 2>/dev/null"
    values: t.List[t.Any] = [[{"path": path, "rate": one}] for one in (rate, rate + rate if isinstance(rate, int) else "2m")]
    numbers = (rate, 2 * rate) if isinstance(rate, int) else (1 << 20, 2 << 20)
    return Line(*values, [], script, (*(text.format(one) for one in numbers), ""))


MOUNTED = "for one in /a /b; do test -e $one/file && echo $one; done; (: >/a/x) 2>&1 | grep -c Read-only"
CDI = "echo $CDI; ls /dev | grep cdi"
RESOLVER = "sed -n 's/^{} //p' /etc/resolv.conf 2>/dev/null"
MEMORY = "/sys/fs/cgroup/memory/memory."
LINES: t.Dict[str, Line] = {
    # The process.
    "command": Line(["sh", "-c", "echo a b"], "sh -c 'echo c'", [], "", ("a b", "c", "")),
    "entrypoint": Line(["env", "A=1"], "env A=2", [], "echo $A", ("1", "2", "")),
    "env": Line({"A": "1"}, {"A": "2=2"}, {}, "echo $A", ("1", "2=2", "")),
    "env_file": Line(["HERE/env"], ["HERE/env2"], [], "echo $A-$B-$C", ("one=1-file-", "--three", "--")),
    "user": Line("user", "7:8", "", "id -u; id -g", ("1000\n1000", "7\n8", "0\n0")),
    "groups": Line(["extra", "77"], ["78"], [], "id -G", ("^.*\\b77 2000", "^.*\\b78", "^(?!.*7).*")),
    "umask": Line("027", "077", None, "umask", ("0027", "0077", "0022")),
    "working_dir": Line("/etc", "/new//x", None, "pwd", ("/etc", "/new/x", "/")),
    "init": Line(True, False, None, "tr '\\0' '\\n' </proc/1/cmdline | head -n 1", ("/sbin/docker-init", "sh", "sh")),
    "init_binary": Line(
        "/usr/bin/catatonit", "HERE/init", None, "grep /sbin/docker-init /proc/self/mountinfo | cut -d' ' -f4",
        ("^.*/catatonit", "^.*/ground/init", ""),
    ),
    "systemd": Line("always", "true", "false", "grep -c ' /run ' /proc/self/mountinfo", ("1", "0", "0")),
    "tty": Line(True, False, None, "test -t 1 && echo terminal", ("terminal\r", "", "")),
    "interactive": Line(True, False, None, "stat -Lc %t:%T /proc/self/fd/0", ("0:0", "1:3", "1:3")),
    "stop_signal": Line("USR1", 2, None, f"{FACT}Config.StopSignal", ("SIGUSR1", "SIGINT", "SIGTERM")),
    "stop_timeout": Line(3, 4, None, f"{FACT}Config.StopTimeout", (3, 4, 10)),
    "ulimits": Line(["nofile:100:200"], ["nofile:300"], [], "ulimit -Sn; ulimit -Hn", ("100\n200", "300\n300", "^(?!100|300).*")),
    "oom_score_adj": Line(300, 200, 0, "cat /proc/self/oom_score_adj", ("300", "200", "0")),
    # Names.
    "hostname": Line("box", "other", None, "hostname", ("box", "other", "^[0-9a-f]{12}")),
    "domainname": Line("a.example", "b.example", None, "cat /proc/sys/kernel/domainname", ("a.example", "b.example", "(none)")),
    "dns_servers": Line(["192.0.2.1"], ["192.0.2.2"], [], RESOLVER.format("nameserver"), ("192.0.2.1", "192.0.2.2", "")),
    "dns_search_domains": Line(["a.example"], ["b.example"], [], RESOLVER.format("search"), ("a.example", "b.example", "")),
    "dns_opts": Line(["ndots:2"], ["rotate"], [], RESOLVER.format("options"), ("ndots:2", "rotate", "")),
    "etc_hosts": Line({"db": "192.0.2.1"}, {"db": "::2"}, {}, "grep -w db /etc/hosts | cut -f1", ("192.0.2.1", "::2", "")),
    # Its record.
    # The second one is longer than containerd takes.
    "labels": Line({"a": "1"}, {"a": "2" * 5000}, {}, f"{FACT}Config.Labels", ({"a": "1"}, {"a": "2" * 5000}, {})),
    "annotations": Line({"a.b": "1"}, {"a.b": "2"}, {}, f"{FACT}HostConfig.Annotations", ({"a.b": "1"}, {"a.b": "2"}, {})),
    # journald, syslog and their options: test_log_drivers.py.
    "log_driver": Line("none", "json-file", None, "echo said", ("", "said", "said")),
    "log_options": Line(
        {"max-size": "500"}, {"max-size": "1m"}, {}, "for i in $(seq 100 160); do echo $i; done",
        ("^1[56][0-9]\n.*160", "^100\n.*160", "^100\n.*160"),
    ),
    "restart_policy": Line("on-failure", "no", None, f"{FACT}HostConfig.RestartPolicy.Name", ("on-failure", "no", "no")),
    "restart_retries": Line(
        5, 3, 0, f"{FACT}HostConfig.RestartPolicy.MaximumRetryCount", (5, 3, 0), {"restart_policy": "on-failure"}
    ),
    "restart_delay": Line("500ms", "1m30s", None, f"{FACT}Containerd.RestartDelay", ("500ms", "1m30s", None)),
    "restart_max_delay": Line("2s", "1.5m", None, f"{FACT}Containerd.RestartMaxDelay", ("2s", "1m30s", None)),
    "healthcheck": Line(
        {"test": "true"}, {"test": ["CMD", "false"]}, {"test": ["NONE"]}, f"{FACT}Config.Healthcheck",
        ({"Test": ["CMD-SHELL", "true"]}, {"Test": ["CMD", "false"]}, None),
    ),
    # Files.
    "read_only": Line(True, False, None, "(: >/x) 2>&1", ("sh: can't create /x: Read-only file system", "", "")),
    "volumes": Line(["HERE/tree:/a:ro"], ["HERE/tree:/b/"], [], MOUNTED, ("/a\n1", "/b\n0", "0")),
    "volumes_from": Line(["one:ro"], ["two"], [], MOUNTED, ("/a\n1", "/b\n0", "0")),
    "mounts": Line([bind(read_only=True)], [bind(target="/b")], [], MOUNTED, ("/a\n1", "/b\n0", "0")),
    "tmpfs": Line(["/t:size=8m"], {"/t": "size=4m"}, [], "sed -n 's/.* \\/t .*size=\\([0-9]*k\\).*/\\1/p' /proc/self/mountinfo", ("8192k", "4096k", "")),
    "shm_size": Line("16m", "8m", 0, "df -k /dev/shm | tail -n 1 | awk '{print $2}'", ("16384", "8192", "65536")),
    "secrets": Line(
        [{"name": "key", "content": "one"}], [{"name": "key", "content": "other"}], [], "wc -c 2>/dev/null </run/secrets/key", ("3", "5", "")
    ),
    "files": Line([{"path": "/f", "content": "1"}], [{"path": "/f", "content": "2"}], [], "cat /f 2>/dev/null", ("1", "2", "")),
    # Security.
    "capabilities": Line(
        ["net_admin"], ["CAP_SYS_TIME"], [], EFFECTIVE, (mask([*DEFAULT.split(), "NET_ADMIN"]), mask([*DEFAULT.split(), "SYS_TIME"]), mask(DEFAULT.split()))
    ),
    "cap_drop": Line(
        ["ALL"], ["mknod"], [], EFFECTIVE, ("0" * 16, mask(one for one in DEFAULT.split() if one != "MKNOD"), mask(DEFAULT.split()))
    ),
    "privileged": Line(True, False, None, EFFECTIVE, (ALL_OF_HOST, mask(DEFAULT.split()), mask(DEFAULT.split()))),
    "security_opts": Line(
        ["no-new-privileges:true"], ["seccomp=unconfined"], [], status("NoNewPrivs", "Seccomp"), ("1\n2", "0\n0", "0\n2")
    ),
    "sysctls": Line({"kernel.msgmax": 4096}, {"kernel.msgmax": "5000"}, {}, "cat /proc/sys/kernel/msgmax", ("4096", "5000", "8192")),
    # Devices.
    "devices": Line(
        ["/dev/fuse:/dev/other"], ["/dev/fuse:/dev/more"], [], "ls /dev | grep -E '^(other|more)$'", ("other", "more", "")
    ),
    "device_cgroup_rules": Line(
        ["c 10:229 r"], ["c 10:229 wr"], [], "mknod /d c 10 229; (: </d) 2>/dev/null && echo read; (: >/d) 2>/dev/null && echo written",
        ("read", "read\nwritten", ""),
    ),
    "cdi_devices": Line(["fleet.test/KIND=one"], ["fleet.test/KIND=two"], [], CDI, ("one\ncdi", "cdi-two", "")),
    "device_requests": Line(
        *([{"driver": "cdi", "device_ids": [f"fleet.test/KIND={name}"]}] for name in ("one", "two")), [], CDI, ("one\ncdi", "cdi-two", "")
    ),
    # Namespaces and control groups.
    "ipc_mode": Line("host", "none", "private", NAMESPACE.format("ipc"), (own("ipc"), another("ipc"), another("ipc"))),
    "pid_mode": Line("host", "private", None, NAMESPACE.format("pid"), (own("pid"), another("pid"), another("pid"))),
    "uts": Line("host", "private", None, NAMESPACE.format("uts"), (own("uts"), another("uts"), another("uts"))),
    "cgroupns_mode": Line(
        "host", "private", None, NAMESPACE.format("cgroup"),
        (own("cgroup"), another("cgroup"), own("cgroup") if version() == 1 else another("cgroup")),
    ),
    "cgroup_parent": Line(
        "/fleet-KIND", "fleet-KIND-b", "", "sed -n 's/.*:memory:/in /p; s/^0::/in /p' /proc/self/cgroup | head -n 1",
        ("^in /fleet-KIND/[0-9a-f]{64}", "^in /fleet-KIND-b/[0-9a-f]{64}", "^in /(?!fleet-KIND).*"), {"cgroupns_mode": "host"},
    ),
    "device_read_bps": rated("device_read_bps", "1m", "read_bps"),
    "device_write_bps": rated("device_write_bps", "1m", "write_bps"),
    "device_read_iops": rated("device_read_iops", 300, "read_iops"),
    "device_write_iops": rated("device_write_iops", 300, "write_iops"),
    **({
        "memory_swappiness": Line(0, 10, -1, f"cat {MEMORY}swappiness", ("0", "10", "60")),
        "oom_killer": Line(True, False, None, f"head -n 1 {MEMORY}oom_control", *[tuple(f"oom_kill_disable {n}" for n in (1, 0, 0))], {"memory": "64m"}),
    } if version() == 1 else {}),
}  # fmt: skip
#: Those that a container without a network cannot have; networks are 10.9.1.0/24 (front) and 10.9.2.0/24 (back).
OF_NETWORKS: t.Dict[str, Line] = {
    "network_mode": Line("front", "none", "default", "ip -4 -o addr show scope global", ("^.*eth0 .*10[.]9[.]1[.].*", "", "^.*eth0 .*10[.]4[.].*")),
    "networks": Line(
        [{"name": "front", "ipv4_address": "10.9.1.9"}], [{"name": "back", "ipv4_address": "10.9.2.9"}], [],
        "ip -4 -o addr show scope global", ("^.*eth0 .*10.9.1.9/24.*", "^.*eth0 .*10.9.2.9/24.*", "^.*eth0 .*10[.]4[.].*"),
    ),
    "mac_address": Line(
        "02-42-AC-11-00-02", "02:42:ac:11:00:03", None, "cat /sys/class/net/eth0/address",
        ("02:42:ac:11:00:02", "02:42:ac:11:00:03", "^(?!02:42:ac:11).*"), {"published_ports": []},
    ),
}  # fmt: skip
#: Why an option has no line: where else its life on both engines is.
ELSEWHERE = {
    **dict.fromkeys((option for case in limits.CASES.values() for option in case.made), "test_container_limits.py"),
    **dict.fromkeys(
        ("published_ports", "publish_all_ports", "exposed_ports", "default_host_ip"), "test_container_network_options.py"
    ),
    # A process in a container does not see its runtime.
    "runtime": "test_container_run.py",
    # A container that goes by itself cannot be looked at again, and one with users of its own needs lines in /etc/subuid.
    "auto_remove": "test_container_rollout.py",
    "userns_mode": "test_container_users.py",
    # It is about several containers.
    "depends_on": "test_container_needs.py",
    # They are other words for cdi_devices; a description of nvidia.com would be the whole machine's.
    "gpus": "test_container_options.py",
    **({} if version() == 1 else dict.fromkeys(("memory_swappiness", "oom_killer"), "test_container_limits.py")),
}


def test_every_option_has_a_line() -> None:
    assert {*LINES, *OF_NETWORKS, *ELSEWHERE} == set(table.BY_OPTION)
    assert not {*LINES, *OF_NETWORKS} & set(ELSEWHERE)
    here = pathlib.Path(__file__).parent
    for option, name in ELSEWHERE.items():
        assert re.search(rf"\b{option}\b", (here / name).read_text()), f"{name} says nothing of {option}"


def seen(line: Line, result: t.Dict[str, t.Any]) -> t.Any:
    """What the last run of a container has printed, or the fact."""
    found = result["container"]
    if not line.look.startswith(FACT):
        return found["Output"].replace(BEGIN.replace("\n", "\r\n"), BEGIN).rpartition(BEGIN)[2].strip("\n")
    for part in line.look[len(FACT) :].split("."):
        found = found[part]
    return found


def check(line: Line, number: int, result: t.Dict[str, t.Any], filled: t.Callable[[t.Any], t.Any]) -> None:
    wanted, found = filled(line.sees[number]), seen(line, result)
    assert matches(found, wanted) if isinstance(wanted, str) and isinstance(found, str) else found == wanted, (wanted, found)


def live(run: Run, option: str, line: Line, filled: t.Callable[[t.Any], t.Any] = lambda value: value) -> None:
    """Drive an option through its life. run: the module, for a container of this option; it must not fail."""
    row = table.BY_OPTION[option]
    script = "" if line.look.startswith(FACT) else line.look
    common: Options = {"command": ["sh", "-c", f"echo BEGIN; {script}\ntrue"], **line.more}
    first, second, none = ({**common, option: filled(one)} for one in line[:3])

    foreseen = run(**first, _ansible_check_mode=True, _ansible_diff=True)
    assert (foreseen["changed"], foreseen["container"]) == (True, {})
    made = run(**first, _ansible_diff=True)
    assert foreseen["actions"] == made["actions"]
    assert foreseen["diff"]["after"][option] == made["diff"]["after"][option]
    check(line, 0, made, filled)
    again = run(**first)
    assert (again["changed"], again["container"]["Id"]) == (False, made["container"]["Id"])

    foreseen = run(**second, _ansible_check_mode=True, _ansible_diff=True)
    assert (foreseen["changed"], foreseen["container"]["Id"]) == (True, made["container"]["Id"])
    check(line, 0, foreseen, filled)
    changed = run(**second, _ansible_diff=True)
    assert foreseen["actions"] == changed["actions"]
    assert foreseen["diff"] == changed["diff"]
    assert set(changed["diff"]["after"]) - {"state"} == {option}
    assert changed["diff"]["before"][option] != changed["diff"]["after"][option]
    check(line, 1, settled(run, row.live, option, made, changed, second), filled)

    if line.none is None:
        gone = run(**common, recreate=True)
        assert gone["recreated_because"] == ["recreate"]
        check(line, 2, gone, filled)
        return
    gone = run(**none)
    check(line, 2, settled(run, row.live, option, changed, gone, none), filled)


def settled(
    run: Run, how: Live, option: str, old: t.Dict[str, t.Any], new: t.Dict[str, t.Any], options: Options
) -> t.Dict[str, t.Any]:
    """A change has made a new container, or not, as the table of options says. What the next run finds."""
    assert new["changed"]
    stays = how is not Live.NEVER
    assert (new["container"]["Id"] == old["container"]["Id"]) is stays
    assert new.get("recreated_because", []) == ([] if stays else [option])
    if stays:
        assert new["actions"] == [f"update {option} of container {new['container']['Name'][1:]}"]
        run(**options, restart=True)
    again = run(**options)
    assert not again["changed"]
    return again


#: They are driven a few at a time, so that one that fails hides no others, and no test is long.
PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)
def test_the_life_of_options(site: Site, modules: Modules, ground: Ground, part: int) -> None:
    """I2: an empty list or dictionary, or the word for "none", takes away what was given before, and is no difference the second time."""
    common: Options = {**site.defaults, "image": ground.image, "detach": False, "network_mode": "none", "keep_volumes": False}
    wrong = []
    for option in sorted(LINES)[part::PARTS]:
        if option == "volumes_from":
            for name, target in (("one", "/a"), ("two", "/b")):
                giver = {**common, "name": name, "state": "present", "volumes": [f"{ground.here}/tree:{target}"]}
                modules.run("containerd_container", **giver)
        run = functools.partial(modules.run, "containerd_container", **common, name=option.replace("_", "-"))
        try:
            live(run, option, LINES[option], ground.filled)
        except AssertionError as error:
            wrong.append(f"{option}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("networked_site", ["", "2.1"], indirect=True, ids=["embedded", "2.1"])
def test_the_life_of_options_of_networks(networked_site: Networked, busybox: str) -> None:
    for number, name in enumerate(("front", "back"), 1):
        networked_site.network(name, f"10.9.{number}.0/24")
    for option, line in OF_NETWORKS.items():
        live(functools.partial(networked_site.container, option.replace("_", "-"), image=busybox, detach=False), option, line)
