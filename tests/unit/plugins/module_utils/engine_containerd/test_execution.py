# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes in containers by a daemon: their input, whose other end a shim opens when it comes to it (real ones are late only on a busy
machine), and their end when nobody waits for the answer to their start."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import threading
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd import execution
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.execution import DaemonExecution, open_writer
from ansible_collections.fleet.containerd.plugins.module_utils.errors import Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.rpc.channel import Channel
from ansible_collections.fleet.containerd.tests.support.inside import host_processes

from .conftest import Live


@pytest.fixture
def fifo(tmp_path: pathlib.Path) -> pathlib.Path:
    os.mkfifo(tmp_path / "stdin")
    return tmp_path / "stdin"


def test_a_shim_that_opens_it_late(fifo: pathlib.Path) -> None:
    """It gets all, and then the end."""
    ended, _living = os.pipe()

    def late() -> bytes:
        time.sleep(0.5)
        return fifo.read_bytes()

    with concurrent.futures.ThreadPoolExecutor() as pool:
        got = pool.submit(late)
        writer = open_writer(str(fifo), ended)
        os.write(writer, b"for it")
        os.close(writer)
        assert got.result(20) == b"for it"


def test_nobody_opens_it(fifo: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, living = os.pipe()
    monkeypatch.setattr(execution, "_SECONDS", 0.2)
    with pytest.raises(Unavailable, match="has not opened the input"):
        open_writer(str(fifo), ended)
    os.close(living)
    assert open_writer(str(fifo), ended) == -1


class Interrupted(Channel):
    """Whoever asks for a start is ended before the answer to it."""

    def call(
        self, method: str, request: t.Optional[t.Mapping[str, t.Any]] = None, timeout: t.Optional[float] = 60.0
    ) -> t.Dict[str, t.Any]:
        if not method.endswith("Tasks/Start"):
            return super().call(method, request, timeout)
        other = Channel(self.address, self.namespace)
        threading.Thread(target=other.call, args=(method, request), daemon=True).start()
        raise KeyboardInterrupt


class Busy(Interrupted):
    """And the shim has no time at first to tell the daemon what the process does."""

    told = False

    def call(
        self, method: str, request: t.Optional[t.Mapping[str, t.Any]] = None, timeout: t.Optional[float] = 60.0
    ) -> t.Dict[str, t.Any]:
        if method.endswith("Tasks/Get") and not self.told:
            self.told = True
            return {"process": {"pid": 0, "status": 0}}
        return super().call(method, request, timeout)


@pytest.mark.parametrize("how", [Interrupted, Busy])
def test_a_process_whose_start_nobody_waits_for_is_ended(
    live: Live, busybox: str, tmp_path: pathlib.Path, how: t.Type[Interrupted]
) -> None:
    container = live.make(live.pull(busybox), "sleep", "1000")
    live.run(container)
    word = f"sleep {20_000_000 + os.getpid()}"
    process = {**container.spec["process"], "args": ["sh", "-c", f"trap '' TERM HUP; {word}; true"], "terminal": False}
    rpc = how(live.daemon.address, "default")
    with pytest.raises(KeyboardInterrupt):
        DaemonExecution(rpc, container.id, process, str(tmp_path), stdin=True)
    assert not list(tmp_path.glob("fleet-*"))
    time.sleep(0.5)
    assert word not in host_processes()
    live.remove(container)
