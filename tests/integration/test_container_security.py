# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the process inside sees of options of security, devices, namespaces and mounts: one line an option, on each engine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import re
import secrets
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.capabilities import NAMES, possible
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.cgroups import host_facts
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, busybox_image, directory, symlink, tar_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, Site

DEFAULT = (
    "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP"
)
#: All versions of containerd do with a specification what the newest does.
TWO = ("embedded", "containerd-2.1")
_STATUS = "sed -n 's/^{}:[ \\t]*//p' /proc/self/status; "
_EFFECTIVE = _STATUS.format("CapEff")


def mask(names: t.Iterable[str]) -> str:
    """As in /proc/self/status."""
    return f"{sum(1 << NAMES.index(name) for name in names):016x}"


def status(*fields: str) -> str:
    return "".join(_STATUS.format(field) for field in fields)


ALL_OF_HOST = mask(name[4:] for name in possible())
WITHOUT_ADMIN = mask(name[4:] for name in possible() if name != "CAP_SYS_ADMIN")
NO_MKDIR = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}],
    "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
        {"names": ["rmdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "excludes": {"caps": ["CAP_CHOWN"]}},
        {"names": ["symlinkat", "symlink"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "99.0"}},
    ],
}
_MKDIR = "mkdir /new 2>&1; rmdir /tmp/no 2>&1; ln -s a /link && echo linked"
GROUP = "/sys/fs/cgroup" if host_facts().cgroup == 2 else "/sys/fs/cgroup/pids"
_NS = "readlink /proc/self/ns/{}"


class Case(t.NamedTuple):
    """Options, a script, and what that prints: text, or a pattern (begins with ^). HERE stands for the test's directory."""

    options: t.Dict[str, t.Any]
    script: str
    printed: str


def own(kind: str) -> str:
    """The namespace of this process."""
    return os.readlink(f"/proc/self/ns/{kind}")


def another(kind: str) -> str:
    return f"^(?!{re.escape(own(kind))}){kind}:.*"


def bind(**more: t.Any) -> t.Dict[str, t.Any]:
    return {"type": "bind", "source": "HERE/tree", "target": "/a", **more}


