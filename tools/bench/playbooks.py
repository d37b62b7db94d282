# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows that go through ansible: the cost of a task that changes nothing, and the size of what is sent to a target."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t

from ...tests.support.registry import running_registry
from .corpus import ROOT, Daemon, daemon, fresh_filesystem
from .rows import DAEMONS, Ours, Row, interleaved

_TASKS = 10
TRIVIAL = """#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
AnsibleModule(argument_spec={}, supports_check_mode=True).exit_json(changed=False)
"""
#: KiB (without compression) that ansible-core 2.19 builds for docker_container and docker_image_pull of community.docker 5.3.
_PEERS = {"containerd_container": ("docker_container", 1215), "containerd_image": ("docker_image_pull", 896)}


def _environment(base: pathlib.Path) -> t.Dict[str, str]:
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build" / "link"),
        "ANSIBLE_LIBRARY": str(base),
        "ANSIBLE_HOME": str(base / "home"),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "LC_ALL": "C.UTF-8",
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def _play(base: pathlib.Path, name: str, task: str, times: int = 1) -> pathlib.Path:
    path = base / f"{name}-{times}.yml"
    path.write_text(
        "- hosts: localhost\n  connection: local\n  gather_facts: false\n"
        f"  vars: {{ansible_python_interpreter: {sys.executable}}}\n  tasks:\n" + f"    - {task}\n" * times
    )
    return path


class Play:
    """The same play with one task and with many: the difference is the cost of the tasks.

    The work of ansible-core once for each play (it builds what it sends) is the same for all modules, and is left out.
    """

    def __init__(self, work: pathlib.Path, name: str, task: str, times: int = _TASKS) -> None:
        self._env, self._times = _environment(work), times
        self._one, self._many = _play(work, name, task), _play(work, name, task, times + 1)
        self._run(self._one)

    def _run(self, path: pathlib.Path) -> float:
        started = time.monotonic()
        command = ["ansible-playbook", "-i", "localhost,", str(path)]
        done = subprocess.run(command, env=self._env, check=True, capture_output=True, text=True)
        self._last = done.stdout
        return time.monotonic() - started

    def cost(self) -> float:
        """The seconds of one task."""
        one = self._run(self._one)
        seconds = (self._run(self._many) - one) / self._times
        if "changed=0" not in self._last:
            raise RuntimeError(f"not idempotent: {self._last[-500:]}")
        return seconds


def tasks(work: pathlib.Path, label: str, image: str, options: str) -> t.Dict[str, Play]:
    """A play whose image is present, and one whose container runs."""
    return {
        f"image present, {label}": Play(
            work, f"image-{label}", f"fleet.containerd.containerd_image: {{name: '{image}', {options}}}"
        ),
        f"container running, {label}": Play(
            work,
            f"container-{label}",
            f"fleet.containerd.containerd_container: {{name: web, image: '{image}', command: [sleep, '1000'],"
            f" network_mode: none, {options}}}",
        ),
    }


def noop(runs: int) -> t.List[Row]:
    """P4: a task that finds all as asked, on either engine, against a task of a module that does nothing."""
    with fresh_filesystem("4G") as base, running_registry() as registry, contextlib.ExitStack() as stack:
        work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-bench-"))
        stack.callback(shutil.rmtree, work)
        ours = Ours(base, registry)
        stack.callback(ours.close)
        (work / "trivial.py").write_text(TRIVIAL)
        plays = {"trivial": Play(work, "trivial", "trivial:")}
        plays.update(
            tasks(work, "embedded", ours.reference, f"engine: embedded, data_root: {base}/ours, state_root: {ours.state}")
        )
        for version, suite in DAEMONS.items():
            found = stack.enter_context(daemon(suite, base))
            address = found.ctr[-1]
            plays.update(
                tasks(
                    work,
                    f"containerd {version}",
                    ours.reference,
                    f"engine: containerd, address: {address}, data_root: {base}/{version}",
                )
            )
            stack.callback(stop, found)
        medians = interleaved({name: play.cost for name, play in plays.items()}, runs)
    trivial = medians.pop("trivial")
    return [Row("P4", f"no-op: {name}", "trivial module", seconds / trivial, 1.15, runs) for name, seconds in medians.items()]


def stop(found: Daemon) -> None:
    """End everything that a play has started in a daemon."""
    for container in found.output("tasks", "ls", "-q").split():
        found.run("tasks", "rm", "-f", container)


def payload(runs: int) -> t.List[Row]:
    """P10: the size of what ansible-core builds for one task, without compression, against that of the peers' modules.

    That of the second task on a host: the first one of a release also sends the library, 800 KiB.
    """
    rows = []
    work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-bench-"))
    try:
        for module, (peer, kib) in _PEERS.items():
            roots = f"data_root: {work}/data, state_root: {work}/state"
            play = _play(work, module, f"fleet.containerd.{module}: {{name: x, engine: embedded, state: absent, {roots}}}")
            for turn in ("first", "second"):
                remote = work / module / turn
                env = {**_environment(work), "ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_REMOTE_TEMP": str(remote)}
                command = ["ansible-playbook", "-i", "localhost,", "-e", "ansible_module_compression=ZIP_STORED", str(play)]
                subprocess.run(command, env=env, check=True, capture_output=True)
            (sent,) = (work / module / "second").glob("*/*")
            rows.append(
                Row(
                    "P10",
                    f"payload of {module}, {sent.stat().st_size / 1024:.0f} KiB",
                    peer,
                    sent.stat().st_size / 1024 / kib,
                    0.9,
                    1,
                )
            )
    finally:
        shutil.rmtree(work)
    return rows
