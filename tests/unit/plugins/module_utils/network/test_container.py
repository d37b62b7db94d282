# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All networks of a container: attached at a start, detached at an end, changed while it runs; killed in between, they converge."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    DataLoss,
    EngineError,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.hooks import hooks, install_hook
from ansible_collections.fleet.containerd.plugins.module_utils.network import netns, strangers
from ansible_collections.fleet.containerd.plugins.module_utils.network.attachment import Attachment, Host
from ansible_collections.fleet.containerd.plugins.module_utils.network.chain import Chain
from ansible_collections.fleet.containerd.plugins.module_utils.network.conflist import ConfDir
from ansible_collections.fleet.containerd.plugins.module_utils.network.connected import Connected, Endpoint, alone, keep
from ansible_collections.fleet.containerd.plugins.module_utils.network.container import Connection
from ansible_collections.fleet.containerd.plugins.module_utils.network.definition import Network
from ansible_collections.fleet.containerd.plugins.module_utils.network.ipam import Reservations
from ansible_collections.fleet.containerd.plugins.module_utils.network.names import Names
from ansible_collections.fleet.containerd.plugins.module_utils.network.networks import Networks
from ansible_collections.fleet.containerd.plugins.module_utils.network.places import Places
from ansible_collections.fleet.containerd.plugins.module_utils.network.ports import Published
from ansible_collections.fleet.containerd.plugins.module_utils.network.strangers import sweep
from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS
from ansible_collections.fleet.containerd.tests.support.attack import FULL
from ansible_collections.fleet.containerd.tests.support.namespaces import HOST, OUTSIDE, World, ip, listening, seen

address = ipaddress.ip_address


class Site:
    """Networks front, back (internal) and bridge, and containers in them."""

    def __init__(self, world: World, host: Host, base: pathlib.Path) -> None:
        self.world, self.host, self._base = world, host, base
        pins, state = str(world.directory), str(base / "state")
        self.places = Places(str(base / "net.d"), "", tuple(host.bin_dirs), host.cache_dir, host.data_dir, pins, state)
        self.networks = Networks(ConfDir(self.places.conf_dir), host)
        with self.networks.directory.locked():
            for name, internal in (("front", False), ("back", True), ("bridge", False)):
                self.networks.put(self.networks.completed(Network(name, internal=internal)))

    def container(self, name: str, *endpoints: Endpoint, ports: t.Tuple[Published, ...] = ()) -> Connected:
        hosts = self._base / f"hosts-{name}"
        hosts.write_text("127.0.0.1\tlocalhost\n")
        return Connected(f"default-{name * 64}", (name,), endpoints, ports, str(hosts), self.places)

    def connection(self, connected: Connected) -> Connection:
        return Connection(Connected.of(json.dumps(connected.to_json()).encode()), self.host.rules)

    def leftovers(self) -> t.List[t.Any]:
        links = [link["ifname"] for link in ip(self.world.host, "link", "show") if link["ifname"].startswith("veth")]
        reserved = [Reservations(name, self.host.data_dir).list() for name in ("front", "back", "bridge")]
        ports = [one.owner for one in self.host.rules.elements() if one.value is not None]
        results = os.listdir(os.path.join(self.host.cache_dir, "results"))
        return [links, [one for one in reserved if one], ports, results]


@pytest.fixture
def here(site: World, host: Host, tmp_path: pathlib.Path) -> Site:
    return Site(site, host, tmp_path)


WEB = Published(None, 8080, 80)
#: Those with which the hook changes something.
CALLS = "write,pwrite64,sendto,sendmsg,mkdir,rename,renameat,link,linkat,unlink,unlinkat,ftruncate,mount,umount2,setns,vfork,clone,clone3"