CASES: t.Dict[str, Case] = {
    # Nothing is asked for.
    "capabilities by default": Case({}, status("CapInh", "CapEff", "CapBnd", "CapAmb"), "\n".join(
        ["0" * 16, mask(DEFAULT.split()), mask(DEFAULT.split()), "0" * 16])),
    "seccomp by default": Case(
        {"capabilities": ["SYS_CHROOT"]}, status("Seccomp", "NoNewPrivs") + "unshare -U true 2>&1", "2\n0\nunshare: unshare(0x10000000): Operation not permitted"
    ),
    "files of the kernel by default": Case(
        {}, "stat -c %F /proc/keys; ls /sys/firmware; (echo 1 >/proc/sys/vm/swappiness) 2>&1; mkdir GROUP/x 2>&1 | sed 's/.*: //'",
        "character special file\nsh: can't create /proc/sys/vm/swappiness: Read-only file system\nRead-only file system",
    ),
    # Capabilities.
    "capabilities": Case({"capabilities": ["CAP_net_admin"]}, _EFFECTIVE, mask([*DEFAULT.split(), "NET_ADMIN"])),
    "cap_drop": Case({"cap_drop": ["mknod", "CHOWN"]}, _EFFECTIVE, mask(one for one in DEFAULT.split() if one not in ("MKNOD", "CHOWN"))),
    "cap_drop all": Case({"cap_drop": ["ALL"], "capabilities": ["net_raw"]}, _EFFECTIVE, mask(["NET_RAW"])),
    "capabilities all": Case({"capabilities": ["ALL"], "cap_drop": ["SYS_ADMIN"]}, _EFFECTIVE, WITHOUT_ADMIN),
    "capabilities of a user": Case(
        {"capabilities": ["NET_ADMIN"], "user": "user"}, status("CapEff", "CapBnd"), f"{'0' * 16}\n{mask([*DEFAULT.split(), 'NET_ADMIN'])}"
    ),
    "seccomp follows capabilities": Case({"capabilities": ["SYS_ADMIN"]}, "unshare -m mount -t tmpfs x /tmp && echo mounted", "mounted"),
    # Privileged.
    "privileged": Case(
        {"privileged": True},
        status("CapEff", "Seccomp") + "mount -t tmpfs x /tmp && test -c /dev/kmsg && grep -c ' /proc/' /proc/self/mountinfo; test -w /proc/sys/vm && echo rw",
        f"{ALL_OF_HOST}\n0\n0\nrw",
    ),
    "privileged, with devices": Case({"privileged": True}, "mknod /tmp/full c 1 7; echo x 2>&1 >/tmp/full", "sh: write error: No space left on device"),
    "not privileged": Case({"privileged": False}, "test -e /dev/kmsg || echo none; mknod /d c 10 229; (: </d) 2>&1", "none\nsh: can't open /d: Operation not permitted"),
    # Other options of security.
    "seccomp=unconfined": Case({"security_opts": ["seccomp:unconfined"]}, status("Seccomp"), "0"),
    "seccomp of privileged": Case({"privileged": True, "security_opts": ["seccomp=builtin"]}, status("Seccomp"), "2"),
    "seccomp=file": Case({"security_opts": ["seccomp=HERE/profile.json"]}, _MKDIR,
        "mkdir: can't create directory '/new': Input/output error\nrmdir: '/tmp/no': No such file or directory\nlinked"),
    "seccomp=text": Case({"security_opts": [f"seccomp={json.dumps(NO_MKDIR)}"], "cap_drop": ["CHOWN"]}, _MKDIR,
        "mkdir: can't create directory '/new': Input/output error\nrmdir: '/tmp/no': Input/output error\nlinked"),
    "no-new-privileges": Case({"security_opts": ["no-new-privileges"]}, status("NoNewPrivs"), "1"),
    "systempaths": Case({"security_opts": ["systempaths=unconfined"]}, "grep -c ' /proc/' /proc/self/mountinfo; ls -l /proc/keys | cut -c1", "0\n-"),
    "mask": Case({"security_opts": ["mask=/etc:/data/seed"]}, "ls /etc; wc -c </data/seed", "0"),
    "unmask": Case({"security_opts": ["unmask=/proc/k*:/proc/irq"]}, "ls -l /proc/keys | cut -c1; grep -c ' /proc/irq ' /proc/self/mountinfo; ls -l /proc/timer_list | cut -c1", "-\n0\nc"),
    # Devices.
    "devices": Case(
        {"devices": ["/dev/fuse:/dev/other:r"]}, "stat -c '%t:%T %a' /dev/other; (: </dev/other) && echo read; (echo >/dev/other) 2>&1",
        f"a:e5 {os.stat('/dev/fuse').st_mode & 0o777:o}\nread\nsh: can't create /dev/other: Operation not permitted",
    ),
    "devices in a directory": Case({"devices": ["HERE/devices:/dev/all"]}, "cd /dev/all; stat -c '%n %t:%T' * below/*", "below 0:0\none 1:3\nbelow/two 1:5"),
    "device_cgroup_rules": Case({"device_cgroup_rules": ["c 10:229 r"]}, "mknod /d c 10 229; (: </d) && echo read; (: >/d) 2>&1", "read\nsh: can't create /d: Operation not permitted"),
    "cdi_devices": Case(
        {"cdi_devices": ["fleet.test/KIND=one"]}, "echo $CDI; stat -c %t:%T /dev/cdi; cat /cdi/file; id -G; test -e /dev/cdi-two || echo one", "one\n1:5\nin the tree\n0 4242\none"
    ),
    "devices of CDI": Case({"devices": ["fleet.test/KIND=two"]}, "stat -c %t:%T /dev/cdi-two", "1:3"),
    # The process.
    "groups": Case({"groups": ["extra", "77"], "user": "user:user"}, "id -G", "1000 77 2000"),
    "groups by default": Case({"user": "user"}, status("Groups"), "1000 2000 "),
    "umask": Case({"umask": "027"}, "umask", "0027"),
    "env_file": Case({"env_file": ["HERE/env", "HERE/env2"], "env": {"B": "task"}}, "echo $A-$B-$C", "one=1-task-three"),
    "init": Case({"init": True}, "tr '\\0' ' ' </proc/1/cmdline; test $$ != 1 && echo second", "^/sbin/docker-init -- sh -c .* second"),
    "init_binary": Case({"init_binary": "/usr/bin/catatonit"}, "cmp /proc/1/exe /sbin/docker-init && echo same", "same"),
    "systemd": Case(
        {"systemd": "always"}, "grep -E ' (/run|/run/lock|/tmp|/var/log/journal) ' /proc/self/mountinfo | grep -c ' - tmpfs '; mkdir GROUP/x; echo $? $container",
        "4\n0 oci",
    ),
    "no systemd": Case({"systemd": "true"}, "grep -c ' /run ' /proc/self/mountinfo", "0"),
    # Namespaces.
    "ipc_mode host": Case({"ipc_mode": "host"}, f"{_NS.format('ipc')}; ls /dev/shm | grep -c fleet-KIND", f"{own('ipc')}\n1"),
    "ipc_mode private": Case({"ipc_mode": "private"}, _NS.format("ipc"), another("ipc")),
    "ipc_mode none": Case({"ipc_mode": "none"}, "grep -c /dev/shm /proc/self/mountinfo", "0"),
    "ipc_mode shareable": Case({"ipc_mode": "shareable"}, "df -k /dev/shm | tail -n 1 | awk '{print $2}'; echo x >/dev/shm/x && stat -c %a /dev/shm", "65536\n1777"),
    "pid_mode host": Case({"pid_mode": "host"}, _NS.format("pid"), own("pid")),
    "uts host": Case({"uts": "host"}, f"{_NS.format('uts')}; hostname", f"{own('uts')}\n{os.uname().nodename}"),
    "uts private": Case({"uts": "private", "hostname": "box"}, f"{_NS.format('uts')}; hostname", f"{another('uts')}\nbox"),
    "cgroupns_mode host": Case({"cgroupns_mode": "host"}, _NS.format("cgroup"), own("cgroup")),
    "cgroupns_mode private": Case({"cgroupns_mode": "private"}, f"{_NS.format('cgroup')}; cut -d: -f3 /proc/self/cgroup | sort -u", f"{another('cgroup')}\n/"),
    "cgroup_parent": Case({"cgroup_parent": "/fleet-KIND", "cgroupns_mode": "host"}, "sed -n 's/.*memory:/memory /p; s/^0::/memory /p' /proc/self/cgroup | head -n 1", "^memory /fleet-KIND/[0-9a-f]{64}"),
    # Mounts.
    "tmpfs": Case({"tmpfs": ["/t:size=8m,mode=700,uid=1000"]}, "df -k /t | tail -n 1 | awk '{print $2}'; stat -c '%a %u' /t; cp /bin/busybox /t; (/t/busybox true) 2>&1", "8192\n700 1000\nsh: /t/busybox: Permission denied"),
    "tmpfs with programs": Case({"tmpfs": {"/t": "exec"}}, "cp /bin/busybox /t; /t/busybox echo runs", "runs"),
    "tmpfs below a volume": Case({"tmpfs": ["/a/sub"], "volumes": ["HERE/tree:/a"]}, "ls /a/sub; cat /a/file", "in the tree"),
    "mounts bind": Case({"mounts": [bind()]}, "cat /a/file /a/sub/deep; echo x >/a/written", "in the tree\nin what is mounted there"),
    "mounts read_only": Case({"mounts": [bind(read_only=True)]}, "(echo x >/a/x; echo x >/a/sub/x) 2>&1 | grep -c Read-only", "2"),
    "mounts read_only_non_recursive": Case({"mounts": [bind(read_only=True, read_only_non_recursive=True)]}, "(echo x >/a/x) 2>&1; echo x >/a/sub/y && echo ok", "sh: can't create /a/x: Read-only file system\nok"),
    "mounts read_only_force_recursive": Case({"mounts": [bind(read_only=True, read_only_force_recursive=True)]}, "(echo x >/a/sub/x) 2>&1", "sh: can't create /a/sub/x: Read-only file system"),
    "mounts non_recursive": Case({"mounts": [bind(non_recursive=True)]}, "ls /a/sub; cat /a/file", "in the tree"),
    "mounts propagation": Case({"mounts": [bind(source="HERE/tree/sub", propagation="rslave")]}, "grep ' /a ' /proc/self/mountinfo | grep -c master:", "1"),
    "mounts propagation to the host": Case({"mounts": [bind(source="HERE/tree/sub", propagation="rshared")], "capabilities": ["SYS_ADMIN"]}, "mkdir /a/in && mount -t tmpfs x /a/in && echo back >/a/in/file", ""),
    "mounts create_mountpoint": Case({"mounts": [{"type": "bind", "source": "HERE/made/deep", "target": "/m", "create_mountpoint": True}]}, "stat -c '%a %u' /m", "755 0"),
    "mounts tmpfs": Case({"mounts": [{"type": "tmpfs", "target": "/t", "tmpfs_size": "2m", "tmpfs_mode": "750", "tmpfs_options": ["uid=7", {"exec": None}]}]}, "df -k /t | tail -n 1 | awk '{print $2}'; stat -c '%a %u' /t; grep ' /t ' /proc/self/mountinfo | grep -c noexec", "2048\n750 7\n0"),
    "mounts image": Case({"mounts": [{"type": "image", "source": "IMAGE", "target": "/i"}]}, "cat /i/data/seed; (echo x >/i/x) 2>&1; /i/bin/busybox echo runs", "from the image\nsh: can't create /i/x: Read-only file system\nruns"),
    # Links in the image never lead out of it.
    "files in a volume of the image": Case({"files": [{"path": "/vol/app.conf", "content": "ours"}]}, "cat /vol/app.conf; grep -c ' /vol ' /proc/self/mountinfo", "ours1"),
    "a planted link": Case({"mounts": [bind(target="/out/b")], "tmpfs": ["/abs/t"], "files": [{"path": "/out/planted", "content": "x"}, {"path": "/abs/deep/planted", "content": "y"}]}, "cat /etc/b/file /etc/planted /etc/deep/planted; grep -c ' /etc/t ' /proc/self/mountinfo", "in the tree\nxy1"),
    # Files.
    "secrets": Case(
        {"secrets": [{"name": "key", "content": "SECRET\n", "mode": "0400", "owner": "user"}, {"name": "other", "content": "unlikely"}], "user": "user"},
        "cd /run/secrets; sha256sum <key; stat -c '%n %a %u:%g' *; grep ' /run/secrets ' /proc/self/mountinfo | grep -c -- '- tmpfs'; (echo >key) 2>&1",
        "DIGEST\nkey 400 1000:1000\nother 444 0:0\n1\nsh: can't create key: Permission denied",
    ),
    "files": Case(
        {"files": [{"path": "/new/dir/app.conf", "content": "a=1\n", "mode": "0640", "owner": "user:extra"}, {"path": "/data/seed", "content": "replaced\n"}], "read_only": True},
        "cat /new/dir/app.conf /data/seed; stat -c '%a %u:%g' /new/dir /new/dir/app.conf /data/seed",
        "a=1\nreplaced\n755 0:0\n640 1000:2000\n444 0:0",
    ),
}  # fmt: skip


