# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the pulls of a task are, in a file for those who wait for an asynchronous task."""

from __future__ import annotations

import collections
import contextlib
import json
import threading
import typing as t

from ..errors import EngineError
from ..hostfs.atomic import write_file

if t.TYPE_CHECKING:
    from .pull import Puller

_SECONDS = 0.5
_MODE = 0o644
_STATES = ("waiting", "transferring", "unpacking", "done", "failed")


@contextlib.contextmanager
def reported(puller: Puller, path: str) -> t.Iterator[None]:
    """Replace path every half second while pulls run, and at their end. A file that cannot be written never fails a pull."""
    ended = threading.Event()

    def write() -> None:
        images = [one._asdict() for one in puller.progress()]
        found = {"bytes": sum(one["bytes"] for one in images), "total": sum(one["total"] for one in images), "images": images}
        with contextlib.suppress(EngineError):
            write_file(path, json.dumps(found).encode() + b"\n", _MODE, durable=False)

    def run() -> None:
        while not ended.wait(_SECONDS):
            write()

    write()
    thread = threading.Thread(target=run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        write()


def told(text: str) -> str:
    """What a file says, in a line for the terminal; empty for what is no such file."""
    try:
        found = json.loads(text)
        done, total = (f"{found[key] / 1048576:.1f}" for key in ("bytes", "total"))
        states = collections.Counter(str(one["state"]) for one in found["images"])
    except (ValueError, KeyError, TypeError):
        return ""
    words = [f"{number} {state}" for state in _STATES for number in [states[state]] if number]
    return f"{done} of {total if found['total'] else '?'} MiB, {', '.join(words)}"
