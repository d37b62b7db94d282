# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook that an OCI runtime runs for a container with networks: it attaches the new namespace, and detaches it at the end.

It is on the path of every start, also by containerd's restart monitor and after a reboot. All that it needs is in one file, networks.json.
"""

from __future__ import annotations

import json
import os
import sys

from ..errors import EngineError, printable
from ..network.connected import Connected
from ..network.container import Connection


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
        _leave(path, message)
        status = 1
    os._exit(status)


def _run(moment: str, path: str) -> int:
    state = json.loads(sys.stdin.buffer.read())
    try:
        with open(path, "rb") as stream:
            raw = stream.read()
    except FileNotFoundError:
        if moment == "poststop":
            # The container was removed: whoever did that has detached it.
            return 0
        raise
    connection = Connection(Connected.of(raw))
    problems = connection.down() if moment == "poststop" else connection.up(f"/proc/{int(state['pid'])}/ns/net")
    sys.stderr.write("".join(f"{_line(one)}\n" for one in problems))
    sys.stderr.flush()
    return 0


def _line(message: str) -> str:
    return printable(" ".join(message.split()), 1000)


def _leave(path: str, message: str) -> None:
    """Beside networks.json, for the task that waits for the start."""
    try:
        with open(f"{path}.error", "w", encoding="utf-8") as stream:
            stream.write(message)
    except OSError:
        return
