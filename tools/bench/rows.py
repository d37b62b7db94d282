# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark rows. Each is measured in one interleaved run, ours and the others in turn; the result is a ratio of medians."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pathlib
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t

from ...plugins.module_utils.argument_specs.containerd_container import SPEC
from ...plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ...plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ...plugins.module_utils.image.source import RegistrySource
from ...plugins.module_utils.oci.platform import Platform
from ...plugins.module_utils.oci.reference import Reference
from ...plugins.module_utils.registry.client import RegistryClient, RegistryOptions
from ...plugins.module_utils.resources.container import steps
from ...plugins.module_utils.resources.container.resource import ContainerResource
from ...tests.support.client import pull
from ...tests.support.registry import Registry, running_registry
from .corpus import ROOT, Daemon, daemon, fresh_filesystem, push

ACT = "ansible_collections.fleet.containerd.tools.bench.act"
OPTIONAL = ROOT / ".build" / "optional"
SUITES = {"2.1": "sid", "1.6": "bookworm"}
DAEMONS = {"1.6": "bookworm", "1.7": "trixie", "2.1": "sid"}
IMAGES = ("debian-like", "many-files")


class Row(t.NamedTuple):
    """One measured ratio (smaller is better), or MiB for P8. goal: 0 for none."""

    row: str
    what: str
    against: str
    ratio: float
    goal: float
    runs: int


