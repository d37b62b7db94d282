# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of containerd_image_distribute on a host, over the engine in memory; the plan between them is that of the controller."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.relay.part import control_address
from ansible_collections.fleet.containerd.plugins.plugin_utils.distribution.parts import (
    Limits,
    images_of,
    make_parts,
    undecided,
)
from ansible_collections.fleet.containerd.tests.support.ansible import TaskResult, task
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Layout, small_image
from ansible_collections.fleet.containerd.tests.support.leftovers import processes_with
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.waiting import until


def step(site: MemorySite, name: str, **options: t.Any) -> t.Dict[str, t.Any]:
    return play(site, step=name, **options).result


def play(site: MemorySite, **options: t.Any) -> TaskResult:
    (done,) = site.play({**task("containerd_image_distribute", **options), "ignore_errors": True}).results
    return done


def planned(site: MemorySite, *names: str, pull: str = "missing") -> t.Dict[str, t.Any]:
    """The part of a host that is alone in its play."""
    looks = {"h0": step(site, "look", images=list(names), listen="127.0.0.1")}
    full = list(looks["h0"]["images"])
    asked = undecided(looks, full, pull)
    resolved = step(site, "resolve", images=asked)["images"] if asked else {}
    return make_parts(looks, images_of(looks, resolved, full), Limits(alone=True))["h0"]


def test_an_image_is_foreseen_pulled_by_its_digest_and_there(site: MemorySite, busybox: str) -> None:
    part = planned(site, busybox)
    foreseen = step(site, "foresee", part=json.dumps(part))
    assert (foreseen["changed"], foreseen["source"]) == (True, "registry")
    assert foreseen["bytes"] == sum(part["blobs"].values())
    assert site.blobs() == set()
    done = step(site, "pull", part=json.dumps(part))
    assert done["changed"]
    assert done["images"][0]["digest"] == part["images"][0]["top"]["digest"]
    # Documents and the config came with the plan.
    assert done["bytes_from"] == {
        "registry": sum(size for digest, size in part["blobs"].items() if digest not in part["documents"])
    }
    assert site.memory.images.get(busybox).target.digest == part["images"][0]["top"]["digest"]
    again = step(site, "pull", part=json.dumps(part))
    assert (again["changed"], again["bytes"]) == (False, 0)
    found = step(site, "look", images=[busybox])["images"][busybox]
    assert (found["done"], found["digest"]) == (True, part["images"][0]["top"]["digest"])


def test_whoever_has_it_says_what_it_consists_of_and_the_registry_is_not_asked(site: MemorySite, busybox: str) -> None:
    first = planned(site, busybox)
    step(site, "pull", part=json.dumps(first))
    second = planned(site, busybox)
    for key in ("blobs", "documents", "images"):
        assert second[key] == first[key]
    assert undecided({"h0": step(site, "look", images=[busybox])}, [busybox], "missing") == []