@contextlib.contextmanager
def used(namespace: str, *prefix: str) -> t.Iterator[int]:
    """A process is in it, which a command starts."""
    with netns.entered(namespace):
        # starts: sleep, setpriv
        process = subprocess.Popen([*prefix, "sleep", "1000"])
    with process:
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_container_comes_and_goes(here: Site) -> None:
    web = here.container("w", Endpoint("back", (address("10.4.2.77"),), aliases=("db",)), Endpoint("front"), ports=(WEB,))
    other = here.container("o", Endpoint("back"))
    namespaces = {one: here.world.namespace(f"ns-{one.names[0]}") for one in (web, other)}
    for one, namespace in namespaces.items():
        assert here.connection(one).up(namespace) == []
    shown = {link["ifname"]: link["addr_info"][0]["local"] for link in ip(namespaces[web], "address", "show", "up") if link}
    assert shown == {"eth0": "10.4.2.77", "eth1": "10.4.1.2"}
    found = web.results()
    assert {name: str(result.addresses[0].ip) for name, result in found.items() if result} == {
        "back": "10.4.2.77",
        "front": "10.4.1.2",
    }
    assert "10.4.2.77\tw db\n" in pathlib.Path(other.hosts).read_text()
    assert "10.4.2.78\to\n" in pathlib.Path(web.hosts).read_text()
    with listening(namespaces[web], 80) as server:
        # The first network that publishes at all has the ports.
        assert seen(server, here.world.outside, HOST, 8080) == OUTSIDE
        assert seen(server, namespaces[other], "10.4.2.77", 80) == "10.4.2.78"
    # Its processes are gone, and so is their namespace, but for the pin.
    netns.remove(namespaces[web])
    assert here.connection(web).down() == []
    assert "w db" not in pathlib.Path(other.hosts).read_text()
    assert not os.path.exists(here.connection(web).pin)
    assert here.connection(web).down() == []
    assert here.connection(other).down() == []
    assert here.leftovers() == [[], [], [], []]


def test_one_network_that_refuses_undoes_all(here: Site) -> None:
    here.connection(here.container("o", Endpoint("front"), ports=(WEB,))).up(here.world.namespace("o"))
    before = here.leftovers()
    web = here.container("w", Endpoint("back"), Endpoint("front"), ports=(WEB,))
    namespace = here.world.namespace("w")
    with pytest.raises(AlreadyExists, match="the host's port 8080/tcp is taken: the container default-o"):
        here.connection(web).up(namespace)
    with pytest.raises(NotFound, match="there is no network 'gone'"):
        here.connection(web._replace(endpoints=(Endpoint("back"), Endpoint("gone")), ports=())).up(namespace)
    with pytest.raises(InvalidArgument, match="is no name of a host"):
        here.connection(web._replace(endpoints=(Endpoint("back", aliases=("a b",)),), ports=())).up(namespace)
    assert here.leftovers() == before
    assert [link["ifname"] for link in ip(namespace, "link", "show")] == ["lo"]
    assert not os.path.exists(here.connection(web).pin)


def test_a_restart_without_an_end_attaches_again(here: Site) -> None:
    web = here.container("w", Endpoint("front"), Endpoint("back"), ports=(WEB,))
    here.connection(web).up(here.world.namespace("first"))
    netns.remove(str(here.world.directory / "first"))
    second = here.world.namespace("second")
    assert here.connection(web).up(second) == []
    with listening(second, 80) as server:
        assert seen(server, here.world.outside, HOST, 8080) == OUTSIDE
    assert [len(one) for one in here.leftovers()] == [2, 2, 2, 2]
    assert here.connection(web).down() == []
    assert here.leftovers() == [[], [], [], []]


def test_it_changes_while_it_runs(here: Site) -> None:
    web = here.container("w", Endpoint("bridge"))
    namespace = here.world.namespace("w")
    here.connection(web).up(namespace)
    both = web._replace(endpoints=(Endpoint("bridge"), Endpoint("front")))
    assert here.connection(both).connect(1) == []
    assert {link["ifname"] for link in ip(namespace, "link", "show")} == {"lo", "eth0", "eth1"}
    published = both._replace(ports=(WEB,))
    here.connection(published).publish()
    with listening(namespace, 80) as server:
        assert seen(server, here.world.outside, HOST, 8080) == OUTSIDE
    here.connection(both).publish()
    assert here.leftovers()[2] == []
    assert here.connection(both).disconnect(1) == []
    assert {link["ifname"] for link in ip(namespace, "link", "show")} == {"lo", "eth0"}
    assert here.connection(web).down() == []


def test_the_way_out_is_that_of_the_first_network(here: Site) -> None:
    three = here.container(
        "w", *(Endpoint(name, interface=f"eth{number}") for number, name in enumerate(("back", "front", "bridge")))
    )
    namespace = here.world.namespace("w")
    here.connection(three).up(namespace)

    def way_out() -> t.List[t.Tuple[str, str]]:
        with listening(here.world.outside, 80) as server:
            assert seen(server, namespace, OUTSIDE, 80) == HOST
        return [(one["gateway"], one["dev"]) for one in ip(namespace, "route", "show", "default")]

    assert way_out() == [("10.4.1.1", "eth1")]
    less = three._replace(endpoints=(three.endpoints[0], three.endpoints[2]))
    assert here.connection(three).change(less, lambda one: None) == []
    assert way_out() == [("10.4.0.1", "eth2")]
    assert here.connection(less).change(three, lambda one: None) == []
    assert way_out() == [("10.4.1.1", "eth1")]


