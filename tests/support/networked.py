# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine on a host of a test's own, as far as networks go: its links, rules and files of CNI are in namespaces that the test makes."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.network import netns
from ansible_collections.fleet.containerd.plugins.module_utils.network.conflist import ConfDir
from ansible_collections.fleet.containerd.plugins.module_utils.network.definition import Network
from ansible_collections.fleet.containerd.plugins.module_utils.network.subnets import Subnet
from ansible_collections.fleet.containerd.tests.support.containerds import Daemon
from ansible_collections.fleet.containerd.tests.support.leftovers import clean_up, unmount_below
from ansible_collections.fleet.containerd.tests.support.modules import Modules, running_modules
from ansible_collections.fleet.containerd.tests.support.namespaces import World, world
from ansible_collections.fleet.containerd.tests.support.own_host import OwnHost, host_in
from ansible_collections.fleet.containerd.tests.support.site import new_namespace
from ansible_collections.fleet.containerd.tests.support.waiting import until

#: What a container with a page does.
WEB = ["sh", "-c", "mkdir -p /www && echo hello from $HOSTNAME >/www/index.html && exec httpd -f -p 80 -h /www"]


def pid_of(result: t.Mapping[str, t.Any]) -> int:
    return int(result["container"]["State"]["Pid"])


def address(result: t.Mapping[str, t.Any], network: str = "bridge") -> str:
    return str(result["container"]["NetworkSettings"]["Networks"][network]["IPAddress"])


