# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A distribution to hosts with shaped links while something breaks. The programs are the real ones; Ansible is in test_distribution.py."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import subprocess
import threading
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.tests.support.fleet import Fleet, Host, a_fleet
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, tar_of
from ansible_collections.fleet.containerd.tests.support.waiting import until

# One after the other: several fleets at once would be slow for want of processors.
pytestmark = pytest.mark.xdist_group("fleets")
RATE, MEGABITS, SIZE = "20mbit", 20, 6_000_000
#: What it takes where nothing breaks, and the machine is busy.
IDEAL = SIZE * 8 / MEGABITS / 1e6


def make(layout: Layout) -> t.Mapping[str, t.Any]:
    noise = random.Random(1)
    return layout.image([tar_of([Entry(f"file{number}", noise.randbytes(SIZE // 2))]) for number in range(2)], level=1)


@pytest.fixture
def fleet() -> t.Iterator[Fleet]:
    with a_fleet(make, 5, RATE) as made:
        yield made


def at(seconds: float, act: t.Callable[[], t.Any]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def complete(fleet: Fleet, results: t.Mapping[str, t.Mapping[str, t.Any]]) -> None:
    """All have the image, as its digests say."""
    for host in fleet.hosts:
        if host.name in results:
            assert not results[host.name].get("failed"), results[host.name]["msg"]
            engine = EmbeddedEngine("default", str(host.data), str(host.base / "run"))
            assert engine.images.get(fleet.image).target.digest == fleet.described["digest"]
            for info in engine.content.walk():
                assert engine.content.verify(info.digest, info.size)
            engine.close()


def late(results: t.Mapping[str, t.Mapping[str, t.Any]], first: str = "h0") -> float:
    """How many seconds the last host needed more than the first one of the chain, which fetches from the registry: programs that begin
    together on a busy machine begin slowly, and that is the same for all. So it is counted in what that one took, where it took longer.
    """
    needed = float(results[first]["seconds"])
    assert needed < 4 * IDEAL, results[first]
    return (max(float(one["seconds"]) for one in results.values()) - needed) * min(1.0, IDEAL / needed)


def test_nothing_breaks(fleet: Fleet) -> None:
    before = fleet.registry.sent()
    with fleet.relaying() as relays:
        results = relays.results()
    complete(fleet, results)
    assert fleet.registry.sent() - before < 1.1 * fleet.size
    assert late(results) < IDEAL / 2
    assert not any(one["fallbacks"] for one in results.values())


def test_a_host_that_vanishes_costs_the_others_a_second_and_no_copy(fleet: Fleet) -> None:
    before, gone = fleet.registry.sent(), fleet.hosts[2]
    with fleet.relaying() as relays:
        at(IDEAL / 2, gone.vanish)
        results = relays.results(gone)
    complete(fleet, results)
    assert fleet.registry.sent() - before < 1.1 * fleet.size
    assert late(results) < IDEAL / 2 + 1.0
    assert {one["host"] for one in results["h3"]["fallbacks"]} == {"h2"}
    assert results["h4"]["fallbacks"] == []


def test_a_slow_host_is_passed_by(fleet: Fleet) -> None:
    slow = fleet.hosts[2]
    slow.shape("2mbit")
    with fleet.relaying() as relays:
        results = relays.results(slow)
        # Everybody who waits for it would need ten times as long.
        assert late(results) < 1.5 * IDEAL
        complete(fleet, results)
        # Whoever has been told that it is slow passes on only what is complete: another blob may be told that first.
        whys = {one["why"] for one in results["h3"]["fallbacks"]}
        assert "it is slow" in whys
        assert whys <= {"it is slow", "it does not get the blob itself"}
        # A busy machine can make another one look slow, too; but nobody goes to the registry.
        assert {"h1"} <= set(results["h3"]["bytes_from"]) <= {"h0", "h1", "h2"}
        # It gets it too, from the last ones.
        slow.shape(RATE)
        last = relays.result(slow)
    complete(fleet, {"h2": last})
    assert "registry" not in last["bytes_from"]


def test_the_registry_is_not_needed_after_the_first_copy(fleet: Fleet) -> None:
    fleet.hosts[3].shape("5mbit")
    before = fleet.registry.sent()
    with fleet.relaying() as relays:
        while fleet.registry.sent() - before < fleet.size * 1.01:
            time.sleep(0.01)
        relays.result(fleet.hosts[0])
        fleet.stop_registry()
        results = relays.results()
    complete(fleet, results)


def test_a_full_disk_is_one_hosts_trouble(fleet: Fleet) -> None:
    full = fleet.hosts[1]
    full.data.mkdir()
    # starts: mount, umount
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(full.data)], check=True)
    try:
        with fleet.relaying() as relays:
            failed = relays.result(full)
            results = relays.results(full)
    finally:
        subprocess.run(["umount", "-l", str(full.data)], check=True)
    assert failed["failed"]
    assert failed["error"] == "ResourceExhausted"
    complete(fleet, results)
    assert sum(one["bytes_from_registry"] for one in results.values()) <= 1.05 * fleet.size


def test_a_port_that_is_dropped_costs_a_second(fleet: Fleet) -> None:
    before, closed = fleet.registry.sent(), fleet.hosts[1]
    rules = (
        "add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c tcp dport 7446-7449 drop"
    )
    closed.run("nft", rules)
    with fleet.relaying() as relays:
        results = relays.results()
    complete(fleet, results)
    assert fleet.registry.sent() - before < 1.1 * fleet.size
    assert results["h2"]["bytes_from"] == {"h0": results["h2"]["bytes"]}
    assert late(results) < IDEAL / 2 + 2.0


@pytest.mark.parametrize("waiting", [True, False], ids=["it was waiting", "it has not asked yet"])
def test_the_controller_is_gone(fleet: Fleet, waiting: bool) -> None:
    with fleet.relaying(alone=60.0 if waiting else 2.0) as relays:
        for host in fleet.hosts if waiting else ():
            relays.ask(host).close()
        for process in relays.processes.values():
            process.wait(60)
        ended = time.monotonic() - relays.began
    assert ended < 3 * IDEAL + 10
    for host in fleet.hosts:
        # One line is the head: nothing listens any more.
        assert all(line.split()[3] != "0A" for line in pathlib.Path(f"/proc/{host.pid}/net/tcp").read_text().splitlines()[1:])
    with fleet.relaying() as relays:
        complete(fleet, relays.results())


def test_a_slow_head_is_passed_by(fleet: Fleet) -> None:
    """It would take half a minute for all; it is compared with the registry."""
    slow = fleet.hosts[0]
    slow.shape("1600kbit")
    with fleet.relaying() as relays:
        results = relays.results(slow)
        # The second one is the head.
        assert late(results, "h1") < IDEAL / 2
        complete(fleet, results)
        assert "h0" in {one["host"] for one in results["h1"]["fallbacks"]}
        slow.shape(RATE)
        last = relays.result(slow)
    complete(fleet, {"h0": last})
    # What hosts took: on the wire there is also what a slow link loses, and what is on its way when a connection is closed.
    assert sum(one["bytes_from_registry"] for one in [last, *results.values()]) < 1.3 * fleet.size


def test_two_plays_at_once(fleet: Fleet) -> None:
    with fleet.relaying() as first, fleet.relaying() as second:
        complete(fleet, first.results())
        complete(fleet, second.results())


def test_whoever_has_it_is_asked_and_the_registry_is_not(fleet: Fleet) -> None:
    holder: Host = fleet.hosts[4]
    with fleet.relaying(holder) as alone:
        alone.result(holder)
    fleet.stop_registry()
    with fleet.relaying(holders=[holder]) as relays:
        results = relays.results()
    complete(fleet, results)
    assert results["h0"]["bytes_from"] == {"h4": results["h0"]["bytes"]}
    assert results["h4"]["bytes"] == 0


def test_flipped_bytes_cost_one_blob_once(fleet: Fleet) -> None:
    """A host has the image, and its disk has changed a byte of a layer."""
    holder = fleet.hosts[4]
    with fleet.relaying(holder) as alone:
        alone.result(holder)
    layer = max((one for one in (holder.data / "content").rglob("*") if one.is_file()), key=lambda one: one.stat().st_size)
    with layer.open("r+b") as stream:
        stream.seek(SIZE // 4)
        byte = stream.read(1)
        stream.seek(SIZE // 4)
        stream.write(bytes([byte[0] ^ 1]))
    before = fleet.registry.sent()
    with fleet.relaying(holders=[holder]) as relays:
        results = relays.results()
    others = {name: one for name, one in results.items() if name != holder.name}
    complete(fleet, others)
    # The holder mends its layer, which is the half of all; at most one other host does not wait for that, and asks the registry, too.
    assert fleet.registry.sent() - before < 1.1 * fleet.size
    assert results[holder.name]["bytes_from_registry"] > 0.45 * fleet.size
    assert {name for name, one in others.items() if one["bytes_from_registry"]} <= {"h0"}
    assert others["h0"]["bytes_from_registry"] < 0.55 * fleet.size


def stored(host: Host) -> int:
    """How many bytes of blobs are on its disk, complete or not."""
    total = 0
    for top, _directories, files in os.walk(host.data / "content"):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(top, name)).st_size
    return total


def test_killed_processes_are_gone_and_the_next_play_goes_on(fleet: Fleet, tmp_path: pathlib.Path) -> None:
    with fleet.relaying() as relays:
        until(lambda: all(stored(host) > SIZE / 4 for host in fleet.hosts), 60)
    assert not any(process.poll() is None for process in relays.processes.values())
    with fleet.relaying() as again:
        results = again.results()
    complete(fleet, results)
    # What had come was kept.
    assert all(one["bytes"] < fleet.size for one in results.values())
