# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shim: one small process for each container, which outlives the module that started it.

It starts while the bundle is still being made, and waits for that. Then it lets the runtime start the container, holds the output
and the console, writes the log, waits for the end and records the exit status. Only the shim writes state.json in the container's
directory. Signals and removal do not need the shim.

It stays in memory as long as the container runs, so it imports next to nothing: no typing, json, subprocess, ctypes.
"""

from __future__ import annotations

import os
import time
from _thread import start_new_thread

from ..runtime.json_log import Log, escape
from .ends import poststop, raise_priority, ticks
from .life import Life
from .state import beginning, ending, settle, write

#: The mark of a wanted end: in the container's directory after a stop, in the bundle after a removal.
_ASKED = "stopped"


def main(arguments: list[str]) -> int:
    """arguments: a socket to whoever starts the container, bundle, the container's directory and id, log file, its max size, how many
    files, how it talks (life.py), and the command of the runtime.
    """
    control, bundle, directory, container_id, path, size, files, io, *command = arguments
    starter = int(control)
    # The runtime must not inherit it: the module must notice our end even while the runtime runs.
    os.set_inheritable(starter, False)
    # End of file: the container was not made after all, or the module was killed.
    if not os.read(starter, 1):
        return 0
    log = Log(path, int(size), int(files))
    life = Life(bundle, command, io, log)
    # The answer tells what happened; a closed socket without an answer means that we died.
    if not life.begin(container_id):
        answer(starter, b"failed\n")
        return 1
    known = f"{beginning(path, life.started)},{processes(life, command[0], '--systemd-cgroup' in command)}"
    files_of_state = f"{directory}/state.json", f"{bundle}/state.json"
    written = write(f"{{{known}}}\n", *files_of_state, durable=False)
    answer(starter, b"started\n" if written else b"unwritten\n")
    raise_priority()
    try:
        # In a thread: neither the module nor the container's output waits for it.
        start_new_thread(settle, (written,))
    except RuntimeError:  # no more threads
        settle(written)
    life.last()
    asked = "true" if any(os.path.lexists(f"{place}/{_ASKED}") for place in (directory, bundle)) else "false"
    end = ending(life.status, time.time(), life.oom_kills, log.dropped)
    write(f'{{{known},{end},"asked":{asked}}}\n', *files_of_state)
    poststop(bundle)
    return 0


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
    return (
        f'"init":[{life.pid},{life.ticks}],"shim":[{me},{ticks(me)}],"runtime":"{escape(os.fsencode(program))}","systemd":{asked}'
    )
