# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook that an OCI runtime runs for a container with networks: it attaches the new namespace, and detaches it at the end.

It is on the path of every start, also by containerd's restart monitor and after a reboot. All that it needs is in one file, networks.json.
Our own programs that see the end of a container (ends.py) run it, too, long before a runtime does.
"""

from __future__ import annotations

import json
import os
import sys

from ..errors import AlreadyExists, EngineError, NotFound, ResourceExhausted, printable
from ..network.connected import Connected, held

#: A little less than a runtime gives it.
_LOCK_SECONDS = 100.0
#: How long whoever has just ended may take to give back what another one wants.
_GONE_SECONDS = 10.0


def main(arguments: list[str]) -> None:
    """arguments: createRuntime or poststop (the runtime's words), and the path of networks.json. The state comes on standard input."""
    moment, path = arguments
    try:
        status = _run(moment, path)
    except (EngineError, OSError, ValueError, TypeError, KeyError) as error:
        message = _line(str(error) if isinstance(error, EngineError) else f"the networks of the container: {error!r}")
        # Some runtimes make it a part of their own error, and others do not tell it.
        sys.stderr.write(message)
        sys.stderr.flush()
        if moment == "createRuntime":
            _leave(path, message)
        status = 1
    os._exit(status)


def _run(moment: str, path: str) -> int:
    state = sys.stdin.buffer.read()
    try:
        with held(path, _LOCK_SECONDS) as connected:
            problems = _up(connected, state) if moment == "createRuntime" else _down(connected, state)
    except NotFound:
        if moment == "createRuntime":
            raise
        # The container was removed: whoever did that has detached it.
        return 0
    sys.stderr.write("".join(f"{_line(one)}\n" for one in problems))
    sys.stderr.flush()
    return 0


def _up(connected: Connected, state: bytes) -> list[str]:
    from ..network.container import Connection

    connection, namespace = Connection(connected), f"/proc/{int(json.loads(state)['pid'])}/ns/net"
    try:
        return connection.up(namespace)
    except (AlreadyExists, ResourceExhausted):
        # Somebody who is gone may have it, be about to give it back, or have done so meanwhile.
        from ..network.strangers import sweep

        sweep(connected.places, wait=_GONE_SECONDS)
        return connection.up(namespace)


def _down(connected: Connected, state: bytes) -> list[str]:
    """Only a runtime gives a state. Others do not know whether the container has been started again since: what is used stays."""
    if not connected.attached:
        # Who has seen the end of the container has done it already. Most of the code is not even read for that.
        return []
    from ..network.container import Connection
    from ..network.strangers import in_use

    return Connection(connected).down() if state or not in_use(connected.pin) else []


def _line(message: str) -> str:
    return printable(" ".join(message.split()), 1000)


def _leave(path: str, message: str) -> None:
    """Beside networks.json, for the task that waits for the start."""
    try:
        with open(f"{path}.error", "w", encoding="utf-8") as stream:
            stream.write(message)
    except OSError:
        return
