# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines in the terminal that tell how far a long task is on its host (docs/adr/0057). A task that ends soon costs a thread that waits."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import shlex
import threading
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()
_AFTER, _RARELY = 10.0, 60.0
_DIRECTORY = "/run/fleet-containerd-progress"
#: The connections (with those that are made from them) whose copies may each run a command at the same time.
_APART = {"local", "ssh", "paramiko", "fleet.containerd.containerd"}
#: What a killed run has left tells nothing.
_READ = "find {} -mmin -1 -exec cat {{}} ';'"


@contextlib.contextmanager
def shown(action: ActionBase, task_vars: t.Any) -> t.Iterator[Shown]:
    """In this context the task's module writes its progress into a file, and the terminal shows what that says."""
    host, arguments = str((task_vars or {}).get("inventory_hostname", "")), action._task.args
    after = _seconds(action)
    # The same name in each run: so what a killed one has left goes with the next one.
    named = hashlib.sha256(f"{host} {action._task.get_path()}".encode()).hexdigest()[:16]
    watch = Shown(action, host, arguments.get("progress_file") or f"{_DIRECTORY}/{named}.json")
    if not after:
        yield watch
        return
    action._task.args = {**arguments, "progress_file": watch.path}
    thread = threading.Thread(target=watch.run, args=(after,), name="progress", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        # It is not waited for: it may be asking a host that does not answer, and says nothing any more.
        watch.ended.set()
        action._task.args = arguments


def _seconds(action: ActionBase) -> float:
    """After how many the first line comes; 0 for none. A wrong value is left to the module."""
    task, transports = action._task, {getattr(one, "transport", "") for one in type(action._connection).__mro__}
    if task.async_val or task.no_log or not transports & _APART:
        return 0.0
    try:
        return max(0.0, float(task.args.get("progress_after", _AFTER)))
    except (TypeError, ValueError):
        return 0.0


class Sending(t.NamedTuple):
    """What is on its way to a host. path: there. length: in bytes."""

    words: str
    path: str
    length: int


class Shown:
    """The lines of one task on one host. path: of the file. sending: what is on its way from here."""

    def __init__(self, action: ActionBase, host: str, path: str) -> None:
        self._action, self._host, self.path = action, host, path
        self.sending: t.Optional[Sending] = None
        self.ended = threading.Event()

    def run(self, after: float) -> None:
        """A thread: seldom, and ever more seldom. Where the host cannot be asked, there are no more lines."""
        pause, apart = after, None
        while not self.ended.wait(pause):
            apart = apart or _apart(self._action)
            try:
                line = self._line(apart)
            except (AnsibleError, OSError):
                return
            if line and not self.ended.is_set():
                # Not where results may be read by programs; and at once, also in a pipe.
                display.display(f"[{self._host}] {line}", stderr=True)
            pause = min(2 * pause, max(after, _RARELY))

    def _line(self, apart: ActionBase) -> str:
        sending = self.sending  # the task goes on meanwhile
        if not sending:
            return told(_output(apart, _READ.format(shlex.quote(self.path))))
        there = _output(apart, f"wc -c < {shlex.quote(sending.path)}").strip()
        done = int(there) if there.isdigit() else 0
        share = 100 * done // max(1, sending.length)
        return f"{sending.words}: {sized(done)} of {sized(sending.length)} ({share} %) are sent"


def _apart(action: ActionBase) -> ActionBase:
    """The action with a connection of its own: one that is used by two threads mixes up their commands, and their passwords."""
    other = copy.copy(action)
    other._connection = copy.copy(action._connection)
    other._connection.become = copy.copy(action._connection.become)
    return other


def _output(action: ActionBase, command: str) -> str:
    """What a command on the target says; empty when it fails."""
    found = action._low_level_execute_command(command)  # type: ignore[no-untyped-call]  # ansible-core has no types
    return str(found.get("stdout", "")) if not found.get("rc") else ""


def told(text: str) -> str:
    """What a file says, in a line for the terminal; empty for what is no such file."""
    from ..module_utils.errors import printable

    try:
        found = json.loads(text)
        done, total, rate = (int(found[key]) for key in ("bytes", "total", "rate"))
        going = [printable(str(one["name"]), 200) for one in found["images"] if one["state"] not in ("done", "failed")]
    except (ValueError, KeyError, TypeError):
        return ""
    if not going:
        return ""
    what = going[0] if len(going) == 1 else f"{going[0]} and {len(going) - 1} more"
    if not total:
        return f"{what}: waiting"
    if done >= total:
        return f"{what}: unpacking, all {sized(total)} are there"
    words = [f"{what}: {sized(done)} of {sized(total)} ({100 * done // total} %)"]
    # Without a rate nobody knows what is left.
    words += [f"{sized(rate)}/s", f"{lasting((total - done) / rate)} left"] if rate else ["nothing comes"]
    return ", ".join(words)


def sized(count: float) -> str:
    """A number of bytes for a reader."""
    units = ("KiB", "MiB", "GiB", "TiB")
    value, unit = count / 1024, units[0]
    for unit in units:
        if value < 1000 or unit == units[-1]:
            break
        value /= 1024
    return f"{value:.1f} {unit}"


def lasting(seconds: float) -> str:
    """A time for a reader: it is an estimate, so two digits are enough."""
    for limit, unit, word in ((90, 1, "s"), (5400, 60, "min")):
        if seconds < limit:
            return f"{max(1, round(seconds / unit))} {word}"
    return f"{seconds / 3600:.1f} h"
