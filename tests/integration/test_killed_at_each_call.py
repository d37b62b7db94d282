# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removals, recreations and jobs that are killed at any system call that changes something: the next run of the same task,
changed or not, leaves the store as if nothing had been killed.
"""

from __future__ import annotations

import random
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.attack import FULL
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image, hand_made_layers
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import Site

#: Groups of system calls, and how each fails where the disk is full or broken, or a process has too many open files.
FAULTS = {
    "write,pwrite64": "ENOSPC",
    "mkdir,mkdirat,symlink,ftruncate": "ENOSPC",
    "rename,renameat,renameat2": "EIO",
    "unlink,unlinkat,rmdir": "EIO",
    "fsync,fdatasync,syncfs": "EIO",
    "openat,openat2": "EMFILE",
    "umount2": "EIO",
}
CALLS = "write,pwrite64,sendto,sendmsg,mkdir,rename,renameat,renameat2,symlink,link,unlink,unlinkat,rmdir,ftruncate,mount,umount2,kill"
#: How many moments are tried of each operation when not all are.
FEW = 2
#: Of the calls of a kind, about the last that is made to fail when not all are.
MOST = 100
Options = t.Dict[str, t.Any]


class Operation(t.NamedTuple):
    """prepare: tasks before it; task: what is killed; left: how many containers and whether images are there at the end."""

    prepare: t.Sequence[t.Tuple[str, Options]]
    task: t.Tuple[str, Options]
    containers: int = 0
    images: bool = True


@pytest.fixture
def image(registry: Registry, layout: Layout) -> str:
    registry.push(layout.path, busybox_image(layout, hand_made_layers()), "killed-at", "1")
    return f"{registry.address}/killed-at:1"


def operations(image: str) -> t.Dict[str, Operation]:
    sleeping = {"name": "web", "image": image, "command": ["sleep", "1000"], "stop_signal": "KILL"}
    job = {"name": "job", "image": image, "command": ["true"], "detach": False, "cleanup": True}
    gone = {"name": "web", "state": "absent"}
    giver = {**sleeping, "name": "giver", "ipc_mode": "shareable"}
    taker = {**sleeping, "ipc_mode": "container:giver", "pid_mode": "container:giver"}
    taker.update(secrets=[{"name": "key", "content": "hush-hush"}], files=[{"path": "/new/file", "content": "text"}])
    return {
        "a removal": Operation([("containerd_container", sleeping)], ("containerd_container", gone)),
        "a recreation": Operation(
            [("containerd_container", sleeping)], ("containerd_container", {**sleeping, "env": {"A": "b"}}), containers=1
        ),
        "a job": Operation([("containerd_container", gone)], ("containerd_container", job)),
        "the removal of an image": Operation(
            [("containerd_image", {"name": image})], ("containerd_image", {"name": image, "state": "absent"}), images=False
        ),
        # The last one, since the other container stays.
        "a recreation of what uses another one": Operation(
            [("containerd_container", giver), ("containerd_container", taker)],
            ("containerd_container", {**taker, "env": {"A": "b"}}),
            containers=2,
        ),
    }


def wrong_after(site: Site, modules: Modules, operation: Operation) -> t.List[str]:
    """Run the task again; what is not as it would be had nothing been killed."""
    kind, options = operation.task
    result = modules.result(kind, **site.defaults, **options)
    wrong = [f"failed: {result['msg']}"] if result.get("failed") else []
    wrong += site.strays()
    with site.engine() as engine:
        found = len(engine.containers.list())
        wrong += [f"{found} containers"] * (found != operation.containers)
        wrong += ["something is still marked as begun"] * engine.interrupted()
        if not operation.images:
            wrong += [f"the blob {info.digest}" for info in engine.content.walk()]
            wrong += [f"the snapshot {info.name}" for info in engine.snapshotter().walk()]
    return wrong


@pytest.mark.timeout(3000 if FULL else 900)
@pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)
def test_the_next_run_leaves_nothing(site: Site, modules: Modules, image: str) -> None:
    wrong: t.List[str] = []
    choose = random.Random(7)
    for name, operation in operations(image).items():
        kind, options = operation.task

        def prepare(steps: t.Sequence[t.Tuple[str, Options]] = operation.prepare) -> None:
            modules.run("containerd_image", **site.defaults, name=image)
            for before, given in steps:
                modules.run(before, **site.defaults, **given)

        prepare()
        # Where the output goes is no part of the store.
        calls = [
            line for line in modules.killed_at(CALLS, 0, kind, **site.defaults, **options) if not line.startswith("write(1,")
        ]
        assert len(calls) > 10, calls
        moments = range(1, len(calls) + 1)
        for number in moments if FULL else sorted(choose.sample(moments, FEW - 1)) + [len(calls)]:
            prepare()
            killed = modules.killed_at(CALLS, number, kind, **site.defaults, **options)
            where = f"{name}, killed at call {number} of {len(calls)}: {killed[-2][:120] if killed[1:] else ''}"
            wrong += [f"{where}: {one}" for one in wrong_after(site, modules, operation)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(3000 if FULL else 900)
@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_a_fault_at_a_call(site: Site, modules: Modules, image: str) -> None:
    """It is told in one clear message, or it does no harm; and the next run leaves nothing."""
    wrong: t.List[str] = []
    choose = random.Random(8)
    for name, operation in operations(image).items():
        kind, options = operation.task
        for calls, error in FAULTS.items() if FULL else choose.sample(sorted(FAULTS.items()), FEW):
            number, hit = 0, "any"
            while hit and (FULL or number < MOST):
                number += 1 if FULL else choose.choice((1, 4, 16, 64))
                modules.run("containerd_image", **site.defaults, name=image)
                for before, given in operation.prepare:
                    modules.run(before, **site.defaults, **given)
                inject = f"{calls}:error={error}:when={number}"
                result, hit = modules.with_fault_of_its_own(inject, kind, **site.defaults, **options)
                where = f"{name}, {hit[:120]}, call {number}"
                if result is None and not hit.startswith("write(1,"):
                    wrong.append(f"{where}: no result")
                elif result and result.get("failed") and ("\n" in result["msg"] or not result.get("error")):
                    wrong.append(f"{where}: {result['msg'][:300]!r}")
                wrong += [f"{where}: {one}" for one in wrong_after(site, modules, operation)]
                assert len(wrong) < 20, "\n".join(wrong)
    assert not wrong, "\n".join(wrong)
