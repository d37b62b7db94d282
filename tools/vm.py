# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Debian machine with systemd and control groups of version 2, under QEMU: emulated, or with KVM=1 on the processor.

Usage, as root on amd64: python tools/vm.py boot|stop|ssh SUITE [COMMAND ...], where SUITE is bookworm or trixie. Everything is below
.build/vm. The image is built in a minute or two, from the mirror of this machine's apt sources, and again when what is in it changes here.
It boots in as many. What the machine changes is lost when it stops. It listens on loopback only, and reaches nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".build" / "link"))

from ansible_collections.fleet.containerd.tools.containerds import mirror  # noqa: E402  # needs the path above

WHERE = ROOT / ".build" / "vm"
SUITES = ("bookworm", "trixie")
_PACKAGES = (
    "busybox,ca-certificates,containerd,crun,dbus,initramfs-tools,iproute2,kmod,libpam-systemd,linux-image-cloud-amd64,"
    "nftables,openssh-server,procps,python3,runc,systemd,systemd-sysv,udev"
)
_FILES = {
    "etc/hostname": "vm\n",
    "etc/fstab": "/dev/vda / ext4 defaults,noatime 0 1\n",
    # The initial file system has only what mounts the root, since an emulated processor unpacks it.
    "etc/initramfs-tools/conf.d/small": "MODULES=list\nCOMPRESS=gzip\nFSTYPE=ext4\n",
    "etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n",
    "etc/ssh/sshd_config.d/vm.conf": "UseDNS no\nPermitRootLogin prohibit-password\n",
    "etc/systemd/network/vm.network": "[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\n",
}
_OFF = (
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer "
    "getty@tty1.service serial-getty@ttyS0.service systemd-networkd-wait-online.service systemd-timesyncd.service"
).split()
#: All that the image is made from. With another recipe it is made anew.
_RECIPE = json.dumps([_PACKAGES, _FILES, _OFF])
_SSH = (
    "-F none -q -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=60 "
    "-o ServerAliveInterval=20 -o ServerAliveCountMax=15"
)


