# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A place to be attacked: a registry of ours that lies, a module that pulls from it in a child process, a canary beside the store.

What an attack does to the host is measured from outside: the canary, requests, seconds, memory, disk, and all that was printed.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pathlib
import stat
import time
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Mount
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mounted
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.remove import remove_tree
from ansible_collections.fleet.containerd.plugins.module_utils.image.source import RegistrySource
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.registry.client import RegistryClient, RegistryOptions
from ansible_collections.fleet.containerd.tests.support import trees
from ansible_collections.fleet.containerd.tests.support.client import pull
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, fake_registry
from ansible_collections.fleet.containerd.tests.support.images import CONFIG, LAYER, MANIFEST, sha256
from ansible_collections.fleet.containerd.tests.support.modules import Modules, running_modules

Json = t.Dict[str, t.Any]
#: Once in a while (make attacks): all attacks, larger and more often.
FULL = os.environ.get("FLEET_ATTACKS") == "full"
#: What a password looks like that must be seen nowhere.
SECRET = "s3cret-pa55word"


class Layer(t.NamedTuple):
    """A layer as it lies in the registry. diff_id: what the config says of it."""

    data: bytes
    diff_id: str
    media_type: str = LAYER

    @classmethod
    def of(cls, tar: bytes) -> Layer:
        """An honest one."""
        return cls(gzip.compress(tar, 1, mtime=0), sha256(tar))

    @property
    def descriptor(self) -> Json:
        return {"mediaType": self.media_type, "digest": sha256(self.data), "size": len(self.data)}


class Image:
    """An image that is put together by hand: config and manifest can be changed before it is published."""

    def __init__(self, *layers: Layer, **config: t.Any) -> None:
        self.layers = layers
        diff_ids = [layer.diff_id for layer in layers]
        self.config: Json = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}, **config}
        self.manifest: Json = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer.descriptor for layer in layers]}

    def publish(self, registry: FakeRegistry, name: str = "app", tag: str = "1") -> bytes:
        """Put it into a registry; the manifest's bytes."""
        for layer in self.layers:
            put_blob(registry, layer.data, name)
        config = json.dumps(self.config).encode()
        put_blob(registry, config, name)
        own = {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)}
        return put_manifest(registry, json.dumps({"config": own, **self.manifest}).encode(), name=name, tag=tag)


def put_blob(registry: FakeRegistry, data: bytes, name: str = "app", digest: str = "") -> str:
    registry.contents[f"/v2/{name}/blobs/{digest or sha256(data)}"] = (data, "application/octet-stream")
    return digest or sha256(data)


def put_manifest(registry: FakeRegistry, data: bytes, media_type: str = MANIFEST, name: str = "app", tag: str = "1") -> bytes:
    registry.contents[f"/v2/{name}/manifests/{sha256(data)}"] = (data, media_type)
    if tag:
        registry.contents[f"/v2/{name}/manifests/{tag}"] = (data, media_type)
    return data


class Outcome(t.NamedTuple):
    """What a pull came to. peak: MiB of memory; disk: MiB below the data root at the end; requests: to the registry itself."""

    result: Json
    seconds: float
    peak: int
    disk: int
    requests: int

    @property
    def failed(self) -> bool:
        return bool(self.result.get("failed"))

    @property
    def message(self) -> str:
        return str(self.result.get("msg", ""))

    def unclear(self) -> str:
        """What is wrong with a failure's message; empty when it is one printable line of a known error."""
        if not self.message or not self.message.isprintable() or len(self.message) > 2500:
            return f"the message is {self.message[:400]!r}"
        return "" if self.result.get("error") else f"not an error of ours: {self.message[:400]}"


