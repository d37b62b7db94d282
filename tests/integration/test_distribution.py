# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role image_distribute, by Ansible, on hosts with links and engines of their own."""

from __future__ import annotations

import os
import pathlib
import random
import re
import signal
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Image
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.fleet import Fleet, Host, Playing, a_fleet
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, tar_of
from ansible_collections.fleet.containerd.tests.support.waiting import until

SIZE = 3_000_000


def make(layout: Layout) -> t.Mapping[str, t.Any]:
    noise = random.Random(1)
    return layout.image([tar_of([Entry(f"file{number}", noise.randbytes(SIZE // 3))]) for number in range(3)], level=1)


@pytest.fixture(params=["", *RELEASES], ids=lambda version: version or "embedded")
def fleet(request: pytest.FixtureRequest) -> t.Iterator[Fleet]:
    with a_fleet(make, 3, "100mbit", request.param) as made:
        yield made


def image_on(fleet: Fleet, host: Host) -> t.Optional[Image]:
    """The record, if there is one; then all of the image is there, as its digests say, and unpacked."""
    with host.engine() as engine:
        found = next((one for one in engine.images.list() if one.name == fleet.image), None)
        for info in engine.content.walk() if found else ():
            hasher = info.digest.hasher()
            with engine.content.open(found.target._replace(digest=info.digest, size=info.size)) as stream:
                hasher.update(stream.read())
            assert hasher.hexdigest() == info.digest.hex
        assert not found or len(engine.snapshotter("native").walk()) == 3
        return found


def test_a_play(fleet: Fleet) -> None:
    """Foreseen, done, and done again."""
    foreseen = fleet.play("--check", rate=100)
    assert foreseen.report["table"][1].split() == [
        "h0",
        "3.0",
        "MB",
        "registry",
        *foreseen.report["table"][1].split()[4:6],
        "0.2",
    ]
    assert foreseen.report["table"][2].split()[3] == "h0"
    assert not any(image_on(fleet, host) or host.processes for host in fleet.hosts)

    before = fleet.registry.sent()
    done = fleet.play("-vvv", tls=True)
    assert fleet.registry.sent() - before < 1.2 * fleet.size
    assert done.report["registry_copies"] == 1.0
    assert [one["changed"] for one in done.of("Wait for the images")] == [True] * 3
    assert {host: one["bytes_from"].keys() - {host} for host, one in done.report["hosts"].items()} == {
        "h0": {"registry"}, "h1": {"h0"}, "h2": {"h1"}
    }  # fmt: skip
    assert {image_on(fleet, host).target.digest for host in fleet.hosts} == {fleet.described["digest"]}
    # Whoever reads the log does not learn what opens the ports, nor could read what was sent.
    assert '"secret"' not in done.output
    assert "PRIVATE KEY" not in done.output

    asked = fleet.registry.sent()
    again = fleet.play(tasks=examples_of("containerd_image_distribute", {"registry.example.com/team/app:2.1": fleet.image}))
    assert "changed=0" in again.output
    assert "changed=1" not in again.output
    assert fleet.registry.sent() - asked < 10_000
    assert fleet.quiet(10)


@pytest.mark.parametrize("fleet", [""], indirect=True, ids=["embedded"])
def test_every_host_by_itself(fleet: Fleet) -> None:
    before = fleet.registry.sent()
    fleet.play(method="registry", heads=2)
    assert fleet.registry.sent() - before > 2.9 * fleet.size
    assert all(image_on(fleet, host) for host in fleet.hosts)
    # They have it now: it is handed on to one that has lost it, and the registry is not needed.
    fleet.stop_registry()
    with fleet.hosts[1].engine() as engine:
        engine.images.delete(fleet.image)
    done = fleet.play()
    assert done.report["bytes_from_registry"] == 0
    assert set(done.report["hosts"]["h1"]["bytes_from"]) == {"h0"}


@pytest.mark.parametrize("fleet", [""], indirect=True, ids=["embedded"])
def test_lines_tell_how_far_each_host_is(fleet: Fleet) -> None:
    for host in fleet.hosts:
        # So slow that all still come when the tasks have begun that wait, on a busy machine, too.
        host.shape("2mbit")
    done = fleet.play(progress_after=0.5)
    line = rf"^\[(h\d)\] {fleet.image}: \d+\.\d [KM]iB of 2\.9 MiB \(\d+ %\), \d+\.\d KiB/s, \d+ s left$"
    assert set(re.findall(line, done.output, re.MULTILINE)) == {"h0", "h1", "h2"}, done.output


@pytest.mark.parametrize("fleet", [""], indirect=True, ids=["embedded"])
def test_a_pull_through_cache_that_is_there_is_used_in_waves(fleet: Fleet) -> None:
    fleet.add_cache(fleet.hosts[2])
    before = fleet.registry.sent()
    done = fleet.play(method="mirror")
    # docker-registry 2.8 fetches a blob twice, for itself and for who asks first. All at once would take a copy for each host more.
    assert fleet.registry.sent() - before < 2.2 * fleet.size
    assert all(image_on(fleet, host) for host in fleet.hosts)
    pulled = [one for one in done.of("Fetch the images by the mirrors of the host") if "images" in one]
    assert len(pulled) == 3
    for one in pulled:
        assert set(one["images"][0]["served_by"].values()) == {"plan", f"http://{fleet.hosts[2].address}:5000"}
    assert "changed=0" in fleet.play(method="mirror").output


def is_waited_for(host: Host) -> bool:
    """Whether step=wait has a connection to the program of the distribution (proc(5): /proc/net/unix)."""
    lines = pathlib.Path(f"/proc/{host.pid}/net/unix").read_text().splitlines()
    return any("@fleet-relay-" in line and line.split()[5] == "03" for line in lines)


def answered(playing: Playing) -> int:
    """How many hosts have their result."""
    return sum(one["name"].endswith("Wait for the images") for one in playing.so_far())


@pytest.mark.parametrize("fleet", [""], indirect=True, ids=["embedded"])
def test_a_host_that_fails_fails_alone_and_a_controller_that_is_killed_leaves_nothing(fleet: Fleet) -> None:
    fleet.hosts[1].data.write_text("no directory")
    failed = fleet.play(failing=True)
    assert image_on(fleet, fleet.hosts[0])
    assert image_on(fleet, fleet.hosts[2])
    assert failed.report["failed_hosts"] == ["h1"]
    fleet.hosts[1].data.unlink()
    fleet.hosts[1].shape("2mbit")
    with fleet.playing() as playing:
        # Those that get it fast may have it by now.
        until(lambda: sum(map(is_waited_for, fleet.hosts)) + answered(playing) >= len(fleet.hosts), 60)
        os.killpg(playing.process.pid, signal.SIGKILL)
        playing.process.wait()
    # What it does now, it does to the end.
    assert fleet.quiet(40)
    assert image_on(fleet, fleet.hosts[1])


@pytest.mark.parametrize("fleet", [""], indirect=True, ids=["embedded"])
def test_wrong_values_are_clear_errors(fleet: Fleet) -> None:
    plan = {"fleet.containerd.containerd_image_distribute": {"step": "plan", "results": "nothing"}}
    for wrong, message in (
        ({"heads": 0}, "heads: 0 is not a positive number"),
        ({"method": "pigeon"}, "pigeon"),
        ({"listen": "192.0.2.77"}, "listen: listening on 192.0.2.77"),
        ({"rate": -5}, "rate: -5 is not a positive number"),
        ({"tasks": [plan]}, "results: no host of the play has looked for the images: use the role image_distribute"),
    ):
        assert message in fleet.play(failing=True, **wrong).output
