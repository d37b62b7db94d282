# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What outlives a task has nothing of whoever ran it: limits, priorities, signals, control groups."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import resource
import socket
import subprocess
import sys
import threading
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.runtime import detached, systemd
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec import cgroups, limits
from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS

#: Becomes what a hard service or an odd login would be, and starts a process that says what it is.
_SPOILED = """
import os, resource, signal, subprocess, sys
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.detached import start_to_stay
look = '''
import json, os, resource, signal
print(json.dumps([
    os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0), os.umask(0), sorted(os.sched_getaffinity(0)),
    list(resource.getrlimit(resource.RLIMIT_NOFILE)), list(resource.getrlimit(resource.RLIMIT_CORE)),
    [line.split()[1] for line in open("/proc/self/status") if line.startswith(("SigBlk", "SigIgn"))],
]))
'''
resource.setrlimit(resource.RLIMIT_NOFILE, (777, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
resource.setrlimit(resource.RLIMIT_CORE, (4096, resource.getrlimit(resource.RLIMIT_CORE)[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
os.nice(7)
os.umask(0o077)
for number in (signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
subprocess.run([sys.executable, "-I", "-S", "-c", look], preexec_fn=start_to_stay, check=True)
"""


def test_a_process_starts_afresh() -> None:
    command = [sys.executable, "-c", _SPOILED]
    done = subprocess.run(command, env={"PYTHONPATH": str(COLLECTIONS)}, check=True, capture_output=True, text=True)
    nice, scheduler, umask, affinity, files, core, (blocked, ignored) = json.loads(done.stdout)
    assert (nice, scheduler, umask, affinity) == (0, os.SCHED_OTHER, 0o022, sorted(os.sched_getaffinity(1)))
    assert (files[0], core[0]) == (1024, 0)
    assert int(blocked, 16) == 0
    # Python ignores SIGPIPE (13) and SIGXFSZ (25) itself; 32 and 33 are the C library's, which lets nobody change them.
    assert int(ignored, 16) & ~(1 << 24 | 1 << 31 | 1 << 32) == (1 << 12 | 1 << 0 | 1 << 14 | 1 << 1)


def test_who_may_not_raise_a_limit_gives_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (500, 1000) if kind == resource.RLIMIT_NOFILE else (-1, -1))
    for free, files in ((False, limits.Limit("NOFILE", 1000, 1000)), (True, limits.Limit("NOFILE", 1024, 524288))):
        monkeypatch.setattr(limits, "_may_raise", lambda free=free: free)
        assert files in limits.limits()


def test_nobody_has_more_files_than_the_kernel_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_may_raise", lambda: True)
    monkeypatch.setattr(limits, "_number", lambda path: 65536 if path.endswith("/nr_open") else 0)
    assert limits.Limit("NOFILE", 1024, 65536) in limits.limits()


#: Prints what it may run on, where process 1, which it is, may not run on all processors; and whether limits stand in the way.
_OTHER_NAMESPACES = """
import os, subprocess, sys
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.detached import start_to_stay
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
look = "import os, resource; print(len(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_NPROC)[1])"
subprocess.run([sys.executable, "-I", "-S", "-c", look], preexec_fn=start_to_stay, check=True)
"""


@pytest.mark.parametrize("users", [[], ["-U", "-r"]], ids=["root", "root of a user namespace"])
def test_a_process_starts_in_other_namespaces_too(users: t.List[str]) -> None:
    """There CAP_SYS_RESOURCE, which root has in a user namespace, does not count."""
    command = ["unshare", *users, "-p", "-f", "--mount-proc", sys.executable, "-c", _OTHER_NAMESPACES]
    # starts: unshare (and our Python)
    done = subprocess.run(command, env={"PYTHONPATH": str(COLLECTIONS)}, check=False, capture_output=True, text=True)
    most = -1 if limits._may_raise() and not users else resource.getrlimit(resource.RLIMIT_NPROC)[1]
    assert done.stdout.split() == ["1", str(most)], done.stderr


#: Arguments: a directory for a mount, a name, Python and a program for it. Prints the group of a process that was set apart.
_VERSION_2 = """
set -e
mount -t cgroup2 cgroup2 "$1"
mkdir "$1/$2"
echo $$ >"$1/$2/cgroup.procs"
umount "$1"
exec unshare -C sh -ec '
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /sys/fs/cgroup/task
echo $$ >/sys/fs/cgroup/task/cgroup.procs
sleep 60 &
"$1" -c "$2" $!
grep ^0: /proc/$!/cgroup
kill $!
' sh "$3" "$4"
"""
_SET_APART = """
import sys
from ansible_collections.fleet.containerd.plugins.module_utils.runtime import detached
detached.systemd_runs = lambda: False
detached.set_apart(int(sys.argv[1]), "fleet-test", "A test")
"""


