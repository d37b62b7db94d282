# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed while the daemon makes a task for it: whatever stays of that task, the next run starts or removes the container."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import RUNNING, Container
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd import tasks, unfinished
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.unfinished import Mark, settle
from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.libexec import install
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import steps
from ansible_collections.fleet.containerd.plugins.module_utils.rpc.channel import Channel
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import arguments_of, with_argument
from ansible_collections.fleet.containerd.tests.support.containerds import Daemon

from .conftest import Live

_CHILD = "import subprocess; subprocess.run(['sleep', '60'])"
_ALONE = "import time; time.sleep(60)"


def shims(container: Container) -> t.List[int]:
    return [process.pid for process, words in with_argument(container.id) if "-namespace" in words]


def wait_until(there: t.Callable[[], t.Any]) -> None:
    deadline = time.monotonic() + 10
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def opens_its_log(container: Container) -> bool:
    """fifo.OpenFifo of containerd has found the pipe, and opens it next."""
    with contextlib.suppress(OSError, IndexError):
        directory = pathlib.Path(f"/proc/{shims(container)[0]}/fd")
        return any(os.readlink(path).endswith("/log") for path in directory.iterdir())
    return False


def lose(daemon: Daemon, container: Container, bundle: pathlib.Path) -> None:
    """What the daemon does when the caller of Create goes at the wrong moment: it starts a shim, closes its end of the log before
    the shim has opened it, and deletes the bundle. The shim waits for a reader, for ever, and its socket takes connections.
    """
    bundle.mkdir()
    os.mkfifo(bundle / "log")
    (bundle / "config.json").write_text("{}")
    options = ["-namespace", "default", "-address", daemon.address, "-publish-binary", "containerd", "-id", container.id]
    # starts: (what tools/containerds.py fetched)
    subprocess.run(
        [daemon.bin / "containerd-shim-runc-v2", *options, "start"],
        cwd=bundle,
        env={**daemon.environment, "TTRPC_ADDRESS": f"{daemon.address}.ttrpc"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    wait_until(lambda: opens_its_log(container))
    shutil.rmtree(bundle)


class Losing(Channel):
    """A channel whose caller of Create goes at that moment."""

    def __init__(self, daemon: Daemon, lose: t.Callable[[], None]) -> None:
        super().__init__(daemon.address, "default")
        self._lose = lose

    def open(self, method: str, timeout: t.Optional[float] = 60.0, whole: bool = True) -> t.Any:
        if method.endswith("Tasks/Create"):
            self._lose()
            raise Unavailable("killed")
        return super().open(method, timeout, whole)


@pytest.mark.parametrize("step", ["start", "remove"])
def test_a_shim_that_the_daemon_has_lost(
    live: Live, busybox: str, step: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start takes a shim of its own, and does not wait two minutes for one that never answers."""
    container = live.make(live.pull(busybox), "sleep", "1000")
    killed = Live(live.daemon, live.data_root)
    killed.engine._rpc = Losing(live.daemon, lambda: lose(live.daemon, container, tmp_path / "bundle"))
    with pytest.raises(Unavailable, match="killed"):
        steps.start(killed.engine, container)
    (lost,) = shims(container)
    monkeypatch.setattr(tasks, "_CREATE_SECONDS", 10.0)
    if step == "start":
        steps.start(live.engine, container)
        assert live.engine.tasks.state(container.id).status == RUNNING
        assert len(shims(container)) == 1
    else:
        steps.remove(live.engine, container)
    assert lost not in shims(container)
    if step == "start":
        steps.remove(live.engine, container)
    # A daemon may answer before the shim has ended.
    wait_until(lambda: not shims(container))


def test_a_task_that_the_daemon_still_takes_away(live: Live, busybox: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shim is in the middle of Create (its log writer is slow) when the caller goes. The daemon waits 5 s until the shim has
    deleted the task, in vain; the shim makes it after that."""
    container = live.make(live.pull(busybox), "sleep", "1000")
    code = install.log_code
    with monkeypatch.context() as slow:
        slow.setattr(tasks, "_CREATE_SECONDS", 0.3)
        slow.setattr(install, "log_code", lambda *arguments: f"import time;time.sleep(5.5);{code(*arguments)}")
        with contextlib.closing(Live(live.daemon, live.data_root).engine) as killed, pytest.raises(Unavailable):
            steps.start(killed, container)
    steps.start(live.engine, container)
    assert live.engine.tasks.state(container.id).status == RUNNING
    # What was still to be taken away was not this task.
    time.sleep(1)
    assert live.engine.tasks.state(container.id).status == RUNNING
    steps.remove(live.engine, container)
    wait_until(lambda: not shims(container))
    with pytest.raises(NotFound):
        live.engine.tasks.state(container.id)


@contextlib.contextmanager
def process(cwd: pathlib.Path, code: str, *options: str) -> t.Iterator[subprocess.Popen[bytes]]:
    """A process with the options of a shim, in its bundle."""
    cwd.mkdir(exist_ok=True)
    with subprocess.Popen([sys.executable, "-c", code, *options], cwd=cwd, start_new_session=True) as running:
        try:
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, 9)


def test_only_the_lost_shim_of_that_container_is_killed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = tmp_path / "containerd.sock"
    (tmp_path / "alias").symlink_to(tmp_path)
    asked: t.List[int] = []

    def settled(seconds: float = 15.0) -> bool:
        monkeypatch.setattr(unfinished, "_SECONDS", seconds)
        return settle(str(tmp_path / "alias" / "containerd.sock"), "ns", "web", lambda: asked.append(1))

    ours = ["-namespace", "ns", "-id", "web", "-address", str(address)]
    others = (
        ["-namespace", "other", *ours[2:]],
        [*ours[:4], "-address", "/other.sock"],
        [*ours[:2], "-id", "db", *ours[4:], "web"],
    )
    with contextlib.ExitStack() as stack:
        bystanders = [stack.enter_context(process(tmp_path / "gone", _ALONE, *options)) for options in others]
        shutil.rmtree(tmp_path / "gone")
        assert settled()
        assert asked == []
        with process(tmp_path / "kept", _ALONE, *ours) as kept:
            # Somebody may still work on it: the daemon is asked, and nothing is killed.
            assert not settled(0.5)
            assert asked
            shutil.rmtree(tmp_path / "kept")
            assert settled()
            assert kept.wait() == -9
        with process(tmp_path / "shared", _CHILD, *ours) as shared:
            # Other containers run in it, though the one that it was started for has gone.
            children = pathlib.Path(f"/proc/{shared.pid}/task/{shared.pid}/children")
            wait_until(lambda: any("sleep" in arguments_of(int(pid)) for pid in children.read_text().split()))
            shutil.rmtree(tmp_path / "shared")
            assert not settled(0.5)
            assert shared.poll() is None
        assert [one.poll() for one in bystanders] == [None] * 3


def test_a_mark_that_cannot_be_set(tmp_path: pathlib.Path) -> None:
    mark = Mark(str(tmp_path / "missing" / "mark"))
    mark.set()
    assert not mark
    mark.clear()
