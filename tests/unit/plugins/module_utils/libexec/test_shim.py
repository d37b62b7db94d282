# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shim with a pretended runtime, for orders of events that a real one brings about once in many hundred runs."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.libexec import ends, state
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import Process, boot_id, start_time
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.task_record import TaskRecord
from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS
from ansible_collections.fleet.containerd.tests.support.loopfs import loop_filesystem

_SHIM = """
import ctypes, os, sys
from ansible_collections.fleet.containerd.plugins.module_utils.libexec import main, shim
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
{before}
main.main(["shim", *sys.argv[1:]])
"""

_RUNTIME = """#!{python} -IS
import os, signal, sys, time
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "what the shim ignores"
base = os.path.dirname(sys.argv[sys.argv.index("--pid-file") + 1])
def remember(init):
    with open(base + "/init.pid", "w") as stream:
        stream.write(str(init))
"""

#: The init process ends, as a child of the shim's, while the runtime has not ended yet.
_SHORT_LIFE = """
parent = os.fork()
if not parent:
    init = os.fork()
    if not init:
        os.write(1, b"short\\n")
        os._exit(3)
    remember(init)
    os._exit(0)
os.waitpid(parent, 0)
time.sleep(0.3)
"""

#: The runtime has ended; a process that it has left is the parent of init, and ends after it.
_LATE_PARENT = """
ready = os.pipe()
if not os.fork():
    init = os.fork()
    if not init:
        time.sleep(0.3)
        os.write(1, b"short\\n")
        os._exit(3)
    remember(init)
    os.write(ready[1], b"x")
    os.close(1)
    time.sleep(3)
    os._exit(0)
os.read(ready[0], 1)
"""

#: Until its standard input ends, or its log is told.
_LONG_LIFE = """
init = os.fork()
if not init:
    os.write(1, b"ready\\n")
    os.read(0, 1)
    os.write(1, b"over\\n")
    os._exit(4)
remember(init)
"""

_FAILS = "sys.exit(1)"

#: What it was given: descriptors, environment, ignored signals.
_LOOKS = """
import json
inherited = [int(name) for name in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + name)]
inherited = [fd for fd in inherited if os.get_inheritable(fd)]
ignored = [line.split()[1] for line in open("/proc/self/status") if line.startswith("SigIgn")]
environment = open("/proc/self/environ").read().split("\\0")
with open(base + "/seen", "w") as stream:
    json.dump([inherited, environment, ignored], stream)
sys.exit(1)
"""


class Ground:
    """A bundle, a container's directory and a runtime that is a script."""

    def __init__(self, base: pathlib.Path) -> None:
        self.bundle, self.directory, self.program = base / "bundle", base / "kept", base / "runtime"
        self.bundle.mkdir()
        self.directory.mkdir()
        self.log = self.directory / "log"

    def start(self, runtime: str, io: str = "", before: str = "") -> t.Tuple[subprocess.Popen[bytes], socket.socket]:
        """The shim, and our end of the socket."""
        self.program.write_text(_RUNTIME.format(python=sys.executable) + runtime)
        self.program.chmod(0o755)
        ours, theirs = socket.socketpair()
        arguments = [
            str(theirs.fileno()),
            str(self.bundle),
            str(self.directory),
            "some-id",
            str(self.log),
            "0",
            "1",
            io,
            "0",
            "0.0",
        ]
        process = subprocess.Popen(
            [sys.executable, "-c", _SHIM.format(before=before), *arguments, str(self.program), "--systemd-cgroup"],
            env={"PYTHONPATH": str(COLLECTIONS), "PATH": "/bin"},
            pass_fds=[theirs.fileno()],
            preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        )
        theirs.close()
        return process, ours

    def run(self, runtime: str, before: str = "") -> bytes:
        """To the end; what the shim answered."""
        process, ours = self.start(runtime, before=before)
        with ours:
            ours.sendall(b"\n")
            answer = ours.recv(64)
        process.wait(30)
        return answer

    def state(self) -> t.Dict[str, t.Any]:
        found: t.Dict[str, t.Any] = json.loads((self.directory / "state.json").read_text())
        return found


@pytest.fixture
def ground(tmp_path: pathlib.Path) -> Ground:
    return Ground(tmp_path)


@pytest.mark.parametrize("runtime", [_SHORT_LIFE, _LATE_PARENT], ids=["before its runtime", "before its parent"])
def test_a_container_that_ends(runtime: str, ground: Ground) -> None:
    assert ground.run(runtime) == b"started\n"
    ended = ground.state()
    assert (ended["exit_status"], ended["asked"], ended["oom_killed"], ended["dropped"]) == (3, False, False, 0)
    assert ended["init"][0] == int((ground.bundle / "init.pid").read_text())
    assert (ended["boot"], ended["log"], ended["systemd"]) == (boot_id(), str(ground.log), True)
    assert 0 < ended["started_at"] <= ended["exited_at"] + 0.01
    assert json.loads(ground.log.read_text())["log"] == "short\n"


