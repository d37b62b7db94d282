# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shim: one small process for each container, which outlives the module that started it.

It starts while the bundle is still being made, and waits for that. Then it lets the runtime start the container, holds the output
and the console, writes the log, waits for the end and records the exit status. Only the shim writes state.json in the container's
directory. Signals and removal do not need the shim.

It stays in memory as long as the container runs, so it imports next to nothing: no typing, json, subprocess, ctypes. posix is the part
of os that is written in C; the other one takes 260 KiB.
"""

from __future__ import annotations

import posix as os
import time
from _thread import start_new_thread

from ..runtime.json_log import Log, escape
from .ends import poststop, raise_priority, ticks
from .keep import NOT_STARTED, Keeper
from .life import Life
from .state import beginning, encoded, ending, settle, write


def main(arguments: list[str]) -> int:
    """arguments: a socket to whoever starts the container, bundle, the container's directory and id, log file, its max size, how many
    files, how it talks (life.py), how often a supervisor has started it, its last delay, and the command of the runtime.
    """
    control, bundle, directory, container_id, path, size, files, io, restarts, waited, *command = arguments
    starter = int(control)
    # The runtime must not inherit it: the module must notice our end even while the runtime runs.
    os.set_inheritable(starter, False)
    # End of file: the container was not made after all, or the module was killed.
    if not os.read(starter, 1):
        return 0
    keeper = Keeper((directory, bundle), container_id, int(restarts), float(waited))
    run = Run(bundle, directory, keeper, io, path, Log(path, int(size), int(files)), command)
    # The answer tells what happened; a closed socket without an answer means that we died.
    if not run.begin():
        answer(starter, b"failed\n")
        return 1
    written = run.record(durable=False)
    answer(starter, b"started\n" if written else b"unwritten\n")
    raise_priority()
    try:
        # In a thread: neither the module nor the container's output waits for it.
        start_new_thread(settle, (written,))
    except RuntimeError:  # no more threads
        settle(written)
    while run.last():
        run.begin()
    poststop(bundle)
    keeper.clean_up()
    return 0


class Run:
    """The runs of a container, one after another."""

    def __init__(self, bundle: str, directory: str, keeper: Keeper, io: str, path: str, log: Log, command: list[str]) -> None:
        self._bundle, self._directory, self._keeper, self._id = bundle, directory, keeper, keeper.container_id
        self._io, self._path, self._log, self._command = io, path, log, command
        self._life = Life(bundle, command, io, log)
        self._known, self._began, self._runs, self._again = "", 0.0, False, False

    def begin(self) -> bool:
        """Start the container. False when that fails."""
        life = self._life = Life(self._bundle, self._command, self._io, self._log)
        self._began = time.monotonic()
        self._runs = life.begin(self._id)
        facts = processes(life, self._command[0], "--systemd-cgroup" in self._command)
        self._known = f'{beginning(self._path, life.started)},{facts},"restarts":{self._keeper.restarts}'
        return self._runs

    def record(self, more: str = "", durable: bool = True) -> str:
        return write(f"{{{self._known}{more}}}\n", f"{self._directory}/state.json", f"{self._bundle}/state.json", durable)

    def last(self) -> bool:
        """The rest of a run. True when the container is to be started again, now."""
        life, keeper = self._life, self._keeper
        status = NOT_STARTED
        if self._runs:
            if self._again:
                self.record()
            life.last(keeper)
            status = life.status
        life.close()
        delay = keeper.delay(status, time.monotonic() - self._began)
        end = f",{ending(status, time.time(), life.oom_kills, self._log.dropped)}"
        if delay >= 0:
            self.record(f'{end},"restarting":true')
            if keeper.wait(delay, status):
                life.clear(self._id)
                keeper.start()
                self._again = True
                return True
        asked = "true" if keeper.asked() else "false"
        self.record(f'{end},"asked":{asked}')
        return False


def answer(starter: int, text: bytes) -> None:
    try:
        os.write(starter, text)
    except OSError:
        # The module was killed meanwhile. The container runs anyway.
        pass
    os.close(starter)


def processes(life: Life, program: str, systemd: bool) -> str:
    """The members of the JSON object that only this engine writes."""
    me, asked = os.getpid(), "true" if systemd else "false"
    return f'"init":[{life.pid},{life.ticks}],"shim":[{me},{ticks(me)}],"runtime":"{escape(encoded(program))}","systemd":{asked}'
