# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine on a host of a test's own, as far as networks go: its links, rules and files of CNI are in namespaces that the test makes."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import time
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.network import netns
from ansible_collections.fleet.containerd.plugins.module_utils.network.conflist import ConfDir
from ansible_collections.fleet.containerd.plugins.module_utils.network.definition import Network
from ansible_collections.fleet.containerd.plugins.module_utils.network.subnets import Subnet
from ansible_collections.fleet.containerd.tests.support.containerds import Daemon
from ansible_collections.fleet.containerd.tests.support.leftovers import clean_up
from ansible_collections.fleet.containerd.tests.support.modules import Modules, running_modules
from ansible_collections.fleet.containerd.tests.support.namespaces import World, world
from ansible_collections.fleet.containerd.tests.support.own_host import OwnHost, host_in
from ansible_collections.fleet.containerd.tests.support.site import new_namespace


class Networked:
    """An engine on a host in a small world."""

    def __init__(self, base: pathlib.Path, made: World, host: OwnHost, version: str) -> None:
        self.base, self.world = base, made
        self.under, self.path = host.under, host.path
        self.daemon: t.Optional[Daemon] = None
        self.namespace, self.data, self.state = new_namespace(), base / "data", base / "state"
        self.defaults: t.Dict[str, t.Any] = {
            "data_root": str(self.data), "state_root": str(self.state), "namespace": self.namespace, "engine": "embedded"
        }  # fmt: skip
        if version:
            (base / "containerd").mkdir()
            self.daemon = Daemon(version, base / "containerd")
            self.daemon.under = self.under
            self.defaults.update(engine="containerd", address=self.daemon.address)
        self.modules: Modules

    def container(self, name: str, /, failing: bool = False, **options: t.Any) -> t.Dict[str, t.Any]:
        """Run the module; its result."""
        result = self.modules.result("containerd_container", **{**self.defaults, "name": name, **options})
        assert bool(result.get("failed")) is failing, result
        return result

    def fetch(self, image: str, outside: Modules) -> None:
        """Have an image there, by modules outside: that host reaches no registry on loopback."""
        outside.run("containerd_image", **{**self.defaults, "name": image})

    def facts(self, name: str) -> t.Dict[str, t.Any]:
        found = self.modules.run("containerd_container_info", **{**self.defaults, "name": [name]})
        return t.cast(t.Dict[str, t.Any], found["container"])

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

    def page(self, url: str, outside: bool = False, patience: float = 5.0) -> str:
        """A page, as soon as it can be fetched; empty when it cannot."""
        deadline = time.monotonic() + patience
        while True:
            found = self.run("curl", "-sg", "-m", "1", url, outside=outside)
            if found or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def inside(self, pid: int, *command: str) -> str:
        """What an applet of busybox prints in a container."""
        enter = ["nsenter", "-t", str(pid), "-m", "-u", "-n", "-p", "-r", "-w", "busybox"]
        # starts: nsenter (and the image's busybox)
        return subprocess.run([*enter, *command], check=False, capture_output=True, text=True).stdout.strip()

    def ruleset(self) -> t.List[str]:
        """Elements of rules: a line each."""
        return sorted(line.strip() for line in self.run("nft", "list", "ruleset").splitlines() if "comment" in line)

    def left(self, patience: float = 3.0) -> t.List[t.Any]:
        """What containers leave: pins, addresses, results, links, rules of ports, members; locks, once a hook that runs has ended."""
        deadline = time.monotonic() + patience
        while any(found := self._left()) and time.monotonic() < deadline:
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


@contextlib.contextmanager
def networked(base: pathlib.Path, version: str) -> t.Iterator[Networked]:
    """version: of containerd; empty for the embedded engine."""
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(world(base / "namespaces"))
        host = stack.enter_context(host_in(made.host))
        site = Networked(base, made, host, version)
        stack.callback(clean_up, site.data, site.state)
        if site.daemon:
            stack.callback(site.daemon.clean)
            site.daemon.start()
        site.modules = stack.enter_context(running_modules(base / "result", site.under))
        yield site
