# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing the files of a layer in a thread of its own, while the next entries are read and their files are made.

The kernel does that work without the interpreter lock. What is in the queue is small: 32 files of at most 256 KiB.
"""

from __future__ import annotations

import errno
import os
import queue
import threading
import typing as t

SMALL = 256 * 1024
_WAITING = 32

Finish = t.Callable[[], None]


class FileWriter:
    """A context manager. Leaving it ends the thread; flush() before that says whether all was written."""

    def __init__(self) -> None:
        self._queue: queue.Queue[t.Optional[t.Tuple[int, t.List[memoryview], Finish]]] = queue.Queue(_WAITING)
        self._error: t.Optional[OSError] = None
        self._thread = threading.Thread(target=self._run, name="files", daemon=True)

    def __enter__(self) -> FileWriter:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._queue.put(None)
        self._thread.join()

    def put(self, fd: int, blocks: t.List[memoryview], finish: Finish) -> None:
        """Write blocks to fd, call finish, and close fd. OSError when an earlier file could not be written."""
        self._queue.put((fd, blocks, finish))
        self._check()

    def flush(self) -> None:
        """Until everything is written. OSError."""
        self._queue.join()
        self._check()

    def _check(self) -> None:
        if self._error:
            raise self._error

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            fd, blocks, finish = item
            try:
                if not self._error:
                    for block in blocks:
                        while block:
                            block = block[os.write(fd, block) :]
                    finish()
            except OSError as error:
                self._error = error
            except (OverflowError, ValueError) as error:
                # An owner or a time that no file can have.
                self._error = OSError(errno.EINVAL, str(error))
            finally:
                os.close(fd)
                self._queue.task_done()
