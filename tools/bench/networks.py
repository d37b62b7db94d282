# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows about networks, measured in namespaces of their own: a start with a published port, attaching, tasks with nothing to do.

As a program (python -m ... RUNS GROUP ...) it is what runs in those namespaces, and prints the rows as JSON.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import typing as t

from ...plugins.module_utils.libexec.hooks import hooks, install_hook
from ...plugins.module_utils.network import netns
from ...plugins.module_utils.network.connected import Connected, Endpoint
from ...plugins.module_utils.network.ports import Published
from ...plugins.module_utils.resources.container.networks import make_ready
from ...tests.support.ansible import COLLECTIONS
from ...tests.support.own_host import own_host
from ...tests.support.registry import running_registry
from .corpus import Daemon, daemon, fresh_filesystem
from .playbooks import TRIVIAL, Play
from .rows import Ours, Row, _ctr_clean, _podman, interleaved, timed

_PROGRAMS = "/usr/lib/cni"
#: What nerdctl writes for its default network, in other addresses than ours.
_THEIRS: t.Dict[str, t.Any] = {
    "cniVersion": "1.0.0",
    "name": "theirs",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "theirs0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.9.0.0/16", "gateway": "10.9.0.1"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "firewall", "ingressPolicy": "same-bridge"},
        {"type": "tuning"},
    ],
}


def on_a_host_of_its_own(group: str) -> t.Callable[[int], t.List[Row]]:
    """One of the functions of this file: attaching, starts, noop."""

    def measure(runs: int) -> t.List[Row]:
        base = pathlib.Path(tempfile.mkdtemp(prefix="fleet-bench-"))
        try:
            with own_host(base / "host") as host:
                command = [*host.under, sys.executable, "-m", __name__, str(runs), group]
                environment = {**os.environ, "PYTHONPATH": str(COLLECTIONS)}
                done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        finally:
            shutil.rmtree(base)
        return [Row(*row) for row in json.loads(done.stdout)]

    return measure