class Ground(t.NamedTuple):
    """What the host has for the cases. word: what is unique to this test; secret: a value that must be nowhere."""

    here: pathlib.Path
    image: str
    word: str
    secret: str

    def filled(self, value: t.Any) -> t.Any:
        text = json.dumps(value)
        for name, item in {
            "HERE": str(self.here),
            "IMAGE": self.image,
            "KIND": self.word,
            "SECRET": self.secret,
            "GROUP": GROUP,
            "DIGEST": hashlib.sha256(f"{self.secret}\n".encode()).hexdigest() + "  -",
        }.items():
            text = text.replace(name, item)
        return json.loads(text)


@pytest.fixture
def ground(tmp_path: pathlib.Path, registry: Registry, layout: Layout) -> t.Iterator[Ground]:
    here, word, value = tmp_path / "ground", secrets.token_hex(4), f"hush-{secrets.token_hex(16)}"
    for path in ("tree/sub", "devices/below"):
        (here / path).mkdir(parents=True)
    (here / "tree/file").write_text("in the tree\n")
    os.mknod(here / "devices/one", 0o20666, os.makedev(1, 3))
    os.mknod(here / "devices/below/two", 0o20600, os.makedev(1, 5))
    (here / "devices/link").symlink_to("/dev/kmsg")
    (here / "profile.json").write_text(json.dumps(NO_MKDIR))
    (here / "env").write_text("# comment\nA=one=1\nB=file\n")
    (here / "env2").write_text("C=three")
    files = [directory("data"), Entry("data/seed", b"from the image\n"), symlink("out", "/../../../etc"), symlink("abs", "/etc")]
    registry.push(layout.path, busybox_image(layout, [tar_of(files)], Volumes={"/vol": {}}), "secure", "1")
    edits = {"env": ["CDI=one"], "additionalGids": [4242], "deviceNodes": [{"path": "/dev/cdi", "hostPath": "/dev/zero"}]}
    edits["mounts"] = [{"hostPath": str(here / "tree"), "containerPath": "/cdi", "options": ["ro", "bind"]}]
    second = {"deviceNodes": [{"path": "/dev/cdi-two", "type": "c", "major": 1, "minor": 3}]}
    devices = [{"name": "one", "containerEdits": edits}, {"name": "two", "containerEdits": second}]
    described, shared = pathlib.Path(f"/var/run/cdi/fleet-{word}.json"), pathlib.Path(f"/dev/shm/fleet-{word}")
    described.parent.mkdir(exist_ok=True)
    described.write_text(json.dumps({"cdiVersion": "0.6.0", "kind": f"fleet.test/{word}", "devices": devices}))
    shared.touch()
    # starts: mount, umount
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(here / "tree/sub")], check=True)
    subprocess.run(["mount", "--make-shared", str(here / "tree/sub")], check=True)
    (here / "tree/sub/deep").write_text("in what is mounted there\n")
    try:
        yield Ground(here, f"{registry.address}/secure:1", word, value)
    finally:
        subprocess.run(["umount", "-R", "-l", str(here / "tree/sub")], check=True)
        described.unlink()
        shared.unlink()
        for depth in ("", "*/"):
            for path in pathlib.Path("/sys/fs/cgroup").glob(f"{depth}fleet-{word}"):
                path.rmdir()