class Networked:
    """An engine on a host in a small world. daemon: where one of a version is to be; its socket needs a short path."""

    def __init__(self, base: pathlib.Path, made: World, host: OwnHost, version: str, daemon: str) -> None:
        self.base, self.world = base, made
        self.under, self.path = host.under, host.path
        self.daemon: t.Optional[Daemon] = None
        self.namespace, self.data, self.state = new_namespace(), base / "data", base / "state"
        self.defaults: t.Dict[str, t.Any] = {
            "data_root": str(self.data), "state_root": str(self.state), "namespace": self.namespace, "engine": "embedded"
        }  # fmt: skip
        if version:
            self.daemon = Daemon(version, pathlib.Path(daemon))
            self.daemon.under = self.under
            self.defaults.update(engine="containerd", address=self.daemon.address)
        self.modules: Modules
        self._image = ""

    def container(self, name: str, /, failing: bool = False, **options: t.Any) -> t.Dict[str, t.Any]:
        """Run the module; its result."""
        result = self.modules.result("containerd_container", **{**self.defaults, "name": name, **options})
        assert bool(result.get("failed")) is failing, result
        return result

    def fetch(self, image: str, outside: Modules) -> None:
        """Have an image there, by modules outside: that host reaches no registry on loopback. Containers with a page are made of it."""
        self._image = image
        outside.run("containerd_image", **{**self.defaults, "name": image})

    def page_options(self, name: str) -> t.Dict[str, t.Any]:
        """Those of a container with a page."""
        return {"image": self._image, "command": WEB, "hostname": name, "stop_signal": "KILL"}

    def web(self, name: str = "web", /, **options: t.Any) -> t.Dict[str, t.Any]:
        """Have a container with a page; options of the caller come first."""
        return self.container(name, **{**self.page_options(name), **options})

    def facts(self, name: str) -> t.Dict[str, t.Any]:
        found = self.modules.run("containerd_container_info", **{**self.defaults, "name": [name]})
        return t.cast(t.Dict[str, t.Any], found["container"])

    def end(self, name: str) -> None:
        """Its first process is killed. Until the engine knows."""
        os.kill(int(self.facts(name)["State"]["Pid"]), signal.SIGKILL)
        until(lambda: not self.facts(name)["State"]["Running"])

    def network(self, name: str, *subnets: str) -> None:
        """Write a network down."""
        (directory := self.path("/etc/cni/net.d")).mkdir(exist_ok=True)
        made = Network(name, subnets=frozenset(map(Subnet.of, subnets)))
        ConfDir(str(directory)).put(made.document())

    def run(self, *command: str, outside: bool = False) -> str:
        """Run a command on the host, or on the machine outside; what it prints, empty when it fails."""
        with netns.entered(self.world.outside if outside else self.world.host):
            enter = [] if outside else list(self.under)
            # starts: nsenter, curl, nft, ip
            return subprocess.run([*enter, *command], check=False, capture_output=True, text=True).stdout.strip()

    def page(self, url: str, outside: bool = False, patience: float = 20.0) -> str:
        """A page, as soon as it can be fetched; empty when it cannot."""
        return _patiently(lambda: self.run("curl", "-sg", "-m", "1", url, outside=outside), patience)

    def page_inside(self, pid: int, url: str, patience: float = 20.0) -> str:
        """The same from a container, which has busybox."""
        return _patiently(lambda: self.inside(pid, "timeout", "2", "busybox", "wget", "-qO-", url), patience)

    def inside(self, pid: int, *command: str) -> str:
        """What an applet of busybox prints in a container."""
        enter = ["nsenter", "-t", str(pid), "-m", "-u", "-n", "-p", "-r", "-w", "busybox"]
        # starts: nsenter (and the image's busybox)
        return subprocess.run([*enter, *command], check=False, capture_output=True, text=True).stdout.strip()

    def crash(self) -> None:
        """Kill what runs in networks of containers, and first who would see that: shims, log writers, the daemon, which start() starts."""
        if self.daemon:
            self.daemon.kill()
        places = [str(one) for one in (self.state, self.data, self.daemon.base if self.daemon else self.state)]
        pins = {os.stat(pin).st_ino for pin in self.path("/run/netns").iterdir()}

        def is_theirs(process: pathlib.Path, pinned: bool) -> bool:
            if pinned:
                return (process / "ns/net").stat().st_ino in pins
            return any(one in (process / "cmdline").read_text(errors="replace") for one in places)

        def kill(pinned: bool) -> bool:
            """Whether there was any."""
            found = False
            for process in pathlib.Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if process.name != str(os.getpid()) and is_theirs(process, pinned):
                        found = True
                        os.kill(int(process.name), signal.SIGKILL)
            return found

        for pinned in (False, True):
            # One that is still dying is in its network and its group.
            until(lambda pinned=pinned: not kill(pinned))  # type: ignore[misc]  # mypy infers no type of a default

    def start(self) -> None:
        """Start the daemon, if there is one."""
        if self.daemon:
            self.daemon.start()

    def reboot(self) -> None:
        """As far as a test can: no process is left, nothing that is in memory, and the boot is another one. What is on disk stays."""
        self.crash()
        for state in (self.state, self.daemon.state if self.daemon else self.state):
            unmount_below(state)
            shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(f"/run/containerd/runc/{self.namespace}", ignore_errors=True)
        # Not pathlib's: groups of others go meanwhile.
        for group in glob.glob(f"/sys/fs/cgroup/**/{self.namespace}", recursive=True):
            for one in [*pathlib.Path(group).glob("*/"), pathlib.Path(group)]:
                with contextlib.suppress(OSError):
                    one.rmdir()
        for pin in self.path("/run/netns").iterdir():
            self.run("umount", "-l", f"/run/netns/{pin.name}")
            pin.unlink()
        shutil.rmtree(self.path("/run/fleet-containerd"), ignore_errors=True)
        self.run("nft", "flush", "ruleset")
        for link in json.loads(self.run("ip", "-j", "link")):
            if link["ifname"] not in ("lo", "uplink"):
                self.run("ip", "link", "delete", link["ifname"])
        (self.base / "boot_id").write_text("01234567-89ab-cdef-0123-456789abcdef\n")
        self.run("mount", "--bind", str(self.base / "boot_id"), "/proc/sys/kernel/random/boot_id")
        self.start()

    def ruleset(self) -> t.List[str]:
        """Elements of rules: a line each."""
        return sorted(line.strip() for line in self.run("nft", "list", "ruleset").splitlines() if "comment" in line)

    def left(self, patience: float = 20.0) -> t.List[t.Any]:
        """What containers leave: pins, addresses, results, links, rules of ports, members; locks, once a hook that runs has ended."""
        deadline = time.monotonic() + patience
        while any(found := self._left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def settled(self, patience: float = 20.0) -> t.List[t.Any]:
        """The same where containers run: as soon as no lock is held, as the hook of one that has just ended does for a moment."""
        deadline = time.monotonic() + patience
        while "/.locks/" in str(found := self._left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def _left(self) -> t.List[t.Any]:
        names = [
            str(one) for place in ("/run/netns", "/var/lib/cni", "/run/fleet-containerd") for one in self.path(place).rglob("*")
        ]
        files = [
            one
            for one in names
            if os.path.isfile(one) and not os.path.basename(one).startswith(("lock", "last_", ".lock", "rules."))
        ]
        links = [line.split()[1] for line in self.run("ip", "-o", "link").splitlines() if "veth" in line.split()[1]]
        return [files, links, [line for line in self.ruleset() if self.namespace in line]]


def _patiently(look: t.Callable[[], str], patience: float) -> str:
    """What is found, as soon as anything is; empty when nothing is in time."""
    deadline = time.monotonic() + patience
    while True:
        found = look()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


@contextlib.contextmanager
def networked(base: pathlib.Path, version: str) -> t.Iterator[Networked]:
    """version: of containerd; empty for the embedded engine."""
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(world(base / "namespaces"))
        host = stack.enter_context(host_in(made.host))
        daemon = stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-containerd-"))
        site = Networked(base, made, host, version, daemon)
        stack.callback(clean_up, site.data, site.state)
        if site.daemon:
            stack.callback(site.daemon.clean)
        site.start()
        site.modules = stack.enter_context(running_modules(base / "result", site.under))
        yield site
