# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bare Debian machines in namespaces of their own, with systemd or without an init system. They reach what this machine reaches.

debootstrap makes the root file system once, from the mirror of the machine's own apt sources; it is kept below .build/debian.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import typing as t

from ansible_collections.fleet.containerd.tools.containerds import mirror

from . import ansible
from .own_host import reaching

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WHERE = ROOT / ".build" / "debian"
SUITE = "bookworm"
#: What machines have downloaded, so that the next one need not.
PACKAGES = WHERE / "packages"
#: By kind of machine: what runs as process 1. The shell reaps what nobody waits for.
INITS = {
    "systemd": "/lib/systemd/systemd --unit=multi-user.target",
    "none": "/bin/sh -c 'while true; do sleep 1; done'",
}
# Arguments: the new root, the lower directory, a directory for what changes, process 1.
_BOOT = """
set -eu
mount --make-rprivate /
mount -t overlay -o "lowerdir=$2,upperdir=$3/upper,workdir=$3/work" overlay "$1"
cd "$1"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
if test -e /sys/fs/cgroup/cgroup.controllers; then
  mount -t cgroup2 cgroup2 sys/fs/cgroup
else
  mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
  while IFS=: read -r _id controllers _path; do
    test -n "$controllers" || continue
    mkdir "sys/fs/cgroup/${controllers#name=}"
    case "$controllers" in name=*) option="none,$controllers" ;; *) option="$controllers" ;; esac
    mount -t cgroup -o "$option" cgroup "sys/fs/cgroup/${controllers#name=}"
  done </proc/self/cgroup
fi
for directory in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$directory"; done
chmod 1777 tmp
for node in null zero full random urandom tty; do touch "dev/$node"; mount --bind "/dev/$node" "dev/$node"; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mkdir -p var/lib/containerd
mount --bind "$3/containerd" var/lib/containerd
cp /etc/resolv.conf etc/resolv.conf
hostname bare
pivot_root . mnt
umount -l /mnt
eval "exec env -i container=fleet-tests PATH=/usr/sbin:/usr/bin:/sbin:/bin $4"
"""


