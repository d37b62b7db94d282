# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Input and output of a task. Our log writer (libexec/log.py) always gets the output.

Usually containerd's shim starts it (binary://), so it is started again when the restart monitor starts the container. With a
standard input that is kept open and no terminal, the shim accepts only FIFOs, and we start the log writer.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import typing as t

from ..engine.models import TaskIO
from ..errors import FailedPrecondition, from_os_error
from ..runtime.detached import ENVIRONMENT, set_apart, start_to_stay
from ..runtime.processes import parent_of

_LATE_SECONDS = 0.2
_READY_SECONDS = 10.0


class Stdio:
    """uris: the fields of a CreateTaskRequest. Call attach() after the task is made. spare: the file for the exit status on a full disk.

    restarts, waited: see Supervision.
    """

    def __init__(self, data_root: str, directory: str, spare: str, io: TaskIO, restarts: int, waited: float) -> None:
        self._data_root, self._directory, self._spare, self._io = data_root, directory, spare, io
        self._counters = restarts, waited
        self._fds: t.List[int] = []
        self.uris: t.Dict[str, str] = {}

    def __enter__(self) -> Stdio:
        from ..libexec.install import log_code, log_uri

        io = self._io
        try:
            if io.stdin:
                # No process opens it for writing, so it never ends.
                self.uris["stdin"] = self._fifo("stdin")
            if io.stdin and not io.terminal:
                for name in ("stdout", "stderr"):
                    self.uris[name] = self._fifo(name)
                    self._fds.append(os.open(self.uris[name], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
                return self
        except OSError as error:
            raise from_os_error(error, f"making the pipes of a container in {self._directory}") from error
        uri = log_uri(log_code(self._data_root, *self._arguments(*self._counters)))
        self.uris.update(stdout=uri, stderr="" if io.terminal else uri)
        return self

    def __exit__(self, *exc: object) -> None:
        for fd in self._fds:
            os.close(fd)

    def _arguments(self, restarts: int, waited: float) -> t.Tuple[t.Any, ...]:
        """The arguments of the log writer."""
        io = self._io
        late = _LATE_SECONDS if io.terminal or io.stdin else 0
        return self._directory, io.log_path, io.log_max_size, io.log_max_files, self._spare, late, restarts, waited

    def lasting_uri(self) -> str:
        """The URI for starts that nobody of us makes."""
        from ..libexec.install import lasting_log_code, log_uri

        return log_uri(lasting_log_code(self._data_root, *self._arguments(0, 0.0)))

    def _fifo(self, name: str) -> str:
        path = os.path.join(self._directory, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.mkfifo(path, 0o600)
        return path

    def attach(self, container_id: str, pid: int) -> None:
        """Start the log writer for FIFOs. pid: the init process; its parent is the shim, whose working directory is the bundle."""
        if not self._fds:
            return
        ready, writing = os.pipe()
        with open(ready, "rb", buffering=0) as stream:
            try:
                process = self._start(container_id, pid, [*self._fds, writing])
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                raise FailedPrecondition(
                    f"the log writer of the container {container_id[:12]} cannot be started: {error}"
                ) from error
            finally:
                os.close(writing)
            # It outlives us: avoid a warning when this object is collected.
            process.returncode = 0
            set_apart(process.pid, f"fleet-log-{container_id}", f"Log writer of the container {container_id}")
            # Wait until it has recorded the start.
            select.select([stream], [], [], _READY_SECONDS)

    def _start(self, container_id: str, pid: int, fds: t.Sequence[int]) -> subprocess.Popen[bytes]:
        from ..libexec.install import interpreter, log_code

        return subprocess.Popen(
            [interpreter(), "-ISEc", log_code(self._data_root, *self._arguments(*self._counters), *fds)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=f"/proc/{parent_of(pid)}/cwd",
            env={**ENVIRONMENT, "CONTAINER_ID": container_id},
            start_new_session=True,
            pass_fds=fds,
            preexec_fn=start_to_stay,
        )
