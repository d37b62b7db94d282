# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process inside a container sees of options of security, devices, namespaces and mounts; and what the host has for them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.capabilities import NAMES, possible
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.cgroups import host_facts
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, busybox_image, directory, symlink, tar_of
from ansible_collections.fleet.containerd.tests.support.registry import Registry

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.tests.support.site import Site

DEFAULT = (
    "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP"
)
STATUS = "sed -n 's/^{}:[ \\t]*//p' /proc/self/status; "
EFFECTIVE = STATUS.format("CapEff")


def mask(names: t.Iterable[str]) -> str:
    """As in /proc/self/status."""
    return f"{sum(1 << NAMES.index(name) for name in names):016x}"


def status(*fields: str) -> str:
    return "".join(STATUS.format(field) for field in fields)


ALL_OF_HOST = mask(name[4:] for name in possible())
WITHOUT_ADMIN = mask(name[4:] for name in possible() if name != "CAP_SYS_ADMIN")
NOMKDIR = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}],
    "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
        {"names": ["rmdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "excludes": {"caps": ["CAP_CHOWN"]}},
        {"names": ["symlinkat", "symlink"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "99.0"}},
    ],
}
MKDIR = "mkdir /new 2>&1; rmdir /tmp/no 2>&1; ln -s a /link && echo linked"
GROUP = "/sys/fs/cgroup" if host_facts().cgroup == 2 else "/sys/fs/cgroup/pids"
NAMESPACE = "readlink /proc/self/ns/{}"


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
    "capabilities by default": Case(
        {},
        status("CapInh", "CapEff", "CapBnd", "CapAmb"),
        "\n".join(["0" * 16, mask(DEFAULT.split()), mask(DEFAULT.split()), "0" * 16]),
    ),
    "seccomp by default": Case(
        {"capabilities": ["SYS_CHROOT"]},
        status("Seccomp", "NoNewPrivs") + "unshare -U true 2>&1",
        "2\n0\nunshare: unshare(0x10000000): Operation not permitted",
    ),
    "files of the kernel by default": Case(
        {},
        "stat -c %F /proc/keys; ls /sys/firmware; (echo 1 >/proc/sys/vm/swappiness) 2>&1; mkdir GROUP/x 2>&1 | sed 's/.*: //'",
        "character special file\nsh: can't create /proc/sys/vm/swappiness: Read-only file system\nRead-only file system",
    ),
    # Capabilities.
    "cap_drop": Case(
        {"cap_drop": ["mknod", "CHOWN"]}, EFFECTIVE, mask(one for one in DEFAULT.split() if one not in ("MKNOD", "CHOWN"))
    ),
    "cap_drop all": Case({"cap_drop": ["ALL"], "capabilities": ["net_raw"]}, EFFECTIVE, mask(["NET_RAW"])),
    "capabilities all": Case({"capabilities": ["ALL"], "cap_drop": ["SYS_ADMIN"]}, EFFECTIVE, WITHOUT_ADMIN),
    "capabilities of a user": Case(
        {"capabilities": ["NET_ADMIN"], "user": "user"},
        status("CapEff", "CapBnd"),
        f"{'0' * 16}\n{mask([*DEFAULT.split(), 'NET_ADMIN'])}",
    ),
    "seccomp follows capabilities": Case(
        {"capabilities": ["SYS_ADMIN"]}, "unshare -m mount -t tmpfs x /tmp && echo mounted", "mounted"
    ),
    # Privileged.
    "privileged": Case(
        {"privileged": True},
        status("CapEff", "Seccomp")
        + "mount -t tmpfs x /tmp && test -c /dev/kmsg && grep -c ' /proc/' /proc/self/mountinfo; test -w /proc/sys/vm && echo rw",
        f"{ALL_OF_HOST}\n0\n0\nrw",
    ),
    "privileged, with devices": Case(
        {"privileged": True}, "mknod /tmp/full c 1 7; echo x 2>&1 >/tmp/full", "sh: write error: No space left on device"
    ),
    "not privileged": Case(
        {"privileged": False},
        "test -e /dev/kmsg || echo none; mknod /d c 10 229; (: </d) 2>&1",
        "none\nsh: can't open /d: Operation not permitted",
    ),
    # Other options of security.
    "seccomp of privileged": Case({"privileged": True, "security_opts": ["seccomp=builtin"]}, status("Seccomp"), "2"),
    "seccomp=file": Case(
        {"security_opts": ["seccomp=HERE/profile.json"]},
        MKDIR,
        "mkdir: can't create directory '/new': Input/output error\nrmdir: '/tmp/no': No such file or directory\nlinked",
    ),
    "seccomp=text": Case(
        {"security_opts": [f"seccomp={json.dumps(NOMKDIR)}"], "cap_drop": ["CHOWN"]},
        MKDIR,
        "mkdir: can't create directory '/new': Input/output error\nrmdir: '/tmp/no': Input/output error\nlinked",
    ),
    "systempaths": Case(
        {"security_opts": ["systempaths=unconfined"]},
        "grep -c ' /proc/' /proc/self/mountinfo; ls -l /proc/keys | cut -c1",
        "0\n-",
    ),
    "mask": Case({"security_opts": ["mask=/etc:/data/seed"]}, "ls /etc; wc -c </data/seed", "0"),
    "unmask": Case(
        {"security_opts": ["unmask=/proc/k*:/proc/irq"]},
        "ls -l /proc/keys | cut -c1; grep -c ' /proc/irq ' /proc/self/mountinfo; ls -l /proc/timer_list | cut -c1",
        "-\n0\nc",
    ),
    # Devices.
    "devices": Case(
        {"devices": ["/dev/fuse:/dev/other:r"]},
        "stat -c '%t:%T %a' /dev/other; (: </dev/other) && echo read; (echo >/dev/other) 2>&1",
        f"a:e5 {os.stat('/dev/fuse').st_mode & 0o777:o}\nread\nsh: can't create /dev/other: Operation not permitted",
    ),
    "devices in a directory": Case(
        {"devices": ["HERE/devices:/dev/all"]}, "cd /dev/all; stat -c '%n %t:%T' * below/*", "below 0:0\none 1:3\nbelow/two 1:5"
    ),
    "cdi_devices": Case(
        {"cdi_devices": ["fleet.test/KIND=one"]},
        "echo $CDI; stat -c %t:%T /dev/cdi; cat /cdi/file; id -G; test -e /dev/cdi-two || echo one",
        "one\n1:5\nin the tree\n0 4242\none",
    ),
    "devices of CDI": Case({"devices": ["fleet.test/KIND=two"]}, "stat -c %t:%T /dev/cdi-two", "1:3"),
    # The process.
    "groups": Case({"groups": ["extra", "77"], "user": "user:user"}, "id -G", "1000 77 2000"),
    "groups by default": Case({"user": "user"}, status("Groups"), "1000 2000 "),
    "env_file": Case({"env_file": ["HERE/env", "HERE/env2"], "env": {"B": "task"}}, "echo $A-$B-$C", "one=1-task-three"),
    "init": Case(
        {"init": True}, "tr '\\0' ' ' </proc/1/cmdline; test $$ != 1 && echo second", "^/sbin/docker-init -- sh -c .* second"
    ),
    "systemd": Case(
        {"systemd": "always"},
        "grep -E ' (/run|/run/lock|/tmp|/var/log/journal) ' /proc/self/mountinfo | grep -c ' - tmpfs '; mkdir GROUP/x; echo $? $container",
        "4\n0 oci",
    ),
    # Namespaces.
    "ipc_mode host": Case(
        {"ipc_mode": "host"}, f"{NAMESPACE.format('ipc')}; ls /dev/shm | grep -c fleet-KIND", f"{own('ipc')}\n1"
    ),
    "ipc_mode private": Case({"ipc_mode": "private"}, NAMESPACE.format("ipc"), another("ipc")),
    "ipc_mode none": Case({"ipc_mode": "none"}, "grep -c /dev/shm /proc/self/mountinfo", "0"),
    "ipc_mode shareable": Case(
        {"ipc_mode": "shareable"},
        "df -k /dev/shm | tail -n 1 | awk '{print $2}'; echo x >/dev/shm/x && stat -c %a /dev/shm",
        "65536\n1777",
    ),
    "uts host": Case({"uts": "host"}, f"{NAMESPACE.format('uts')}; hostname", f"{own('uts')}\n{os.uname().nodename}"),
    "uts private": Case({"uts": "private", "hostname": "box"}, f"{NAMESPACE.format('uts')}; hostname", f"{another('uts')}\nbox"),
    "cgroupns_mode private": Case(
        {"cgroupns_mode": "private"},
        f"{NAMESPACE.format('cgroup')}; cut -d: -f3 /proc/self/cgroup | sort -u",
        f"{another('cgroup')}\n/",
    ),
    "cgroup_parent": Case(
        {"cgroup_parent": "/fleet-KIND", "cgroupns_mode": "host"},
        "sed -n 's/.*memory:/memory /p; s/^0::/memory /p' /proc/self/cgroup | head -n 1",
        "^memory /fleet-KIND/[0-9a-f]{64}",
    ),
    # Mounts.
    "tmpfs": Case(
        {"tmpfs": ["/t:size=8m,mode=700,uid=1000"]},
        "df -k /t | tail -n 1 | awk '{print $2}'; stat -c '%a %u' /t; cp /bin/busybox /t; (/t/busybox true) 2>&1",
        "8192\n700 1000\nsh: /t/busybox: Permission denied",
    ),
    "tmpfs with programs": Case({"tmpfs": {"/t": "exec"}}, "cp /bin/busybox /t; /t/busybox echo runs", "runs"),
    "tmpfs below a volume": Case({"tmpfs": ["/a/sub"], "volumes": ["HERE/tree:/a"]}, "ls /a/sub; cat /a/file", "in the tree"),
    "mounts bind": Case(
        {"mounts": [bind()]}, "cat /a/file /a/sub/deep; echo x >/a/written", "in the tree\nin what is mounted there"
    ),
    "mounts read_only": Case(
        {"mounts": [bind(read_only=True)]}, "(echo x >/a/x; echo x >/a/sub/x) 2>&1 | grep -c Read-only", "2"
    ),
    "mounts read_only_non_recursive": Case(
        {"mounts": [bind(read_only=True, read_only_non_recursive=True)]},
        "(echo x >/a/x) 2>&1; echo x >/a/sub/y && echo ok",
        "sh: can't create /a/x: Read-only file system\nok",
    ),
    "mounts read_only_force_recursive": Case(
        {"mounts": [bind(read_only=True, read_only_force_recursive=True)]},
        "(echo x >/a/sub/x) 2>&1",
        "sh: can't create /a/sub/x: Read-only file system",
    ),
    "mounts non_recursive": Case({"mounts": [bind(non_recursive=True)]}, "ls /a/sub; cat /a/file", "in the tree"),
    "mounts propagation": Case(
        {"mounts": [bind(source="HERE/tree/sub", propagation="rslave")]},
        "grep ' /a ' /proc/self/mountinfo | grep -c master:",
        "1",
    ),
    "mounts propagation to the host": Case(
        {"mounts": [bind(source="HERE/tree/sub", propagation="rshared")], "capabilities": ["SYS_ADMIN"]},
        "mkdir /a/in && mount -t tmpfs x /a/in && echo back >/a/in/file",
        "",
    ),
    "mounts create_mountpoint": Case(
        {"mounts": [{"type": "bind", "source": "HERE/made/deep", "target": "/m", "create_mountpoint": True}]},
        "stat -c '%a %u' /m",
        "755 0",
    ),
    "mounts tmpfs": Case(
        {
            "mounts": [
                {
                    "type": "tmpfs",
                    "target": "/t",
                    "tmpfs_size": "2m",
                    "tmpfs_mode": "750",
                    "tmpfs_options": ["uid=7", {"exec": None}],
                }
            ]
        },
        "df -k /t | tail -n 1 | awk '{print $2}'; stat -c '%a %u' /t; grep ' /t ' /proc/self/mountinfo | grep -c noexec",
        "2048\n750 7\n0",
    ),
    "mounts image": Case(
        {"mounts": [{"type": "image", "source": "IMAGE", "target": "/i"}]},
        "cat /i/data/seed; (echo x >/i/x) 2>&1; /i/bin/busybox echo runs",
        "from the image\nsh: can't create /i/x: Read-only file system\nruns",
    ),
    # Links in the image never lead out of it.
    "files in a volume of the image": Case(
        {"files": [{"path": "/vol/app.conf", "content": "ours"}]},
        "cat /vol/app.conf; grep -c ' /vol ' /proc/self/mountinfo",
        "ours1",
    ),
    "a planted link": Case(
        {
            "mounts": [bind(target="/out/b")],
            "tmpfs": ["/abs/t"],
            "files": [{"path": "/out/planted", "content": "x"}, {"path": "/abs/deep/planted", "content": "y"}],
        },
        "cat /etc/b/file /etc/planted /etc/deep/planted; grep -c ' /etc/t ' /proc/self/mountinfo",
        "in the tree\nxy1",
    ),
    # Files.
    "secrets": Case(
        {
            "secrets": [
                {"name": "key", "content": "SECRET\n", "mode": "0400", "owner": "user"},
                {"name": "other", "content": "unlikely"},
            ],
            "user": "user",
        },
        "cd /run/secrets; sha256sum <key; stat -c '%n %a %u:%g' *; grep ' /run/secrets ' /proc/self/mountinfo | grep -c -- '- tmpfs'; (echo >key) 2>&1",
        "DIGEST\nkey 400 1000:1000\nother 444 0:0\n1\nsh: can't create key: Permission denied",
    ),
    "files": Case(
        {
            "files": [
                {"path": "/new/dir/app.conf", "content": "a=1\n", "mode": "0640", "owner": "user:extra"},
                {"path": "/data/seed", "content": "replaced\n"},
            ],
            "read_only": True,
        },
        "cat /new/dir/app.conf /data/seed; stat -c '%a %u:%g' /new/dir /new/dir/app.conf /data/seed",
        "a=1\nreplaced\n755 0:0\n640 1000:2000\n444 0:0",
    ),
}


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


