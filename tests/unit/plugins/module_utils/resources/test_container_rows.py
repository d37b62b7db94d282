# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of options of containers: each row has everything, and is driven through its life: create, again, change, reset, live."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import DESIRED
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container, TaskIO
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import live, steps, user_ranges
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options import init, table
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.row import Live, Row
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.streams import task_io
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec import cdi as runtime_spec_cdi
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.cgroups import host_facts
from ansible_collections.fleet.containerd.plugins.modules import containerd_container
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.images import Layout, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite

COLUMNS = {"field", "parse", "base", "render", "live", "facts"}
IMAGE = "docker.io/library/row:1"
CONFIG: t.Dict[str, t.Any] = {
    "Cmd": ["-c", "wait"],
    "Entrypoint": ["sh"],
    "ExposedPorts": {"70/tcp": {}},
    "Env": ["PATH=/bin", "HOSTNAME=image", "A=image"],
    "Healthcheck": {"Test": ["CMD-SHELL", "of image"], "Retries": 7},
    "Labels": {"from": "image"},
    "StopSignal": "SIGQUIT",
    "User": "user",
    "WorkingDir": "tmp",
}


class Case(t.NamedTuple):
    """One option with two values. place: where facts have it; seen: what stands there with value, with other, and when it is not given.

    written: what of the record the value is in; told: what stands there with value. others: the options of containers that it names.
    """

    value: t.Any
    other: t.Any
    place: str
    seen: t.Tuple[t.Any, t.Any, t.Any]
    written: t.Callable[[Container], t.Any]
    told: t.Any
    others: t.Tuple[t.Dict[str, t.Any], ...] = ()


def process(key: str) -> t.Callable[[Container], t.Any]:
    return lambda container: container.spec["process"][key]


def stored(option: str) -> t.Callable[[Container], t.Any]:
    return lambda container: container.extensions["fleet.containerd.desired"]["effective"][option]


def volume(container: Container) -> t.Any:
    return [one for one in container.spec["mounts"] if one["source"] == "/usr"]


def limit(section: str, name: str) -> t.Callable[[Container], t.Any]:
    return lambda one: one.spec["linux"]["resources"].get(section, {}).get(name)


def shm(container: Container) -> t.Any:
    (found,) = (one for one in container.spec["mounts"] if one["destination"] == "/dev/shm")
    return found


def disk() -> t.Tuple[str, int, int]:
    """A whole disk of this machine: path, major and minor number."""
    for path in sorted(pathlib.Path("/sys/block").iterdir()):
        if pathlib.Path("/dev", path.name).is_block_device():
            major, minor = (path / "dev").read_text().split(":")
            return f"/dev/{path.name}", int(major), int(minor)
    raise AssertionError("this machine has no disk")


def rated(option: str, rate: t.Union[str, int], read: int, name: str, fact: str) -> Case:
    path, major, minor = disk()
    return Case(
        [{"path": path, "rate": rate}],
        [{"path": path, "rate": 5}],
        f"HostConfig.{fact}",
        ([{"Path": path, "Rate": read}], [{"Path": path, "Rate": 5}], []),
        limit("blockIO", name),
        [{"major": major, "minor": minor, "rate": read}],
    )


def namespaces(container: Container) -> t.Set[str]:
    return {one["type"] for one in container.spec["linux"]["namespaces"]}


def file_of(container: Container, path: str) -> str:
    """What is mounted there."""
    (source,) = (one["source"] for one in container.spec["mounts"] if one["destination"] == path)
    return pathlib.Path(source).read_text()


def connected(path: str) -> t.Callable[[Container], t.Any]:
    """Something in the file of its hook."""

    def look(container: Container) -> t.Any:
        found = json.loads(pathlib.Path(container.spec["hooks"]["createRuntime"][0]["args"][-1]).read_text())
        for part in path.split("."):
            found = found[int(part) if part.isdigit() else part]
        return found

    return look


def resolver(word: str) -> t.Callable[[Container], t.Any]:
    """The lines of resolv.conf that begin with a word."""
    return lambda one: [
        line.partition(" ")[2] for line in file_of(one, "/etc/resolv.conf").splitlines() if line.startswith(f"{word} ")
    ]


def of_spec(key: str) -> t.Callable[[Container], t.Any]:
    return lambda container: container.spec[key]


def cdi(name: str) -> t.List[t.Dict[str, t.Any]]:
    """In the shape of docker inspect."""
    return [{"Driver": "cdi", "DeviceIDs": [name]}]


def secrets_of(container: Container) -> t.Dict[str, bytes]:
    """What its hook finds on the host."""
    place = pathlib.Path(container.spec["hooks"]["createRuntime"][0]["args"][-1])
    index = json.loads((place / "index.json").read_text())["index"]
    return {one["name"]: (place / one["file"]).read_bytes() for one in index}


