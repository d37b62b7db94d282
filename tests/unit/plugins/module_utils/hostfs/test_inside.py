# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening inside a root: with the kernel's openat2 and, the same to the letter, on kernels that have none."""

from __future__ import annotations

import errno
import os
import pathlib
import select

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.hostfs import syscalls
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.inside import open_file_inside, open_inside


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    base = tmp_path / "root"
    (base / "etc/deep").mkdir(parents=True)
    (base / "etc/passwd").write_text("inside")
    (tmp_path / "passwd").write_text("outside")
    links = {
        "relative": "etc/passwd",
        "absolute": "/etc/passwd",
        "up": "../../../../passwd",
        "etc/deep/back": "../passwd",
        "etc/deep/far": "../../../etc/../../etc/deep/back",
        "dir": "/etc/deep",
        "loop": "loop",
        "dangling": "/nowhere",
        "magic": "/proc/self/root",
        **{f"chain{number}": f"chain{number + 1}" for number in range(50)},
        "chain50": "etc/passwd",
    }
    for name, target in links.items():
        (base / name).symlink_to(target)
    return base


def outcome(root: pathlib.Path, path: str, flags: int) -> str:
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fd = open_inside(top, path, flags)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        os.close(top)
    try:
        return os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), root)
    finally:
        os.close(fd)


@pytest.mark.parametrize("old_kernel", [False, True])
@pytest.mark.parametrize("flags", [os.O_RDONLY | os.O_NONBLOCK, os.O_PATH])
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", "."),
        ("..", "."),
        ("etc//./passwd", "etc/passwd"),
        ("/etc/deep/../passwd", "etc/passwd"),
        ("relative", "etc/passwd"),
        ("absolute", "etc/passwd"),
        ("up", "ENOENT"),
        ("etc/deep/back", "etc/passwd"),
        ("dir/far", "etc/passwd"),
        ("dir", "etc/deep"),
        ("etc/passwd/x", "ENOTDIR"),
        ("etc/passwd/..", "ENOTDIR"),
        ("loop", "ELOOP"),
        ("chain0", "ELOOP"),
        ("chain11", "etc/passwd"),
        ("dangling", "ENOENT"),
        ("magic", "ENOENT"),
    ],
)
def test_links_stay_inside(
    root: pathlib.Path, monkeypatch: pytest.MonkeyPatch, old_kernel: bool, flags: int, path: str, found: str
) -> None:
    if old_kernel:
        monkeypatch.setattr(syscalls, "_SYS_OPENAT2", 9999)
    before = len(os.listdir("/proc/self/fd"))
    assert outcome(root, path, flags) == found
    assert len(os.listdir("/proc/self/fd")) == before


def test_nothing_but_regular_files_is_opened(root: pathlib.Path) -> None:
    """Not even for a moment: whoever has the other end of a FIFO would notice, and a device may begin to do something."""
    os.mkfifo(root / "fifo")
    os.mknod(root / "device", 0o20666, os.makedev(1, 3))
    top, reader = os.open(root, os.O_PATH), os.open(root / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    try:
        for path in ("fifo", "device", "etc", "dir"):
            for flags in (os.O_RDONLY, os.O_WRONLY):
                with pytest.raises(OSError, match="it is not a regular file"):
                    open_file_inside(top, path, flags)
        poller = select.poll()
        poller.register(reader, select.POLLIN)
        assert not poller.poll(0)
        os.close(open_file_inside(top, "relative", os.O_RDONLY))
    finally:
        os.close(top)
        os.close(reader)
