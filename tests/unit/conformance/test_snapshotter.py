# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshotter."""

from __future__ import annotations

import errno
import os
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import ACTIVE, COMMITTED
from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unimplemented,
)

from .conftest import ENGINES, Harness

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine, Snapshotter
    from ansible_collections.fleet.containerd.plugins.module_utils.layers.unpacking import LayerStore


def layers(harness: Harness, snapshotter: Snapshotter, count: int = 2) -> None:
    """Committed snapshots 1, 2, ...: each adds a file of its own name and overwrites "top"."""
    for number in range(1, count + 1):
        mounts = snapshotter.prepare("building", str(number - 1) if number > 1 else "")
        harness.write_file(mounts, str(number), b"file %d" % number)
        harness.write_file(mounts, "top", b"%d" % number)
        snapshotter.commit(str(number), "building")


def test_life_of_a_snapshot(harness: Harness, snapshotter: Snapshotter) -> None:
    mounts = snapshotter.prepare("key", "", {"a": "b"})
    assert snapshotter.mounts("key") == mounts
    info = snapshotter.stat("key")
    assert (info.name, info.parent, info.kind, dict(info.labels)) == ("key", "", ACTIVE, {"a": "b"})
    assert info.created_at > 1e9
    harness.write_file(mounts, "file", b"content")
    snapshotter.commit("name", "key", {"c": "d"})
    info = snapshotter.stat("name")
    assert (info.name, info.parent, info.kind, dict(info.labels)) == ("name", "", COMMITTED, {"a": "b", "c": "d"})
    with pytest.raises(NotFound):
        snapshotter.stat("key")
    with harness.show(snapshotter, "name") as root:
        assert (root / "file").read_bytes() == b"content"


def test_a_look_at_a_committed_snapshot_makes_no_record(harness: Harness, engine: Engine, snapshotter: Snapshotter) -> None:
    layers(harness, snapshotter)
    # A daemon tells it of the image of a container.
    with harness.view(snapshotter.prepare("child", "2")) as root:
        (root / "own").touch()
    before = snapshotter.walk()
    with snapshotter.look("2") as target, harness.view(target.mounts()) as root:
        assert sorted(path.name for path in root.iterdir()) == ["1", "2", "top"]
        assert (root / "top").read_bytes() == b"2"
        with pytest.raises(OSError):
            (root / "new").touch()
    assert snapshotter.walk() == before
    with pytest.raises(NotFound), snapshotter.look("3"):
        pass
    if engine.kind == "containerd":
        with pytest.raises(Unimplemented), snapshotter.look("1"):
            pass
    with harness.show(snapshotter, "1") as root:
        assert sorted(path.name for path in root.iterdir()) == ["1", "top"]
    assert snapshotter.walk() == before


def test_children_see_their_parents_and_not_the_other_way_round(harness: Harness, snapshotter: Snapshotter) -> None:
    layers(harness, snapshotter)
    child = snapshotter.prepare("child", "2")
    assert snapshotter.stat("child").parent == "2"
    with harness.view(child) as root:
        assert sorted(path.name for path in root.iterdir()) == ["1", "2", "top"]
        assert (root / "top").read_bytes() == b"2"
        (root / "1").unlink()
        (root / "top").write_bytes(b"changed")
    with harness.show(snapshotter, "2") as root:
        assert (root / "1").read_bytes() == b"file 1"
        assert (root / "top").read_bytes() == b"2"
    with harness.show(snapshotter, "1") as root:
        assert not (root / "2").exists()
        assert (root / "top").read_bytes() == b"1"


def test_two_children_of_one_parent_are_apart(harness: Harness, snapshotter: Snapshotter) -> None:
    layers(harness, snapshotter)
    harness.write_file(snapshotter.prepare("a", "2"), "of a", b"")
    with harness.view(snapshotter.prepare("b", "2")) as root:
        assert not (root / "of a").exists()


@pytest.mark.parametrize("name", ["1", "2"])
def test_a_committed_snapshot_is_read_only(harness: Harness, snapshotter: Snapshotter, name: str) -> None:
    layers(harness, snapshotter)
    with harness.show(snapshotter, name) as root:
        with pytest.raises(OSError) as failure:
            (root / "new").write_bytes(b"")
        assert failure.value.errno == errno.EROFS
    assert {info.name for info in snapshotter.walk()} == {"1", "2"}


def test_the_root_directory_keeps_owner_and_mode(harness: Harness, engine: Engine, snapshotter: Snapshotter) -> None:
    with harness.view(snapshotter.prepare("key")) as root:
        root.chmod(0o711)
        os.chown(root, 5, 6)
    snapshotter.commit("name", "key")
    with harness.view(snapshotter.prepare("child", "name")) as root:
        found = root.stat()
        assert (found.st_uid, found.st_gid) == (5, 6)
        # containerd's overlayfs snapshotter takes over the owner alone.
        assert found.st_mode & 0o7777 == (0o755 if engine.kind == "containerd" else 0o711)


