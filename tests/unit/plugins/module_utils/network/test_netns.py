# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces: made, pinned, entered and left, removed."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import subprocess
import threading
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError, FailedPrecondition, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mount_points, unmount
from ansible_collections.fleet.containerd.plugins.module_utils.network import netns


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    found = tmp_path / "netns"
    yield found
    for point in reversed(mount_points(str(found))):
        unmount(point, lazy=True)


def here() -> int:
    return os.stat("/proc/thread-self/ns/net").st_ino


def test_made_entered_and_removed(directory: pathlib.Path) -> None:
    path, before = str(directory / "one"), here()
    netns.make(path)
    assert here() == before
    assert netns.is_namespace(path)
    inside, other = threading.Event(), t.cast(t.List[int], [])
    thread = threading.Thread(target=lambda: other.append(here() if inside.wait(10) else 0))
    thread.start()
    with netns.entered(path):
        assert here() == os.stat(path).st_ino != before
        inside.set()
        thread.join()
        assert other == [before], "another thread stays where it is"
    assert here() == before
    with pytest.raises(ZeroDivisionError), netns.entered(path):
        raise ZeroDivisionError
    assert here() == before
    assert netns.remove(path)
    assert not netns.remove(path)
    assert list(directory.iterdir()) == []
    assert mount_points(str(directory)) == [str(directory)]


def test_a_namespace_lives_as_long_as_it_is_pinned(directory: pathlib.Path) -> None:
    path = str(directory / "pinned")
    # starts: unshare, sleep
    process = subprocess.Popen(["unshare", "-n", "sleep", "60"])
    try:
        source = f"/proc/{process.pid}/ns/net"
        while not netns.is_another(source):
            pass
        netns.pin(source, path)
        number = os.stat(source).st_ino
        assert os.stat(path).st_ino == number
    finally:
        process.kill()
        process.wait()
    assert os.stat(path).st_ino == number
    netns.make(path)  # takes the place of what is there
    assert os.stat(path).st_ino != number
    assert len(mount_points(path)) == 1
    netns.remove(path)


def test_what_is_no_namespace_is_not_entered(directory: pathlib.Path) -> None:
    directory.mkdir()
    (directory / "file").touch()
    os.mkfifo(directory / "pipe")
    before = here()
    for name in ("file", "pipe"):
        path = str(directory / name)
        assert not netns.is_namespace(path)
        with pytest.raises(EngineError, match="entering the network namespace"), netns.entered(path):
            pass
        with pytest.raises(FailedPrecondition, match="is not a network namespace"), netns.opened(path):
            pass
    with pytest.raises(EngineError, match="entering"), netns.entered("/proc/self/ns/uts"):
        pass
    with pytest.raises(NotFound, match="opening the network namespace"), netns.entered(str(directory / "absent")):
        pass
    assert here() == before


def test_a_pin_does_not_follow_a_link(directory: pathlib.Path) -> None:
    directory.mkdir()
    (directory / "link").symlink_to(directory / "target")
    with pytest.raises(EngineError, match="making"):
        netns.pin("/proc/self/ns/net", str(directory / "link"))
    assert not (directory / "target").exists()


def test_the_first_ones_come_at_the_same_time(directory: pathlib.Path) -> None:
    """As after a boot, when /run is empty."""
    context = multiprocessing.get_context("fork")
    for again in range(8):
        place, gate = directory / str(again), context.Event()

        def run(path: str, gate: t.Any = gate) -> None:
            gate.wait()
            netns.make(path)

        paths = [str(place / str(number)) for number in range(8)]
        processes = [context.Process(target=run, args=(path,)) for path in paths]
        for process in processes:
            process.start()
        gate.set()
        for process in processes:
            process.join()
        assert sorted(mount_points(str(place))) == sorted([str(place), *paths])
        assert all(map(netns.remove, paths))


def test_ip_netns_sees_what_is_made_there() -> None:
    name = f"fleet-test-{os.getpid()}"
    path = os.path.join("/run/netns", name)
    netns.make(path)
    try:
        # starts: ip
        shown = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
        assert name in shown.split()
        # starts: ip
        subprocess.run(["ip", "netns", "delete", name], check=True)
        assert not os.path.exists(path)
    finally:
        netns.remove(path)