def archive() -> pathlib.Path:
    """The root file system as a tar; made when it is not there."""
    made = WHERE / f"{SUITE}.tar"
    WHERE.mkdir(parents=True, exist_ok=True)
    with (WHERE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(made)
    return made


def _make(made: pathlib.Path) -> None:
    """Run debootstrap."""
    with memory(1024) as base:
        tree = base / "tree"
        include = "--include=python3,systemd-sysv"
        subprocess.run(
            ["debootstrap", "--variant=minbase", include, SUITE, str(tree), mirror()], check=True, stdout=subprocess.DEVNULL
        )
        partial = WHERE / f"{SUITE}.{secrets.token_hex(4)}"
        without = "--exclude=./var/cache/apt/archives/*.deb"
        subprocess.run(["tar", "-C", str(tree), without, "-cf", str(partial), "."], check=True)
        partial.rename(made)


def _copy_new(source: pathlib.Path, target: pathlib.Path) -> None:
    """Packages that target lacks. Others may copy at the same time."""
    target.mkdir(parents=True, exist_ok=True)
    for package in source.glob("*.deb"):
        if not (target / package.name).exists():
            partial = target / secrets.token_hex(8)
            shutil.copy(package, partial)
            partial.rename(target / package.name)


@contextlib.contextmanager
def memory(megabytes: int) -> t.Iterator[pathlib.Path]:
    """A directory on a file system in memory: packages are unpacked there several times as fast."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="fleet-machines-"))
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=755,size={megabytes}m", "tmpfs", str(base)], check=True)
        yield base
    finally:
        subprocess.run(["umount", "-l", str(base)], check=False)
        base.rmdir()


class Cgroups:
    """A cgroup in each hierarchy, so that a machine's own processes can be told from others'."""

    def __init__(self) -> None:
        name = f"fleet-{secrets.token_hex(4)}"
        self.paths: t.List[pathlib.Path] = []
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            fields = line.split()
            point, kind = pathlib.Path(fields[4]), fields[fields.index("-") + 1]
            if kind in ("cgroup", "cgroup2") and str(point).startswith("/sys/fs/cgroup"):
                (point / name).mkdir()
                self.paths.append(point / name)
                for file in ("cpuset.cpus", "cpuset.mems"):
                    if (point / name / file).exists() and kind == "cgroup":
                        (point / name / file).write_text((point / file).read_text())

    def enter(self) -> None:
        for path in self.paths:
            (path / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self) -> None:
        for path in self.paths:
            for directory, _names, _files in os.walk(path, topdown=False):
                for _try in range(100):
                    with contextlib.suppress(OSError):
                        os.rmdir(directory)
                        break
                    time.sleep(0.02)


class Machine:
    """A running machine. Its files can be seen below root from outside."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.root = pathlib.Path(f"/proc/{pid}/root")

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in the machine."""
        enter = ["nsenter", "-t", str(self.pid), "-a", "-r", "-w"]
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        # starts: nsenter (and what the machine has)
        return subprocess.run([*enter, *command], check=check, capture_output=True, text=True, env=environment)

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def exists(self, path: str) -> bool:
        return (self.root / path.lstrip("/")).exists()

    def play(self, tasks: t.Union[t.Sequence[ansible.Task], pathlib.Path], **how: t.Any) -> ansible.Play:
        """A playbook with this machine as its host, as in ansible.play; the controller is outside."""
        variables = {"ansible_connection": "enter", "ansible_host": str(self.pid), **how.pop("variables", {})}
        plugins = {
            "ANSIBLE_CONNECTION_PLUGINS": str(pathlib.Path(__file__).parent / "connection_plugins"),
            "ANSIBLE_PIPELINING": "1",
        }
        return ansible.play(tasks, variables=variables, interpreter="/usr/bin/python3", environment=plugins, **how)


class Machines:
    """Makes machines from one root file system below base."""

    def __init__(self, base: pathlib.Path) -> None:
        self._base, self._tree = base, base / "tree"
        self._tree.mkdir()
        subprocess.run(["tar", "-C", str(self._tree), "-xf", str(archive())], check=True)

    @contextlib.contextmanager
    def running(self, kind: str, name: str = "") -> t.Iterator[Machine]:
        """Boot one. What it changes goes at the end, or with a name can be booted again."""
        base = self._base / (name or secrets.token_hex(4))
        packages = base / "upper" / "var" / "cache" / "apt" / "archives"
        for directory in (base / "root", base / "work", base / "containerd", packages):
            directory.mkdir(parents=True, exist_ok=True)
        _copy_new(PACKAGES, packages)
        cgroups = Cgroups()
        arguments = [str(base / "root"), str(self._tree), str(base), INITS[kind]]
        own = ["unshare", "-m", "-p", "-C", "-u", "-i", "--fork", "--kill-child"]
        with contextlib.ExitStack() as stack:
            if not name:
                stack.callback(shutil.rmtree, base)
            stack.callback(_copy_new, packages, PACKAGES)
            stack.callback(cgroups.remove)
            network = stack.enter_context(reaching(base / "namespace"))
            # starts: nsenter, unshare, sh, mount, umount, mkdir, chmod, touch, ln, cp, hostname, pivot_root, env (and what it has)
            process = subprocess.Popen(
                ["nsenter", f"--net={network}", *own, "sh", "-c", _BOOT, "boot", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                preexec_fn=cgroups.enter,
            )
            stack.callback(process.wait, 30)
            stack.callback(process.send_signal, signal.SIGKILL)
            yield _booted(process, kind)


def _booted(process: subprocess.Popen[bytes], kind: str) -> Machine:
    """The machine when its process 1 runs, and systemd has started what it starts."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        child = children.read_text().split()
        machine = Machine(int(child[0])) if child else None
        if machine and b"container=fleet-tests" in pathlib.Path(f"/proc/{machine.pid}/environ").read_bytes():
            answer = machine.run("systemctl", "is-system-running", check=False).stdout if kind == "systemd" else "running"
            if answer.strip() in ("running", "degraded"):
                return machine
        time.sleep(0.1)
    process.kill()
    output = process.stdout.read() if process.stdout else b""
    raise RuntimeError(f"the machine does not boot: {output.decode(errors='replace')[-2000:]}")


@contextlib.contextmanager
def running_machines() -> t.Iterator[Machines]:
    with memory(4096) as base:
        yield Machines(base)
