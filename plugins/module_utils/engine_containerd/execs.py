# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in running containers: output and input through FIFOs, which are all that containerd offers to keep them apart."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import typing as t

from ..engine.models import ExecResult, ExecSpec
from ..errors import EngineError, NotFound, Unavailable, from_os_error
from ..hostfs.remove import remove_tree
from ..runtime.runc import failure
from .values import json_any

if t.TYPE_CHECKING:
    from ..rpc.channel import Channel

_PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process"
_CHUNK = 64 * 1024
_KILL = 9
_DRAIN_SECONDS = 2.0


def run(rpc: Channel, container_id: str, directory: str, spec: ExecSpec, timeout: t.Optional[float] = None) -> ExecResult:
    """Run a process to its end. Unavailable when that takes longer than timeout seconds: it is killed then."""
    place = os.path.join(directory, f"exec-{spec.exec_id}")
    names = {name: os.path.join(place, name) for name in ("stdin", "stdout", "stderr")}
    try:
        os.makedirs(place, 0o700)
        for path in names.values():
            os.mkfifo(path, 0o600)
        return _Exec(rpc, container_id, spec, names).run(timeout)
    except OSError as error:
        raise from_os_error(error, f"running a command in the container {container_id[:12]}") from error
    finally:
        remove_tree(place)


class _Exec:
    def __init__(self, rpc: Channel, container_id: str, spec: ExecSpec, names: t.Mapping[str, str]) -> None:
        self._rpc, self._spec, self._names = rpc, spec, names
        self._who = {"container_id": container_id, "exec_id": spec.exec_id}
        self._output = {"stdout": bytearray(), "stderr": bytearray()}
        self._status: t.List[t.Union[int, EngineError]] = []

    def run(self, timeout: t.Optional[float]) -> ExecResult:
        stdin = self._names["stdin"] if self._spec.stdin else ""
        request = {**self._who, "stdin": stdin, "stdout": self._names["stdout"], "stderr": self._names["stderr"]}
        self._rpc.call("tasks.v1.Tasks/Exec", {**request, "spec": json_any(_PROCESS, dict(self._spec.process))})
        try:
            return self._communicate(timeout)
        finally:
            with contextlib.suppress(EngineError):
                self._rpc.call("tasks.v1.Tasks/DeleteProcess", self._who)

    def _communicate(self, timeout: t.Optional[float]) -> ExecResult:
        files: t.Dict[int, str] = {}
        try:
            for name in ("stdout", "stderr"):
                files[os.open(self._names[name], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)] = name
            if self._spec.stdin:
                # Opened for both directions, so that it does not fail before the shim has opened it.
                files[os.open(self._names["stdin"], os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)] = "stdin"
            try:
                self._rpc.call("tasks.v1.Tasks/Start", self._who)
            except EngineError as error:
                raise failure("exec", str(error)) if "runtime" in str(error) or "exec" in str(error) else error from error
            waiter = threading.Thread(target=self._wait, daemon=True)
            waiter.start()
            self._copy(files, waiter, timeout)
        finally:
            for fd in files:
                os.close(fd)
        status = self._status[0]
        if isinstance(status, EngineError):
            raise status
        return ExecResult(status, bytes(self._output["stdout"]), bytes(self._output["stderr"]))

    def _wait(self) -> None:
        try:
            self._status.append(self._rpc.call("tasks.v1.Tasks/Wait", self._who, None)["exit_status"])
        except EngineError as error:
            self._status.append(error)

    def _copy(self, files: t.Dict[int, str], waiter: threading.Thread, timeout: t.Optional[float]) -> None:
        poller = select.poll()
        for fd, name in files.items():
            poller.register(fd, select.POLLOUT if name == "stdin" else select.POLLIN)
        rest = memoryview(self._spec.stdin)
        deadline = None if timeout is None else time.monotonic() + timeout
        drained = 0.0
        while any(name != "stdin" for name in files.values()) or waiter.is_alive():
            for fd, _event in poller.poll(50):
                if files[fd] == "stdin":
                    with contextlib.suppress(BlockingIOError):
                        rest = rest[os.write(fd, rest[:_CHUNK]) :]
                    if rest:
                        continue
                elif not self._ended(fd, files[fd]):
                    continue
                poller.unregister(fd)
                self._close(fd, files.pop(fd))
            if not waiter.is_alive():
                drained = drained or time.monotonic()
                if time.monotonic() - drained > _DRAIN_SECONDS:
                    return
            elif deadline is not None and time.monotonic() > deadline:
                self._give_up(waiter)
                raise Unavailable(f"the command in the container has not ended within {timeout:g} s")

    def _ended(self, fd: int, name: str) -> bool:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        self._output[name] += data
        return not data

    def _close(self, fd: int, name: str) -> None:
        os.close(fd)
        if name == "stdin":
            with contextlib.suppress(EngineError):
                self._rpc.call("tasks.v1.Tasks/CloseIO", {**self._who, "stdin": True})

    def _give_up(self, waiter: threading.Thread) -> None:
        with contextlib.suppress(NotFound):
            self._rpc.call("tasks.v1.Tasks/Kill", {**self._who, "signal": _KILL})
        waiter.join(_DRAIN_SECONDS)
