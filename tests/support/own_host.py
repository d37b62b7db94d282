# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of one's own, as far as networks go: what uses networks leaves nothing on the machine, and two that do so do not meet."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import unmount
from ansible_collections.fleet.containerd.plugins.module_utils.network import netns

#: Directories that every host has once.
_PLACES = ("/etc/cni", "/var/lib/cni", "/run/netns", "/run/fleet-containerd")
_OWN = 'set -e; for place; do mkdir -p "$place"; mount -t tmpfs none "$place"; done; echo ready; exec sleep infinity'


class Under(t.Tuple[str, ...]):
    """The beginning of a command that runs on a host. pid: of a process there."""

    pid: int

    @classmethod
    def of(cls, pid: int) -> Under:
        found = cls(("nsenter", "-t", str(pid), "-m", "-n", "--"))
        found.pid = pid
        return found


class OwnHost(t.NamedTuple):
    """pid: of a process in its namespaces."""

    pid: int

    @property
    def under(self) -> Under:
        """The beginning of a command that runs there."""
        return Under.of(self.pid)

    def path(self, path: str) -> pathlib.Path:
        """A path of that host."""
        return pathlib.Path(f"/proc/{self.pid}/root{path}")


@contextlib.contextmanager
def host_in(namespace: str) -> t.Iterator[OwnHost]:
    """A host whose network is the namespace at a path. All other directories are the machine's."""
    with netns.entered(namespace):
        # starts: unshare (and sh, mkdir, mount, sleep)
        holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "slave", "sh", "-c", _OWN, "sh", *_PLACES], stdout=subprocess.PIPE
        )
    with holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == b"ready\n"
            yield OwnHost(holder.pid)
        finally:
            holder.kill()


@contextlib.contextmanager
def reaching(base: pathlib.Path) -> t.Iterator[str]:
    """The path of a new network namespace that reaches what this machine reaches, also servers on its loopback, as of now.

    No link or rule on the machine leads there: pasta connects it as a program would. base: a directory; it is made.
    """
    base.mkdir()
    namespace = str(base / "network")
    netns.make(namespace)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, base)
        stack.callback(unmount, str(base), lazy=True)
        stack.callback(netns.remove, namespace)
        # It connects to what listens on this machine (-T), takes nothing in, and goes to the background when it is ready.
        ports = ["-t", "none", "-u", "none", "-U", "none", "-T", "auto"]
        where = ["--netns-only", "--netns", namespace, "--pid", str(base / "pid"), "--log-file", str(base / "log")]
        done = subprocess.run(
            ["pasta", "--runas", "0", "--config-net", *ports, *where], check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"pasta does not connect {namespace}: {done.stdout}{done.stderr}")
        stack.callback(os.kill, int((base / "pid").read_text()), signal.SIGKILL)
        yield namespace


@contextlib.contextmanager
def own_host(base: pathlib.Path) -> t.Iterator[OwnHost]:
    """A host that reaches what this machine reaches, as of reaching."""
    with reaching(base) as namespace, host_in(namespace) as made:
        yield made
