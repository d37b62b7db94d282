# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is full at any moment of a pull: a clear error, the room given back, other images whole, and the next run converges."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Mount
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mounted
from ansible_collections.fleet.containerd.tests.support.attack import FULL, Ground, Image, Layer, attacked_ground, listing, text
from ansible_collections.fleet.containerd.tests.support.direct import Direct
from ansible_collections.fleet.containerd.tests.support.images import Entry, directory, symlink, tar_of
from ansible_collections.fleet.containerd.tests.support.loopfs import loop_filesystem
from ansible_collections.fleet.containerd.tests.support.modules import Modules

KIB = 1024
NOISE = [random.Random(seed).randbytes(300 * KIB) for seed in range(3)]
SMALL = [tar_of([directory("etc"), Entry("etc/small", b"small"), directory("bin"), Entry("bin/x", b"", mode=0o755)])]
#: Something of everything that is written in its own way.
LARGE = [
    tar_of([directory("a", uid=7), *(Entry(f"a/{number}", NOISE[0][number * 3000 :][:3000]) for number in range(100))]),
    tar_of([symlink("l", "a"), Entry("noise", NOISE[1], mode=0o4755, pax={"SCHILY.xattr.user.x": "y"}), Entry("a/.wh.5")]),
    tar_of([Entry("last", NOISE[2])]),
]


@pytest.fixture
def ground(tmp_path: pathlib.Path) -> t.Iterator[Ground]:
    with attacked_ground(tmp_path) as made:
        for name, layers in (("small", SMALL), ("large", LARGE)):
            Image(*map(Layer.of, layers)).publish(made.registry, name)
        yield made


class Disk:
    """A ground whose store is on a file system of its own, with a small image in it. How full it is can be changed."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        ground.options.update(snapshotter="overlayfs", retries=0, progress_timeout=30.0)

    def pull(self, name: str, **options: t.Any) -> t.Tuple[t.Dict[str, t.Any], str]:
        found = self._ground.pull(name=f"{self._ground.registry.address}/{name}:1", **options)
        return found.result, found.unclear() if found.failed else ""

    def used(self) -> int:
        """KiB, and what is in the files of sparse ones."""
        status = os.statvfs(self._ground.data)
        return (status.f_blocks - status.f_bfree) * status.f_frsize // KIB

    def entries(self) -> t.List[str]:
        """What of the store can be seen, without the database's own files."""
        found = [str(path.relative_to(self._ground.data)) for path in self._ground.data.rglob("*")]
        return sorted(name for name in found if not name.startswith(("metadata.db", "locks", "lost+found")))

    def after(self, where: str) -> t.List[str]:
        """What is wrong once there is room again."""
        wrong = []
        small, _clear = self.pull("small")
        if small.get("failed") or small["changed"]:
            wrong.append(f"the other image: {small.get('msg') or small['actions']}")
        large, _clear = self.pull("large")
        if large.get("failed"):
            wrong.append(f"again: {large['msg']}")
        else:
            tree = self._tree()
            wrong += [f"again: {name} is {tree.get(name)}" for name, what in WANTED.items() if tree.get(name) != what]
            wrong += [f"again: there is an ingest {path}" for path in self._ground.data.glob("content/ingest/*")]
        self.pull("large", state="absent")
        return [f"{where}: {one}" for one in wrong]

    def _tree(self) -> t.Dict[str, str]:
        with self._ground.engine() as engine:
            store = engine.snapshotter("overlayfs")
            (small,) = [
                info.name for info in store.walk() if not info.parent and info.name not in {i.parent for i in store.walk()}
            ]
            (top,) = {info.name for info in store.walk()} - {info.parent for info in store.walk()} - {small}
            scratch = self._ground.base / "look"
            scratch.mkdir(exist_ok=True)
            try:
                with store.look(top) as target, mounted(target.mounts(), str(scratch)):
                    from ansible_collections.fleet.containerd.tests.support import trees

                    return listing(trees.snapshot(scratch))
            finally:
                scratch.rmdir()