@contextlib.contextmanager
def prepared(base: pathlib.Path, registry: Registry, layout: Layout) -> t.Iterator[Ground]:
    """A ground below base."""
    here, word, value = base / "ground", secrets.token_hex(4), f"hush-{secrets.token_hex(16)}"
    for path in ("tree/sub", "devices/below"):
        (here / path).mkdir(parents=True)
    (here / "tree/file").write_text("in the tree\n")
    os.mknod(here / "devices/one", 0o20666, os.makedev(1, 3))
    os.mknod(here / "devices/below/two", 0o20600, os.makedev(1, 5))
    (here / "devices/link").symlink_to("/dev/kmsg")
    (here / "profile.json").write_text(json.dumps(NOMKDIR))
    (here / "env").write_text("# comment\nA=one=1\nB=file\n")
    (here / "env2").write_text("C=three")
    shutil.copy("/usr/bin/catatonit", here / "init")
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
            for path in pathlib.Path("/sys/fs/cgroup").glob(f"{depth}fleet-{word}*"):
                path.rmdir()


def matches(printed: str, expected: str) -> bool:
    """Whether it is that text; or fits that pattern, if there is a ^ at the beginning."""
    return bool(re.fullmatch(expected[1:], printed, re.DOTALL)) if expected.startswith("^") else printed == expected


def host_processes() -> t.Set[str]:
    """The command lines of this machine, those in containers too."""
    found = set()
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(path.read_text().replace("\0", " ").strip())
        except (OSError, ValueError):
            continue
    return found


def executions(site: Site) -> t.List[pathlib.Path]:
    """The directories that processes in the containers of a site have while they run."""
    return [*site.state.glob("*/*/exec-*"), *pathlib.Path("/run/fleet-containerd/exec").glob(f"*/{site.namespace}/*")]