def test_a_tag_that_moves_after_the_plan_changes_nothing(site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
    name = f"{registry.address}/moving:1"
    registry.push(layout.path, small_image(layout, Labels={"release": "1"}), "moving", "1")
    part = planned(site, name)
    registry.push(layout.path, small_image(layout, Labels={"release": "2"}), "moving", "1")
    step(site, "pull", part=json.dumps(part))
    assert site.memory.images.get(name).target.digest == part["images"][0]["top"]["digest"]
    # And a name with the digest of then can be had again, although the tag has moved.
    pinned = f"{name}@{part['images'][0]['top']['digest']}"
    site.memory.images.delete(name)
    assert step(site, "pull", part=json.dumps(planned(site, pinned)))["changed"]
    assert site.memory.images.get(name).target.digest == part["images"][0]["top"]["digest"]
    # pull=always asks what the tag means now.
    moved = planned(site, name, pull="always")
    assert moved["images"][0]["top"]["digest"] != part["images"][0]["top"]["digest"]
    assert step(site, "pull", part=json.dumps(moved))["changed"]


def test_what_makes_no_sense_is_a_clear_error(site: MemorySite, busybox: str) -> None:
    for wrong, message in (
        ({"step": "look"}, "images: no image is named"),
        ({"step": "look", "images": ["UPPER"]}, "images: "),
        ({"step": "look", "images": [busybox], "heads": 0}, "heads: 0 is not a positive number"),
        ({"step": "look", "images": [busybox], "max_parallel": 0}, "max_parallel: 0 is not a positive number"),
        ({"step": "look", "images": [busybox], "timeout": -1}, "timeout: -1.0 is not a positive number"),
        ({"step": "look", "images": [busybox], "port": 65533}, "port: 65533 is not a port from 1 to 65532"),
        ({"step": "look", "images": [busybox], "listen": "h0"}, "listen: 'h0' is not an IP address"),
        ({"step": "resolve", "images": [busybox], "platforms": ["linux/"]}, "platform: invalid platform"),
        ({"step": "start"}, "part: it comes from the controller: use the role image_distribute"),
        ({"step": "wait", "part": "[1]"}, "part: it comes from the controller: use the role image_distribute"),
        ({"step": "report"}, "step: report is for the controller only: use the role image_distribute"),
    ):
        done = play(site, **wrong)
        assert done.failed
        assert done.msg.startswith(message), done.msg
    assert site.untouched()


def test_a_process_that_is_gone_is_told(site: MemorySite, busybox: str) -> None:
    failed = step(site, "wait", part=json.dumps(planned(site, busybox)))
    assert failed["failed"]
    assert failed["msg"].startswith("the process of the distribution has ended before it was done: ")


def test_a_pull_that_fails_says_why(site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
    top = small_image(layout)
    registry.push(layout.path, top, "lost", "1")
    part = planned(site, f"{registry.address}/lost:1")
    layer = json.loads(layout.read(top))["layers"][0]["digest"]
    registry.faults.append((layer, lambda at: at.send_error(404)))
    failed = step(site, "pull", part=json.dumps(part), retries=0)
    assert failed["failed"]
    assert failed["error"] == "NotFound"
    assert layer in failed["msg"]
    assert failed["images"] == []


def test_another_user_who_answers_in_the_place_of_the_process_is_not_believed(site: MemorySite, busybox: str) -> None:
    part = planned(site, busybox)
    code = (
        "import os,socket,sys;os.setuid(65534);s=socket.socket(socket.AF_UNIX);s.bind('\\0'+sys.argv[1]);s.listen();print(flush=True);"
        'c,_=s.accept();c.sendall(b\'{"images":[],"msg":"all is well"}\\n\')'
    )
    address = control_address(part["id"], part["me"])[1:]
    with subprocess.Popen([sys.executable, "-I", "-c", code, address], stdout=subprocess.PIPE) as stranger:
        assert stranger.stdout
        stranger.stdout.readline()
        failed = step(site, "wait", part=json.dumps(part))
        stranger.kill()
    assert failed["failed"]
    assert "another user's process answers in its place" in failed["msg"]
    assert "all is well" not in str(failed)


def test_processes_fetch_from_each_other_and_end(site: MemorySite, busybox: str, tmp_path: pathlib.Path) -> None:
    """They are the real ones, on addresses of loopback, and with stores of their own."""
    looks = {f"h{number}": step(site, "look", images=[busybox], listen=f"127.78.0.{number + 1}") for number in range(2)}
    resolved = step(site, "resolve", images=[busybox])["images"]
    parts = make_parts(looks, images_of(looks, resolved, [busybox]), Limits(timeout=60.0))
    roots, program = {name: str(tmp_path / name) for name in parts}, pathlib.Path(site.memory.data_root)
    try:
        for name, part in parts.items():
            started = step(site, "start", part=json.dumps(part), data_root=roots[name], state_root=f"{roots[name]}/run")
            assert (started["changed"], started["todo"]) == (False, [busybox])
        results = {name: step(site, "wait", part=json.dumps(part)) for name, part in parts.items()}
        assert [one["changed"] for one in results.values()] == [True, True]
        assert list(results["h0"]["bytes_from"]) == ["registry"]
        assert list(results["h1"]["bytes_from"]) == ["h0"]
        for root in roots.values():
            with contextlib.closing(EmbeddedEngine("default", root, f"{root}/run")) as engine:
                assert engine.images.get(busybox).target.digest == parts["h0"]["images"][0]["top"]["digest"]
        # The secret is in no command line, and nothing of it is on the disk.
        secret = parts["h0"]["secret"]
        assert len(processes_with(program)) == 2
        for pid, arguments in processes_with(program).items():
            assert secret not in " ".join(arguments)
            assert secret.encode() not in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        assert not any(secret.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        # After some seconds; after a minute if they had not been asked how it went.
        until(lambda: not processes_with(program), 40)
    finally:
        for pid in processes_with(program):
            os.kill(pid, signal.SIGKILL)


def test_the_part_is_in_no_result(site: MemorySite, busybox: str) -> None:
    part = planned(site, busybox)
    done = site.play(task("containerd_image_distribute", step="pull", part=json.dumps(part)))
    assert part["secret"] not in done.output