WANTED = {"noise": text(NOISE[1]), "last": text(NOISE[2]), "l": "-> a", "a/7": text(NOISE[0][21_000:24_000])}


def size(path: pathlib.Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)


@pytest.mark.parametrize("what", ["bytes", "inodes"])
def test_a_disk_that_is_full(ground: Ground, what: str) -> None:
    """At every level: from nothing at all to all but the last block."""
    wrong, failed = [], 0
    ground.data.mkdir()
    with mounted([Mount("tmpfs", "tmpfs", ("size=64m",))], str(ground.data)):
        disk = Disk(ground)
        assert not disk.pull("small")[1]
        before, entries = disk.used(), disk.entries()
        inodes = os.statvfs(ground.data).f_files - os.statvfs(ground.data).f_ffree
        steps = 40 if FULL else 9
        for level in range(steps):
            # All that it needs are some 2100 KiB, or 140 inodes.
            room = f"size={before + level * 2100 // steps}k" if what == "bytes" else f"nr_inodes={inodes + level * 140 // steps}"
            size(ground.data, room)
            result, unclear = disk.pull("large")
            where = f"level {level} ({room})"
            if result.get("failed"):
                failed += 1
                if unclear or "space" not in result["msg"] or str(ground.data) not in result["msg"]:
                    wrong.append(f"{where}: {unclear or result['msg']}")
                left = [name for name in disk.entries() if name not in entries]
                if disk.used() > before + 16 or left:
                    wrong.append(f"{where}: {disk.used() - before} KiB are not given back: {left[:5]}")
            size(ground.data, "size=64m" if what == "bytes" else "nr_inodes=100000")
            wrong += disk.after(where)
        assert not wrong, "\n".join(wrong)
        assert failed >= steps * 3 // 4


def test_several_images_and_no_room(ground: Ground) -> None:
    """One sentence that names the images and what they need, and not one about the store's numbers for each of them."""
    ground.data.mkdir()
    for name in ("large2", "large3"):
        Image(*map(Layer.of, LARGE[:2]), config={"Labels": {"name": name}}).publish(ground.registry, name)
    with mounted([Mount("tmpfs", "tmpfs", ("size=64m",))], str(ground.data)):
        disk = Disk(ground)
        assert not disk.pull("small")[1]
        size(ground.data, f"size={disk.used() + 64}k")
        names = [f"{ground.registry.address}/{name}:1" for name in ("large", "large2", "large3")]
        direct = Direct(ground.options)
        several = direct.result("image", name=names)
        one = direct.result("image", name=names[1])
    assert several["failed"]
    assert several["msg"].count("No space left") == 1
    assert several["msg"].startswith(f"there is no room for {names[0]} (")
    assert all(name in several["msg"] for name in names)
    assert "bytes to transfer" in several["msg"]
    assert one["msg"].startswith(f"there is no room for {names[1]} (")


def test_a_real_disk_that_is_full(ground: Ground) -> None:
    """ext4 finds out late that it is full: when it writes back."""
    wrong = []
    with loop_filesystem(24) as loop:
        ground.data.mkdir()
        with mounted([Mount("bind", str(loop.path), ("bind",))], str(ground.data)):
            disk = Disk(ground)
            assert not disk.pull("small")[1]
            before = disk.used()
            free = os.statvfs(ground.data).f_bavail * os.statvfs(ground.data).f_frsize
            for left in range(100, 2200, 200 if FULL else 600):
                with open(loop.path / "filler", "wb") as stream:
                    os.posix_fallocate(stream.fileno(), 0, free - left * KIB)
                result, unclear = disk.pull("large")
                (loop.path / "filler").unlink()
                if result.get("failed") and (unclear or "space" not in result["msg"]):
                    wrong.append(f"{left} KiB: {unclear or result['msg']}")
                if result.get("failed") and disk.used() > before + 100:
                    wrong.append(f"{left} KiB: {disk.used() - before} KiB are not given back")
                wrong += disk.after(f"{left} KiB")
    assert not wrong, "\n".join(wrong)


