# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls that are killed or lose power at any moment, and stores that were damaged since: absent or whole, and the next pull repairs."""

from __future__ import annotations

import hashlib
import os
import pathlib
import random
import shutil
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Mount
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mounted
from ansible_collections.fleet.containerd.tests.support import trees
from ansible_collections.fleet.containerd.tests.support.attack import FULL, Ground, Image, Layer, attacked_ground, put_manifest
from ansible_collections.fleet.containerd.tests.support.hostile_registries import child, index
from ansible_collections.fleet.containerd.tests.support.images import INDEX, Entry, hand_made_layers, tar_of
from ansible_collections.fleet.containerd.tests.support.loopfs import loop_filesystem

TURNS = 100 if FULL else 8
#: Times of directories that no layer has.
NOT_IN_THE_IMAGE = (".:mtime_ns", f"{'n' * 200}:mtime_ns")


@pytest.fixture
def ground(tmp_path: pathlib.Path) -> t.Iterator[Ground]:
    """An index with one image of several layers in the registry."""
    noise = random.Random(1)
    files = [tar_of([Entry(f"noise-{number}", noise.randbytes(200_000))]) for number in range(3)]
    with attacked_ground(tmp_path) as made:
        manifest = Image(*map(Layer.of, [*hand_made_layers(), *files])).publish(made.registry)
        put_manifest(made.registry, index(child(manifest)), INDEX)
        made.options.update(snapshotter="overlayfs", retries=0, progress_timeout=30.0)
        yield made


def broken_blobs(ground: Ground) -> t.List[str]:
    """Blobs that are not what their name says."""
    found = [(path.name, path.read_bytes()) for path in ground.data.glob("content/blobs/sha256/*")]
    return [name for name, data in found if hashlib.sha256(data).hexdigest() != name]


def converged(ground: Ground, wanted: trees.Tree, where: str, **options: t.Any) -> t.List[str]:
    """What is wrong after one more pull."""
    found = ground.pull(**options)
    if found.failed:
        return [f"{where}: {found.message}"]
    wrong = trees.differences(wanted, ground.tree("overlayfs"), NOT_IN_THE_IMAGE, ("the image", "what is there"))
    wrong += [f"the blob {name} is damaged" for name in broken_blobs(ground)]
    wrong += [f"the ingest {path.name} is left" for path in ground.data.glob("content/ingest/*")]
    with ground.engine() as engine:
        wrong += [f"the lease {row[0]} is left" for row in engine._database.query("SELECT id FROM leases")]
        wrong += [f"the snapshot {info.name} is left" for info in engine.snapshotter().walk() if info.kind != "committed"]
    if ground.pull().result["changed"]:
        wrong.append("it changes again")
    return [f"{where}: {one}" for one in wrong[:5]]


def claims(ground: Ground, wanted: trees.Tree) -> t.List[str]:
    """What is wrong with an image that is said to be there."""
    found = ground.pull(pull="never")
    if found.failed:
        return [found.unclear()] if found.unclear() else []
    return broken_blobs(ground) + trees.differences(wanted, ground.tree("overlayfs"), NOT_IN_THE_IMAGE)


def test_killed_in_mid_pull(ground: Ground) -> None:
    whole = ground.pull()
    assert not whole.failed, whole.message
    wanted, wrong = ground.tree("overlayfs"), []
    moments = random.Random(5)
    for turn in range(TURNS):
        ground.pull(state="absent")
        moment = moments.uniform(0, whole.seconds * 1.1)
        ground.pull_killed(moment)
        where = f"turn {turn}, {moment:.3f} s"
        wrong += [f"{where}: {one}" for one in claims(ground, wanted)[:5]] + converged(ground, wanted, where)
    assert not wrong, "\n".join(wrong)


def test_power_cuts_in_mid_pull(ground: Ground) -> None:
    """Nothing that was not synced survives, and the journal is committed by nobody but who asks for it."""
    whole = ground.pull()
    wanted, wrong, cut_off = ground.tree("overlayfs"), [], 0
    ground.pull(state="absent")
    moments = random.Random(6)
    with loop_filesystem(256, commit=300) as loop:
        for turn in range(TURNS):
            (loop.path / f"data-{turn}").mkdir()
            ground.data = loop.path / f"data-{turn}"
            ground.options["data_root"] = str(ground.data)
            moment = moments.uniform(0.2, 1) * whole.seconds
            result = ground.pull_while(moment, loop.power_cut)
            cut_off += result is None or bool(result.get("failed"))
            loop.remount()
            where = f"turn {turn}, {moment:.3f} s"
            ground.data.mkdir(exist_ok=True)
            if result and not result.get("failed") and ground.pull(pull="never").failed:
                wrong.append(f"{where}: what was acknowledged is gone")
            wrong += [f"{where}: {one}" for one in claims(ground, wanted)[:5]] + converged(ground, wanted, where)
            ground.pull(state="absent")
    print(f"{cut_off} of {TURNS} were cut off")
    assert not wrong, "\n".join(wrong)
    assert cut_off


