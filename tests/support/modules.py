# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules by their own entry point in children of one process: where a test needs hundreds of runs, or has to kill them.

Nothing but the transport of ansible-playbook is left away.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import time
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS, HERE, offline
from ansible_collections.fleet.containerd.tests.support.own_host import Under
from ansible_collections.fleet.containerd.tests.support.payloads import DIRECTORY


def own_umask() -> int:
    """Read, not set and set back: other threads write files meanwhile."""
    (line,) = (line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("Umask:"))
    return int(line.split()[1], 8)


class Modules:
    """Runs modules. Their result, and whatever else they print, goes to a file. peak: KiB of memory that the last one had at most."""

    def __init__(self, requests: t.IO[bytes], answers: t.IO[bytes], output: pathlib.Path) -> None:
        self._requests, self._answers, self._output = requests, answers, output
        self.peak = 0

    def _start(self, kind: str, options: t.Mapping[str, t.Any], uid: int = 0, stop: bool = False) -> int:
        arguments = json.dumps({"ANSIBLE_MODULE_ARGS": offline(kind, options)})
        request = {"kind": kind, "arguments": arguments, "output": str(self._output), "uid": uid, "stop": stop}
        self._requests.write(json.dumps(request).encode() + b"\n")
        return int(self._answers.readline())

    def _wait(self) -> None:
        _status, peak = self._answers.readline().split()
        self.peak = int(peak)

    @contextlib.contextmanager
    def _running(self, kind: str, options: t.Mapping[str, t.Any], uid: int = 0, stop: bool = False) -> t.Iterator[int]:
        """Run a module to its end, with its process id meanwhile. When the context fails it is killed, so that the next run can begin."""
        pid = self._start(kind, options, uid, stop)
        try:
            yield pid
            self._wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._wait()
            raise

    def result(self, kind: str, /, uid: int = 0, **options: t.Any) -> t.Dict[str, t.Any]:
        """Run a module to its end; what it returns, which is all that it may print."""
        with self._running(kind, options, uid):
            pass
        text = self._output.read_text()
        try:
            return t.cast(t.Dict[str, t.Any], json.loads(text))
        except ValueError:
            raise AssertionError(f"{kind} printed no result but: {text}") from None

    def run(self, kind: str, /, **options: t.Any) -> t.Dict[str, t.Any]:
        """Run a module that must not fail."""
        result = self.result(kind, **options)
        assert not result.get("failed"), result
        return result

    def kill_after(self, seconds: float, kind: str, /, **options: t.Any) -> None:
        """Run a module, and kill it when it has not ended by then."""
        with self._running(kind, options) as pid:
            if not select.select([self._answers], [], [], seconds)[0]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def meanwhile(self, act: t.Callable[[int], None], kind: str, /, **options: t.Any) -> t.Dict[str, t.Any]:
        """Run a module and do something while it runs, with its process id; its result, empty when there is none."""
        with self._running(kind, options) as pid:
            act(pid)
        # Python complains first of an interruption that came while it could not be raised.
        found = [line for line in self._output.read_text().splitlines() if line.startswith("{")]
        return t.cast(t.Dict[str, t.Any], json.loads(found[0])) if found else {}

    def interrupted(
        self, seconds: float, action: t.Callable[[], None], kind: str, /, **options: t.Any
    ) -> t.Optional[t.Dict[str, t.Any]]:
        """Run a module, and do something meanwhile, or right after it. Its result; None when there is none."""
        with self._running(kind, options):
            select.select([self._answers], [], [], seconds)
            action()
        try:
            return t.cast(t.Dict[str, t.Any], json.loads(self._output.read_text()))
        except ValueError:
            return None

    def with_fault(self, inject: str, kind: str, /, **options: t.Any) -> t.Tuple[t.Optional[t.Dict[str, t.Any]], str]:
        """Run a module whose system calls fail as inject says (strace's -e inject). Its result, and the line of the last failure.

        The result is None when it could not be written.
        """
        return self._outcome(self._traced(inject, True, kind, options))

    def with_fault_of_its_own(self, inject: str, kind: str, /, **options: t.Any) -> t.Tuple[t.Optional[t.Dict[str, t.Any]], str]:
        """The same for the main thread alone: what the module starts, and perhaps leaves running, has no faults."""
        return self._outcome(self._traced(inject, False, kind, options))

    def _outcome(self, calls: t.List[str]) -> t.Tuple[t.Optional[t.Dict[str, t.Any]], str]:
        hit = [line for line in calls if "(INJECTED)" in line]
        try:
            return json.loads(self._output.read_text()), hit[-1] if hit else ""
        except ValueError:
            return None, hit[-1] if hit else ""

    def killed_at(self, calls: str, number: int, kind: str, /, **options: t.Any) -> t.List[str]:
        """Run a module whose main thread is killed before its nth system call of a set (number 0: never). Those that it came to."""
        return self._traced(f"{calls}:signal=KILL:when={number or 60000}", False, kind, options)

    def _traced(self, inject: str, all_threads: bool, kind: str, options: t.Mapping[str, t.Any]) -> t.List[str]:
        """Run a module under strace -e inject, also what it starts (all_threads) or its main thread; the lines of strace's log."""
        log = self._output.with_suffix(".strace")
        # The set of calls that fail is the set that is traced, so that all others run at full speed.
        calls = inject.partition(":")[0]
        # strace has the kernel choose only where it follows forks.
        command = [
            "strace",
            *(["-f", "--seccomp-bpf"] if all_threads else []),
            "-qq",
            "-o",
            str(log),
            "-e",
            f"trace={calls}",
            "-e",
            f"inject={inject}",
        ]
        with self._running(kind, options, stop=True) as pid:
            while pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
                time.sleep(0.002)
            # starts: strace (of a process that is there)
            with subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE) as strace:
                try:
                    assert strace.stderr
                    while "TracerPid:\t0\n" in pathlib.Path(f"/proc/{pid}/status").read_text():
                        assert strace.poll() is None, strace.stderr.read().decode()
                        time.sleep(0.002)
                    os.kill(pid, signal.SIGCONT)
                    strace.wait()
                except BaseException:
                    strace.kill()
                    raise
        return log.read_text(errors="replace").splitlines()

    def close(self) -> bool:
        """Have the server end. False when it does not."""
        self._requests.close()
        return bool(select.select([self._answers], [], [], 10)[0])

    def duration(self, kind: str, /, **options: t.Any) -> float:
        started = time.monotonic()
        self.run(kind, **options)
        return time.monotonic() - started

    def writing_to(self, output: pathlib.Path) -> Modules:
        """The same process, with the results in another file."""
        return Modules(self._requests, self._answers, output)


