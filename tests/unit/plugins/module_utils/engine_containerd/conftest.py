# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live daemons of three versions, an engine on each, and a busybox image pulled into it."""

from __future__ import annotations

import contextlib
import pathlib
import secrets
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container, TaskIO
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.image.pull import PullResult
from ansible_collections.fleet.containerd.plugins.module_utils.image.source import RegistrySource
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.registry.client import RegistryClient
from ansible_collections.fleet.containerd.plugins.module_utils.registry.options import RegistryOptions
from ansible_collections.fleet.containerd.tests.support.client import pull
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, Daemon, running_containerd
from ansible_collections.fleet.containerd.tests.support.images import Layout, hand_made_layers
from ansible_collections.fleet.containerd.tests.support.leftovers import mounts_below
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.specs import busybox_spec


@pytest.fixture(scope="session", params=sorted(RELEASES))
def daemon(request: pytest.FixtureRequest) -> t.Iterator[Daemon]:
    """For tests that leave the daemon running and clean."""
    with running_containerd(request.param, cri=True) as running:
        yield running


@pytest.fixture(scope="session")
def hand_made(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with whiteouts, opaque directories and hardlinks across its layers."""
    layout = Layout(tmp_path_factory.mktemp("handmade"))
    registry.push(layout.path, layout.image(hand_made_layers()), "handmade-live", "1")
    return f"{registry.address}/handmade-live:1"


class Live:
    """An engine on a daemon, and what tests do with it again and again."""

    def __init__(self, daemon: Daemon, data_root: pathlib.Path, namespace: str = "default") -> None:
        self.daemon, self.data_root = daemon, data_root
        self.engine = ContainerdEngine(daemon.address, namespace, "", str(data_root))

    def pull(self, name: str, engine: t.Any = None) -> PullResult:
        with contextlib.closing(RegistryClient(RegistryOptions(plain_http=True))) as client:
            return pull(engine or self.engine, RegistrySource(client, Reference.parse(name, "name")), Platform.host())

    def make(self, image: PullResult, *args: str, tty: bool = False, **more: t.Any) -> Container:
        """A container record with its snapshot."""
        engine, container_id = self.engine, secrets.token_hex(32)
        store = engine.snapshotter()
        with engine.lease():
            store.prepare(container_id, image.view.chain_id)
            spec = busybox_spec(container_id, engine.namespace, args, tty)
            return engine.containers.create(Container(container_id, image.image.name, spec, store.name, container_id, **more))

    def io(self, container: Container, tty: bool = False, **more: t.Any) -> TaskIO:
        return TaskIO(terminal=tty, log_path=f"{self.engine.container_dir(container.id)}/{container.id}-json.log", **more)

    def run(self, container: Container, tty: bool = False, **more: t.Any) -> None:
        mounts = self.engine.snapshotter(container.snapshotter).mounts(container.snapshot_key)
        self.engine.tasks.start(container, mounts, self.io(container, tty, **more))

    def remove(self, container: Container) -> None:
        engine = self.engine
        with contextlib.suppress(NotFound):
            engine.tasks.delete(container.id, force=True)
        engine.containers.delete(container.id)
        with contextlib.suppress(NotFound):
            engine.snapshotter(container.snapshotter).remove(container.snapshot_key)

    def nothing_left(self) -> None:
        """No lease, ingest, task or mount is left in the daemon, and no log writer on the host."""
        rpc = self.engine._rpc
        assert rpc.call("leases.v1.Leases/List")["leases"] == []
        assert self.engine.content.ingests() == []
        assert self.engine.tasks.list() == []
        assert [info.name for info in self.engine.snapshotter().walk() if info.name.startswith("extract-")] == []
        assert [point for point in mounts_below(self.daemon.state) if point.endswith("/rootfs")] == []
        deadline = time.monotonic() + 5
        while self._writers() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self._writers() == []

    def _writers(self) -> t.List[str]:
        """Command lines of log writers that write below our data root."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                found.append(path.read_text(errors="replace"))
        return [line for line in found if "main(['log'" in line and str(self.data_root) in line]


@pytest.fixture
def live(daemon: Daemon, tmp_path: pathlib.Path) -> t.Iterator[Live]:
    found = Live(daemon, tmp_path / "data")
    try:
        yield found
        found.nothing_left()
    finally:
        for container in found.engine.containers.list():
            found.remove(container)
        for image in found.engine.images.list():
            found.engine.images.delete(image.name)
        found.engine.close()