def test_a_container_is_kept_where_no_thread_can_be_started(ground: Ground) -> None:
    """What a thread would have done is done before the output is read."""
    refuse = 'def refuse(*args):\n    raise RuntimeError("can\'t start new thread")\nshim.start_new_thread = refuse'
    assert ground.run(_SHORT_LIFE, refuse) == b"started\n"
    assert ground.state()["exit_status"] == 3


def test_the_state_while_it_runs_and_after_an_end_that_was_asked_for(ground: Ground) -> None:
    process, ours = ground.start(_LONG_LIFE, "stdin")
    ours.sendall(b"\n")
    assert ours.recv(64) == b"started\n"
    record = TaskRecord.read(str(ground.directory / "state.json"))
    assert record
    assert record.shim == Process(process.pid, start_time(process.pid))
    assert record.init.alive
    assert (record.runtime, record.log, record.ending) == (str(ground.program), str(ground.log), None)
    (ground.bundle / "stopped").touch()
    pathlib.Path(f"/proc/{record.init.pid}/fd/0").write_text("x")
    assert process.wait(10) == 0
    assert ground.state()["asked"]
    assert ground.state()["exit_status"] == 4
    assert list(ground.bundle.glob("*.json")) == []


def test_who_starts_it_may_be_killed(ground: Ground) -> None:
    """Before the bundle is there nothing happens; afterwards the container runs, and its end is recorded."""
    process, ours = ground.start(_LONG_LIFE)
    ours.close()
    assert process.wait(10) == 0
    assert list(ground.directory.iterdir()) == []
    process, ours = ground.start(_LONG_LIFE)
    ours.sendall(b"\n")
    ours.close()
    assert process.wait(10) == 0
    assert ground.state()["exit_status"] == 4


def test_a_runtime_that_fails_or_is_not_there(ground: Ground) -> None:
    assert ground.run(_FAILS) == b"failed\n"
    ground.bundle.chmod(0o755)
    process, ours = ground.start(_FAILS)
    ground.program.unlink()
    ours.sendall(b"\n")
    assert ours.recv(64) == b"failed\n"
    process.wait(10)
    assert list(ground.directory.glob("*.json")) == []


def test_the_runtime_gets_nothing_of_ours(ground: Ground) -> None:
    """The C library's posix_spawn, too, would pass something on: its own signals 32 and 33, ignored."""
    ground.run(_LOOKS)
    inherited, environment, (ignored,) = json.loads((ground.bundle / "seen").read_text())
    assert inherited == [0, 1, 2]
    assert environment == ["PATH=/bin", ""]
    mine = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("SigIgn"))
    # Python ignores SIGPIPE and SIGXFSZ itself. What the C library ignores here nobody can change.
    assert int(ignored, 16) & ~int(mine, 16) == 0


def test_where_neither_place_can_be_written(ground: Ground) -> None:
    for place in (ground.directory, ground.bundle):
        (place / "state.json").mkdir()
    process, ours = ground.start(_LONG_LIFE)
    ours.sendall(b"\n")
    assert ours.recv(64) == b"unwritten\n"
    process.wait(10)


def test_the_spare_place_holds_only_what_the_first_one_could_not(ground: Ground) -> None:
    process, ours = ground.start(_LONG_LIFE, "stdin")
    with contextlib.suppress(FileNotFoundError):
        (ground.directory / "state.json").mkdir()
    ours.sendall(b"\n")
    assert ours.recv(64) == b"started\n"
    record = TaskRecord.read(str(ground.bundle / "state.json"), str(ground.directory / "state.json"))
    assert record
    assert record.init.alive
    (ground.directory / "state.json").rmdir()
    pathlib.Path(f"/proc/{record.init.pid}/fd/0").write_text("x")
    process.wait(10)
    assert ground.state()["exit_status"] == 4
    assert not (ground.bundle / "state.json").exists()


def test_an_end_outlives_a_power_cut() -> None:
    with loop_filesystem(64, commit=300) as disk:
        path = str(disk.path / "state.json")
        state.settle(state.write("begun", path, f"{path}.spare", durable=False))
        state.write("ended", path, f"{path}.spare")
        disk.power_cut()
        disk.remount()
        assert pathlib.Path(path).read_text() == "ended"


@pytest.fixture(params=["no call", "not in Python", "there"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One before Linux 5.3, a Python built for such a one, and ours."""

    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    if request.param == "no call":
        monkeypatch.setattr(os, "pidfd_open", refuse)
    elif request.param == "not in Python":
        monkeypatch.delattr(os, "pidfd_open")


@pytest.mark.usefixtures("kernel")
def test_the_end_of_a_process_is_told_on_every_kernel() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        told = ends.watch(process.pid)
        known = Process.of(process.pid)
        assert select.select([told], [], [], 0.15)[0] == []
        assert not known.wait(0.05)
        assert known.signal(signal.SIGTERM)
        assert known.wait(10)
        assert select.select([told], [], [], 10)[0] == [told]
        os.close(told)
        assert not known.signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