def blobs(ground: Ground) -> t.Dict[str, pathlib.Path]:
    """The files of the store by what they are."""
    found = sorted(ground.data.glob("content/blobs/sha256/*"), key=lambda path: path.stat().st_size)
    texts = {path: path.read_bytes() for path in found}
    kinds = {"index": b'"manifests"', "manifest": b'"layers": [', "config": b'"diff_ids"'}
    named = {kind: next(path for path, data in texts.items() if mark in data) for kind, mark in kinds.items()}
    return {**named, "layer": found[-1]}


def flip(path: pathlib.Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def layer_trees(ground: Ground) -> t.List[pathlib.Path]:
    return sorted(ground.data.glob("snapshots/overlayfs/*/fs"))


def beside(path: pathlib.Path) -> None:
    """The blob's place is taken by a link to what somebody else has written."""
    data = path.read_bytes()
    path.unlink()
    (path.parent.parent / "planted").write_bytes(data[:-1] + b"?")
    path.symlink_to(path.parent.parent / "planted")


def in_its_place(path: pathlib.Path) -> None:
    path.unlink()
    path.mkdir()


#: How a store is damaged; whether every pull notices it, or only one with verify.
DAMAGE: t.Dict[str, t.Tuple[t.Callable[[Ground], t.Any], bool]] = {
    "a flipped bit in the index": (lambda ground: flip(blobs(ground)["index"]), True),
    "a flipped bit in the manifest": (lambda ground: flip(blobs(ground)["manifest"]), True),
    "a flipped bit in the config": (lambda ground: flip(blobs(ground)["config"]), True),
    "a config of zeros": (
        lambda ground: blobs(ground)["config"].write_bytes(bytes(blobs(ground)["config"].stat().st_size)),
        True,
    ),
    "a layer that is cut off": (lambda ground: os.truncate(blobs(ground)["layer"], 1000), True),
    "an empty layer": (lambda ground: os.truncate(blobs(ground)["layer"], 0), True),
    "a longer layer": (lambda ground: os.truncate(blobs(ground)["layer"], 10**6), True),
    "a layer that is gone": (lambda ground: blobs(ground)["layer"].unlink(), True),
    "a manifest that is gone": (lambda ground: blobs(ground)["manifest"].unlink(), True),
    "a directory instead of a layer": (lambda ground: in_its_place(blobs(ground)["layer"]), True),
    "all blobs are gone": (lambda ground: shutil.rmtree(ground.data / "content"), True),
    "an unpacked layer that is gone": (lambda ground: shutil.rmtree(layer_trees(ground)[2].parent), True),
    "all unpacked layers are gone": (lambda ground: shutil.rmtree(ground.data / "snapshots"), True),
    "a flipped bit in a layer": (lambda ground: flip(blobs(ground)["layer"]), False),
    "a layer of zeros": (lambda ground: blobs(ground)["layer"].write_bytes(bytes(blobs(ground)["layer"].stat().st_size)), False),
    "a link instead of a layer": (lambda ground: beside(blobs(ground)["layer"]), False),
    "a flipped bit in a file": (lambda ground: flip(next(ground.data.glob("snapshots/*/*/fs/noise-1"))), False),
    "a file that is gone": (lambda ground: next(ground.data.glob("snapshots/*/*/fs/noise-1")).unlink(), False),
    "a file with another mode": (lambda ground: next(ground.data.glob("snapshots/*/*/fs/noise-1")).chmod(0o4777), False),
    "an unpacked layer that is empty": (
        lambda ground: (shutil.rmtree(layer_trees(ground)[-1]), layer_trees_again(ground)),
        False,
    ),
}


def layer_trees_again(ground: Ground) -> None:
    for path in ground.data.glob("snapshots/overlayfs/*"):
        (path / "fs").mkdir(exist_ok=True)


def test_damage_is_noticed_and_repaired(ground: Ground) -> None:
    ground.pull()
    wanted, wrong = ground.tree("overlayfs"), []
    for name, (damage, at_once) in DAMAGE.items():
        damage(ground)
        if not at_once and ground.pull().failed:
            wrong.append(f"{name}: a pull that does not look fails")
        found = converged(ground, wanted, name, **({} if at_once else {"verify": True}))
        wrong += found
        if found:
            shutil.rmtree(ground.data)
            ground.pull()
    assert not wrong, "\n".join(wrong)


def test_damage_of_the_database(ground: Ground) -> None:
    """Rows that were lost, or belong to files that were: nothing of it stops the next pull."""
    ground.pull()
    wanted, wrong = ground.tree("overlayfs"), []
    for table in ("content", "images", "snapshots", "leases"):
        with ground.engine() as engine, engine._database.write() as connection:
            connection.execute(f"DELETE FROM {table}")
        wrong += converged(ground, wanted, f"no rows in {table}")
    assert not wrong, "\n".join(wrong)


def test_a_store_on_a_disk_that_cannot_be_written(ground: Ground) -> None:
    """What is there can be used, and an error says what is wrong."""
    ground.pull()
    with mounted([Mount("bind", str(ground.data), ("bind", "ro"))], str(ground.data)):
        again = ground.pull()
        assert not again.failed
        assert not again.result["changed"]
        removed = ground.pull(state="absent")
        assert removed.failed
        assert not removed.unclear()
        assert "cannot be written" in removed.message or "Read-only file system" in removed.message