def matches(printed: str, expected: str) -> bool:
    """Whether it is that text; or fits that pattern, if there is a ^ at the beginning."""
    return bool(re.fullmatch(expected[1:], printed, re.DOTALL)) if expected.startswith("^") else printed == expected


@pytest.mark.parametrize("backend", TWO, indirect=True)
def test_what_the_process_inside_sees(site: Site, modules: Modules, ground: Ground) -> None:
    before = {path: (os.lstat(path).st_mtime_ns, sorted(os.listdir(path))) for path in ("/etc", "/")}
    common = {**site.defaults, "image": ground.image, "detach": False, "network_mode": "none", "cleanup": True}
    wrong = []
    for number, (name, case) in enumerate(CASES.items()):
        options = {**common, **ground.filled(case.options), "command": ["sh", "-c", ground.filled(case.script)]}
        result = modules.result("containerd_container", name=f"case-{number}", **options)
        printed = (result.get("container") or {}).get("Output", "").strip("\n")
        if not matches(printed, ground.filled(case.printed)):
            wrong.append(f"{name}: {result.get('msg', '')} printed {printed!r}, not {ground.filled(case.printed)!r}")
        assert ground.secret not in json.dumps({key: value for key, value in result.items() if key != "container"})
    assert not wrong, "\n".join(wrong)
    assert before == {path: (os.lstat(path).st_mtime_ns, sorted(os.listdir(path))) for path in ("/etc", "/")}
    assert (ground.here / "tree/sub/in/file").read_text() == "back\n"


