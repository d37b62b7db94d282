# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of what runs inside containers: commands, and tasks over our connection."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import tempfile
import typing as t

from ...tests.support.images import Layout, busybox_image
from ...tests.support.registry import running_registry
from .corpus import daemon, fresh_filesystem
from .playbooks import TRIVIAL, Play, stop
from .rows import DAEMONS, Row, interleaved

#: A play of many tasks, as the issue has it.
_TASKS = 20
#: The machine's own Python: an image of the test has none.
_PYTHON = "'/usr:/usr:ro', '/lib:/lib:ro', '/lib64:/lib64:ro'"


def inside(runs: int) -> t.List[Row]:
    """P14: a command in a container, against a module that does nothing. P15: that module in a container, against it on the host."""
    with fresh_filesystem("2G") as base, running_registry() as registry, contextlib.ExitStack() as stack:
        work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-bench-"))
        stack.callback(shutil.rmtree, work)
        layout = Layout(work / "layout")
        registry.push(layout.path, busybox_image(layout), "busybox", "1")
        (work / "trivial.py").write_text(TRIVIAL)
        here = "{trivial: , vars: {ansible_pipelining: true, ansible_python_interpreter: /usr/bin/python3}}"
        # What they are compared with has the same settings, and so the same part of Ansible's own.
        plays = {"P14": Play(work, "trivial", "trivial:", _TASKS), "P15": Play(work, "local", here, _TASKS)}
        places = {"embedded": {"engine": "embedded", "data_root": f"{base}/ours", "state_root": f"{base}/state"}}
        for version, suite in DAEMONS.items():
            found = stack.enter_context(daemon(suite, base))
            places[f"containerd {version}"] = {"engine": "containerd", "address": found.ctr[-1], "data_root": f"{base}/{version}"}
            stack.callback(stop, found)
        for label, options in places.items():
            plays.update(_plays(work, label, f"{registry.address}/busybox:1", options, stack))
        medians = interleaved({name: play.cost for name, play in plays.items()}, runs)
    goals = {"P14": ("trivial module", 1.25), "P15": ("trivial module, local", 1.3)}
    against = {row: medians.pop(row) for row in goals}
    result = []
    for name, seconds in medians.items():
        row, _space, what = name.partition(" ")
        other, goal = goals[row]
        result.append(Row(row, what, other, seconds / against[row], goal, runs))
    return result


def _plays(
    work: pathlib.Path, label: str, image: str, options: t.Mapping[str, str], stack: contextlib.ExitStack
) -> t.Dict[str, Play]:
    words = ", ".join(f"{name}: '{value}'" for name, value in options.items())
    container = (
        f"name: web, image: '{image}', command: [sleep, '1000'], stop_signal: KILL, network_mode: none, volumes: [{_PYTHON}]"
    )
    Play(work, f"start-{label}", f"fleet.containerd.containerd_container: {{{container}, {words}}}", 1)
    gone = f"fleet.containerd.containerd_container: {{name: web, state: absent, {words}}}"
    stack.callback(lambda: Play(work, f"stop-{label}", gone, 1))
    variables = ", ".join(f"ansible_containerd_{name}: '{value}'" for name, value in options.items())
    connection = "ansible_connection: fleet.containerd.containerd, ansible_containerd_container: web"
    command = f"fleet.containerd.containerd_container_exec: {{container: web, command: 'true', {words}}}"
    return {
        f"P14 command: {label}": Play(work, f"exec-{label}", f"{{{command}, changed_when: false}}", _TASKS),
        f"P15 connection: {label}": Play(
            work,
            f"connection-{label}",
            f"{{trivial: , vars: {{{connection}, {variables}, ansible_python_interpreter: /usr/bin/python3}}}}",
            _TASKS,
        ),
    }