#: Groups of system calls that write, and how each fails where the disk is full or broken.
CALLS = {
    "write,pwrite64,writev": "ENOSPC",
    "mkdir,mkdirat,mknod,mknodat": "ENOSPC",
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat": "ENOSPC",
    "fsync,fdatasync,syncfs": "EIO",
    "ftruncate,fallocate": "ENOSPC",
    "setxattr,fsetxattr,lsetxattr": "ENOSPC",
    "fchown,fchownat,fchmod,fchmodat,utimensat": "EIO",
    "unlink,unlinkat,rmdir": "EIO",
    "openat,openat2": "EMFILE",
}


def test_a_failure_at_every_call_that_writes(ground: Ground) -> None:
    """strace lets the nth call of each thread fail."""
    wrong, turns = [], 0
    choose = random.Random(4)
    disk = Disk(ground)
    disk.pull("small")
    for calls, error in CALLS.items():
        number = 0
        while True:
            number += 1 if FULL else choose.choice((1, 3, 9, 27, 81))
            result, hit = ground.pull_with_fault(
                f"{calls}:error={error}:when={number}", name=f"{ground.registry.address}/large:1"
            )
            if not hit:
                break
            turns += 1
            where = f"{hit.partition(' ')[2][:120]}, call {number}"
            if result is None and "(1, " not in hit:
                wrong.append(f"{where}: no result: {ground.printed()[-300:]}")
            elif result and result.get("failed") and ("\n" in result["msg"] or not result.get("error")):
                wrong.append(f"{where}: {result['msg'][:300]!r}")
            wrong += disk.after(where)
            assert len(wrong) < 20, "\n".join(wrong)
    print(f"{turns} failures")
    assert not wrong, "\n".join(wrong)
    assert turns >= 8


@pytest.mark.parametrize("what", ["bytes", "inodes", "a real disk"])
def test_removals_from_a_disk_that_is_full(ground: Ground, what: str, modules: Modules) -> None:
    """Where nothing at all can be written, what is there can be removed, and so there is room again."""
    ground.data.mkdir()
    options = {key: ground.options[key] for key in ("engine", "data_root", "state_root")}
    with contextlib.ExitStack() as stack:
        if what == "a real disk":
            loop = stack.enter_context(loop_filesystem(24))
            stack.enter_context(mounted([Mount("bind", str(loop.path), ("bind",))], str(ground.data)))
        else:
            stack.enter_context(mounted([Mount("tmpfs", "tmpfs", ("size=64m",))], str(ground.data)))
        disk = Disk(ground)
        assert not disk.pull("small")[1]
        empty = disk.entries()
        image = f"{ground.registry.address}/small:1"
        web = {**options, "name": "web", "image": image, "pull": "never", "command": ["x"], "state": "present"}
        modules.run("containerd_container", **web)
        found = os.statvfs(ground.data)
        if what == "bytes":
            size(ground.data, f"size={disk.used()}k")
        elif what == "inodes":
            size(ground.data, f"nr_inodes={found.f_files - found.f_ffree}")
        else:
            with open(ground.data / "filler", "wb", buffering=0) as stream, contextlib.suppress(OSError):
                while stream.write(bytes(KIB)):
                    pass
            empty.append("filler")
        result = modules.result("containerd_container", **options, name="web", state="absent")
        assert (result.get("msg"), result["changed"]) == (None, True)
        assert [name for name in disk.entries() if name not in empty and not name.startswith("containers")] == []
        result = modules.result("containerd_image", **options, name=image, state="absent")
        assert (result.get("msg"), result["changed"]) == (None, True)
        assert [name for name in disk.entries() if name.startswith(("content/blobs/sha256/", "snapshots/overlayfs/"))] == []
