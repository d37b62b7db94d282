# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays of a task when the run that asked for it is killed while the daemon makes it (containerd 1.6 to 2.1).

The daemon then abandons the call: it kills `shim start` and deletes the bundle. A shim that was started already stays, in a
directory that is gone. If it came to open its log after the daemon had closed it, it waits there for ever. Its socket still takes
connections, so the next `shim start` hands that one out, and Create is never answered.

If the shim had begun to make the task, the daemon deletes task and bundle in the background, the bundle twice by its path: a task
that is made meanwhile loses them.
"""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ..runtime.processes import Process, with_argument

_KILL = 9
_SECONDS = 15.0
_LOOK_SECONDS = 0.1


class Mark:
    """A file that exists while a task is made. If it is there before that, then an earlier run did not come to its end."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __bool__(self) -> bool:
        return os.path.lexists(self._path)

    def set(self) -> None:
        # A full disk must not prevent a start.
        with contextlib.suppress(OSError):
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))

    def clear(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path)


def settle(address: str, namespace: str, container_id: str, delete: t.Callable[[], None]) -> bool:
    """Wait until there is no shim of a task that the daemon does not know; kill those that it has lost. False if some stay.

    delete: asks the daemon to delete the task, which ends a shim without a container that it has found at its start.
    """
    deadline = time.monotonic() + _SECONDS
    found = False
    while True:
        shims = list(_shims(address, namespace, container_id))
        if not shims:
            break
        if time.monotonic() >= deadline:
            return False
        found = True
        for shim in shims:
            if _lost(shim.pid):
                shim.signal(_KILL)
        delete()
        time.sleep(_LOOK_SECONDS)
    if found:
        # The daemon deletes the bundle a second time.
        time.sleep(_LOOK_SECONDS)
    return True


def _shims(address: str, namespace: str, container_id: str) -> t.Iterator[Process]:
    """The shims of a container, also those that only start or delete one."""
    for process, words in with_argument(container_id):
        options = dict(zip(words, words[1:]))
        if (options.get("-id"), options.get("-namespace")) == (container_id, namespace) and os.path.realpath(
            options.get("-address", "")
        ) == os.path.realpath(address):
            yield process


def _lost(pid: int) -> bool:
    """Whether the bundle of a shim is gone, and it has no processes: one that several containers share may outlive its bundle."""
    try:
        if not os.readlink(f"/proc/{pid}/cwd").endswith(" (deleted)"):
            return False
        return not any(_read(f"/proc/{pid}/task/{thread}/children") for thread in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return False


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()
