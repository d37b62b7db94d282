# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talk, with processes of this machine."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.libexec.ends import watch
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import talk


class Process:
    """talk.Way"""

    def __init__(self, script: str) -> None:
        pipe = subprocess.PIPE
        # starts: sh, cat, sleep, head
        self._process = subprocess.Popen(["sh", "-c", script], stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        streams = [t.cast(t.IO[bytes], one) for one in (self._process.stdin, self._process.stdout, self._process.stderr)]
        self.stdin, self.stdout, self.stderr = (os.dup(one.fileno()) for one in streams)
        for one in streams:
            one.close()
        for fd in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(fd, False)
        self.ended = watch(self._process.pid)

    def close_stdin(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def status(self) -> int:
        return self._process.wait()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.close_stdin()
        for fd in (self.stdout, self.stderr, self.ended):
            os.close(fd)


@contextlib.contextmanager
def talking(script: str) -> t.Iterator[t.Tuple[talk.Talk, t.Dict[str, bytes]]]:
    said = {"stdout": b"", "stderr": b""}

    def hear(name: str, data: bytes) -> None:
        said[name] += data

    with contextlib.closing(Process(script)) as process:
        yield talk.Talk(process, hear), said


def test_input_and_output() -> None:
    data = os.urandom(1_000_000)
    with talking("cat; echo done >&2; exit 3") as (one, said):
        one.send(data[:5])
        one.send(data[5:])
        one.finish()
        assert one.run() == 3
    assert said == {"stdout": data, "stderr": b"done\n"}
    with talking("exec head -c 2") as (one, said):
        one.send(data)
        one.finish()
        assert one.run() == 0
    assert said["stdout"] == data[:2]


def test_what_goes_on_in_the_background_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "_MOST", 0.3)
    for background in ("sleep 30", "while :; do echo more; sleep 0.02; done"):
        began = time.monotonic()
        with talking(f"({background}) & echo said; exit 4") as (one, said):
            assert one.run() == 4
        assert b"said\n" in said["stdout"]
        assert time.monotonic() - began < 20


def test_time() -> None:
    with talking("echo said; exec sleep 30") as (one, said):
        # The time begins when it has said it.
        select.select([one._execution.stdout], [], [], 20)
        assert one.run(0.2) is None
    assert said["stdout"] == b"said\n"