def timed(action: t.Callable[[], t.Any]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


def interleaved(actions: t.Mapping[str, t.Callable[[], float]], runs: int) -> t.Dict[str, float]:
    """The medians of several measures that are taken in turn."""
    found: t.Dict[str, t.List[float]] = {name: [] for name in actions}
    for _run in range(runs):
        for name, action in actions.items():
            os.sync()
            found[name].append(action())
    return {name: statistics.median(values) for name, values in found.items()}


def _podman(base: pathlib.Path) -> t.List[str]:
    config = base / "containers.conf"
    config.write_text('[engine]\nevents_logger="file"\ncgroup_manager="cgroupfs"\n[containers]\nlog_driver="k8s-file"\n')
    return [
        "podman",
        "--cgroup-manager",
        "cgroupfs",
        "--root",
        str(base / "podman"),
        "--runroot",
        str(base / "podman-run"),
        "--runtime",
        "runc",
    ]


def act(reference: str, root: pathlib.Path, isal: bool = False) -> t.Dict[str, t.Any]:
    """Run act.py. isal: with that library."""
    environment = {**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{OPTIONAL}"} if isal else None
    command = [sys.executable, "-m", ACT, reference, str(root)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    return t.cast(t.Dict[str, t.Any], json.loads(done.stdout))


def ctr_pull(found: Daemon, reference: str, base: pathlib.Path) -> float:
    def action() -> None:
        found.run("images", "pull", "--plain-http", reference)
        subprocess.run(["sync", "-f", base], check=True)

    seconds = timed(action)
    found.run("images", "rm", "--sync", reference)
    return seconds


def pulls(runs: int) -> t.List[Row]:
    """P1: cold pull and unpack, durable, complete processes. P8: the peak memory of ours meanwhile."""
    rows = []
    with fresh_filesystem() as base, running_registry() as registry, contextlib.ExitStack() as stack:
        daemons = {version: stack.enter_context(daemon(suite, base)) for version, suite in SUITES.items()}
        for name in IMAGES:
            reference = push(registry, name)

            def ours(reference: str, isal: bool = False) -> float:
                seconds = timed(lambda: act(reference, base / "ours", isal))
                shutil.rmtree(base / "ours")
                return seconds

            actions: t.Dict[str, t.Callable[[], float]] = {"ours": functools.partial(ours, reference)}
            actions["isal"] = functools.partial(ours, reference, isal=True)
            for version, found in daemons.items():
                actions[f"ctr {version}"] = lambda found=found, reference=reference: ctr_pull(found, reference, base)
            if shutil.which("podman"):
                actions["podman"] = lambda reference=reference: _podman_pull(reference, base)
            medians = interleaved(actions, runs)
            with_isal = medians.pop("isal")
            rows.append(Row("P1", f"pull {name} with isal, durable", "ctr 2.1", with_isal / medians["ctr 2.1"], 0, runs))
            for against, seconds in medians.items():
                if against != "ours":
                    goal = 0.6 if against == "ctr 2.1" else 0
                    rows.append(Row("P1", f"pull {name}, durable", against, medians["ours"] / seconds, goal, runs))
            rows.append(Row("P8", f"peak MiB pulling {name}", "absolute", _peak(reference, base / "ours"), 80, 1))
            shutil.rmtree(base / "ours")
    return rows


def _peak(reference: str, root: pathlib.Path) -> float:
    """The peak memory of a pull in MiB: the sum of the proportional set sizes of the process and its children, sampled all the time."""
    peak = 0
    with subprocess.Popen([sys.executable, "-m", ACT, reference, str(root)], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with contextlib.suppress(OSError, ProcessLookupError):
                children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                peak = max(peak, sum(map(_share, [str(process.pid), *children])))
            time.sleep(0.01)
    return peak / 1024


def _share(pid: str) -> int:
    """The KiB of a process, with shared memory counted in parts; 0 for a process that is gone."""
    with contextlib.suppress(OSError):
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0


def daemon_pulls(runs: int) -> t.List[Row]:
    """P2: the same through a running daemon, against ctr on the same daemon."""
    rows = []
    with fresh_filesystem() as base, running_registry() as registry, contextlib.ExitStack() as stack:
        reference = push(registry, IMAGES[0])
        for version, suite in DAEMONS.items():
            found = stack.enter_context(daemon(suite, base))

            def ours(found: Daemon = found) -> float:
                command = [sys.executable, "-m", ACT, reference, str(base / "ours"), found.ctr[-1]]
                seconds = timed(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))
                found.run("images", "rm", "--sync", reference)
                return seconds

            medians = interleaved({"ours": ours, "ctr": lambda found=found: ctr_pull(found, reference, base)}, runs)
            ratio = medians["ours"] / medians["ctr"]
            rows.append(Row("P2", f"pull {IMAGES[0]} through the daemon, durable", f"ctr {version}", ratio, 0.75, runs))
    return rows


def _podman_pull(reference: str, base: pathlib.Path) -> float:
    podman = _podman(base)

    def action() -> None:
        # starts: podman
        subprocess.run([*podman, "pull", "-q", "--tls-verify=false", reference], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["sync", "-f", base], check=True)

    seconds = timed(action)
    # starts: podman
    subprocess.run([*podman, "rmi", "-f", reference], check=True, stdout=subprocess.DEVNULL)
    return seconds


#: Those of a task that gives nothing.
PARAMETERS: t.Dict[str, t.Any] = {name: option.get("default") for name, option in SPEC["argument_spec"].items()}


class Ours:
    """An engine with one image, called from this running Python: the embedded one, or that of the daemon at an address."""

    def __init__(self, base: pathlib.Path, registry: Registry, address: str = "") -> None:
        self.state, self.data_root = tempfile.mkdtemp(prefix="fleet-bench-", dir="/run"), str(base / "ours")
        embedded = EmbeddedEngine("default", self.data_root, self.state)
        self.engine: t.Any = ContainerdEngine(address, "default", "", self.data_root) if address else embedded
        self.reference = push(registry, "busybox")
        client = RegistryClient(RegistryOptions(plain_http=True))
        pull(self.engine, RegistrySource(client, Reference.parse(self.reference)), Platform.host())
        client.close()
        self.count = 0

    def start(self, **options: t.Any) -> None:
        """Make and start a container, as the module does; without a network, when the options name none."""
        self.count += 1
        own = {"name": f"c{self.count}", "image": self.reference, "command": ["sleep", "1000"], "data_root": self.data_root}
        given = {**PARAMETERS, "network_mode": "none", **own, **options}
        want = ContainerResource().desired(given, self.engine)
        steps.start(self.engine, steps.create(self.engine, want, secrets.token_hex(32)))

    def remove_all(self) -> None:
        for made in self.engine.containers.list():
            steps.remove(self.engine, made)

    def close(self) -> None:
        self.remove_all()
        self.engine.close()
        shutil.rmtree(self.state)


def _ctr_start(found: Daemon, reference: str, names: t.List[str]) -> float:
    # All daemons of a machine share the runtime's state, so ids must differ.
    names.append(f"{os.path.basename(found.root)}-{len(names)}")
    return timed(lambda: found.run("run", "-d", reference, names[-1], "sleep", "1000"))


def _ctr_clean(found: Daemon, names: t.List[str]) -> None:
    for name in names:
        # starts: (what tools/containerds.py fetched)
        subprocess.run([*found.ctr, "task", "kill", "-s", "9", name], check=False, capture_output=True)
    time.sleep(1)
    for name in names:
        # starts: (what tools/containerds.py fetched)
        subprocess.run([*found.ctr, "task", "rm", name], check=False, capture_output=True)
        # starts: (what tools/containerds.py fetched)
        subprocess.run([*found.ctr, "container", "rm", name], check=False, capture_output=True)


def starts(runs: int) -> t.List[Row]:
    """P6: start detached, no network: the core called from a running Python against the command lines."""
    with fresh_filesystem("4G") as base, running_registry() as registry, contextlib.ExitStack() as stack:
        ours = Ours(base, registry)
        stack.callback(ours.close)
        actions: t.Dict[str, t.Callable[[], float]] = {"ours": lambda: timed(ours.start)}
        for version, suite in SUITES.items():
            found, names = stack.enter_context(daemon(suite, base)), t.cast(t.List[str], [])
            found.run("images", "pull", "--plain-http", ours.reference)
            stack.callback(_ctr_clean, found, names)
            actions[f"ctr {version}"] = lambda found=found, names=names: _ctr_start(found, ours.reference, names)
        if shutil.which("podman"):
            podman = _podman(base)
            # starts: podman
            subprocess.run([*podman, "pull", "-q", "--tls-verify=false", ours.reference], check=True, stdout=subprocess.DEVNULL)
            limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=10000:10000"]
            command = [*podman, "run", "-d", "--network=none", *limits, ours.reference, "sleep", "1000"]
            # starts: podman
            actions["podman"] = lambda: timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
            # starts: podman
            stack.callback(lambda: subprocess.run([*podman, "rm", "-f", "-a", "-t", "0"], check=True, stdout=subprocess.DEVNULL))
        medians = interleaved(actions, runs * 2)
    goals = {"ctr 2.1": 0.5, "podman": 0.35}
    return [
        Row("P6", "start a container, detached", against, medians["ours"] / seconds, goals.get(against, 0), runs * 2)
        for against, seconds in medians.items()
        if against != "ours"
    ]


def _pss(word: str) -> float:
    """The mean proportional set size, in MiB, of the processes whose command line has the word."""
    sizes = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and word in entry.joinpath("cmdline").read_text():
                lines = entry.joinpath("smaps_rollup").read_text().splitlines()
                sizes += [int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")]
    return statistics.mean(sizes)


def memory(runs: int) -> t.List[Row]:
    """P7: the memory of a shim (PSS), at 10 and 50 containers."""
    rows = []
    with fresh_filesystem("4G") as base, running_registry() as registry, contextlib.ExitStack() as stack:
        ours = Ours(base, registry)
        stack.callback(ours.close)
        sizes: t.Dict[int, float] = {}
        for count in (10, 50):
            while ours.count < count:
                ours.start()
            sizes[count] = _pss(f"{base}/ours/libexec/")
        ours.remove_all()
        for version, suite in SUITES.items():
            found, names = stack.enter_context(daemon(suite, base)), t.cast(t.List[str], [])
            found.run("images", "pull", "--plain-http", ours.reference)
            stack.callback(_ctr_clean, found, names)
            for count in (10, 50):
                while len(names) < count:
                    _ctr_start(found, ours.reference, names)
                # The command line of a process has no links in its path.
                theirs = _pss(os.path.realpath(found.ctr[0]).rpartition("/")[0] + "/containerd-shim-runc-v2")
                goal = 0.7 if version == "2.1" else 1.1
                rows.append(Row("P7", f"memory of a shim, {count} containers", f"shim {version}", sizes[count] / theirs, goal, 1))
    return rows