#: What tests/unit has on the host for them (fixture place).
PLACE = pathlib.Path(tempfile.gettempdir(), f"fleet-rows-{os.getpid()}")
ENV_FILES = [str(PLACE / name) for name in ("one.env", "two.env")]
INITS = [str(PLACE / name) for name in ("init-one", "init-two")]
USERS = str(PLACE / "subuid")
OWN_CGROUPNS = "private" if host_facts().cgroup == 2 else "host"
OTHER_CGROUPNS = "host" if OWN_CGROUPNS == "private" else "private"
ENV = ["PATH=/bin", "HOSTNAME=image", "HOME=/tmp"]
BIND = {"destination": "/a", "type": "bind", "source": "/usr", "options": ["rbind", "ro", "rprivate"]}
CASES: t.Dict[str, Case] = {
    "command": Case(
        ["-c", "a b"], "-x y", "Config.Cmd", (["-c", "a b"], ["-x", "y"], CONFIG["Cmd"]), process("args"), ["sh", "-c", "a b"]
    ),
    "entrypoint": Case("sh -x", ["cat"], "Config.Entrypoint", (["sh", "-x"], ["cat"], ["sh"]), process("args"), ["sh", "-x"]),
    "env": Case(
        {"B": "1"},
        {"A": "2"},
        "Config.Env",
        ([*ENV, "A=image", "B=1"], [*ENV, "A=2"], [*ENV, "A=image"]),
        process("env"),
        [*ENV, "A=image", "B=1"],
    ),
    "hostname": Case("box", "other", "Config.Hostname", ("box", "other", None), lambda one: one.spec["hostname"], "box"),
    "interactive": Case(True, False, "Config.OpenStdin", (True, False, False), stored("interactive"), True),
    "labels": Case(
        {"a": "1"},
        {"a": "2"},
        "Config.Labels",
        ({"a": "1", "from": "image"}, {"a": "2", "from": "image"}, {"from": "image"}),
        lambda one: one.labels["a"],
        "1",
    ),
    "log_driver": Case(
        "none", "json-file", "HostConfig.LogConfig.Type", ("none", "json-file", "json-file"), stored("log_driver"), "none"
    ),
    "log_options": Case(
        {"max-size": "1k"},
        {"max-file": 2},
        "HostConfig.LogConfig.Config",
        ({"max-file": "1", "max-size": "1024"}, {"max-file": "2"}, {"max-file": "1"}),
        stored("log_options"),
        {"max-size": 1024, "max-file": 1},
    ),
    "network_mode": Case(
        "host", "none", "HostConfig.NetworkMode", ("host", "none", "bridge"), lambda one: "network" in namespaces(one), False
    ),
    "networks": Case(
        [{"name": "bridge", "ipv4_address": "10.4.0.9"}],
        [{"name": "bridge", "aliases": ["db", "a"]}],
        "NetworkSettings.Networks.bridge.IPAMConfig",
        ({"IPv4Address": "10.4.0.9"}, {"IPv4Address": "10.4.0.9"}, None),
        connected("endpoints.0.aliases"),
        [],
    ),
    "mac_address": Case(
        "02-42-AC-11-00-02",
        "02:42:ac:11:00:03",
        "Config.MacAddress",
        ("02:42:ac:11:00:02", "02:42:ac:11:00:03", ""),
        connected("endpoints.0.mac"),
        "02:42:ac:11:00:02",
    ),
    "published_ports": Case(
        ["127.0.0.1:8000-8001:80-81"],
        [8080, "[::1]:53:53/udp"],
        "HostConfig.PortBindings",
        (
            {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}], "81/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8001"}]},
            {"8080/tcp": [{"HostIp": "", "HostPort": ""}], "53/udp": [{"HostIp": "::1", "HostPort": "53"}]},
            {},
        ),
        connected("ports.0.hostPort"),
        8000,
    ),
    "publish_all_ports": Case(
        True, False, "HostConfig.PublishAllPorts", (True, False, False), lambda one: len(connected("ports")(one)), 1
    ),
    "exposed_ports": Case(
        ["90-91", "92/udp"],
        ["93"],
        "Config.ExposedPorts",
        (
            {"70/tcp": {}, "90/tcp": {}, "91/tcp": {}, "92/udp": {}},
            {"70/tcp": {}, "93/tcp": {}},
            {"70/tcp": {}},
        ),
        stored("exposed_ports"),
        ["70/tcp", "90/tcp", "91/tcp", "92/udp"],
    ),
    "default_host_ip": Case(
        "127.0.0.1", "0.0.0.0", "HostConfig.DefaultHostIp", ("127.0.0.1", "", ""), stored("default_host_ip"), "127.0.0.1"
    ),
    "domainname": Case(
        "example.org",
        "example.com",
        "Config.Domainname",
        ("example.org", "example.com", ""),
        lambda one: one.spec["linux"].get("sysctl", {}).get("kernel.domainname"),
        "example.org",
    ),
    "dns_servers": Case(
        ["192.0.2.1", "::1"],
        ["192.0.2.2"],
        "HostConfig.Dns",
        (["192.0.2.1", "::1"], ["192.0.2.2"], []),
        resolver("nameserver"),
        ["192.0.2.1", "::1"],
    ),
    "dns_search_domains": Case(
        ["a.example", "b.example"],
        ["."],
        "HostConfig.DnsSearch",
        (["a.example", "b.example"], ["."], []),
        resolver("search"),
        ["a.example b.example"],
    ),
    "dns_opts": Case(
        ["ndots:2", "rotate"],
        ["timeout:1"],
        "HostConfig.DnsOptions",
        (["ndots:2", "rotate"], ["timeout:1"], []),
        resolver("options"),
        ["ndots:2 rotate"],
    ),
    "etc_hosts": Case(
        {"db": "192.0.2.1"},
        {"db": "2001:db8::1"},
        "HostConfig.ExtraHosts",
        (["db:192.0.2.1"], ["db:2001:db8::1"], []),
        lambda one: [line for line in file_of(one, "/etc/hosts").splitlines() if line.endswith("\tdb")],
        ["192.0.2.1\tdb"],
    ),
    "blkio_weight": Case(300, 0, "HostConfig.BlkioWeight", (300, 0, 0), stored("blkio_weight"), 300),
    "cpu_period": Case(50000, 0, "HostConfig.CpuPeriod", (50000, 0, 0), limit("cpu", "period"), 50000),
    "cpu_quota": Case(50000, -1, "HostConfig.CpuQuota", (50000, 0, 0), limit("cpu", "quota"), 50000),
    "cpu_shares": Case(512, 0, "HostConfig.CpuShares", (512, 0, 0), limit("cpu", "shares"), 512),
    "cpus": Case(0.5, 0.25, "HostConfig.NanoCpus", (500000000, 250000000, 0), limit("cpu", "quota"), 50000),
    "cpuset_cpus": Case("0, 0-0", "", "HostConfig.CpusetCpus", ("0", "", ""), limit("cpu", "cpus"), "0"),
    "cpuset_mems": Case("0-0", "", "HostConfig.CpusetMems", ("0", "", ""), limit("cpu", "mems"), "0"),
    "device_read_bps": rated("device_read_bps", "1k", 1024, "throttleReadBpsDevice", "BlkioDeviceReadBps"),
    "device_read_iops": rated("device_read_iops", 7, 7, "throttleReadIOPSDevice", "BlkioDeviceReadIOps"),
    "device_write_bps": rated("device_write_bps", "2m", 2 << 20, "throttleWriteBpsDevice", "BlkioDeviceWriteBps"),
    "device_write_iops": rated("device_write_iops", 9, 9, "throttleWriteIOPSDevice", "BlkioDeviceWriteIOps"),
    "memory": Case("64m", "unlimited", "HostConfig.Memory", (64 << 20, 0, 0), limit("memory", "limit"), 64 << 20),
    "memory_reservation": Case("8m", 0, "HostConfig.MemoryReservation", (8 << 20, 0, 0), limit("memory", "reservation"), 8 << 20),
    "memory_swap": Case("unlimited", 0, "HostConfig.MemorySwap", (-1, 0, 0), stored("memory_swap"), -1),
    "memory_swappiness": Case(0, 60, "HostConfig.MemorySwappiness", (0, 60, None), stored("memory_swappiness"), 0),
    "oom_killer": Case(True, False, "HostConfig.OomKillDisable", (True, False, False), stored("oom_killer"), True),
    "oom_score_adj": Case(-500, 7, "HostConfig.OomScoreAdj", (-500, 7, 0), process("oomScoreAdj"), -500),
    "pids_limit": Case(50, 0, "HostConfig.PidsLimit", (50, None, None), limit("pids", "limit"), 50),
    "shm_size": Case(
        "1m", "2m", "HostConfig.ShmSize", (1 << 20, 2 << 20, 64 << 20), lambda one: shm(one)["options"][-1], f"size={1 << 20}"
    ),
    "sysctls": Case(
        {"net.core.somaxconn": 99},
        {"net.core.somaxconn": "98"},
        "HostConfig.Sysctls",
        ({"net.core.somaxconn": "99"}, {"net.core.somaxconn": "98"}, {}),
        lambda one: one.spec["linux"].get("sysctl", {}).get("net.core.somaxconn"),
        "99",
    ),
    "ulimits": Case(
        ["nofile:10:20", "core:-1"],
        ["nofile:11"],
        "HostConfig.Ulimits",
        (
            [{"Name": "nofile", "Soft": 10, "Hard": 20}, {"Name": "core", "Soft": -1, "Hard": -1}],
            [{"Name": "nofile", "Soft": 11, "Hard": 11}],
            [],
        ),
        lambda one: process("rlimits")(one)[-2:],
        [
            {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20},
            {"type": "RLIMIT_CORE", "soft": 2**64 - 1, "hard": 2**64 - 1},
        ],
    ),
    "read_only": Case(
        True, False, "HostConfig.ReadonlyRootfs", (True, False, False), lambda one: one.spec["root"]["readonly"], True
    ),
    "auto_remove": Case(True, False, "HostConfig.AutoRemove", (True, False, False), stored("auto_remove"), True),
    "restart_policy": Case(
        "on-failure",
        "always",
        "HostConfig.RestartPolicy.Name",
        ("on-failure", "always", "no"),
        stored("restart_policy"),
        "on-failure",
    ),
    "restart_retries": Case(5, 0, "HostConfig.RestartPolicy.MaximumRetryCount", (5, 0, 0), stored("restart_retries"), 5),
    "restart_delay": Case(
        "500ms", "1m30s", "Containerd.RestartDelay", ("500ms", "1m30s", None), stored("restart_delay"), 500 * 10**6
    ),
    "restart_max_delay": Case(
        "2s", "1.5m", "Containerd.RestartMaxDelay", ("2s", "1m30s", None), stored("restart_max_delay"), 2 * 10**9
    ),
    "healthcheck": Case(
        {"test": ["CMD", "true"], "interval": "1s"},
        {"test": "exit 1", "retries": 1},
        "Config.Healthcheck",
        (
            {"Test": ["CMD", "true"], "Interval": 10**9, "Retries": 7},
            {"Test": ["CMD-SHELL", "exit 1"], "Interval": 10**9, "Retries": 1},
            {"Test": ["CMD-SHELL", "of image"], "Retries": 7},
        ),
        stored("healthcheck"),
        {"test": ["CMD", "true"], "interval": 10**9, "retries": 7},
    ),
    "runtime": Case("crun", "/bin/r", "HostConfig.Runtime", ("crun", "/bin/r", "runc"), lambda one: one.runtime.binary, "crun"),
    "stop_signal": Case("KILL", 2, "Config.StopSignal", ("SIGKILL", "SIGINT", "SIGQUIT"), stored("stop_signal"), 9),
    "stop_timeout": Case(0, 3, "Config.StopTimeout", (0, 3, 10), stored("stop_timeout"), 0),
    "tty": Case(True, False, "Config.Tty", (True, False, False), process("terminal"), True),
    "user": Case("0", "9:8", "Config.User", ("0", "9:8", "user"), lambda one: process("user")(one)["uid"], 0),
    "volumes": Case(["/usr:/a:ro"], ["/usr:/b"], "HostConfig.Binds", (["/usr:/a:ro"], ["/usr:/b"], []), volume, [BIND]),
    "depends_on": Case(
        ["one", {"name": "two", "restart": False}],
        ["two"],
        "Containerd.DependsOn",
        (
            [{"name": "one", "condition": "started", "restart": True}, {"name": "two", "condition": "started", "restart": False}],
            [{"name": "two", "condition": "started", "restart": True}],
            [],
        ),
        lambda one: sorted(key for key in one.labels if "/needs." in key),
        ["fleet.containerd/needs.one"],
        ({"name": "one", "state": "started"}, {"name": "two", "state": "started"}),
    ),
    "volumes_from": Case(
        ["one:ro"],
        ["two"],
        "HostConfig.VolumesFrom",
        (["one:ro"], ["two"], None),
        volume,
        [{**BIND, "options": ["rbind", "rprivate", "ro"]}],
        ({"name": "one", "volumes": ["/usr:/a"]}, {"name": "two", "volumes": ["/usr:/b"]}),
    ),
    "annotations": Case(
        {"a.b": "1"},
        {"a.b": "2"},
        "HostConfig.Annotations",
        ({"a.b": "1"}, {"a.b": "2"}, {}),
        of_spec("annotations"),
        {"a.b": "1"},
    ),
    "capabilities": Case(
        ["net_admin"],
        ["CAP_SYS_TIME"],
        "HostConfig.CapAdd",
        (["NET_ADMIN"], ["SYS_TIME"], None),
        lambda one: "CAP_NET_ADMIN" in process("capabilities")(one)["bounding"],
        True,
    ),
    "cap_drop": Case(
        ["ALL"],
        ["CHOWN"],
        "HostConfig.CapDrop",
        (["ALL"], ["CHOWN"], None),
        lambda one: process("capabilities")(one)["bounding"],
        [],
    ),
    "cdi_devices": Case(
        ["example.com/class=one"],
        ["example.com/class=two"],
        "HostConfig.DeviceRequests",
        (cdi("example.com/class=one"), cdi("example.com/class=two"), []),
        lambda one: [value for value in process("env")(one) if value.startswith("CDI=")],
        ["CDI=one"],
    ),
    "cgroup_parent": Case(
        "/batch/a",
        "b",
        "HostConfig.CgroupParent",
        ("/batch/a", "b", ""),
        lambda one: one.spec["linux"]["cgroupsPath"].rpartition("/")[0],
        "/batch/a",
    ),
    "cgroupns_mode": Case(
        OTHER_CGROUPNS,
        OWN_CGROUPNS,
        "HostConfig.CgroupnsMode",
        (OTHER_CGROUPNS, OWN_CGROUPNS, OWN_CGROUPNS),
        lambda one: "private" if "cgroup" in namespaces(one) else "host",
        OTHER_CGROUPNS,
    ),
    "device_cgroup_rules": Case(
        ["c 42:* mr"],
        ["a *:* rwm"],
        "HostConfig.DeviceCgroupRules",
        (["c 42:* rm"], ["a *:* rwm"], []),
        lambda one: one.spec["linux"]["resources"]["devices"][1:],
        [{"allow": True, "type": "c", "major": 42, "access": "rm"}],
    ),
    "device_requests": Case(
        [{"driver": "cdi", "device_ids": ["example.com/class=one"]}],
        [{"driver": "nvidia", "count": 1}],
        "HostConfig.DeviceRequests",
        (cdi("example.com/class=one"), cdi("nvidia.com/gpu=0"), []),
        lambda one: [value for value in process("env")(one) if value.startswith("CDI=")],
        ["CDI=one"],
    ),
    "devices": Case(
        ["/dev/null:/dev/nothing:mr"],
        ["/dev/zero"],
        "HostConfig.Devices",
        (
            [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rm"}],
            [{"PathOnHost": "/dev/zero", "PathInContainer": "/dev/zero", "CgroupPermissions": "rwm"}],
            [],
        ),
        lambda one: [(node["path"], node["major"], node["minor"]) for node in one.spec["linux"].get("devices", ())],
        [("/dev/nothing", 1, 3)],
    ),
    "env_file": Case(
        [ENV_FILES[0]],
        [ENV_FILES[1]],
        "Containerd.EnvFile",
        (["A", "FILE"], ["FILE"], []),
        process("env"),
        [*ENV, "A=file", "FILE=one=1"],
    ),
    "files": Case(
        [{"path": "/etc/new/app.conf", "content": "a=1", "mode": "0600", "owner": "user"}],
        [{"path": "/etc/new/app.conf", "content": "a=2"}],
        "Containerd.Files",
        (["/etc/new/app.conf"], ["/etc/new/app.conf"], []),
        lambda one: stored("files")(one)["/etc/new/app.conf"]["mode"],
        0o600,
    ),
    "gpus": Case(
        ["all"],
        ["0"],
        "HostConfig.DeviceRequests",
        (cdi("nvidia.com/gpu=all"), cdi("nvidia.com/gpu=0"), []),
        lambda one: [value for value in process("env")(one) if value.startswith("CDI=")],
        ["CDI=all"],
    ),
    "groups": Case(
        ["user", "50"],
        ["60"],
        "HostConfig.GroupAdd",
        (["50", "user"], ["60"], None),
        lambda one: process("user")(one)["additionalGids"],
        [50, 1000, 2000],
    ),
    "init": Case(True, False, "HostConfig.Init", (True, False, False), lambda one: process("args")(one)[0], "/sbin/docker-init"),
    "init_binary": Case(
        INITS[0],
        INITS[1],
        "Containerd.InitBinary",
        (*INITS, ""),
        lambda one: [mount["source"] for mount in one.spec["mounts"] if mount["destination"] == "/sbin/docker-init"],
        [INITS[0]],
    ),
    "ipc_mode": Case(
        "host", "none", "HostConfig.IpcMode", ("host", "none", "private"), lambda one: "ipc" in namespaces(one), False
    ),
    "mounts": Case(
        [{"type": "bind", "source": "/usr", "target": "/a", "read_only": True, "read_only_non_recursive": True}],
        [{"type": "tmpfs", "target": "/b", "tmpfs_size": "1m"}],
        "HostConfig.Mounts",
        (
            [{"Type": "bind", "Source": "/usr", "Target": "/a", "ReadOnly": True}],
            [{"Type": "tmpfs", "Source": "", "Target": "/b", "ReadOnly": False}],
            [],
        ),
        volume,
        [BIND],
    ),
    "pid_mode": Case("host", "private", "HostConfig.PidMode", ("host", "", ""), lambda one: "pid" in namespaces(one), False),
    "privileged": Case(
        True, False, "HostConfig.Privileged", (True, False, False), lambda one: one.spec["linux"]["maskedPaths"], []
    ),
    "secrets": Case(
        [{"name": "key", "content": "hush"}],
        [{"name": "key", "content": "other"}],
        "Containerd.Secrets",
        (["key"], ["key"], []),
        secrets_of,
        {"key": b"hush"},
    ),
    "security_opts": Case(
        ["no-new-privileges:true", "seccomp=unconfined"],
        ["systempaths:unconfined"],
        "HostConfig.SecurityOpt",
        (["no-new-privileges", "seccomp=unconfined"], ["systempaths=unconfined"], None),
        lambda one: (process("noNewPrivileges")(one), "seccomp" in one.spec["linux"]),
        (True, False),
    ),
    "systemd": Case(
        "always",
        "true",
        "Containerd.Systemd",
        ("always", "true", "false"),
        lambda one: [mount["type"] for mount in one.spec["mounts"] if mount["destination"] == "/run"],
        ["tmpfs"],
    ),
    "tmpfs": Case(
        ["/t:size=1k,exec"],
        {"/t": "mode=700"},
        "HostConfig.Tmpfs",
        ({"/t": "exec,nodev,nosuid,size=1024"}, {"/t": "mode=700,nodev,noexec,nosuid"}, None),
        lambda one: [mount["options"] for mount in one.spec["mounts"] if mount["destination"] == "/t"],
        [["exec", "nodev", "nosuid", "size=1024"]],
    ),
    "umask": Case("027", 0o77, "Containerd.Umask", ("0027", "0077", "0022"), lambda one: process("user")(one)["umask"], 0o27),
    "userns_mode": Case(
        "remap",
        "auto:size=3000",
        "HostConfig.UsernsMode",
        ("remap", "auto:size=3000", ""),
        lambda one: one.spec["linux"].get("uidMappings"),
        [{"containerID": 0, "hostID": 500000, "size": 65536}],
    ),
    "uts": Case("host", "private", "HostConfig.UTSMode", ("host", "", ""), lambda one: "uts" in namespaces(one), False),
    "working_dir": Case("/etc", "/new//x/", "Config.WorkingDir", ("/etc", "/new/x", "/tmp"), process("cwd"), "/etc"),
}