RUNS: t.Dict[str, t.Any] = {"command": ["sleep", "1000"], "stop_signal": "KILL", "network_mode": "none"}


@pytest.mark.parametrize("backend", TWO, indirect=True)
def test_namespaces_of_another_container(site: Site, modules: Modules, busybox: str) -> None:
    """They are those that it has when the user starts. One whose giver has others by now is started again, and nothing stays mounted
    (the fixture looks).
    """

    def run(name: str, **options: t.Any) -> t.Dict[str, t.Any]:
        return modules.result("containerd_container", **{**site.defaults, "image": busybox, **RUNS, "name": name, **options})

    def namespaces(result: t.Dict[str, t.Any]) -> t.List[str]:
        pid = result["container"]["State"]["Pid"]
        return [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("ipc", "pid", "uts")]

    def pins() -> t.List[str]:
        return [one for one in site.leftovers_of_mounts() if "/ns-" in one]

    look = "for one in ipc pid uts; do readlink /proc/self/ns/$one; done; cat /dev/shm/word; ps | grep -c 'sleep 1000$'; hostname"
    joins = dict.fromkeys(("ipc_mode", "pid_mode", "uts"), "container:giver")
    shares = {"ipc_mode": "shareable", "shm_size": "1m"}
    giver = run("giver", **shares, hostname="giver")
    pid = giver["container"]["State"]["Pid"]
    pathlib.Path(f"/proc/{pid}/root/dev/shm/word").write_text("shared\n")
    memory = os.statvfs(f"/proc/{pid}/root/dev/shm")
    assert memory.f_blocks * memory.f_bsize == 1 << 20
    assert giver["container"]["HostConfig"]["ShmSize"] == 1 << 20
    seen = run("taker", command=["sh", "-c", look], detach=False, cleanup=True, **joins)["container"]["Output"].splitlines()
    assert seen == [*namespaces(giver), "shared", "1", "giver"]
    assert site.leftovers_of_mounts() == [f"{site.container_directory(giver)}/shm"]

    stays = run("stays", **joins)
    assert stays["container"]["HostConfig"]["PidMode"] == f"container:{giver['container']['Id']}"
    assert not run("stays", **joins)["changed"]
    by_id = dict.fromkeys(joins, f"container:{giver['container']['Id']}")
    assert not run("stays", **by_id)["changed"]
    words = "the container stays uses namespaces of giver (ipc, pid, uts), and is to be started again"
    anew = run("giver", **shares, hostname="other")
    assert anew["recreated_because"] == ["hostname"]
    assert words in json.dumps(anew["warnings"])
    # With the giver's processes its own have ended; without that namespace it runs on, in what nobody else has.
    follows = run("stays", **joins)
    assert follows["actions"] == ["start container stays"]
    assert follows["container"]["Id"] == stays["container"]["Id"]
    assert follows["container"]["HostConfig"]["IpcMode"] == f"container:{anew['container']['Id']}"
    assert namespaces(follows) == namespaces(anew)
    assert not run("stays", **joins)["changed"]

    run("stays", state="stopped")
    assert pins() == []
    kept = {option: mode for option, mode in joins.items() if option != "pid_mode"}
    run("other", **kept)
    again = run("giver", **shares, hostname="other", restart=True)
    started = run("other", **kept)
    stop = "stop container other, as the container giver has another ipc namespace by now"
    assert started["actions"] == [stop, "start container other"]
    assert namespaces(started)[::2] == namespaces(again)[::2]
    assert len(pins()) == len(kept)

    run("giver", state="stopped", **shares, hostname="other")
    failed = run("stays", **joins)
    assert failed["msg"] == "ipc_mode: container:giver: the container giver does not run: start it first"
    assert run("no", ipc_mode="container:nobody")["msg"] == "ipc_mode: container:nobody: there is no such container"
    assert run("no", uts="container:no")["msg"] == "uts: container:no is the container itself: give the name of another one"
    run("closed")
    words = "ipc_mode: container:closed: the container does not share its memory: give it ipc_mode shareable"
    assert run("no", ipc_mode="container:closed")["msg"] == words