def test_names_are_taken_once(harness: Harness, snapshotter: Snapshotter) -> None:
    layers(harness, snapshotter, 1)
    snapshotter.prepare("key")
    for key in ("key", "1"):
        with pytest.raises(AlreadyExists):
            snapshotter.prepare(key)
    with pytest.raises(AlreadyExists):
        snapshotter.commit("1", "key")
    assert snapshotter.stat("key").kind == ACTIVE


def test_a_parent_is_a_committed_snapshot(snapshotter: Snapshotter) -> None:
    with pytest.raises(NotFound):
        snapshotter.prepare("key", "no such parent")
    snapshotter.prepare("active")
    with pytest.raises(InvalidArgument):
        snapshotter.prepare("key", "active")
    with pytest.raises(NotFound):
        snapshotter.stat("key")


def test_empty_names_are_refused(snapshotter: Snapshotter) -> None:
    with pytest.raises(InvalidArgument):
        snapshotter.prepare("")
    snapshotter.prepare("key")
    with pytest.raises(InvalidArgument):
        snapshotter.commit("", "key")


def test_what_is_absent_is_not_found(snapshotter: Snapshotter) -> None:
    for call in (
        lambda: snapshotter.stat("x"),
        lambda: snapshotter.mounts("x"),
        lambda: snapshotter.commit("name", "x"),
        lambda: snapshotter.remove("x"),
    ):
        with pytest.raises(NotFound):
            call()


def test_a_committed_snapshot_has_no_mounts_and_is_not_committed_again(harness: Harness, snapshotter: Snapshotter) -> None:
    layers(harness, snapshotter, 1)
    with pytest.raises(FailedPrecondition):
        snapshotter.mounts("1")
    with pytest.raises(FailedPrecondition):
        snapshotter.commit("again", "1")


def test_a_parent_cannot_be_removed(harness: Harness, snapshotter: Snapshotter) -> None:
    layers(harness, snapshotter)
    snapshotter.prepare("child", "2")
    for key in ("1", "2"):
        with pytest.raises(FailedPrecondition):
            snapshotter.remove(key)
    for key in ("child", "2", "1"):
        snapshotter.remove(key)
    assert snapshotter.walk() == []


def test_a_removed_snapshot_leaves_nothing_behind(harness: Harness, snapshotter: Snapshotter) -> None:
    harness.write_file(snapshotter.prepare("key"), "file", b"old")
    snapshotter.remove("key")
    with harness.view(snapshotter.prepare("key")) as root:
        assert list(root.iterdir()) == []


def test_walk(harness: Harness, snapshotter: Snapshotter) -> None:
    layers(harness, snapshotter)
    snapshotter.prepare("active", "2")
    found = {info.name: (info.parent, info.kind) for info in snapshotter.walk()}
    assert found == {"1": ("", COMMITTED), "2": ("1", COMMITTED), "active": ("2", ACTIVE)}


@pytest.mark.parametrize("harness", [name for name in ENGINES if name != "memory"], indirect=True)
def test_a_parent_at_commit(harness: Harness, engine: Engine) -> None:
    """What layers/unpacking.py needs besides."""
    snapshotter = t.cast("LayerStore", engine.snapshotter())
    layers(harness, snapshotter, 1)
    harness.write_file(snapshotter.prepare("key"), "2", b"file 2")
    if not snapshotter.rebases:
        with pytest.raises(InvalidArgument):
            snapshotter.commit("2", "key", parent="1")
        return
    with pytest.raises(NotFound):
        snapshotter.commit("2", "key", parent="no such parent")
    snapshotter.prepare("active")
    with pytest.raises(InvalidArgument):
        snapshotter.commit("2", "key", parent="active")
    snapshotter.commit("2", "key", parent="1")
    assert snapshotter.stat("2").parent == "1"
    with harness.show(snapshotter, "2") as root:
        assert sorted(path.name for path in root.iterdir()) == ["1", "2", "top"]
    snapshotter.prepare("with a parent", "1")
    with pytest.raises(InvalidArgument):
        snapshotter.commit("3", "with a parent", parent="2")


def test_namespaces(harness: Harness) -> None:
    one, two = harness.open("one").snapshotter(), harness.open("two").snapshotter()
    harness.write_file(one.prepare("key"), "file", b"")
    with pytest.raises(NotFound):
        two.stat("key")
    with harness.view(two.prepare("key")) as root:
        assert list(root.iterdir()) == []
    two.remove("key")
    assert one.stat("key").kind == ACTIVE


def test_snapshotters_by_name(engine: Engine) -> None:
    assert engine.snapshotter(engine.snapshotter().name).name == engine.snapshotter().name
    with pytest.raises(NotFound):
        engine.snapshotter("no such snapshotter")
