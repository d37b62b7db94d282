# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers with users of their own (userns_mode): root inside is another user on the host, for processes and for files."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import pathlib
import random
import re
import stat
import struct
import tempfile
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import PermissionDenied
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.engines import EngineOptions
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.entry import As
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.session import Session
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES
from ansible_collections.fleet.containerd.tests.support.images import (
    Entry,
    Layout,
    busybox_image,
    directory,
    hardlink,
    symlink,
    tar_of,
)
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.namespaces import HOST
from ansible_collections.fleet.containerd.tests.support.networked import Networked, networked, pid_of
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.stories.copying import ACL, CAPABLE
from ansible_collections.fleet.containerd.tests.support.waiting import until

#: All versions of containerd do with a specification what the newest does.
two = pytest.mark.parametrize("site", ["", "2.1"], indirect=True, ids=["embedded", "containerd-2.1"])
#: Room for two of auto; those of remap.
FIRST, SIZE, GROUP, SHARED = 1_000_000_000, 65536, 1_100_000_000, 500_000
SUBUID = f"somebody:100000:65536\nfleet-containerd:{FIRST}:{2 * SIZE}\ndockremap:{SHARED}:{SIZE}\n"
SUBGID = f"fleet-containerd:{GROUP}:{2 * SIZE}\ndockremap:{SHARED}:{SIZE}\n"
#: Of a file (capabilities(7)): cap_net_raw=ep, as in a tar.
NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0).decode("utf-8", "surrogateescape")
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
        Entry(
            "busybox.raw",
            pathlib.Path("/bin/busybox").read_bytes(),
            mode=0o755,
            pax={"SCHILY.xattr.security.capability": NET_RAW},
        ),
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
        # The volumes that a container has alone go with it.
        made.container = functools.partial(made.container, keep_volumes=False)  # type: ignore[method-assign]
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
    site.web("third", userns_mode="remap", healthcheck={"test": ["CMD", "test", "-O", "/new"], "interval": "1s"})
    until(lambda: site.facts("third")["State"]["Health"]["Status"] == "healthy")
    host = site.web("fourth", userns_mode="host")
    assert host["recreated_because"] == ["userns_mode"]
    assert uid_map(pid_of(host))[:2] == [0, 0]
    assert host["container"]["Containerd"]["UidMappings"] == []
    # All numbers are taken, and there is nothing to do.
    assert not site.web("second", userns_mode="auto")["changed"]
    for name in ("web", "second", "third"):
        assert any("for the users" in one for one in snapshots(site)), name
        site.container(name, state="absent")
    site.container("fourth", state="absent")
    assert left(site) == [[], [], []]


class Case(t.NamedTuple):
    """Options, a script, and what that prints. HERE stands for a directory of the host."""

    options: t.Dict[str, t.Any]
    script: str
    printed: str