def everything_below(*roots: pathlib.Path) -> t.Iterator[t.Tuple[pathlib.Path, bytes]]:
    """The files and their contents, but what is mounted below."""
    for root in roots:
        # starts: find
        found = subprocess.run(["find", str(root), "-xdev", "-type", "f", "-print0"], check=True, capture_output=True).stdout
        for name in filter(None, found.decode().split("\0")):
            yield pathlib.Path(name), pathlib.Path(name).read_bytes()


@pytest.mark.packed
@pytest.mark.parametrize("backend", TWO, indirect=True)
def test_where_a_secret_is(site: Site, busybox: str) -> None:
    """In a file for root only, and in the memory of the container. In nothing else: no record, log, argument, environment, result."""
    word = f"hush-{secrets.token_hex(16)}"
    options = {"name": "keeper", "image": busybox, **RUNS, "command": ["sh", "-c", "cp /run/secrets/key /tmp/k; exec sleep 1000"]}
    given = [{"name": "key", "content": word, "owner": "user", "mode": "0400"}]
    first = site.play(task("containerd_container", **options, secrets=given), diff=True, arguments=["-vvv"])
    assert "module_args" in first.output
    assert word not in first.output
    made = first.last
    container = made.value("container")
    assert made.value("diff")["after"]["secrets"] == {"key": "(secret)"}
    assert word not in json.dumps(made.result)
    root = pathlib.Path(f"/proc/{container['State']['Pid']}/root")
    assert (root / "run/secrets/key").read_text() == word
    assert ((root / "run/secrets/key").stat().st_uid, (root / "run/secrets").stat().st_mode & 0o777) == (1000, 0o755)
    (root / "tmp/k").unlink()
    kept = site.container_directory(made.result) / "secrets" / "0"
    directories = [site.data, site.state, *([site.daemon.base] if isinstance(site, DaemonSite) else [])]
    holders = [path for path, content in everything_below(*filter(pathlib.Path.exists, directories)) if word.encode() in content]
    assert holders == [kept]
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                assert word.encode() not in (process / name).read_bytes(), process

    other = [{**given[0], "content": f"{word}-new"}]
    second = site.play(
        task("containerd_container", **options, secrets=given, restart=True),
        task("containerd_container", **options, secrets=other),
        diff=True,
        arguments=["-vvv"],
    )
    assert word not in second.output
    restarted, changed = second.results
    assert restarted.actions == ["stop container keeper", "start container keeper"]
    assert changed.value("recreated_because") == ["secrets"]
    assert changed.value("diff")["after"]["secrets"] == "(secret, changed)"
    assert not kept.exists()
    root = pathlib.Path(f"/proc/{changed.value('container')['State']['Pid']}/root")
    assert (root / "run/secrets/key").read_text() == f"{word}-new"


