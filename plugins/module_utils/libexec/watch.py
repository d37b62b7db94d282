# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Supervise a container whose shim or log writer was killed, from the next task on. Its output is lost, but nothing else.

Who starts it again is the program that does so for log writers (keep.py: hand_over); then it has a supervisor of the usual kind.
"""

from __future__ import annotations

import posix as os
import time
from select import POLLIN, poll

from .ends import poststop, raise_priority, there, ticks, watch
from .keep import Keeper
from .state import write

_UNKNOWN = 255


def main(arguments: list[str]) -> int:
    """arguments: the container's directory and id, the files for its state, its first process and when that began (ticks), the bundle,
    and whether containerd has the task: then its shim knows the exit status, which otherwise nobody does.
    """
    import json

    directory, container_id, path, spare, pid, began, bundle, daemon = arguments
    with open(spare if there(spare) else path, encoding="utf-8") as stream:
        known = json.load(stream)
    known["shim"] = [os.getpid(), ticks(os.getpid())]
    keeper, up = Keeper((directory, bundle), container_id, int(known.get("restarts", 0))), time.monotonic()
    write(json.dumps(known) + "\n", path, spare)
    raise_priority()
    until_its_end(keeper, int(pid), int(began))
    ended = None
    if daemon:
        from .log import wait_for_end

        os.chdir(bundle)
        ended = wait_for_end(container_id)
    status, exited_at = ended or (_UNKNOWN, time.time())
    delay = keeper.delay(status, time.monotonic() - up)
    known.update(
        exit_status=status, exited_at=exited_at, oom_killed=False, dropped=0, asked=keeper.asked(), restarting=delay >= 0
    )
    write(json.dumps(known) + "\n", path, spare)
    if delay < 0 or not keeper.hand_over(delay, status):
        known["restarting"] = False
        write(json.dumps(known) + "\n", path, spare)
        poststop(bundle)
        keeper.clean_up()
    return 0


def until_its_end(keeper: Keeper, pid: int, began: int) -> None:
    try:
        end = watch(pid)
    except OSError:
        return
    if ticks(pid) != began:
        return
    poller = poll()
    poller.register(end, POLLIN)
    keeper.begin(pid, poller)
    while True:
        seconds = keeper.seconds()
        ready = [fd for fd, _event in poller.poll(None if seconds is None else seconds * 1000)]
        if end in ready:
            keeper.over()
            return
        keeper.work(ready)
