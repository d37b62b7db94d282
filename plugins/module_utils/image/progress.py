# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the pulls of a task are, in a file while it runs (docs/adr/0057)."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import threading
import time
import typing as t

from ..errors import EngineError
from ..hostfs.atomic import make_dir, write_file

if t.TYPE_CHECKING:
    from .pull import Progress, Puller

_SECONDS = 0.5
_MODE, _DIRECTORY_MODE = 0o644, 0o755
#: The rate is that of the last seconds.
_WINDOW = 10.0


def watched(puller: Puller, path: str) -> t.ContextManager[None]:
    """Report the progress of a puller in this context, if there is a path."""
    return reported(path, puller.progress, lambda: puller.fetched) if path else contextlib.nullcontext()


@contextlib.contextmanager
def reported(path: str, images: t.Callable[[], t.Iterable[Progress]], fetched: t.Callable[[], int]) -> t.Iterator[None]:
    """Replace path every half second in this context; it goes at the end. A file that cannot be written never fails a pull.

    images: how far each is. fetched: how many bytes have come, without those that were there.
    """
    ended, begun = threading.Event(), time.monotonic()
    seen = collections.deque([(begun, fetched())])

    def write() -> None:
        now = (time.monotonic(), fetched())
        seen.append(now)
        while now[0] - seen[0][0] > _WINDOW:
            seen.popleft()
        seconds = now[0] - seen[0][0]
        rows = [one._asdict() for one in images()]
        found = {
            "bytes": sum(one["bytes"] for one in rows),
            "total": sum(one["total"] for one in rows),
            "rate": int((now[1] - seen[0][1]) / seconds) if seconds else 0,
            "images": rows,
        }
        with contextlib.suppress(EngineError):
            write_file(path, json.dumps(found).encode() + b"\n", _MODE, durable=False)

    def run() -> None:
        while not ended.wait(_SECONDS):
            write()

    with contextlib.suppress(EngineError):
        make_dir(os.path.dirname(path), _DIRECTORY_MODE)
    write()
    thread = threading.Thread(target=run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError):
            os.unlink(path)