@pytest.mark.parametrize("backend", TWO, indirect=True)
def test_a_mounted_image_stays(site: Site, modules: Modules, ground: Ground, busybox: str) -> None:
    """While a container has it mounted, its files are not collected; then they are."""
    mounted = [{"type": "image", "source": ground.image, "target": "/i"}]
    user = {**site.defaults, "name": "user", "image": busybox, **RUNS}
    absent = modules.result("containerd_container", **user, mounts=[{**mounted[0], "source": "127.0.0.1:1/no:1"}])
    assert absent["msg"] == "mounts.source: the image 127.0.0.1:1/no:1 is not there: pull it with containerd_image"
    modules.run("containerd_image", **site.defaults, name=ground.image)
    made = modules.run("containerd_container", **user, mounts=mounted)
    before = len(site.snapshots())
    modules.run("containerd_image", **site.defaults, name=ground.image, state="absent")
    restarted = modules.run("containerd_container", **user, mounts=mounted, restart=True)
    root = pathlib.Path(f"/proc/{restarted['container']['State']['Pid']}/root")
    assert (root / "i/data/seed").read_text() == "from the image\n"
    assert len(site.snapshots()) == before
    assert [one["Type"] for one in made["container"]["HostConfig"]["Mounts"]] == ["image"]
    assert [(one["Type"], one["Destination"], one["RW"]) for one in made["container"]["Mounts"]] == [("image", "/i", False)]
    modules.run("containerd_container", **site.defaults, name="user", state="absent")
    modules.run("containerd_image", **site.defaults, name=busybox, state="absent")
    site.collect()
    assert site.snapshots() == []


@pytest.mark.parametrize("backend", TWO, indirect=True)
def test_a_file_that_cannot_be(site: Site, modules: Modules, ground: Ground) -> None:
    """Nothing is left of what could not be made."""
    for wrong, words in {
        "/data": "/data is a directory in the image, and cannot become a file",
        "/bin/busybox/x": "/bin/busybox/x has something else than directories on its way in the image",
        "/tmp/a": "files: /tmp/a cannot be seen in the container, since /tmp is mounted there",
    }.items():
        made = modules.result(
            "containerd_container",
            **{**site.defaults, "image": ground.image, **RUNS},
            name="app",
            tmpfs=["/tmp"],
            files=[{"path": wrong, "content": "x"}],
        )
        assert made["failed"]
        assert words in made["msg"]
    assert site.leftovers() == []
