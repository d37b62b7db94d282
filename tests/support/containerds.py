# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real containerd daemons of three Debian releases, each with a root, a state directory and a socket of its own.

tools/containerds.py fetches the binaries. A daemon leaves nothing behind: tasks, shims, mounts and directories go with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import typing as t

from .cri import answers
from .leftovers import processes_with, unmount_below
from .waiting import until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
#: Version by Debian release.
RELEASES = {"1.6": "bookworm", "1.7": "trixie", "2.1": "sid"}
_PLUGINS = ("aufs", "btrfs", "devmapper", "zfs", "blockfile", "erofs")
_START_SECONDS = 30.0
#: The plugin that is its restart monitor, where it has another name than at first.
_MONITOR = {"2.1": "io.containerd.monitor.container.v1.restart"}


def binaries(version: str) -> pathlib.Path:
    """The directory with containerd, ctr and the shim of a version; fetched when it is not there."""
    directory = ROOT / ".build" / "containerds" / RELEASES[version] / "usr" / "bin"
    if not (directory / "containerd").exists():
        subprocess.run([sys.executable, str(ROOT / "tools" / "containerds.py"), RELEASES[version]], check=True)
    return directory


def later(text: str) -> t.List[str]:
    """A command that says something when ctr surely listens: what a process says that ends before, ctr may throw away."""
    return ["/bin/sh", "-c", f"sleep 1; echo {shlex.quote(text)}"]


class Daemon:
    """One containerd. base holds config, root, state, socket and log; start() and kill() may be called repeatedly.

    cri: with the kubelet's interface. collects: False when garbage is to be collected on demand only, for tests whose
    snapshots nothing refers to. certs: the certs.d of the kubelet's interface. pause: the image of its pods.
    """

    def __init__(
        self,
        version: str,
        base: pathlib.Path,
        cri: bool = False,
        collects: bool = True,
        certs: t.Optional[pathlib.Path] = None,
        pause: str = "",
    ) -> None:
        self.version, self.base, self.cri, self.collects = version, base, cri, collects
        self.certs, self.pause = certs, pause
        self.bin = binaries(version)
        self.root, self.state, self.address = base / "root", base / "state", str(base / "containerd.sock")
        self.log = base / "log"
        #: How often its restart monitor looks.
        self.monitor_seconds = 1
        #: A command that starts it, such as nsenter.
        self.under: t.Sequence[str] = ()
        self._process: t.Optional[subprocess.Popen[bytes]] = None
        self.environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def _configure(self) -> pathlib.Path:
        snapshotters = [f"io.containerd.snapshotter.v1.{name}" for name in _PLUGINS]
        cri = "" if self.cri else '"io.containerd.grpc.v1.cri", '
        if self.version.startswith("2"):
            cri = (
                "" if self.cri else '"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", '
            )
        text = f"""version = 2
root = "{self.root}"
state = "{self.state}"
disabled_plugins = [{cri}{", ".join(json.dumps(name) for name in snapshotters)}]
[grpc]
  address = "{self.address}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{self.base}/opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."{_MONITOR.get(self.version, "io.containerd.internal.v1.restart")}"]
  interval = "{self.monitor_seconds}s"
"""
        if not self.collects:
            text += '[plugins."io.containerd.gc.v1.scheduler"]\n  mutation_threshold = 0\n  startup_delay = "1h"\n'
        if self.certs:
            text += f'[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "{self.certs}"\n'
        if self.pause:
            text += f'[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "{self.pause}"\n  restrict_oom_score_adj = true\n'
        path = self.base / "config.toml"
        path.write_text(text)
        return path

    def start(self) -> Daemon:
        """Until the socket answers. RuntimeError with the end of the log when it does not."""
        config = self._configure()
        with self.log.open("ab") as log:
            # starts: (what tools/containerds.py fetched)
            self._process = subprocess.Popen(
                [*self.under, str(self.bin / "containerd"), "--config", str(config)],
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens() or self.ctr("version", check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"containerd {self.version} does not start: {self.log.read_text()[-3000:]}")
            time.sleep(0.05)
        if self.cri:
            until(lambda: answers(self.address))
        return self

    def _listens(self) -> bool:
        """A program that asks costs more than the daemon's start."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self.address) == 0

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the daemon alone; shims and containers go on."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def ctr(self, *arguments: str, namespace: str = "default", check: bool = True) -> subprocess.CompletedProcess[str]:
        """The version's own ctr."""
        command = [str(self.bin / "ctr"), "--address", self.address, "--namespace", namespace, *arguments]
        # starts: (what tools/containerds.py fetched)
        return subprocess.run(command, check=check, capture_output=True, text=True, env=self.environment)

    def shims(self) -> t.List[int]:
        return [pid for pid, argv in processes_with(self.base).items() if "shim" in os.path.basename(argv[0])]

    def clean(self) -> None:
        """End everything of this daemon, whatever state a test left it in."""
        self.kill(signal.SIGTERM)
        for pid in self.shims():
            _kill(pid)
        for bundle in self.state.glob("io.containerd.runtime.v2.task/*/*"):
            _end(bundle)
        for pid in processes_with(self.base):
            _kill(pid)
        for namespace in self.state.glob("io.containerd.runtime.v2.task/test-*"):
            # The runtime's state of this namespace, which is nobody's but this daemon's, has gone; its directory is left.
            with contextlib.suppress(OSError):
                os.rmdir(f"/run/containerd/runc/{namespace.name}")
        unmount_below(self.base)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _end(bundle: pathlib.Path) -> None:
    """A container whose shim is gone."""
    namespace, name = bundle.parent.name, bundle.name
    root = f"/run/containerd/runc/{namespace}"
    with contextlib.suppress(OSError, ValueError, KeyError):
        root = json.loads((bundle / "options.json").read_text()).get("root") or root
        root = root if root.endswith(namespace) else f"{root}/{namespace}"
    subprocess.run(["runc", "--root", root, "delete", "--force", name], check=False, capture_output=True)
    with contextlib.suppress(OSError):
        os.unlink((bundle / "address").read_text().strip().replace("unix://", ""))


@contextlib.contextmanager
def running_containerd(
    version: str,
    cri: bool = False,
    base: t.Union[str, pathlib.Path] = "",
    collects: bool = True,
    certs: t.Optional[pathlib.Path] = None,
    pause: str = "",
) -> t.Iterator[Daemon]:
    """A daemon for the length of the context, below a temporary directory (or base, which stays)."""
    directory = pathlib.Path(base or tempfile.mkdtemp(prefix=f"fleet-containerd-{version}-"))
    daemon = Daemon(version, directory, cri, collects, certs, pause)
    try:
        yield daemon.start()
    finally:
        daemon.clean()
        if not base:
            shutil.rmtree(directory)