class Ground:
    """registry: to lie with; elsewhere: another origin; canary: a directory that must not change."""

    def __init__(self, base: pathlib.Path, modules: Modules, registry: FakeRegistry, elsewhere: FakeRegistry) -> None:
        self._modules, self.registry, self.elsewhere = modules, registry, elsewhere
        self.base, self.data, self.state, self.canary = base, base / "data", base / "state", base / "canary"
        self.options: Json = {
            "engine": "embedded",
            "data_root": str(self.data),
            "state_root": str(self.state),
            "plain_http": True,
            "registry_config_dir": "",
            "retries": 1,
            "retry_delay": 0.01,
            "progress_timeout": 0.6,
        }
        self.canary.mkdir()
        (self.canary / "canary").write_text("alive")
        (self.canary / "inner").mkdir(0o700)
        (self.canary / "inner" / "file").write_text("alive")
        self._before = self._outside()

    @property
    def name(self) -> str:
        return f"{self.registry.address}/app:1"

    def _outside(self) -> trees.Tree:
        return trees.snapshot(self.base, skip=("data", "state", "result"))

    def touched(self) -> t.List[str]:
        """What has changed outside the store."""
        return trees.differences(self._before, self._outside(), ignore=(".:mtime_ns",))

    def pull(self, **options: t.Any) -> Outcome:
        before, started = len(self.registry.seen), time.monotonic()
        result = self._modules.result("containerd_image", **{**self.options, "name": self.name, **options})
        seconds = time.monotonic() - started
        return Outcome(result, seconds, self._modules.peak // 1024, disk_usage(self.data), len(self.registry.seen) - before)

    def pull_killed(self, seconds: float) -> None:
        """A pull that is killed after so many seconds."""
        self._modules.kill_after(seconds, "containerd_image", **{**self.options, "name": self.name})

    def pull_while(self, seconds: float, action: t.Callable[[], None]) -> t.Optional[Json]:
        """A pull during which something happens; None when it could not tell how it ended."""
        return self._modules.interrupted(seconds, action, "containerd_image", **{**self.options, "name": self.name})

    def pull_with_fault(self, inject: str, **options: t.Any) -> t.Tuple[t.Optional[Json], str]:
        """Modules.with_fault for a pull."""
        return self._modules.with_fault(inject, "containerd_image", **{**self.options, "name": self.name, **options})

    def pull_here(self, snapshotter: str = "", **options: t.Any) -> Outcome:
        """The same in this process: without the module, its output and its memory, and ten times as fast."""
        given = {**self.options, **options}
        name = given.pop("name", self.name)
        registry = RegistryOptions(**{key: value for key, value in given.items() if key in RegistryOptions._fields})
        before, started = len(self.registry.seen), time.monotonic()
        result: Json = {}
        with self.engine() as engine, contextlib.closing(RegistryClient(registry)) as client:
            try:
                pull(engine, RegistrySource(client, Reference.parse(name)), Platform("linux", "amd64"), snapshotter)
            except EngineError as error:
                result = {"failed": True, "msg": str(error), "error": type(error).__name__, **error.details}
        seconds, requests = time.monotonic() - started, len(self.registry.seen) - before
        return Outcome(result, seconds, 0, disk_usage(self.data), requests)

    def printed(self) -> str:
        """All that the last module has printed."""
        return (self.base / "result").read_text()

    @contextlib.contextmanager
    def engine(self) -> t.Iterator[EmbeddedEngine]:
        with contextlib.closing(EmbeddedEngine("default", str(self.data), str(self.state))) as engine:
            yield engine

    def tree(self, snapshotter: str = "") -> trees.Tree:
        """The tree of the one image."""
        with self.engine() as engine:
            store = engine.snapshotter(snapshotter)
            (top,) = {info.name for info in store.walk()} - {info.parent for info in store.walk()}
            scratch = self.base / "look"
            scratch.mkdir(exist_ok=True)
            try:
                with store.look(top) as target, mounted(target.mounts(), str(scratch)):
                    return trees.snapshot(scratch)
            finally:
                scratch.rmdir()

    def remnants(self) -> t.List[str]:
        """What a refused image has left."""
        content = self.data / "content"
        found = [f"ingest {path.name}" for path in content.glob("ingest/*")]
        found += [f"blob {path.name}" for path in content.glob("blobs/*/*")]
        found += [f"snapshot {path}" for path in self.data.glob("snapshots/*/*")]
        with self.engine() as engine:
            for table in ("content", "images", "snapshots", "leases", "lease_items"):
                found += [f"{table}: {row}" for row in engine._database.query(f"SELECT * FROM {table}")]
        return found

    def reset(self) -> None:
        """A new start: no store, no faults, no requests."""
        for root in (self.data, self.state):
            remove_tree(str(root))
        for server in (self.registry, self.elsewhere):
            server.contents.clear()
            server.faults.clear()
            server.seen.clear()
            server.guard, server.ranges = None, True


def disk_usage(path: pathlib.Path) -> int:
    """MiB of the blocks below a directory."""
    total = 0
    for top, directories, files in os.walk(path):
        for name in [*directories, *files]:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(top, name)).st_blocks
    return total // 2048


def listing(tree: trees.Tree) -> t.Dict[str, str]:
    """A tree in short: dir, fifo, char 1:3, -> target, or the beginning of a file's digest (see text)."""
    found = {}
    for path, node in tree.items():
        if path == ".":
            continue
        short = {"directory": "dir", "symlink": f"-> {node.target}", "file": node.sha256[:12], "fifo": "fifo"}
        found[path] = short.get(node.type) or f"{node.type.partition(' ')[0][:5]} {node.rdev[0]}:{node.rdev[1]}"
    return found


def text(content: t.Union[str, bytes] = b"") -> str:
    """A file of this content in a listing."""
    return sha256(content.encode() if isinstance(content, str) else content)[7:19]


def modes(tree: trees.Tree) -> t.Dict[str, int]:
    return {path: stat.S_IMODE(int(node.mode, 8)) for path, node in tree.items()}


@contextlib.contextmanager
def attacked_ground(base: pathlib.Path) -> t.Iterator[Ground]:
    """A ground in a tmpfs below base, a directory of the test's own."""
    path = base / "ground"
    path.mkdir()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mounted([Mount("tmpfs", "tmpfs", ("size=4g", "mode=0755"))], str(path)))
        registry, elsewhere = stack.enter_context(fake_registry()), stack.enter_context(fake_registry())
        modules = stack.enter_context(running_modules(path / "result"))
        yield Ground(path, modules, registry, elsewhere)