CASES: t.Dict[str, Case] = {
    "output by its path": Case({}, "echo a >/dev/stdout; echo b >/proc/self/fd/2", "a\nb"),
    "output of another user": Case({"user": "7:8"}, "echo a >/dev/stdout; id -u; id -g; cat /own/file", "a\n7\n8\ntext"),
    "files": Case(
        {"files": [{"path": "/new/below/file", "content": "text\n", "owner": "7:8", "mode": "0640"}]},
        "stat -c '%u:%g %a' /new/below/file /new/below; cat /new/below/file",
        "7:8 640\n0:0 755\ntext",
    ),
    "secrets": Case(
        {"secrets": [{"name": "key", "content": "hush", "owner": "7:8", "mode": "0400"}], "user": "7:8"},
        "stat -c '%u:%g %a' /run/secrets /run/secrets/*; wc -c </run/secrets/key",
        "0:0 755\n7:8 400\n4",
    ),
    "a mount of the host": Case(
        {"volumes": ["HERE:/here"]},
        "stat -c %u /here/read; cat /here/read; (: >/here/read) 2>&1; (: >/here/write) && echo written",
        "65534\nread\nsh: can't create /here/read: Permission denied\nwritten",
    ),
    "a volume": Case({"volumes": ["data:/new/place"]}, "stat -c %u /new/place; echo v >/new/place/x && cat /new/place/x", "0\nv"),
    "a part of a volume": Case(
        {"mounts": [{"source": "data", "target": "/part", "subpath": "x"}]},
        "stat -c %u /part; echo more >>/part; cat /part",
        "0\nv\nmore",
    ),
    "memory": Case(
        {"tmpfs": ["/mem:uid=7,mode=700"], "shm_size": "2M", "ipc_mode": "shareable"},
        "stat -c '%u %a' /mem; echo x >/dev/shm/x && cat /dev/shm/x; df -k /dev/shm | sed -n 's/.* \\(2048\\) .*/\\1/p'",
        "7 700\nx\n2048",
    ),
    "devices": Case(
        {"devices": ["/dev/full"]},
        "(echo x >/dev/full) 2>&1; echo y >/dev/null && head -c 3 /dev/zero | wc -c",
        "sh: write error: No space left on device\n3",
    ),
    "who is root": Case(
        {"capabilities": ["SYS_ADMIN"]},
        "mount -t tmpfs none /mnt2 2>&1; mkdir /m; mount -t tmpfs none /m && echo mounted; mknod /d c 1 3 2>&1",
        "mount: mounting none on /mnt2 failed: No such file or directory\nmounted\nmknod: /d: Operation not permitted",
    ),
    "its network": Case(
        {"capabilities": ["NET_ADMIN"], "sysctls": {"net.ipv4.ip_forward": "1"}},
        "ip link set lo mtu 1400 && cat /sys/class/net/lo/mtu /proc/sys/net/ipv4/ip_forward",
        "1400\n1",
    ),
    "no network": Case({"network_mode": "none"}, "ls /sys/class/net", "lo"),
    "limits": Case(
        {"memory": "64M", "ulimits": ["nofile:100:200"], "cpus": 0.5},
        "ulimit -n; ulimit -Hn; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null",
        "100\n200\n67108864",
    ),
    "read-only": Case(
        {"read_only": True}, "(: >/x) 2>&1; echo v >/vol/x && cat /vol/x", "sh: can't create /x: Read-only file system\nv"
    ),
    "a console": Case({"tty": True}, "stat -c %u $(tty); echo x >$(tty)", "0\r\nx"),
    "a program with capabilities": Case(
        {"cap_drop": ["ALL"], "capabilities": ["NET_RAW"], "user": "7:8"},
        "/busybox.raw sed -n 's/CapEff:[ \\t]*//p' /proc/self/status",
        f"{1 << 13:016x}",
    ),
    "more users": Case(
        {"userns_mode": f"auto:size={2 * SIZE}", "user": f"{2 * SIZE - 1}"},
        "cut -c1-34 /proc/self/uid_map; id -u",
        f"         0 {FIRST}     131072\n131071",
    ),
}


