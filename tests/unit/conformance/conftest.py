# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines that the conformance suites run over. To add one: a name in ENGINES and its Opener in harness()."""

from __future__ import annotations

import contextlib
import gzip
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Labels
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import AlreadyExists
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs import lock
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mounted
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.tests.support.containerds import running_containerd
from ansible_collections.fleet.containerd.tests.support.memory_engine import MemoryEngine
from ansible_collections.fleet.containerd.tests.support.memory_store import World

from .box import Box

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine, Snapshotter

ENGINES = ("memory", "embedded-overlayfs", "embedded-native", "containerd-1.6", "containerd-1.7", "containerd-2.1")
WAIT = 0.3
#: A daemon's commit may take most of a second where the disk is slow.
DAEMON_WAIT = 2.0
PATIENCE = 60.0
LAYER = "application/vnd.oci.image.layer.v1.tar"

Opener = t.Callable[[str], "Engine"]


class Harness:
    """Engines over one store. open() gives another one, as another process of ours would see it."""

    def __init__(self, opener: Opener, directory: pathlib.Path, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
        self._opener, self._directory, self._opened = opener, directory, contextlib.ExitStack()
        self._monkeypatch, self._world = monkeypatch, world

    def open(self, namespace: str = "default") -> Engine:
        engine = self._opener(namespace)
        self._opened.callback(engine.close)
        return engine

    def be_patient(self) -> None:
        """Who waits for a lock gets it, however busy its holder is."""
        self._monkeypatch.setattr(lock, "DEFAULT_WAIT", PATIENCE)
        self._world.wait = PATIENCE

    def close(self) -> None:
        self._opened.close()

    def write_file(self, mounts: t.Sequence[t.Any], name: str, data: bytes) -> None:
        with self.view(mounts) as root:
            (root / name).write_bytes(data)

    @contextlib.contextmanager
    def view(self, mounts: t.Sequence[t.Any]) -> t.Iterator[pathlib.Path]:
        point = self._directory / "mounted"
        point.mkdir(exist_ok=True)
        with mounted(mounts, str(point)):
            yield point

    @contextlib.contextmanager
    def show(self, snapshotter: Snapshotter, name: str) -> t.Iterator[pathlib.Path]:
        """What is in a committed snapshot, read-only."""
        with snapshotter.look(name, view=True) as target, self.view(target.mounts()) as root:
            yield root


def descriptor(data: bytes, media_type: str = "application/octet-stream") -> Descriptor:
    return Descriptor(media_type, Digest.of(data), len(data))


def store(
    engine: Engine, data: bytes, labels: t.Optional[Labels] = None, media_type: str = "application/octet-stream"
) -> Descriptor:
    """Write a whole blob."""
    what = descriptor(data, media_type)
    with contextlib.suppress(AlreadyExists), engine.content.writer(f"test-{what.digest}", what) as ingest:
        ingest.write(data)
        ingest.commit(what.size, what.digest, labels)
    return what


def layer_of(engine: Engine, plain: bytes, compressed: bool = False) -> t.Tuple[Descriptor, Digest]:
    """Store a layer; its descriptor and diff id."""
    stored = gzip.compress(plain) if compressed else plain
    return store(engine, stored, media_type=LAYER + ("+gzip" if compressed else "")), Digest.of(plain)


def read(engine: Engine, what: Descriptor) -> bytes:
    with engine.content.open(what) as stream:
        return stream.read()


@pytest.fixture(params=ENGINES)
def harness(request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Harness]:
    monkeypatch.setattr(lock, "DEFAULT_WAIT", DAEMON_WAIT if request.param.startswith("containerd") else WAIT)
    world, stack = World(wait=WAIT), contextlib.ExitStack()
    kind, _dash, variant = request.param.partition("-")
    daemon = stack.enter_context(running_containerd(variant, collects=False)) if kind == "containerd" else None

    data, state = str(tmp_path / "data"), str(tmp_path / "state")

    def opener(namespace: str) -> Engine:
        if daemon:
            return ContainerdEngine(daemon.address, namespace, "", data, state)
        if request.param == "memory":
            return MemoryEngine(namespace, world)
        return EmbeddedEngine(namespace, data, state, variant)

    found = Harness(opener, tmp_path, monkeypatch, world)
    try:
        yield found
    finally:
        found.close()
        world.close()
        stack.close()


@pytest.fixture
def engine(harness: Harness) -> Engine:
    return harness.open()


@pytest.fixture
def box(engine: Engine, harness: Harness) -> t.Iterator[Box]:
    found = Box(engine, harness)
    yield found
    found.close()


@pytest.fixture
def snapshotter(engine: Engine) -> Snapshotter:
    return engine.snapshotter()
