# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes that write layers, in a process of one thread (each test is one: pytest's own may have more)."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS
from ansible_collections.fleet.containerd.tests.support.images import Entry, directory, tar_of
from ansible_collections.fleet.containerd.tests.support.waiting import until

ONE_PROCESSOR = len(os.sched_getaffinity(0)) < 2
_START = """
import concurrent.futures, io, os, pathlib, sys, threading, time
from ansible_collections.fleet.containerd.plugins.module_utils.errors import *
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import LayerTarget
from ansible_collections.fleet.containerd.plugins.module_utils.layers.writers import LayerWriters
TAR = "application/vnd.oci.image.layer.v1.tar"
base = pathlib.Path(sys.argv[1])
def apply(writers, root, lowers=(), below=None, limit=10**9):
    (base / root).mkdir()
    with open(base / "layer", "rb") as stream:
        target = LayerTarget(str(base / root), tuple(str(base / one) for one in lowers), bool(lowers))
        return writers.apply(stream, TAR, target, limit, below)
def links(pid):
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield os.readlink(fd)
        except FileNotFoundError:
            pass  # it is still closing those of its parent
def children():
    return [int(pid) for pid in pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
"""


def start(base: pathlib.Path, code: str) -> subprocess.Popen[str]:
    (base / "layer").write_bytes(tar_of([directory("d"), Entry("d/file", b"content"), Entry(".wh.gone")]))
    return subprocess.Popen(
        [sys.executable, "-c", _START + code, str(base)],
        env={"PYTHONPATH": str(COLLECTIONS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(base: pathlib.Path, code: str) -> str:
    process = start(base, code)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    return output


def test_layers_are_written_by_other_processes_at_the_same_time(tmp_path: pathlib.Path) -> None:
    code = """
with LayerWriters() as writers:
    print(len(children()), len(os.sched_getaffinity(0)))
    lock_fd = os.open(base / "layer", os.O_RDONLY)
    time.sleep(0.3)
    print([link for pid in children() for link in links(pid) if "layer" in link])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waits = []
        first = pool.submit(apply, writers, "first")
        second = pool.submit(apply, writers, "second", ["first"], lambda: waits.append(first.result()))
        print(first.result() == second.result(), len(waits))
print(children())
"""
    started, copies, same, left = run(tmp_path, code).splitlines()
    processes, processors = map(int, started.split())
    assert processes == (min(4, processors) if processors > 1 else 0)
    assert copies == "[]"
    assert (same, left) == ("True 1", "[]")
    assert (tmp_path / "first" / "d" / "file").read_bytes() == b"content"
    assert (tmp_path / "second" / "d" / "file").read_bytes() == b"content"


def test_errors_are_those_of_the_writer_and_the_next_layer_is_written(tmp_path: pathlib.Path) -> None:
    code = """
def fails():
    raise DataLoss("below is broken")
with LayerWriters() as writers:
    (base / "lower").mkdir()
    for number in range(6):
        try:
            apply(writers, f"limit{number}", limit=100)
        except ResourceExhausted as error:
            print("limit" in str(error))
        try:
            apply(writers, f"below{number}", ["lower"], fails)
        except DataLoss as error:
            print(error)
    print(apply(writers, "last").size)
"""
    lines = run(tmp_path, code).splitlines()
    assert lines[:-1] == ["True", "below is broken"] * 6
    assert int(lines[-1]) == (tmp_path / "layer").stat().st_size


def test_a_writer_that_is_killed_is_told(tmp_path: pathlib.Path) -> None:
    code = """
with LayerWriters() as writers:
    for pid in children():
        os.kill(pid, 9)
    try:
        apply(writers, "root")
    except Unavailable as error:
        print(error)
"""
    assert "the process that writes layers has ended" in run(tmp_path, code) or ONE_PROCESSOR


def test_with_more_threads_nothing_is_forked(tmp_path: pathlib.Path) -> None:
    code = """
stop = threading.Event()
threading.Thread(target=stop.wait).start()
with LayerWriters() as writers:
    print(children())
    apply(writers, "root")
stop.set()
"""
    assert run(tmp_path, code) == "[]\n"
    assert (tmp_path / "root" / "d" / "file").read_bytes() == b"content"


@pytest.mark.skipif(ONE_PROCESSOR, reason="with one processor there are no writers")
def test_writers_end_when_the_process_that_made_them_is_killed(tmp_path: pathlib.Path) -> None:
    code = """
with LayerWriters() as writers:
    print(*children(), flush=True)
    (base / "lower").mkdir()
    apply(writers, "root", ["lower"], lambda: time.sleep(100))
"""
    process = start(tmp_path, code)
    assert process.stdout
    pids = process.stdout.readline().split()
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    assert pids
    # A zombie has no working directory.
    until(lambda: not [pid for pid in pids if os.path.exists(f"/proc/{pid}/cwd")])