@two
def test_what_the_process_inside_sees(site: Networked, image: str, tmp_path: pathlib.Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "read").write_text("read\n")
    (here / "write").touch()
    (here / "write").chmod(0o666)
    # All but one use the copy of the image that this one has.
    site.web(userns_mode="remap")
    wrong = []
    for name, case in CASES.items():
        options = json.loads(json.dumps({"userns_mode": "remap", **case.options}).replace("HERE", str(here)))
        job = {"image": image, "command": ["sh", "-c", case.script], "detach": False, "cleanup": True}
        result = site.modules.result("containerd_container", **{**site.defaults, "name": "job", **job, **options})
        printed = (result.get("container") or {}).get("Output", "").strip("\n\r")
        if printed != case.printed:
            wrong.append(f"{name}: {result.get('msg', '')} printed {printed!r}, not {case.printed!r}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("site", [""], indirect=True, ids=["embedded"])
def test_crun(site: Networked, image: str) -> None:
    # crun takes a version 2 hierarchy that it finds for the one to use, also where that has no controllers.
    site.run("sh", "-c", "! test -d /sys/fs/cgroup/unified || mount -t tmpfs tmpfs /sys/fs/cgroup/unified")
    script = "cut -c1-34 /proc/self/uid_map; cat /own/file; echo x >/dev/stdout; wc -c </run/secrets/key; stat -c %u /etc/hosts"
    options = {"image": image, "command": ["sh", "-c", script], "detach": False, "cleanup": True, "runtime": "crun"}
    options.update(userns_mode="remap", secrets=[{"name": "key", "content": "hush"}], networks=[{"name": "bridge"}])
    done = site.container("job", **options)
    assert done["container"]["Output"] == f"         0 {SHARED:10}      65536\ntextx\n4\n65534\n"
    # crun gives standard streams to the user of the container: never those of the host.
    assert os.stat("/dev/null").st_uid == 0


@pytest.mark.parametrize("site", [""], indirect=True, ids=["embedded"])
def test_a_state_root_that_others_do_not_get_through(site: Networked) -> None:
    os.chmod(site.base, 0o700)
    failed = site.container("web", True, **site.page_options("web"), userns_mode="remap")
    assert failed["msg"].startswith(f"state_root: other users than root must get through {site.base} (chmod o+x)")
    os.chmod(site.base, 0o711)
    assert left(site) == [[], [], []]
    bundle = site.state / site.namespace / site.web(userns_mode="remap")["container"]["Id"]
    modes = [stat.S_IMODE(directory.stat().st_mode) for directory in (site.state, bundle.parent, bundle)]
    assert modes == [0o711, 0o711, 0o710]


@pytest.mark.parametrize("site", [""], indirect=True, ids=["embedded"])
def test_plain_copies(site: Networked, modules: Modules, image: str) -> None:
    """Where names of a file share it, it is mapped once."""
    modules.run("containerd_image", **{**site.defaults, "name": image, "snapshotter": "native"})
    before = sorted((site.data / "snapshots/native").iterdir())
    made = site.web(userns_mode="auto", snapshotter="native", published_ports=["8080:80"])
    assert inside(site, pid_of(made), LOOK) == SEEN
    assert inside(site, pid_of(made), "stat -c %h /own/file") == "2"
    site.container("web", state="absent")
    assert sorted((site.data / "snapshots/native").iterdir()) == before
    assert left(site) == [[], [], []]


def snapshots(site: Networked) -> t.List[str]:
    roots = str(site.data), str(site.state)
    with contextlib.ExitStack() as stack:
        engine: t.Any = (
            ContainerdEngine(site.daemon.address, site.namespace, "", *roots)
            if site.daemon
            else EmbeddedEngine(site.namespace, *roots)
        )
        stack.callback(engine.close)
        return [one.name for one in engine.snapshotter().walk()]


def left(site: Networked) -> t.List[t.Any]:
    """What is left of containers: also copies of images, and directories with ranges."""
    directories = [str(one) for one in site.data.glob(f"containers/*/{site.namespace}/*")]
    copies = [one for one in snapshots(site) if not re.fullmatch("sha256:[0-9a-f]{64}", one)]
    return [*site.left(), directories, copies] if directories or copies else site.left()


@two
def test_killed_while_owners_are_given(site: Networked) -> None:
    options = {**site.page_options("web"), "userns_mode": "auto", "published_ports": ["8080:80"]}
    whole = site.modules.duration("containerd_container", **site.defaults, name="web", **options)
    moments = random.Random(4)
    for turn in range(4):
        site.container("web", state="absent")
        moment = moments.uniform(0, whole * 1.1)
        site.modules.kill_after(moment, "containerd_container", **site.defaults, name="web", **options)
        made = site.container("web", **options)
        assert uid_map(pid_of(made)) == [0, FIRST, SIZE], (turn, moment)
        assert inside(site, pid_of(made), LOOK) == SEEN, (turn, moment)
        assert not site.container("web", **options)["changed"]
    site.container("web", state="absent")
    assert left(site) == [[], [], []]


REFUSED: t.Dict[t.Tuple[str, t.Any], str] = {
    ("privileged", True): "userns_mode: auto cannot be with privileged",
    ("systemd", "always"): "userns_mode: auto cannot be with systemd",
    ("network_mode", "host"): "network_mode is host",
    ("network_mode", "container:db"): "network_mode is container:db",
    ("ipc_mode", "host"): "ipc_mode is host",
    ("pid_mode", "host"): "pid_mode is host",
    ("uts", "host"): "uts is host",
    ("cgroupns_mode", "host"): "cgroupns_mode is host",
    ("user", "65536"): "userns_mode: the container has the users 0 to 65535, and user needs 65536",
    ("devices", ("/dev/full:/dev/other",)): "devices: /dev/other has another name on the target",
    ("userns_mode", "keep-id"): "userns_mode: 'keep-id' is not one of host, auto, auto:size=NUMBER and remap: ",
    ("userns_mode", "auto:size=0"): "userns_mode: 'auto:size=0' is not one of",
    ("userns_mode", f"auto:size={3 * SIZE}"): f"there are no {3 * SIZE} numbers in a row left",
    ("userns_mode", "auto:size=6"): "userns_mode: the container has the users 0 to 5, and the owner of /",
}


@two
def test_what_cannot_be(site: Networked) -> None:
    """Refused before anything is made, in check mode, too, but for owners in the image: nobody looks at all of its files there."""
    # By this one containerd tells what is in the image, without anything being made.
    site.web("other")
    page, before = site.page_options("web"), snapshots(site)
    for (option, value), words in REFUSED.items():
        for check in (True, False) if value != "auto:size=6" else (False,):
            options = {**page, "userns_mode": "auto", option: value, "_ansible_check_mode": check}
            assert words in site.container("web", True, **options)["msg"], (option, value)
    site.run("umount", "/etc/subgid")
    for mode, user in (("auto", "fleet-containerd"), ("remap", "dockremap")):
        failed = site.container("web", True, **page, userns_mode=mode, _ansible_check_mode=True)
        assert f"/etc/subgid on the target has no line for {user}" in failed["msg"]
    assert snapshots(site) == before
    site.container("other", state="absent")
    assert left(site) == [[], [], []]


@two
def test_a_reboot(site: Networked) -> None:
    options = {"userns_mode": "remap", "published_ports": ["8080:80"]}
    made = site.web(**options)
    inside(site, pid_of(made), "echo kept >/kept")
    site.reboot()
    # A runtime mounts /proc where users are others only if nothing of it is hidden.
    site.run("umount", "/proc/sys/kernel/random/boot_id")
    again = site.web(**options)
    assert again["container"]["Id"] == made["container"]["Id"]
    assert inside(site, pid_of(again), "cat /kept; stat -c %u:%g /kept; id -u") == "kept\n0:0\n0"
    assert status(pid_of(again), "Uid").split() == [str(SHARED)] * 4
    assert site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    site.container("web", state="absent")
    assert left(site) == [[], [], []]


@two
def test_files_are_copied(site: Networked) -> None:
    """Owners are those in the container, in either direction, also in memory that only its users may write to; numbers that it has not are
    an error.
    """
    source = site.base / "new"
    source.write_text("new")
    source.chmod(0o640)

    def copy(container_path: str, failing: bool = False, **options: t.Any) -> t.Dict[str, t.Any]:
        given = {"path": str(source), **site.defaults, **options}
        result = site.modules.result("containerd_container_copy", container="web", container_path=container_path, **given)
        assert bool(result.get("failed")) is failing, result
        return result

    command = ["sleep", "1000"]
    pid = pid_of(site.web(userns_mode="auto", tmpfs=["/mem"], volumes=["data:/data"], user="7:8", command=command))
    paths = ("/own/new", "/mem/new", "/data/new")
    for path in paths:
        assert [copy(path)["changed"] for _time in range(2)] == [True, False]
    shown = copy("/own/root", owner="0", group="0")["diff"]["after_header"]
    assert shown == "web:/own/root (owner 0, group 0, mode 0640)"
    printed = inside(site, pid, f"stat -c '%n %u:%g %a' {' '.join(paths)} /own/root")
    assert printed == "/own/new 7:8 640\n/mem/new 7:8 640\n/data/new 7:8 640\n/own/root 0:0 640"
    assert "the container has the users 0 to 65535" in copy("/own/x", owner="65536", failing=True)["msg"]
    tree = site.base / "tree"
    tree.mkdir()
    (tree / "file").write_text("in memory")
    copy("/mem/tree", path=str(tree))
    assert inside(site, pid, "stat -c '%u:%g' /mem/tree; cat /mem/tree/file") == "7:8\nin memory"
    back = site.base / "back"
    copy("/own/file", path=str(back), direction="from", archive=True)
    assert (back.stat().st_uid, back.stat().st_gid) == (7, 8)
    # Capabilities of a file are those of the namespace's root, and are this host's outside of it.
    capable, out = tree / "capable", site.base / "out"
    capable.write_text("a program")
    os.chown(capable, 5, 6)
    os.setxattr(capable, "security.capability", CAPABLE)
    os.setxattr(capable, "system.posix_acl_access", ACL)
    os.link(capable, tree / "same")
    for path in ("/own/archive", "/mem/archive"):
        done = [copy(path, path=str(tree), archive=True)["changed"] for _time in range(2)]
        assert done == [True, False], path
        assert inside(site, pid, f"stat -c '%u:%g %h' {path}/capable") == "5:6 2"
        copy(path, path=str(out), direction="from", archive=True, force=True)
        assert not copy(path, path=str(out), direction="from", archive=True)["changed"]
        found = {name: os.getxattr(out / "capable", name) for name in ("security.capability", "system.posix_acl_access")}
        assert found == {"security.capability": CAPABLE, "system.posix_acl_access": ACL}
    there = os.getxattr(f"/proc/{pid}/root/own/archive/capable", "security.capability")
    assert struct.unpack("<IIIIII", there)[-1] == FIRST
    site.container("web", state="stopped")
    copy("/own/stopped")
    copy("/data/stopped", archive=True)
    pid = pid_of(site.container("web", state="started"))
    assert inside(site, pid, "stat -c '%u:%g %a' /own/stopped /data/stopped") == "7:8 640\n0:0 640"
    site.container("web", state="absent", keep_volumes=False)


@two
def test_files_of_a_connection(site: Networked) -> None:
    """They are opened with the rights of the user in the container, where root is root over its own files only."""
    here = site.base / "here"
    here.mkdir()
    (here / "secret").write_text("of the host")
    (here / "secret").chmod(0o600)
    pid = pid_of(site.web(userns_mode="auto", tmpfs=["/mem"], volumes=[f"{here}:/here"]))

    def session(user: str) -> t.ContextManager[Session]:
        return contextlib.closing(Session(EngineOptions.of(site.defaults), "web", As(user)))

    for user in ("", "7:8"):
        with session(user) as connection:
            connection.put(io.BytesIO(b"text"), f"/mem/{user or 'root'}")
            with pytest.raises(PermissionDenied):
                connection.fetch("/here/secret", io.BytesIO())
            with pytest.raises(PermissionDenied):
                connection.put(io.BytesIO(b"changed"), "/here/secret")
    assert inside(site, pid, "stat -c '%n %u:%g' /mem/*; cat /mem/*") == "/mem/7:8 7:8\n/mem/root 0:0\ntexttext"
    assert (here / "secret").read_text() == "of the host"
    found = io.BytesIO()
    with session("0") as connection:
        connection.fetch("/own/file", found)
    assert found.getvalue() == b"text"
    with session("9") as connection, pytest.raises(PermissionDenied):
        connection.fetch("/own/file", found)
    site.container("web", state="absent", keep_volumes=False)
    assert left(site) == [[], [], []]