def test_who_is_gone_is_detached_and_nobody_else(here: Site) -> None:
    gone, runs = here.container("g", Endpoint("front"), Endpoint("back"), ports=(WEB,)), here.container("r", Endpoint("front"))
    for one in (gone, runs):
        here.connection(one).up(here.world.namespace(one.names[0]))
    theirs = Attachment("default-nerdctl", here.world.namespace("n"))
    Chain(here.networks.directory.get("front"), here.host).attach(theirs)
    with used(runs.pin):
        with alone(gone.container_id, gone.places):
            # Somebody works on it.
            assert sweep(here.places, here.host.rules) == []
        assert sweep(here.places, here.host.rules) == [gone.container_id]
        assert sweep(here.places, here.host.rules) == []
    owners = {one.container_id for one in Reservations("front", here.host.data_dir).list().values()}
    assert owners == {runs.container_id, "default-nerdctl"}
    assert here.leftovers()[1:3] == [[Reservations("front", here.host.data_dir).list()], []]
    assert pathlib.Path(runs.hosts).read_text().count("\tg\n") == 0
    # After a reboot there is no pin.
    netns.remove(runs.pin)
    assert sweep(here.places, here.host.rules) == [runs.container_id]
    Chain(here.networks.directory.get("front"), here.host).detach(theirs)
    assert here.leftovers() == [[], [], [], []]


def test_a_namespace_that_is_called_as_ours_stays(here: Site) -> None:
    """ip netns add fleet-red, without a process: a router, say."""
    path = here.world.namespace("fleet-red")
    assert sweep(here.places, here.host.rules) == []
    assert netns.is_namespace(path)


def test_nobody_is_gone_where_processes_cannot_be_looked_at(here: Site) -> None:
    """Without CAP_SYS_PTRACE, the namespaces of processes of other users are not told."""
    runs = here.container("r", Endpoint("front"))
    here.connection(runs).up(here.world.namespace("r"))
    code = (
        f"import sys;from {strangers.__name__} import in_use, left;from {Places.__module__} import Places;"
        "print(in_use(sys.argv[1]), left(Places('', '', (), *sys.argv[2:])))"
    )
    where = [runs.pin, here.places.cache_dir, here.places.data_dir, here.places.pin_dir, here.places.names_dir]
    without = ["setpriv", "--inh-caps=-sys_ptrace", "--bounding-set=-sys_ptrace"]

    with used(runs.pin, "setpriv", "--reuid", "65534"):
        # starts: setpriv
        told = subprocess.check_output(
            [*without, sys.executable, "-c", code, *where], env={"PYTHONPATH": str(COLLECTIONS)}, text=True
        )
    assert told == "True []\n"


def test_names_of_the_default_network_are_ones_own(here: Site) -> None:
    one, other = here.container("a", Endpoint("bridge")), here.container("b", Endpoint("bridge"))
    for each in (one, other):
        here.connection(each).up(here.world.namespace(each.names[0]))
    assert "\tb\n" not in pathlib.Path(one.hosts).read_text()
    assert "10.4.0.2\ta\n" in pathlib.Path(one.hosts).read_text()


def test_a_network_that_was_removed_meanwhile_is_left(here: Site) -> None:
    web = here.container("w", Endpoint("front"), ports=(WEB,))
    here.connection(web).up(here.world.namespace("w"))
    os.unlink(here.networks.directory.get("front").path)
    (problem,) = here.connection(web).down()
    assert problem.startswith("there is no network 'front'")
    assert here.leftovers() == [[], [], [], []]
    assert here.connection(web).down() == []


