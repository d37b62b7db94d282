# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process leaves that is killed while it holds a lock: whoever holds that lock next removes it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine
from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import DESIRED
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container, Runtime
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mount
from ansible_collections.fleet.containerd.tests.support.containerds import running_containerd
from ansible_collections.fleet.containerd.tests.support.leftovers import mounts_below

Open = t.Callable[[], Engine]


@pytest.fixture(params=["overlayfs", "native", pytest.param("containerd", marks=pytest.mark.daemon)])
def opened(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> t.Iterator[Open]:
    data = str(tmp_path / "data")
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(running_containerd("1.7")) if request.param == "containerd" else None

        def opener() -> Engine:
            if daemon:
                return ContainerdEngine(daemon.address, "default", "", data)
            return EmbeddedEngine("default", data, str(tmp_path / "state"), request.param)

        yield opener


def killed_at_work(opener: Open, name: str) -> None:
    """A process that is killed while it makes a container, with something mounted, and an ingest half done."""
    pid = os.fork()
    if not pid:
        engine = opener()
        with engine.lock(name), engine.lease():
            engine.snapshotter().prepare("active")
            point = os.path.join(engine.container_dir("a" * 64), "rootfs")
            os.mkdir(point)
            mount("tmpfs", "tmpfs", point)
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)


def left(engine: Engine) -> t.List[str]:
    path = pathlib.Path(engine.container_dir("b" * 64)).parent
    names = [one.name for one in path.iterdir() if one.name != "b" * 64]
    return sorted([*(info.name for info in engine.snapshotter().walk()), *names, *mounts_below(path)])


def test_whoever_holds_the_lock_next_removes_what_is_left(opened: Open) -> None:
    engine = opened()
    assert not engine.interrupted()
    killed_at_work(opened, "container web")
    assert len(left(engine)) == 3
    with engine.lock("container db"):
        pass
    assert len(left(engine)) == 3
    assert engine.interrupted()
    with engine.lock("container web"):
        assert not engine.interrupted()
    assert left(engine) == []
    assert not engine.interrupted()
    engine.close()


def test_while_somebody_holds_a_lease_a_rest_waits(opened: Open) -> None:
    engine, other = opened(), opened()
    killed_at_work(opened, "container web")
    with other.lease(), engine.lock("container web"):
        pass
    assert engine.interrupted()
    with engine.lock("container web"):
        pass
    assert left(engine) == []
    assert not engine.interrupted()
    other.close()
    engine.close()


def test_a_failure_leaves_no_rest_and_no_mark(opened: Open) -> None:
    engine = opened()
    with pytest.raises(FailedPrecondition), engine.lock("container web"):
        engine.container_dir("a" * 64)
        raise FailedPrecondition("no")
    assert (left(engine), engine.interrupted()) == ([], False)
    # Who cannot reach a daemon or a registry leaves that to the next run.
    with pytest.raises(Unavailable), engine.lock("container web"):
        raise Unavailable("no answer")
    assert engine.interrupted()
    with engine.lock("container web"):
        pass
    assert not engine.interrupted()
    engine.close()


def test_locks_leave_no_file_for_each_name(opened: Open, tmp_path: pathlib.Path) -> None:
    engine = opened()
    for number in range(5):
        with engine.lock(f"image {number}"), engine.lock(f"container {number}"):
            pass
    files = [path for path in (tmp_path / "data" / "locks").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["spare"]
    engine.close()


@pytest.mark.daemon
def test_a_record_whose_snapshot_was_never_made_goes(tmp_path: pathlib.Path) -> None:
    """The daemon made it, and the answer was lost."""
    with running_containerd("1.7") as daemon:
        engine = ContainerdEngine(daemon.address, "default", "", str(tmp_path))
        for digit, own in (("a", {DESIRED: {"schema": 1}}), ("b", {})):
            made = Container(digit * 64, "none", {}, "overlayfs", digit * 64, runtime=Runtime(binary="runc"), extensions=own)
            engine.containers.create(made)
        with pytest.raises(Unavailable), engine.lock("container web"):
            raise Unavailable("the answer was lost")
        with engine.lock("container web"):
            assert [one.id for one in engine.containers.list()] == ["b" * 64]
        engine.close()