def _server(under: t.Sequence[str] = ()) -> subprocess.Popen[bytes]:
    environment = {"PYTHONPATH": str(COLLECTIONS), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    environment.update({name: value for name, value in os.environ.items() if name == DIRECTORY})
    command = [*under, sys.executable, "-P", str(HERE / "module_server.py"), "ready"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n", "the server of modules has ended: its standard error tells why"
    return process


@functools.cache
def _parent() -> subprocess.Popen[bytes]:
    """The server that others are forked from: nothing is started and imported for them, which takes half a second."""
    process = _server()
    atexit.register(process.wait)
    atexit.register(t.cast(t.Any, process.stdin).close)
    return process


@contextlib.contextmanager
def running_modules(output: pathlib.Path, under: t.Sequence[str] = ()) -> t.Iterator[Modules]:
    """output: a file that may be written. under: a command that starts the modules, such as unshare."""
    if under and not isinstance(under, Under):
        with _server(under) as process:
            modules = Modules(t.cast(t.Any, process.stdin), t.cast(t.Any, process.stdout), output)
            try:
                yield modules
            finally:
                if not modules.close():
                    process.kill()
        return
    with tempfile.TemporaryDirectory(prefix="fleet-modules-") as directory:
        pipes = {name: os.path.join(directory, name) for name in ("requests", "answers")}
        for pipe in pipes.values():
            os.mkfifo(pipe)
        request = {"host": under.pid if isinstance(under, Under) else os.getpid(), "umask": own_umask(), **pipes}
        t.cast(t.Any, _parent().stdin).write(json.dumps(request).encode() + b"\n")
        with open(pipes["requests"], "wb", buffering=0) as requests, open(pipes["answers"], "rb", buffering=0) as answers:
            server = int(answers.readline())
            modules = Modules(requests, answers, output)
            try:
                yield modules
            finally:
                if not modules.close():
                    os.kill(server, signal.SIGKILL)