class Programs:
    """The chain of Debian's CNI plugins for containers with one published port, without what starts and locks around it."""

    def __init__(self) -> None:
        self._results: t.Dict[str, t.Any] = {}

    def add(self, name: str, namespace: str, port: int) -> None:
        result: t.Any = None
        for plugin in _THEIRS["plugins"]:
            result = self._call("ADD", plugin, name, namespace, port, result) or result
        self._results[name] = result

    def remove(self, name: str, namespace: str, port: int) -> None:
        for plugin in reversed(_THEIRS["plugins"]):
            self._call("DEL", plugin, name, namespace, port, self._results[name])

    def _call(self, command: str, plugin: t.Mapping[str, t.Any], name: str, namespace: str, port: int, previous: t.Any) -> t.Any:
        document = {**plugin, "cniVersion": _THEIRS["cniVersion"], "name": _THEIRS["name"]}
        if "capabilities" in plugin:
            document["runtimeConfig"] = {"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]}
        if previous:
            document["prevResult"] = previous
        environment = {
            **os.environ,
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": name,
            "CNI_NETNS": namespace,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": _PROGRAMS,
        }
        program = f"{_PROGRAMS}/{plugin['type']}"
        # starts: (a CNI plugin)
        done = subprocess.run([program], input=json.dumps(document), env=environment, check=True, capture_output=True, text=True)
        return json.loads(done.stdout) if done.stdout.strip() else None


class Hook:
    """The hook as a process, as a runtime starts it, for containers that are a namespace."""

    def __init__(self, base: pathlib.Path) -> None:
        self._base, self._data_root = base, str(base / "hook")
        install_hook(self._data_root)
        make_ready(Connected("", (), (Endpoint("bridge"),)))

    def call(self, moment: str, name: str, pid: int, port: int) -> None:
        path = str(self._base / f"{name}-networks.json")
        if moment == "createRuntime":
            hosts = self._base / f"{name}-hosts"
            hosts.touch()
            connected = Connected(name, (name,), (Endpoint("bridge"),), (Published(None, port, 80),), str(hosts))
            pathlib.Path(path).write_text(json.dumps(connected.to_json()))
        (hook,) = hooks(self._data_root, path)[moment]
        environment = dict(one.split("=", 1) for one in hook["env"])
        # starts: (our Python)
        subprocess.run(
            hook["args"], input=json.dumps({"pid": pid}).encode(), env=environment, check=True, stdout=subprocess.DEVNULL
        )


def attaching(runs: int) -> t.List[Row]:
    """P12: attach to the default network with one published port, and detach: the hook against the four programs of Debian."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="fleet-bench-"))
    numbers = iter(range(10000))
    try:
        hook, programs = Hook(base), Programs()
        detached: t.Dict[str, t.List[t.Callable[[], None]]] = {"ours": [], "theirs": []}

        def attach(whose: str) -> float:
            number = next(numbers)
            name, port = f"{whose}{number}", 20000 + number
            # starts: unshare, sleep
            container = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
            namespace = f"/proc/{container.pid}/ns/net"
            while not netns.is_another(namespace):
                pass
            if whose == "ours":
                seconds = timed(lambda: hook.call("createRuntime", name, container.pid, port))
                undo = functools.partial(hook.call, "poststop", name, container.pid, port)
            else:
                seconds = timed(lambda: programs.add(name, namespace, port))
                undo = functools.partial(programs.remove, name, namespace, port)

            detached[whose] += [undo, functools.partial(_end, container)]
            return seconds

        def detach(whose: str) -> float:
            undo, end = detached[whose].pop(0), detached[whose].pop(0)
            seconds = timed(undo)
            end()
            return seconds

        actions = {f"{what} {whose}": functools.partial(act, whose) for what, act in (("attach", attach), ("detach", detach))
                   for whose in ("ours", "theirs")}  # fmt: skip
        interleaved(actions, 1)
        medians = interleaved(actions, runs * 4)
    finally:
        shutil.rmtree(base)
    return [
        Row("P12", f"{what} a network, with a published port", "CNI plugins", medians[f"{what} ours"] / medians[f"{what} theirs"],
            goal, runs * 4)
        for what, goal in (("attach", 0.7), ("detach", 0.0))
    ]  # fmt: skip


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def starts(runs: int) -> t.List[Row]:
    """P11: start a container with a published port: the core called from a running Python, on each engine, against command lines."""
    with fresh_filesystem("4G") as base, running_registry() as registry, contextlib.ExitStack() as stack:
        found, names = stack.enter_context(daemon("sid", base)), t.cast(t.List[str], [])
        (base / "containerd").mkdir()
        engines = {"embedded": Ours(base, registry), "containerd 2.1": Ours(base / "containerd", registry, found.ctr[-1])}
        for ours in engines.values():
            stack.callback(ours.close)
        numbers, programs = iter(range(30000, 40000)), Programs()
        actions: t.Dict[str, t.Callable[[], float]] = {}
        for name, ours in engines.items():
            actions[name] = lambda ours=ours: timed(
                functools.partial(ours.start, network_mode="bridge", published_ports=[f"{next(numbers)}:80"])
            )
        reference = engines["embedded"].reference
        found.run("images", "pull", "--plain-http", reference)
        stack.callback(_ctr_clean, found, names)
        actions["ctr 2.1 and CNI plugins"] = lambda: _ctr_in_a_network(found, programs, reference, names, next(numbers))
        if shutil.which("podman"):
            podman = _podman(base)
            # starts: podman
            subprocess.run([*podman, "pull", "-q", "--tls-verify=false", reference], check=True, stdout=subprocess.DEVNULL)
            command = [*podman, "run", "-d", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=10000:10000"]
            actions["podman"] = lambda: timed(
                # starts: podman
                lambda: subprocess.run(
                    [*command, "-p", f"{next(numbers)}:80", reference, "sleep", "1000"], check=True, stdout=subprocess.DEVNULL
                )
            )
            # starts: podman
            stack.callback(lambda: subprocess.run([*podman, "rm", "-f", "-a", "-t", "0"], check=True, stdout=subprocess.DEVNULL))
        interleaved(actions, 1)
        medians = interleaved(actions, runs * 2)
    return [
        Row("P11", f"start with a published port, {name}", against, medians[name] / medians[against], 0, runs * 2)
        for name in engines
        for against in medians
        if against not in engines
    ]


def _ctr_in_a_network(found: Daemon, programs: Programs, reference: str, names: t.List[str], port: int) -> float:
    """What a script does that has no nerdctl: a namespace, the plugins, and ctr."""
    name = f"network-{len(names)}"
    names.append(name)

    def action() -> None:
        # starts: ip
        subprocess.run(["ip", "netns", "add", name], check=True)
        programs.add(name, f"/run/netns/{name}", port)
        found.run("run", "-d", "--with-ns", f"network:/run/netns/{name}", reference, name, "sleep", "1000")

    return timed(action)


def noop(runs: int) -> t.List[Row]:
    """P13: tasks of networks that find all as asked, against a task of a module that does nothing."""
    with fresh_filesystem("4G") as base, running_registry() as registry, contextlib.ExitStack() as stack:
        work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-bench-"))
        stack.callback(shutil.rmtree, work)
        ours = Ours(base, registry)
        stack.callback(ours.close)
        (work / "trivial.py").write_text(TRIVIAL)
        where = f"engine: embedded, data_root: {ours.data_root}, state_root: {ours.state}"
        web = f"image: '{ours.reference}', command: [sleep, '1000'], {where}"
        module = "fleet.containerd.containerd_"
        plays = {
            "trivial": Play(work, "trivial", "trivial:"),
            "network": Play(work, "network", f"{module}network: {{name: front, {where}}}"),
            "container, default network": Play(work, "one", f"{module}container: {{name: one, {web}}}"),
            "container, two networks and a port": Play(
                work,
                "two",
                f"{module}container: {{name: two, networks: [{{name: front}}, {{name: bridge}}], published_ports: ['8080:80'], {web}}}",
            ),
        }
        medians = interleaved({name: play.cost for name, play in plays.items()}, runs)
    trivial = medians.pop("trivial")
    return [Row("P13", f"no-op: {name}", "trivial module", seconds / trivial, 1.15, runs) for name, seconds in medians.items()]


if __name__ == "__main__":
    measures = {"attaching": attaching, "starts": starts, "noop": noop}
    print(json.dumps(measures[sys.argv[2]](int(sys.argv[1]))))