def test_without_systemd_a_process_gets_out_of_its_group_of_version_2(tmp_path: pathlib.Path) -> None:
    name = f"fleet-test-{os.getpid()}"
    command = ["unshare", "-m", "sh", "-c", _VERSION_2, "sh", str(tmp_path), name, sys.executable, _SET_APART]
    environment = {"PYTHONPATH": str(COLLECTIONS), "PATH": os.environ["PATH"]}
    try:
        # starts: unshare, sh, mount, mkdir
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=60)
    finally:
        tidy = 'mount -t cgroup2 cgroup2 "$1"; rmdir "$1/$2/task" "$1/$2"'
        # starts: unshare, sh, mount, rmdir
        subprocess.run(["unshare", "-m", "sh", "-c", tidy, "sh", str(tmp_path), name], check=False, capture_output=True)
    assert done.stdout == "0::/\n", done.stderr


def test_where_the_top_group_takes_no_process_there_is_one_for_all_of_ours(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is so below somebody else's group of version 2, when it passes controllers on."""
    (tmp_path / "cgroup.procs").mkdir()  # cannot be written
    (tmp_path / "fleet-shims").mkdir()
    (tmp_path / "fleet-shims" / "cgroup.procs").touch()
    monkeypatch.setattr(detached, "_CGROUPS", str(tmp_path))
    monkeypatch.setattr(detached, "systemd_runs", lambda: False)
    detached.set_apart(4711, "fleet-test", "A test")
    assert (tmp_path / "fleet-shims" / "cgroup.procs").read_text() == "4711"


class Systemd(threading.Thread):
    """A socket that takes one call and gives one answer."""

    def __init__(self, path: pathlib.Path, answer: bytes) -> None:
        super().__init__(daemon=True)
        self.answer, self.got = answer, b""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.start()

    def run(self) -> None:
        connection = self.listener.accept()[0]
        with connection, self.listener:
            while b"StartTransientUnit" not in self.got:
                self.got += connection.recv(4096)
            connection.sendall(self.answer)


def _message(kind: int, body: bytes = b"") -> bytes:
    fields = b"\5\1u\0\1\0\0\0"  # REPLY_SERIAL
    return bytes((ord("l"), kind, 1, 1)) + len(body).to_bytes(4, "little") + b"\1\0\0\0\x08\0\0\0" + fields + body


@pytest.mark.parametrize(
    ("answer", "made"),
    [
        (b"OK 0123\r\n" + _message(2, b"body"), True),
        (b"OK 0123\r\n" + _message(4, b"a signal before it") + _message(2), True),
        (b"OK 0123\r\n" + _message(3, b"no such slice"), False),
        (b"OK 0123\r\n", False),
        (b"REJECTED\r\n", False),
        (b"", False),
    ],
)
def test_what_systemd_answers(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, answer: bytes, made: bool) -> None:
    monkeypatch.setattr(systemd, "_SOCKET", str(tmp_path / "private"))
    server = Systemd(tmp_path / "private", answer)
    assert systemd.start_scope("fleet-test-1.scope", 1, "A test") is made
    server.join(10)


def test_systemd_has_a_time_for_the_whole_answer(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "_SOCKET", str(tmp_path / "private"))
    monkeypatch.setattr(systemd, "_SECONDS", 0.3)
    ended = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(systemd._SOCKET)
        listener.listen(1)

        def talk() -> None:
            with listener.accept()[0] as connection, contextlib.suppress(OSError):
                connection.sendall(b"OK 0123\r\n")
                while not ended.wait(0.1):
                    connection.sendall(_message(4, b"one signal after the other"))

        talker = threading.Thread(target=talk, daemon=True)
        talker.start()
        latest = threading.Timer(20, ended.set)
        latest.start()
        assert systemd.start_scope("fleet-test-1.scope", 1, "A test") is False
        assert not ended.is_set()
        latest.cancel()
        ended.set()
        talker.join(10)


@pytest.mark.parametrize(("first", "runs"), [("systemd", True), ("sh", False), (None, False)])
def test_systemd_is_asked_where_it_is_the_first_process(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, first: t.Optional[str], runs: bool
) -> None:
    """A container that has /run/systemd of its host would name a process that is another one there."""
    if first:
        (tmp_path / "comm").write_text(f"{first}\n")
    monkeypatch.setattr(cgroups, "_FIRST", str(tmp_path / "comm"))
    monkeypatch.setattr(cgroups, "_BOOTED", str(tmp_path))
    assert cgroups.systemd_runs() is runs


def test_without_its_socket_systemd_makes_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "_SOCKET", str(tmp_path / "private"))
    assert systemd.start_scope("fleet-test-1.scope", 1, "A test") is False