def test_the_end_goes_on_past_errors(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    web = here.container("w", Endpoint("front"), Endpoint("back"), ports=(WEB,))
    here.connection(web).up(here.world.namespace("w"))

    def refuse(*_arguments: t.Any) -> t.Any:
        raise Unavailable("locked")

    monkeypatch.setattr(Names, "leave", refuse)
    assert here.connection(web).down() == ["locked", "locked"]
    assert here.leftovers() == [[], [], [], []]
    assert not os.path.exists(here.connection(web).pin)


class Hook:
    """The hook of a container in front (internal: back) with a page of the host's port 8080, as a runtime runs it."""

    def __init__(self, here: Site, base: pathlib.Path, pid: int) -> None:
        self._here, self._log, self._networks, self._pid = here, base / "strace", base / "networks.json", pid
        self.connected = here.container("w", Endpoint("front"), Endpoint("back"), ports=(WEB,))
        install_hook(str(base))
        self._hooks = hooks(str(base), str(self._networks))
        keep(str(self._networks), self.connected)

    def run(self, moment: str, number: int = 0) -> t.List[str]:
        """number: it is killed before its nth system call that changes something; 0: never. Those that it came to."""
        (one,) = self._hooks[moment]
        inject = f"{CALLS}:signal=KILL:when={number or 60000}"
        command = ["strace", "-qq", "-o", str(self._log), "-e", f"trace={CALLS}", "-e", f"inject={inject}", *one["args"]]
        environment = dict(item.split("=", 1) for item in one["env"])
        # starts: strace (of the machine's Python)
        done = subprocess.run(
            command, input=json.dumps({"pid": self._pid}), env=environment, check=False, capture_output=True, text=True
        )
        # The number differs by a few from run to run.
        assert done.returncode in ((0, -9) if number else (0,)), done.stderr
        return [line for line in self._log.read_text().splitlines() if line[:1].isalpha()]

    def wrong(self, namespace: str) -> t.List[t.Any]:
        """What is not as it must be after a start, and then after an end."""
        self.run("createRuntime")
        with listening(namespace, 80) as server:
            found: t.List[t.Any] = [] if seen(server, self._here.world.outside, HOST, 8080) == OUTSIDE else ["no page"]
        if [len(one) for one in self._here.leftovers()] != [2, 2, 2, 2]:
            found.append(self._here.leftovers())
        self.run("poststop")
        return found + [one for one in self._here.leftovers() if one] + self.files()

    def files(self) -> t.List[str]:
        """What is left of it in memory: pins, members, locks, and files that were being written."""
        places = self._here.places
        there = [one for directory in (places.pin_dir, places.names_dir) for one in pathlib.Path(directory).rglob("*")]
        written = pathlib.Path(self._here.host.data_dir).rglob(".*")
        return [str(one) for one in (*there, *written) if "default-" in one.name or one.name == ".new"]


def test_what_is_being_given_back_is_waited_for(here: Site, tmp_path: pathlib.Path) -> None:
    """By whoever wants the same port: the hook of the one that has it is at work still."""
    gone, namespace = here.container("g", Endpoint("front"), ports=(WEB,)), here.world.namespace("w")
    here.connection(gone).up(here.world.namespace("g"))
    held = threading.Event()

    def end() -> None:
        with alone(gone.container_id, gone.places):
            held.set()
            time.sleep(1)
            here.connection(gone).down()

    with used(namespace) as pid, ThreadPoolExecutor(1) as pool:
        ended = pool.submit(end)
        assert held.wait(10)
        assert Hook(here, tmp_path, pid).wrong(namespace) == []
        ended.result(10)


@pytest.mark.timeout(1800 if FULL else 120)
def test_a_hook_that_is_killed_is_run_again(here: Site, tmp_path: pathlib.Path) -> None:
    """At each of its system calls that change something: the next start has all, and the next end leaves nothing."""
    namespace = here.world.namespace("w")
    with used(namespace) as pid:
        hook, choose, wrong = Hook(here, tmp_path, pid), random.Random(9), []
        assert hook.wrong(namespace) == []
        for moment, before in (("createRuntime", "poststop"), ("poststop", "createRuntime")):
            hook.run(before)
            calls = len(hook.run(moment))
            assert calls > 20
            for number in range(1, calls + 1) if FULL else choose.sample(range(1, calls + 1), 3):
                hook.run(before)
                where = f"{moment} {number} of {calls}, {hook.run(moment, number)[-1]}"
                wrong += [f"{where}: {one}" for one in hook.wrong(namespace)]
                # An end right after it.
                hook.run(before)
                hook.run(moment, number)
                hook.run("poststop")
                wrong += [f"{where}, the end: {one}" for one in [*filter(None, here.leftovers()), *hook.files()]]
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"[" * 99999, b'{"places": 5}'])
def test_what_is_kept_and_cannot_be_read(raw: bytes) -> None:
    with pytest.raises(DataLoss, match="cannot be read"):
        Connected.of(raw)
    assert issubclass(DataLoss, EngineError)