@pytest.fixture(autouse=True, scope="module")
def place() -> t.Iterator[None]:
    """Files of the host that values name: variables, init programs, descriptions of devices, ranges of users."""
    PLACE.mkdir()
    pathlib.Path(USERS).write_text("dockremap:500000:65536\nfleet-containerd:700000:65536\n")
    pathlib.Path(ENV_FILES[0]).write_text("# a comment\n\nFILE=one=1\n A=file\n")
    pathlib.Path(ENV_FILES[1]).write_text("FILE=two\n")
    for path in INITS:
        # starts: busybox (which is linked statically)
        shutil.copy(shutil.which("busybox") or "", path)
    devices = [{"name": name, "containerEdits": {"env": [f"CDI={name}"]}} for name in ("one", "two")]
    gpus = [{"name": name, "containerEdits": {"env": [f"CDI={name}"]}} for name in ("all", "0")]
    for kind, found in {"example.com/class": devices, "nvidia.com/gpu": gpus}.items():
        (PLACE / f"{kind.replace('/', '-')}.json").write_text(json.dumps({"cdiVersion": "0.6.0", "kind": kind, "devices": found}))
    yield
    shutil.rmtree(PLACE)


@pytest.fixture(autouse=True)
def found_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host of these tests has its descriptions of devices, its init programs and its ranges of users in that directory."""
    monkeypatch.setattr(runtime_spec_cdi.Registry.__init__, "__defaults__", ([str(PLACE)],))
    monkeypatch.setattr(init, "_SEARCH", (str(PLACE),))
    monkeypatch.setattr(init, "_PROGRAMS", ("init-one",))
    for name in ("_UIDS", "_GIDS"):
        monkeypatch.setattr(user_ranges, name, USERS)


@pytest.fixture
def image(site: MemorySite, layout: Layout) -> str:
    """An image that sets whatever an image can set."""
    layout.tag(small_image(layout, **CONFIG), IMAGE)
    site.play(task("containerd_image_load", path=str(layout.path)))
    return IMAGE


def asked(**options: t.Any) -> Task:
    return task("containerd_container", name="row", image=IMAGE, **options)


def at(result: TaskResult, place: str) -> t.Any:
    found = result.value("container")
    for part in place.split("."):
        found = found[part]
    return found


def record(site: MemorySite) -> Container:
    (container,) = site.memory.containers.list({"nerdctl/name": "row"})
    return container


def given(site: MemorySite, option: str, value: t.Any) -> t.Any:
    """A value as the table has it."""
    row = table.BY_OPTION[option]
    with site.engine() as engine:
        return row.known(engine, "row", row.parse(value, option))


@pytest.mark.parametrize("row", table.ROWS, ids=lambda row: str(row.option))
def test_every_row_has_every_column(row: Row) -> None:
    assert set(Row._fields) - set(Row._field_defaults) == COLUMNS
    assert row.field.kind in ("value", "list", "set", "dict")
    assert row.field.mode in ("strict", "allow_more_present")
    assert all(
        callable(column) for column in (row.parse, row.base.of, row.base.join, row.render, row.field.show, *row.facts.values())
    )
    assert row.facts
    assert row.live in live.SERVED
    assert row.option in CASES, "give it a row in the table above"


def test_an_option_is_in_one_place() -> None:
    """The files of other rooms and the rest of this one do not know options by their names."""
    resources = pathlib.Path(steps.__file__).parent
    # These are about other modules, with options of the same names, and about processes beside the container's own.
    different = ("info.py", "exec.py", "entry.py", "transfer.py")
    others = [path for path in resources.glob("*.py") if path.name not in different]
    others += (resources.parent.parent / "kernel").glob("*.py")
    for path in others:
        # labels is a field of a record, too, and mounts one of a specification.
        options = [row.option for row in table.ROWS if row.option not in ("labels", "mounts")]
        named = [option for option in options if f'"{option}"' in path.read_text()]
        assert not named, path.name
    documented = yaml.safe_load(containerd_container.DOCUMENTATION)["options"]
    assert set(table.BY_OPTION) <= set(documented)


@pytest.mark.parametrize("option", sorted(CASES))
def test_the_life_of_an_option(site: MemorySite, image: str, option: str) -> None:
    """I1: an option that a task does not give is not compared, also where the image or the container has another value than the default.

    I2: one that is not given any more is told when a container is made anew. (Empty values: test_container_options.py.)
    """
    case, row = CASES[option], table.BY_OPTION[option]
    first, second, base = case.seen
    for other in case.others:
        site.play(task("containerd_container", image=IMAGE, **{"state": "present", **other}))
    (made,) = site.converge(asked(**{option: case.value}))
    assert made.actions == ["create container row", "start container row"]
    assert at(made, case.place) == first
    assert made.value("diff")["after"][option] == row.field.show(given(site, option, case.value))
    assert case.written(record(site)) == case.told
    old, pid = record(site).id, site.task_of("row").pid

    assert not site.play(asked(**{option: case.other}, comparisons={option: "ignore"})).last.changed
    (changed,) = site.converge(asked(**{option: case.other}))
    assert at(changed, case.place) == second
    assert case.written(record(site)) != case.told
    diff, shown = changed.value("diff"), {option} if row.live is not Live.NEVER else {option, "state"}
    assert set(diff["before"]) == set(diff["after"]) == shown
    assert diff["before"][option] != diff["after"][option]
    if row.live is Live.NEVER:
        assert changed.value("recreated_because") == [option]
        assert changed.actions == [
            f"create container row anew ({option} changed)",
            "start container row beside the old one",
            "give the name row to the new container",
            "stop the old container row",
            f"remove the old container {old[:12]}",
        ]
    else:
        assert changed.actions == [f"update {option} of container row"]
    assert (site.task_of("row").pid == pid) is (row.live is not Live.NEVER)

    assert not site.play(asked()).last.changed
    another: t.Dict[str, t.Any] = {"tty": True} if option == "interactive" else {"interactive": True}
    reset = site.play(asked(**another)).last
    assert f"; not asked for any more and reset to the image's default: {option}" in reset.actions[0]
    assert set(reset.value("diff")["after"]) == {"state", option, *another}
    assert at(reset, case.place) == (record(site).id[:12] if option == "hostname" else base)
    assert not site.play(asked(**another)).last.changed


def test_what_options_do_to_other_facts(site: MemorySite, image: str) -> None:
    made = site.play(asked(hostname="two", log_driver="none", volumes=["/usr:/v:ro"])).last
    facts = made.value("container")
    assert facts["LogPath"] == ""
    assert [(one["Destination"], one["RW"]) for one in facts["Mounts"]] == [("/v", False)]
    assert "HOSTNAME=image" in facts["Config"]["Env"]


def given_labels(result: TaskResult) -> t.Dict[str, str]:
    """Without that of the image."""
    return {key: value for key, value in result.value("container")["Config"]["Labels"].items() if key != "from"}


def test_long_labels(site: MemorySite, image: str) -> None:
    """What containerd would refuse is kept beside the others, and is a label like them for everybody who asks us."""
    fits, long = "a" * 4093, "ä" * 3000
    asked = task("containerd_container", name="web", image=image, labels={"let": fits, "lot": long, "b": "1"})
    (made,) = site.converge(asked)
    assert given_labels(made) == {"let": fits, "lot": long, "b": "1"}
    with site.engine() as engine:
        (container,) = engine.containers.list()
    assert (container.labels["let"], "lot" in container.labels) == (fits, False)
    look = {"name": "look", "fleet.containerd.containerd_container_info": {"filters": {"label": f"lot={long}"}}}
    assert [one["Name"] for one in site.play(look).last.value("containers")] == ["/web"]
    (changed,) = site.converge(task("containerd_container", name="web", labels={"let": fits + "a", "lot": "short"}))
    assert changed.actions == ["update labels of container web"]
    assert given_labels(changed) == {"let": fits + "a", "lot": "short", "b": "1"}
    (back,) = site.converge(task("containerd_container", name="web", labels={"let": fits}))
    assert given_labels(back) == {"let": fits, "lot": "short", "b": "1"}
    with site.engine() as engine:
        (container,) = engine.containers.list()
    assert "fleet.containerd.labels" not in container.extensions
    (anew,) = site.converge(task("containerd_container", name="web", image=image, labels={"lot": long}, env={"A": "b"}))
    assert given_labels(anew) == {"lot": long}


def test_labels_that_nerdctl_reads(site: MemorySite, image: str) -> None:
    site.play(asked(labels={"a": "1"}, network_mode="host", hostname="two"))
    assert dict(record(site).labels) == {
        "a": "1",
        "containerd.io/gc.ref.content.image": record(site).extensions[DESIRED]["image"]["target"],
        "from": "image",
        "nerdctl/extraHosts": "[]",
        "nerdctl/hostname": "two",
        "nerdctl/name": "row",
        "nerdctl/namespace": site.namespace,
        "nerdctl/networks": '["host"]',
        "nerdctl/platform": str(Platform.host()),
    }


def test_only_a_start_needs_the_runtime(site: MemorySite, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.memory.tasks, "find_runtime", lambda binary: "")
    started, present = site.predict(asked(runtime="crun"), asked(runtime="crun", state="present")).results
    words = "check mode cannot tell whether containerd finds the runtime crun"
    assert words in started.value("warnings")
    assert words not in present.result.get("warnings", [])


def test_sysctls_of_interfaces_that_only_the_container_has(site: MemorySite, image: str) -> None:
    made = site.play(asked(sysctls={"net.ipv4.conf.eth7.forwarding": 1, "net.ipv6.neigh.eth7.retrans_time_ms": 500})).last
    assert at(made, "HostConfig.Sysctls") == {"net.ipv4.conf.eth7.forwarding": "1", "net.ipv6.neigh.eth7.retrans_time_ms": "500"}
    refused = site.play(asked(sysctls={"net.ipv4.conf.eth7.forwards": 1}), failing=True).last
    assert refused.msg == "sysctls: the kernel of the target has no net.ipv4.conf.eth7.forwards"


def test_input_and_output_of_a_start() -> None:
    values = {"interactive": True, "log_driver": "json-file", "log_options": {"max-size": 5, "max-file": 2}}
    spec = {"process": {"terminal": True}}
    assert task_io(spec, values, "/log") == TaskIO(terminal=True, stdin=True, log_path="/log", log_max_size=5, log_max_files=2)
    assert task_io({}, {}, "/log") == TaskIO(terminal=False, stdin=False, log_path="/log", log_max_size=0, log_max_files=1)
    assert task_io({}, {"log_driver": "none"}, "/log").log_path == ""


@pytest.mark.parametrize("mode", ["strict", "allow_more_present"])
def test_what_a_live_change_leaves(site: MemorySite, image: str, mode: str) -> None:
    site.play(asked(labels={"a": "1", "b": "1"}))
    changed = site.play(asked(labels={"b": "2"}, comparisons={"labels": mode})).last
    more = {"a": "1"} if mode == "allow_more_present" else {}
    assert at(changed, "Config.Labels") == {"from": "image", "b": "2", **more}


def test_a_live_change_keeps_the_options_of_a_later_release(site: MemorySite, image: str) -> None:
    """That release compares with them, and starts with them.

    I35: what is stored has a number of its form, and what another release has stored there stays. (All tests of containers run
    with each release of containerd that is supported, and with more than one runtime.)
    """
    site.play(asked(stop_timeout=1))
    made = record(site)
    stored = made.extensions["fleet.containerd.desired"]
    later = {**stored, **{key: {**stored[key], "later": [1]} for key in ("given", "effective")}}
    site.memory.containers.update(made._replace(extensions={"fleet.containerd.desired": later}), ["extensions"])
    site.play(asked(stop_timeout=2))
    written = record(site).extensions["fleet.containerd.desired"]
    assert written["given"] == {"stop_timeout": 2, "later": [1]}
    assert (written["effective"]["stop_timeout"], written["effective"]["later"]) == (2, [1])
