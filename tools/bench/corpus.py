# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ground of the benchmarks: images of three kinds, a fresh file system, a daemon of containerd."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import pathlib
import random
import shutil
import subprocess
import tarfile
import tempfile
import time
import typing as t

from ...tests.support.images import DEFAULT_ENV, Entry, Layout, busybox_image, busybox_layer, directory, tar_of
from ...tests.support.registry import Registry
from .. import containerds

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CORPUS = ROOT / ".build" / "corpus"
_TREES = ("usr/lib", "usr/share", "usr/bin", "usr/include", "usr/sbin")


def _paths() -> t.Iterator[str]:
    """Files and directories of this machine, each directory before its content."""
    for tree in _TREES:
        for base, directories, files in os.walk(f"/{tree}"):
            directories.sort()
            yield base
            for path in (os.path.join(base, name) for name in sorted(files)):
                if os.path.islink(path) or (os.path.isfile(path) and os.path.getsize(path) < 2_000_000):
                    yield path


def _real_files(size: int, prefix: str = "") -> bytes:
    """A layer with size bytes of real files."""
    out = io.BytesIO()
    total = 0
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in _paths():
            archive.add(path, prefix + path.lstrip("/"), recursive=False)
            total += 0 if os.path.isdir(path) else os.lstat(path).st_size
            if total > size:
                break
    return out.getvalue()


def _small_files(count: int) -> bytes:
    return tar_of([directory("app"), *(Entry(f"app/file{n}", os.urandom(2000)) for n in range(count))])


def _many_files(count: int) -> t.List[bytes]:
    """Layers of very many small files, like a node_modules: text that compresses to a quarter."""
    source = random.Random(7)
    words = [bytes(source.choices(b"abcdefghijklmnopqrstuvwxyz_(){};=", k=source.randint(3, 18))) for _n in range(600)]
    layers = []
    for layer in range(3):
        entries = [directory(f"m{layer}")]
        for package in range(count // 3 // 30):
            entries.append(directory(f"m{layer}/p{package}"))
            for number in range(30):
                text = b" ".join(source.choices(words, k=source.randint(50, 2300)))
                entries.append(Entry(f"m{layer}/p{package}/f{number}.js", text))
        layers.append(tar_of(entries))
    return layers


_LAYERS: t.Dict[str, t.Callable[[], t.List[bytes]]] = {
    "debian-like": lambda: [_real_files(190_000_000), _small_files(500)],
    "application": lambda: [_small_files(100), _real_files(60_000_000, "app/")],
    "many-files": lambda: _many_files(90_000),
}


def _next_version(name: str) -> t.List[bytes]:
    """The layers of a corpus image, with a new top layer that has one more file."""
    layout, top = corpus(name)
    manifest = json.loads(layout.read(top))
    layers = [gzip.decompress(layout.read(layer)) for layer in manifest["layers"]]
    first = tar_of([Entry("version", b"2")])[:1024]
    return [*layers[:-1], first + layers[-1]]


def corpus(name: str) -> t.Tuple[Layout, t.Dict[str, t.Any]]:
    """Build an image layout once: busybox, debian-like (about 190 MB in 10,000 entries, and a layer of 500 small files),
    application (60 MB of files as the upper layer), many-files (90,000 entries in three layers).
    """
    path = CORPUS / name
    layout = Layout(path)
    top = path / "index.json"
    if top.exists():
        found = json.loads(top.read_text())["manifests"][0]
        return layout, {key: found[key] for key in ("mediaType", "digest", "size")}
    if name == "busybox":
        image = busybox_image(layout)
    elif name.endswith("-next"):
        image = layout.image(_next_version(name[: -len("-next")]), {"Env": DEFAULT_ENV, "Cmd": ["sh"]})
    else:
        image = layout.image([busybox_layer(), *_LAYERS[name]()], {"Env": DEFAULT_ENV, "Cmd": ["sh"]})
    layout.tag({key: image[key] for key in ("mediaType", "digest", "size")}, name)
    return layout, image


@contextlib.contextmanager
def fresh_filesystem(size: str = "12G") -> t.Iterator[pathlib.Path]:
    """A new ext4 on a loop device."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="fleet-bench-"))
    mounted = False
    try:
        subprocess.run(["truncate", "-s", size, base / "disk"], check=True)
        options = ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-O", "^metadata_csum_seed"]
        subprocess.run(["mkfs.ext4", *options, base / "disk"], check=True)
        (base / "mnt").mkdir()
        subprocess.run(["mount", "-o", "loop", base / "disk", base / "mnt"], check=True)
        mounted = True
        yield base / "mnt"
    finally:
        if mounted:
            # podman leaves a mount in its store.
            for line in reversed(pathlib.Path("/proc/self/mountinfo").read_text().splitlines()):
                if line.split()[4].startswith(f"{base}/mnt/"):
                    subprocess.run(["umount", line.split()[4]], check=True)
            subprocess.run(["umount", base / "mnt"], check=True)
        shutil.rmtree(base)


class Daemon(t.NamedTuple):
    """A running containerd."""

    version: str
    ctr: t.Tuple[str, ...]
    root: pathlib.Path
    process: subprocess.Popen[bytes]

    def run(self, *arguments: str) -> None:
        self.output(*arguments)

    def output(self, *arguments: str) -> str:
        # starts: (what tools/containerds.py fetched)
        return subprocess.run([*self.ctr, *arguments], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def daemon(suite: str, base: pathlib.Path) -> t.Iterator[Daemon]:
    """containerd of a Debian suite with its root below base; pigz and igzip are not used."""
    binaries = containerds.fetch(suite) / "usr/bin"
    state = pathlib.Path(tempfile.mkdtemp(prefix="fleet-ctrd-", dir="/run"))
    address = state / "c.sock"
    root = base / f"containerd-{suite}"
    config = state / "config.toml"
    config.write_text(
        f'version = 2\nroot = "{root}"\nstate = "{state}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{address}"\n'
    )
    env = {"PATH": f"{binaries}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "CONTAINERD_DISABLE_PIGZ": "1"}
    env["CONTAINERD_DISABLE_IGZIP"] = "1"
    log = (state / "log").open("wb")
    # starts: (what tools/containerds.py fetched)
    process = subprocess.Popen([binaries / "containerd", "--config", config], stdout=log, stderr=log, env=env)
    try:
        for _try in range(200):
            if address.exists():
                break
            time.sleep(0.05)
        # starts: (what tools/containerds.py fetched)
        version = subprocess.run([binaries / "ctr", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
        yield Daemon(version, (str(binaries / "ctr"), "--address", str(address)), root, process)
    finally:
        process.terminate()
        process.wait(20)
        log.close()
        for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
            point = line.split()[4]
            if point.startswith(f"{state}/"):
                subprocess.run(["umount", "-l", point], check=False)
        shutil.rmtree(state)


def push(registry: Registry, name: str) -> str:
    """Push a corpus image. Returns its reference."""
    layout, top = corpus(name)
    registry.push(layout.path, top, name, "1")
    return f"{registry.address}/{name}:1"
