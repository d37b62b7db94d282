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

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import DESIRED
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container, Runtime
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_host.place import Place
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, NotFound, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mount
from ansible_collections.fleet.containerd.tests.support.containerds import running_containerd
from ansible_collections.fleet.containerd.tests.support.leftovers import mounts_below

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine

Open = t.Callable[[], "Engine"]


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
    assert engine.interrupted()
    with engine.lock("container web"):
        assert not engine.interrupted()
    assert left(engine) == []
    assert not engine.interrupted()
    engine.close()


def test_whoever_holds_any_lock_next_removes_what_is_left(opened: Open) -> None:
    """A name that nobody asks for again makes the others' runs expensive once, not for ever."""
    engine = opened()
    killed_at_work(opened, "container web")
    with engine.lock("container db"):
        with engine.lock("image x"):
            pass
        assert len(left(engine)) == 3
    assert (left(engine), engine.interrupted()) == ([], False)
    engine.close()


def test_who_is_killed_while_others_tidy_is_not_forgotten(tmp_path: pathlib.Path) -> None:
    def tidy() -> bool:
        pid = os.fork()
        if not pid:
            with place.lock("container late"):
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        return True

    place = Place(str(tmp_path), "default", tidy=tidy)
    pathlib.Path(place.leases).parent.joinpath("0" * 32).touch()
    with place.lock("container web"):
        pass
    assert [len(path.name) for path in tmp_path.rglob("locks/*/*/*") if path.name != "spare"] == [32]
    assert place.interrupted()


def stored(engine: Engine) -> pathlib.Path:
    """What a program has in a volume of its image, and nothing but the directory is known of."""
    volume = pathlib.Path(engine.container_dir("c" * 64), "volumes", "0")
    volume.mkdir(parents=True)
    (volume / "table").write_text("precious")
    return volume


def test_a_container_that_is_not_known_keeps_its_volumes(opened: Open) -> None:
    """The daemon's disk, or the database, is not there by accident."""
    engine = opened()
    volume, log = stored(engine), pathlib.Path(engine.container_dir("d" * 64), "log")
    log.touch()
    with engine.lock("container web"):
        with engine.lease():
            pass
        engine.collect()
    assert (volume / "table").read_text() == "precious"
    assert not log.exists()
    engine.close()


def test_volumes_go_with_the_record(opened: Open) -> None:
    engine = opened()
    volume = stored(engine)
    engine.containers.create(Container("c" * 64, "none", {}, "", "", runtime=Runtime(binary="runc")))
    engine.containers.delete("c" * 64)
    assert not volume.parent.parent.exists()
    with pytest.raises(NotFound):
        engine.containers.delete("c" * 64)
    engine.close()


def test_volumes_of_a_removal_that_fails_stay(tmp_path: pathlib.Path) -> None:
    place = Place(str(tmp_path), "default")
    volume = pathlib.Path(place.container_dir("x"), "volumes", "0")
    volume.mkdir(parents=True)
    with pytest.raises(FailedPrecondition), place.removing("x"):
        assert not volume.exists()
        raise FailedPrecondition("no")
    assert volume.exists()
    place.set_aside_strangers(lambda: ())
    assert place.sweep()
    assert volume.exists()


def test_volumes_of_a_killed_removal_are_swept(tmp_path: pathlib.Path) -> None:
    place = Place(str(tmp_path), "default")
    directory = pathlib.Path(place.container_dir("x"))
    (directory / "volumes" / "0").mkdir(parents=True)
    pid = os.fork()
    if not pid:
        with place.removing("x"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert place.set_aside_strangers(lambda: ("x",))
    assert directory.exists()
    assert place.set_aside_strangers(lambda: ())
    assert [path.name[:4] for path in directory.parent.iterdir()] == [".rm-"]
    assert place.sweep()
    assert list(directory.parent.iterdir()) == []


def test_volumes_that_are_to_stay(opened: Open) -> None:
    engine = opened()
    volume = stored(engine)
    for name in ("log", "volumes.json"):
        (volume.parent.parent / name).touch()
    engine.containers.create(Container("c" * 64, "none", {}, "", "", runtime=Runtime(binary="runc")))
    engine.containers.delete("c" * 64, keep_volumes=True)
    assert [path.name for path in volume.parent.parent.iterdir()] == ["volumes"]
    assert (volume / "table").read_text() == "precious"
    engine.containers.create(Container("d" * 64, "none", {}, "", "", runtime=Runtime(binary="runc")))
    log = pathlib.Path(engine.container_dir("d" * 64), "log")
    log.touch()
    engine.containers.delete("d" * 64, keep_volumes=True)
    assert not log.parent.exists()
    engine.close()


def test_a_removal_that_keeps_volumes_fails_or_is_killed(tmp_path: pathlib.Path) -> None:
    """Until the record is gone the container uses them; afterwards it does not, although a killed run left its files."""
    place = Place(str(tmp_path), "default")
    directory = pathlib.Path(place.container_dir("x"))
    (directory / "volumes" / "0").mkdir(parents=True)
    (directory / "volumes.json").touch()
    with pytest.raises(FailedPrecondition), place.removing("x", keep_volumes=True):
        assert not (directory / "volumes.json").exists()
        raise FailedPrecondition("no")
    assert (directory / "volumes.json").exists()
    pid = os.fork()
    if not pid:
        with place.removing("x", keep_volumes=True):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    place.set_aside_strangers(lambda: ())
    assert place.sweep()
    assert sorted(path.name for path in directory.iterdir()) == [".rm-volumes.json", "volumes"]


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
        for digit, own in (("a", {DESIRED: {"schema": 1}}), ("b", {}), ("c", {DESIRED: {"schema": 1}})):
            made = Container(digit * 64, "none", {}, "overlayfs", digit * 64, runtime=Runtime(binary="runc"), extensions=own)
            engine.containers.create(made)
        with pytest.raises(Unavailable), engine.lock("container web"):
            raise Unavailable("the answer was lost")
        # This one has lost it, and not what it wrote.
        (pathlib.Path(engine.container_dir("c" * 64)) / "log").touch()
        with engine.lock("container web"):
            assert [one.id for one in engine.containers.list()] == ["b" * 64, "c" * 64]
        engine.close()
