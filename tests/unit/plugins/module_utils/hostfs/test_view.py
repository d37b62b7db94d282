# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths in an untrusted root, and what is put there."""

from __future__ import annotations

import os
import pathlib
import stat
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs import mounts
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.put import Attributes, put_file
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.view import Mounted, View

MINE = Attributes(os.geteuid(), os.getegid(), 0o600)


@pytest.fixture
def root(tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """A root directory with links, beside a secret; no descriptor may stay open."""
    (tmp_path / "secret").write_text("secret")
    made = tmp_path / "root"
    (made / "dir" / "sub").mkdir(parents=True)
    (made / "dir" / "file").write_text("file")
    for name, target in (
        ("abs", "/dir/file"),
        ("up", "../../../../../dir"),
        ("out", f"{tmp_path}/secret"),
        ("rel", "dir/../dir/./sub"),
        ("loop", "loop"),
        ("top", "/"),
        ("dir/dots", ".."),
        ("dangling", "dir/new"),
        ("proc", "/proc/self/root"),
    ):
        (made / name).symlink_to(target)
    before = os.listdir("/proc/self/fd")
    yield made
    assert os.listdir("/proc/self/fd") == before


def found(view: View, path: str, follow: bool = True) -> t.Tuple[str, str]:
    """The real path, and the kind of what is there."""
    with view.find(path, follow) as spot:
        return spot.path, stat.filemode(spot.found.st_mode)[0] if spot.found else ""


def opened(root: pathlib.Path) -> int:
    return os.open(root, os.O_RDONLY | os.O_DIRECTORY)


@pytest.mark.parametrize(
    ("path", "real", "kind"),
    [
        ("/dir/file", "/dir/file", "-"),
        ("dir//sub/.", "/dir/sub", "d"),
        ("/abs", "/dir/file", "-"),
        ("/up/sub", "/dir/sub", "d"),
        ("/../../dir", "/dir", "d"),
        ("/rel", "/dir/sub", "d"),
        ("/top/top/abs", "/dir/file", "-"),
        ("/dir/dots/abs", "/dir/file", "-"),
        ("/dir/dots", "/", "d"),
        ("/top", "/", "d"),
        ("/", "/", "d"),
        ("/dangling", "/dir/new", ""),
        ("/none", "/none", ""),
    ],
)
def test_paths(root: pathlib.Path, path: str, real: str, kind: str) -> None:
    fd = opened(root)
    assert found(View(fd), path) == (real, kind)
    os.close(fd)


def test_what_leads_nowhere(root: pathlib.Path) -> None:
    fd = opened(root)
    view = View(fd)
    for path in ("/loop", "/out", "/dir/file/x", "/none/x", "/proc/x", "/proc"):
        with pytest.raises(OSError, match="levels|No such|Not a dir"):
            found(view, path)
    assert found(view, "/loop", follow=False) == ("/loop", "l")
    with pytest.raises(FailedPrecondition, match="^up is a symbolic link, and is not followed"):
        found(View(fd, links=False), "/up/sub")
    os.close(fd)


def test_mounts_that_are_told(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "volume" / "below").mkdir(parents=True)
    volume, fd = opened(tmp_path / "volume"), opened(root)
    told = {
        "/dir/new": Mounted(volume, True),
        "/dir/sub": Mounted(volume, problem="has no files"),
        "/dir/sub/own": Mounted(volume),
    }
    view = View(fd, told)
    assert found(view, "/dangling/below") == ("/dir/new/below", "d")
    assert found(view, "/dir/new/../file") == ("/dir/file", "-")
    with view.find("/dir/new/x") as spot:
        assert (spot.readonly, spot.mounted) == (True, False)
    with view.find("/dir/sub/own") as spot:
        assert (spot.readonly, spot.mounted) == (False, True)
    for path in ("/dir/sub/below", "/rel/below"):
        with pytest.raises(FailedPrecondition, match="^/dir/sub/below has no files"):
            found(view, path)
    with view.find("/dir") as spot:
        assert view.names(spot.node) == ["dots", "file", "new"]
    os.close(volume)
    os.close(fd)


def test_a_mount_of_the_kernel(root: pathlib.Path) -> None:
    """It is noticed, and a file that is mounted is not replaced: that would take the mount away."""
    (root / "dir" / "point").write_text("below")
    (root / "other").write_text("on it, and long")
    mounts.mount("", str(root / "other"), str(root / "dir" / "point"), ["bind"])
    try:
        fd = opened(root)
        with View(fd).find("/dir/point") as spot:
            assert spot.mounted
            put_file(spot, [b"new"], MINE, "me", durable=False)
        os.close(fd)
        assert (root / "dir" / "point").read_text() == "new"
    finally:
        mounts.unmount(str(root / "dir" / "point"))
    assert (root / "dir" / "point").read_text() == "below"
    assert (root / "other").read_text() == "new"


def test_a_mount_that_is_refused(root: pathlib.Path) -> None:
    """Nothing is asked of its file system; what is beside it can be seen."""
    mounts.mount_tmpfs(str(root / "dir/sub"), [])
    try:
        fd, seen = opened(root), t.cast(t.List[str], [])
        refused = View(fd, refused=lambda mount: seen.append(mount) or "may never answer")  # type: ignore[func-returns-value]  # None
        for path in ("/dir/sub", "/dir/sub/x", "/rel"):
            with pytest.raises(FailedPrecondition, match="^/dir/sub may never answer"):
                found(refused, path)
        assert found(refused, "/dir/file") == ("/dir/file", "-")
        (line,) = [one for one in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if f" {root}/dir/sub " in one]
        assert set(seen) == {line.split()[0]}
        os.close(fd)
    finally:
        mounts.unmount(str(root / "dir/sub"))


def test_read(root: pathlib.Path) -> None:
    os.mkfifo(root / "fifo")
    fd = opened(root)
    view = View(fd)
    assert (view.read("/abs", 100), view.read("/abs", 2)) == (b"file", b"fi")
    assert [view.read(path, 100) for path in ("/none", "/dir", "/fifo", "/loop", "/out")] == [b""] * 5
    os.close(fd)


def test_files_of_the_kernel_are_no_data() -> None:
    fd = opened(pathlib.Path("/"))
    for path in ("/proc/self/environ", "/proc", "/sys/kernel"):
        with View(fd).find(path, follow=True) as spot, pytest.raises(FailedPrecondition, match="file system of the kernel"):
            spot.check_data()
    with View(fd).find("/dev/null") as spot:
        spot.check_data()
    os.close(fd)


def test_what_is_in_the_place_of_a_file(root: pathlib.Path) -> None:
    """A fifo, and a link, are replaced; what a failure leaves is removed."""
    os.mkfifo(root / "fifo")
    fd = opened(root)
    for name in ("fifo", "abs"):
        with View(fd).find(name) as spot:
            put_file(spot, [b"new"], MINE, "me", durable=True)
        assert stat.S_ISREG((root / name).lstat().st_mode)
    assert (root / "dir" / "file").read_text() == "file"

    def blocks() -> t.Iterator[bytes]:
        yield b"a part"
        assert len(list(root.glob(".fleet-*"))) == 1
        raise OSError("it broke")

    with View(fd).find("again") as spot:
        with pytest.raises(OSError, match="it broke"):
            put_file(spot, blocks(), MINE, "me", durable=False)
        assert not list(root.glob(".fleet-*"))
        put_file(spot, [b"whole"], MINE, "me", durable=False)
    assert (root / "again").read_text() == "whole"
    os.close(fd)