class Vm:
    """The machine of a suite. Every user boots it; that does nothing when it runs already."""

    def __init__(self, suite: str) -> None:
        if suite not in SUITES:
            raise SystemExit(f"{suite} is none of {', '.join(SUITES)}")
        self.suite, self.base = suite, WHERE / suite
        self.key, self.image, self.console = self.base / "key", self.base / "image", self.base / "console"
        self.recipe = self.base / "recipe"

    # Building

    def build(self) -> None:
        """Make the image, kernel and initial file system, once for what is in them. The mounts for this end with the process."""
        if self.image.exists() and self.recipe.exists() and self.recipe.read_text() == _RECIPE:
            return
        self.base.mkdir(parents=True, exist_ok=True)
        self.stop()
        for old in (self.recipe, self.key):
            old.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        command = ["unshare", "-m", "--propagation", "private", sys.executable, str(pathlib.Path(__file__)), "make", self.suite]
        # starts: unshare (and this program)
        subprocess.run(command, check=True)
        self.recipe.write_text(_RECIPE)

    def make(self) -> None:
        """Do the work of build(), in its own mount namespace."""
        memory = self.base / "memory"
        memory.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=3g", "tmpfs", str(memory)], check=True)
        tree, log = memory / "tree", self.base / "log"
        with log.open("w") as output:
            command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", self.suite, str(tree), mirror()]
            # Each of its packages would make an initial file system; we make one, later.
            environment = {**os.environ, "INITRD": "No", "DEBIAN_FRONTEND": "noninteractive"}
            if subprocess.run(command, check=False, stdout=output, stderr=output, env=environment).returncode:
                raise SystemExit(f"debootstrap has failed: see {log} and {tree}/debootstrap/debootstrap.log")
            self._configure(tree)
            # starts: chroot (and what the tree has)
            subprocess.run(["chroot", str(tree), "update-initramfs", "-c", "-k", "all"], check=True, stdout=output, stderr=output)
        for name in ("vmlinuz", "initrd.img"):
            (found,) = (tree / "boot").glob(f"{name}-*")
            shutil.copy(found, self.base / name)
        partial = self.base / "image.new"
        with partial.open("wb") as stream:
            stream.truncate(3 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-d", str(tree), str(partial)], check=True)
        partial.rename(self.image)

    def _configure(self, tree: pathlib.Path) -> None:
        for name, text in _FILES.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(text)
        (tree / "root/.ssh").mkdir(0o700, exist_ok=True)
        shutil.copy(f"{self.key}.pub", tree / "root/.ssh/authorized_keys")
        units = tree / "etc/systemd/system"
        for unit in _OFF:
            (units / unit).unlink(missing_ok=True)
            (units / unit).symlink_to("/dev/null")
        wants = units / "multi-user.target.wants" / "systemd-networkd.service"
        wants.unlink(missing_ok=True)
        wants.symlink_to("/usr/lib/systemd/system/systemd-networkd.service")
        for package in (tree / "var/cache/apt/archives").glob("*.deb"):
            package.unlink()

    # Running

    @property
    def port(self) -> int:
        return int((self.base / "port").read_text())

    def running(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.base / "pid").read_text())
            return str(self.image) in pathlib.Path(f"/proc/{pid}/cmdline").read_text()
        return False

    def boot(self, patience: float = 900) -> float:
        """Boot and wait until ssh answers. Returns the seconds that it took."""
        self.build()
        begin = time.monotonic()
        if not self.running():
            self._start()
        while self.ssh("true", check=False).returncode:
            if not self.running() or time.monotonic() - begin > patience:
                raise SystemExit(f"the machine does not boot: see {self.console} and {self.base}/qemu.log")
            time.sleep(1)
        return time.monotonic() - begin

    def _start(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        (self.base / "port").write_text(str(port))
        # Only on request: where /dev/kvm exists but does not work, the machine would hang silently.
        fast = bool(os.environ.get("KVM"))
        processor = ["-accel", "kvm", "-cpu", "host"] if fast else ["-accel", "tcg,thread=multi,tb-size=512", "-cpu", "Nehalem"]
        kernel = ["root=/dev/vda", "rw", "console=ttyS0", "net.ifnames=0", "quiet", "mitigations=off", "tsc=reliable"]
        with (self.base / "qemu.log").open("w") as log:
            process = subprocess.Popen(
                [
                    "qemu-system-x86_64",
                    *("-M", "pc", *processor, "-smp", "1", "-m", "1024"),
                    *("-nodefaults", "-no-user-config", "-display", "none", "-serial", f"file:{self.console}"),
                    *("-kernel", f"{self.base}/vmlinuz", "-initrd", f"{self.base}/initrd.img", "-append", " ".join(kernel)),
                    *("-drive", f"file={self.image},if=virtio,format=raw,snapshot=on,cache=unsafe"),
                    *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"),
                    *("-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.base / "pid").write_text(str(process.pid))
        process.returncode = 0  # it outlives this program

    def stop(self, patience: float = 60) -> None:
        """Stop the machine, and wait for the end."""
        if self.running():
            os.kill(int((self.base / "pid").read_text()), 15)
        deadline = time.monotonic() + patience
        while self.running():
            if time.monotonic() > deadline:
                raise SystemExit(f"the machine has not stopped within {patience:g} s: see {self.base}/qemu.log")
            time.sleep(0.1)

    def ssh_options(self) -> t.List[str]:
        return [*_SSH.split(), "-i", str(self.key), "-p", str(self.port)]

    def ssh(
        self, command: str, check: bool = True, timeout: float = 300, options: t.Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command, by default in its own login. check: raise AssertionError when it fails."""
        found = ["ssh", *(options or self.ssh_options()), "root@127.0.0.1", command]
        try:
            done = subprocess.run(found, check=False, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            done = subprocess.CompletedProcess(found, 255, "", f"no answer within {timeout:g} s")
        if check and done.returncode:
            raise AssertionError(f"{command!r} ended with {done.returncode} on the machine: {done.stdout}{done.stderr}")
        return done


def main() -> int:
    if len(sys.argv) < 3 or sys.argv[1] not in ("make", "boot", "stop", "ssh"):
        sys.exit(__doc__)
    verb, machine, command = sys.argv[1], Vm(sys.argv[2]), sys.argv[3:]
    if verb == "boot":
        print(f"{machine.boot():.0f} s")
    elif verb == "ssh":
        return subprocess.run(["ssh", *machine.ssh_options(), "root@127.0.0.1", *command], check=False).returncode
    else:
        getattr(machine, verb)()
    return 0


if __name__ == "__main__":
    sys.exit(main())
