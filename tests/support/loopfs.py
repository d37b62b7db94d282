# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fresh ext4 on a loop device, whose power can be cut."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import struct
import subprocess
import tempfile
import time
import typing as t

from ansible_collections.fleet.containerd.tests.support.leftovers import unmount_below

#: EXT4_IOC_SHUTDOWN, that is _IOR('X', 125, __u32), and its flag EXT4_GOING_FLAGS_NOLOGFLUSH (linux/fs/ext4/ext4.h).
_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2


class LoopFS:
    """A mounted file system. path: where; image: the file that backs it."""

    def __init__(self, image: pathlib.Path, path: pathlib.Path, options: str) -> None:
        self.image = image
        self.path = path
        self._options = ",".join(filter(None, ("loop", options)))

    def mount(self) -> None:
        subprocess.run(["mount", "-t", "ext4", "-o", self._options, str(self.image), str(self.path)], check=True)

    def unmount(self) -> None:
        """Unmount it and what is mounted below it (overlays of a run that was cut off)."""
        unmount_below(self.path)

    def power_cut(self) -> None:
        """From now on nothing reaches the disk, the journal's last transactions included. remount() shows what survived."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("=I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def remount(self) -> None:
        """What a boot does: unmount, replay the journal, mount."""
        self.unmount()
        # Containers that begin meanwhile have copies of all mounts for a moment: until they are gone, it is not unmounted.
        deadline = time.monotonic() + 60
        while self._attached() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.mount()

    def _attached(self) -> bool:
        """Whether a loop device still has the image."""
        for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError):
                if path.read_text().strip() == str(self.image):
                    return True
        return False


def fill(path: pathlib.Path) -> None:
    """To the last block: what the file system keeps back at first is given out when all is written."""
    with (path / "filler").open("wb", buffering=0) as stream:
        for size in (65536, 1024, 1024):
            with contextlib.suppress(OSError):
                while True:
                    stream.write(bytes(size))
            os.fsync(stream.fileno())
    assert os.statvfs(path).f_bavail == 0


@contextlib.contextmanager
def loop_filesystem(
    mebibytes: int = 1024, commit: t.Optional[int] = None, options: str = "", directory: t.Optional[str] = None
) -> t.Iterator[LoopFS]:
    """Make, mount and at the end remove a file system. commit: seconds between journal commits (for power cuts: long)."""
    with tempfile.TemporaryDirectory(prefix="fleet-loop-", dir=directory) as base:
        image, path = pathlib.Path(base) / "image", pathlib.Path(base) / "fs"
        path.mkdir()
        with image.open("wb") as stream:
            stream.truncate(mebibytes * 1024 * 1024)
        features = "lazy_itable_init=0,lazy_journal_init=0"
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", features, str(image)], check=True)
        more = [options] if options else []
        loop = LoopFS(image, path, ",".join(more + [f"commit={commit}"] * (commit is not None)))
        loop.mount()
        try:
            yield loop
        finally:
            loop.unmount()
