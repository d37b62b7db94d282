# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet: hosts as network namespaces on one switch, with a shaper on each link, and a registry on the same switch.

Each host has an engine of its own. All is gone afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.kernel.engines import EngineOptions, open_engine
from ansible_collections.fleet.containerd.plugins.module_utils.network import netns
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.registry.options import RegistryOptions
from ansible_collections.fleet.containerd.plugins.module_utils.relay.part import control_address
from ansible_collections.fleet.containerd.plugins.module_utils.resources.image import relaying
from ansible_collections.fleet.containerd.plugins.module_utils.resources.image.distribute import describe
from ansible_collections.fleet.containerd.plugins.plugin_utils.distribution.parts import Limits, make_parts

from . import ansible
from .containerds import Daemon
from .images import Layout
from .leftovers import clean_up, processes_with
from .registry import Registry, running_registry

REGISTRY = "10.77.0.1"
_NAME = f"{REGISTRY}:5000/team/app"
ROLE = "fleet.containerd.image_distribute"
_GROUP = "group/fleet.containerd.containerd"


class Namespace:
    """A network namespace with one link to the switch. pid: of a process in it."""

    def __init__(self, name: str, address: str, switch: t.Optional[Namespace], rate: str) -> None:
        self.name, self.address, self.rate = name, address, rate
        # starts: unshare (and sleep)
        self._process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.pid = self._process.pid
        own = os.stat("/proc/self/ns/net").st_ino
        deadline = time.monotonic() + 10
        while os.stat(f"/proc/{self.pid}/ns/net").st_ino == own and time.monotonic() < deadline:
            time.sleep(0.002)
        self.switch = switch
        try:
            if switch:
                self._connect(switch)
        except subprocess.CalledProcessError:
            self.close()
            raise

    def _connect(self, switch: Namespace) -> None:
        far = f"ip link set far netns {switch.pid}"
        self.run("sh", "-c", f"ip link set lo up && ip link add uplink type veth peer name far && {far}")
        switch.run("sh", "-c", f"ip link set far name {self.name} && ip link set {self.name} master sw up")
        up = f"ip address add {self.address}/16 dev uplink && ip link set uplink up"
        self.run("sh", "-c", f"{up} && ip route add default via 10.77.255.254")
        self.shape(self.rate)

    def shape(self, rate: str) -> None:
        """Both ways, by tbf; an empty rate is none."""
        self.rate = rate
        for where, link in ((self, "uplink"), (self.switch, self.name)):
            assert where
            if rate:
                where.run("tc", "qdisc", "replace", "dev", link, "root", "tbf", "rate", rate, "burst", "32kb", "limit", "256kb")

    def run(self, *command: str) -> str:
        # starts: nsenter (and sh, ip, tc, nft, curl)
        return subprocess.run(["nsenter", "-t", str(self.pid), "-n", *command], check=True, capture_output=True, text=True).stdout

    def vanish(self) -> None:
        """The cable is pulled: nobody is told."""
        self.run("ip", "link", "set", "uplink", "down")

    def sent(self) -> int:
        """Bytes that left it."""
        return int(json.loads(self.run("ip", "-j", "-s", "link", "show", "uplink"))[0]["stats64"]["tx"]["bytes"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Host(Namespace):
    """A host of the fleet, with its engine."""

    def __init__(self, base: pathlib.Path, number: int, switch: Namespace, rate: str, version: str) -> None:
        super().__init__(f"h{number}", f"10.77.1.{number + 1}", switch, rate)
        self.base = base / self.name
        self.base.mkdir()
        self.data = self.base / "data"
        self.variables: t.Dict[str, t.Any] = {
            "ansible_host": str(self.pid),
            "data_root": str(self.data),
            "state_root": str(self.base / "run"),
            "engine": "embedded",
        }
        self.daemon: t.Optional[Daemon] = None
        if version:
            (self.base / "daemon").mkdir()
            self.daemon = Daemon(version, self.base / "daemon").start()
            self.variables.update(engine="containerd", address=self.daemon.address)

    @contextlib.contextmanager
    def engine(self) -> t.Iterator[t.Any]:
        with contextlib.closing(open_engine(EngineOptions.of({**self.variables, "snapshotter": "native"}))) as found:
            yield found

    @property
    def processes(self) -> t.List[int]:
        """Programs of distributions that run here."""
        own = os.stat(f"/proc/{self.pid}/ns/net").st_ino
        found = []
        for pid in processes_with(self.data):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}/ns/net").st_ino == own:
                    found.append(pid)
        return found

    def close(self) -> None:
        for pid in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.daemon:
            self.daemon.clean()
        clean_up(self.data, self.base / "run")
        super().close()


class Fleet:
    """hosts: in the order of the inventory. image: the name of what is to be distributed."""

    def __init__(self, base: pathlib.Path, stack: contextlib.ExitStack) -> None:
        self.base, self._stack = base, stack
        self.switch = Namespace("switch", "", None, "")
        stack.callback(self.switch.close)
        self.switch.run(
            "sh",
            "-c",
            "ip link set lo up && ip link add sw type bridge && ip link set sw up && ip address add 10.77.255.254/16 dev sw",
        )
        self.hosts: t.List[Host] = []
        self.registry: Namespace
        self.size = 0
        self._serving: t.Optional[subprocess.Popen[bytes]] = None

    def add_registry(self, make: t.Callable[[Layout], t.Mapping[str, t.Any]], rate: str) -> None:
        """With one image, which make() builds."""
        storage = self.base / "storage"
        layout = Layout(self.base / "layout")
        top = make(layout)
        with running_registry(storage=storage) as pushing:
            self.push(pushing, layout, top, "1")
        manifest = json.loads(layout.read(top))
        self.layers = [one["size"] for one in manifest["layers"]]
        self.size = sum(self.layers)
        read: t.Callable[[Descriptor], bytes] = lambda one: layout.read({"digest": one.digest})  # noqa: E731  # short
        self.described = describe(read, Descriptor.from_json(dict(top), "top"), [Platform.host()])
        self.registry = Namespace("reg", REGISTRY, self.switch, rate)
        self._stack.callback(self.registry.close)
        self._configure("registry", REGISTRY, str(storage))
        self.serve()
        self._stack.callback(self.stop_registry)

    def push(self, pushing: Registry, layout: Layout, top: t.Mapping[str, t.Any], tag: str) -> None:
        pushing.push(layout.path, top, "team/app", tag)

    def _configure(self, name: str, address: str, storage: str, **more: t.Any) -> None:
        config = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": storage}},
            "http": {"addr": f"{address}:5000", "secret": "only for tests"},
            **more,
        }
        (self.base / f"{name}.yml").write_text(json.dumps(config))

    def serve(self) -> None:
        self._serving = self._run_registry("registry", self.registry)

    def _run_registry(self, name: str, where: Namespace) -> subprocess.Popen[bytes]:
        with (self.base / f"{name}.log").open("ab") as log:
            # starts: nsenter (and docker-registry)
            process = subprocess.Popen(
                ["nsenter", "-t", str(where.pid), "-n", "docker-registry", "serve", str(self.base / f"{name}.yml")],
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
            )
        probe = f"for i in $(seq 200); do curl -s http://{where.address}:5000/v2/ >/dev/null && exit 0; sleep 0.05; done; exit 1"
        where.run("sh", "-c", probe)
        return process

    def add_cache(self, host: Host) -> None:
        """A pull-through cache on a host, and hosts.toml files that name it."""
        self._configure("cache", host.address, str(self.base / "cache"), proxy={"remoteurl": f"http://{REGISTRY}:5000"})
        process = self._run_registry("cache", host)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        (directory := self.base / f"{REGISTRY}_5000_").mkdir()
        text = f'server = "http://{REGISTRY}:5000"\n[host."http://{host.address}:5000"]\ncapabilities = ["pull", "resolve"]\n'
        (directory / "hosts.toml").write_text(text)

    def stop_registry(self) -> None:
        if self._serving:
            self._serving.kill()
            self._serving.wait()
            self._serving = None

    def add_hosts(self, count: int, rate: str, version: str = "") -> None:
        for _each in range(count):
            host = Host(self.base, len(self.hosts), self.switch, rate, version)
            self.hosts.append(host)
            self._stack.callback(host.close)

    # Plays

    @property
    def defaults(self) -> t.Dict[str, t.Any]:
        """Options of engines."""
        found = {name: f"{{{{ {name} | default(omit) }}}}" for name in ("engine", "address", "data_root", "state_root")}
        return {**found, "snapshotter": "native"}

    @property
    def registry_defaults(self) -> t.Dict[str, t.Any]:
        """Options of registries."""
        return {"plain_http": True, "registry_config_dir": str(self.base), "retries": 0}

    def write(self, base: pathlib.Path, plays: t.Sequence[t.Mapping[str, t.Any]]) -> t.List[str]:
        """Inventory and playbook below base; the arguments of ansible-playbook."""
        common = {
            "ansible_connection": "enter",
            "ansible_python_interpreter": sys.executable,
            "ansible_pipelining": True,
            "ansible_remote_tmp": str(self.base / "tmp"),
        }
        inventory = {"all": {"vars": common, "hosts": {host.name: host.variables for host in self.hosts}}}
        (base / "inventory.json").write_text(json.dumps(inventory))
        written = []
        for play in plays:
            defaults = {"group/fleet.containerd.registry": self.registry_defaults, **play.get("module_defaults", {})}
            defaults[_GROUP] = {**self.defaults, **defaults.get(_GROUP, {})}
            written.append({"gather_facts": False, **play, "module_defaults": defaults})
        (base / "play.json").write_text(json.dumps(written))
        return ["-i", str(base / "inventory.json"), str(base / "play.json")]

    image = f"{_NAME}:1"

    def the_role(self, tasks: t.Sequence[t.Any] = (), **variables: t.Any) -> t.Dict[str, t.Any]:
        """A play of the role, or of tasks. variables: of the role, without its name."""
        role = {"role": ROLE, "image_distribute_images": [self.image]}
        role.update({f"image_distribute_{key}": value for key, value in variables.items()})
        return {"hosts": "all", **({"tasks": tasks} if tasks else {"roles": [role]})}

    @contextlib.contextmanager
    def playing(
        self, *arguments: str, forks: int = 5, plays: t.Sequence[t.Mapping[str, t.Any]] = (), **of_the_role: t.Any
    ) -> t.Iterator[Playing]:
        """Plays that run; by default the_role()."""
        base = pathlib.Path(tempfile.mkdtemp(prefix="fleet-play-"))
        (base / "results").touch()
        command = self.write(base, plays or [self.the_role(**of_the_role)])
        environment = {
            **ansible._environment(base, base / "results"),
            "ANSIBLE_CONNECTION_PLUGINS": str(pathlib.Path(__file__).parent / "connection_plugins"),
            "ANSIBLE_FORKS": str(forks),
            "ANSIBLE_HOST_KEY_CHECKING": "0",
        }
        program = str(pathlib.Path(sys.executable).with_name("ansible-playbook"))
        process = subprocess.Popen(
            [program, *command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=base,
            env=environment,
            start_new_session=True,
        )
        playing = Playing(process, base / "results")
        try:
            yield playing
            playing.end()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            shutil.rmtree(base, ignore_errors=True)

    def run(self, plays: t.Sequence[t.Mapping[str, t.Any]], *arguments: str) -> Playing:
        """Run plays to their end."""
        return self.play(*arguments, plays=plays)

    def play(self, *arguments: str, failing: bool = False, **how: t.Any) -> Playing:
        """Run a play to its end."""
        with self.playing(*arguments, **how) as playing:
            playing.end()
        assert (playing.status != 0) is failing, playing.output
        return playing

    @contextlib.contextmanager
    def relaying(self, *hosts: Host, **how: t.Any) -> t.Iterator[Relays]:
        """Programs on all hosts, or some, that listen."""
        relays = Relays(self, hosts or self.hosts, **how)
        try:
            relays.ready()
            yield relays
        finally:
            relays.close()

    def ping(self) -> None:
        """One trivial task on all hosts."""
        with self.playing(tasks=[{"ansible.builtin.ping": {}}]) as playing:
            playing.end()

    def quiet(self, seconds: float) -> bool:
        """Whether no process of a distribution runs on any host, within that time."""
        deadline = time.monotonic() + seconds
        while any(host.processes for host in self.hosts):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True


class Relays:
    """The programs of a distribution on some hosts, without Ansible: as step=start leaves them. alone: see relaying.py."""

    def __init__(self, fleet: Fleet, hosts: t.Sequence[Host], alone: float = 60.0, **more: t.Any) -> None:
        self.fleet, self.hosts = fleet, hosts
        looks = {
            host.name: {
                "address": host.address,
                "port": 7446,
                "platform": str(Platform.host()),
                "order_by": "",
                "images": {fleet.image: {}},
            }
            for host in hosts
        }
        for host in more.pop("holders", ()):
            looks[host.name]["images"] = {fleet.image: fleet.described}
        self.parts = make_parts(looks, {fleet.image: fleet.described}, Limits(**{"timeout": 60.0, **more}))
        self.began = time.monotonic()
        self.processes = {host.name: self._start(host) for host in hosts}
        # Hosts have processors of their own; here a few load the programs of all of them, before the first one begins.
        for process in self.processes.values():
            assert process.stdout
            assert process.stdout.readline() == b"loaded\n"
        for host in hosts:
            self._tell(host, alone)

    def _start(self, host: Host) -> subprocess.Popen[bytes]:
        path = f"import sys;sys.path.insert(0,{str(ansible.COLLECTIONS)!r})"
        rooms = relaying.__name__.partition(".resources")[0]
        loading = f"import {rooms}.engine_embedded.engine,{rooms}.engine_containerd.engine;from {relaying.__name__} import main"
        # The last argument is for those who look for it.
        return subprocess.Popen(
            ["nsenter", "-t", str(host.pid), "-n", sys.executable, "-I", "-c"]
            + [f"{path};{loading};print('loaded',flush=True);main()", str(host.data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def _tell(self, host: Host, alone: float) -> None:
        """What it is to do."""
        process = self.processes[host.name]
        assert process.stdin
        options = EngineOptions.of({**host.variables, "snapshotter": "native"})
        registry = RegistryOptions(plain_http=True, registry_config_dir=str(self.fleet.base), retries=0, progress_timeout=5.0)
        request = {
            "engine": options._asdict(), "registry": registry._asdict(), "todo": [self.fleet.image], "max_parallel": 2, "alone": alone,
            "part": self.parts[host.name],
        }  # fmt: skip
        with process.stdin:
            process.stdin.write(json.dumps(request).encode())

    def ready(self) -> None:
        """All listen; the time counts from here."""
        for process in self.processes.values():
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
        self.began = time.monotonic()

    def ask(self, host: Host) -> socket.socket:
        """Ask for its result, as step=wait does."""
        part = self.parts[host.name]
        with netns.entered(f"/proc/{host.pid}/ns/net"):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(90)
            connection.connect(control_address(part["id"], part["me"]))
            return connection

    def result(self, host: Host) -> t.Dict[str, t.Any]:
        """Wait for it."""
        with self.ask(host) as connection, connection.makefile("rb") as stream:
            lines = map(json.loads, stream)
            return next(line for line in lines if "progress" not in line)

    def results(self, *but: Host) -> t.Dict[str, t.Dict[str, t.Any]]:
        return {host.name: self.result(host) for host in self.hosts if host not in but}

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


class Playing:
    """status and output: at its end. seconds: of the whole play."""

    def __init__(self, process: subprocess.Popen[str], results: pathlib.Path) -> None:
        self.process, self._results = process, results
        self.status, self.output, self.seconds = -1, "", 0.0
        self._began = time.monotonic()
        self.results: t.List[t.Dict[str, t.Any]] = []

    def end(self) -> None:
        if self.status == -1:
            self.output = self.process.communicate(timeout=300)[0]
            self.status, self.seconds = self.process.returncode, time.monotonic() - self._began
            self.results = self.so_far()

    def so_far(self) -> t.List[t.Dict[str, t.Any]]:
        # The last line may not be there as a whole yet.
        return [json.loads(line) for line in self._results.read_text().rpartition("\n")[0].splitlines()]

    def of(self, task: str) -> t.List[t.Dict[str, t.Any]]:
        """The results of a task, in the order in which hosts ended."""
        return [one["result"] for one in self.results if one["name"].endswith(task)]

    @property
    def report(self) -> t.Dict[str, t.Any]:
        found = self.of("Report")
        assert found, self.output
        return found[-1]

    def wait_for(self, task: str, seconds: float = 60.0) -> None:
        """Until a task has begun to have results."""
        deadline = time.monotonic() + seconds
        while not any(one["name"].endswith(task) for one in self.so_far()):
            assert time.monotonic() < deadline, task
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.02)


@contextlib.contextmanager
def a_fleet(
    make: t.Callable[[Layout], t.Mapping[str, t.Any]], count: int, rate: str = "20mbit", version: str = ""
) -> t.Iterator[Fleet]:
    """A registry with one image, and hosts. version: of containerd; empty for the embedded engine."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="fleet-fleet-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, base, True)
        fleet = Fleet(base, stack)
        fleet.add_registry(make, rate)
        fleet.add_hosts(count, rate, version)
        yield fleet
