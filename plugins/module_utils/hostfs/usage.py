# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of a disk files take: blocks, as du counts them, not lengths."""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

_BLOCK = 512


def disk_usage(paths: t.Iterable[str]) -> int:
    """The bytes that files and trees take on their disks. A file with several links counts once; what is mounted inside does not count.

    What vanishes meanwhile, or cannot be read, counts as nothing.
    """
    total, seen = 0, set()
    todo: t.List[t.Tuple[str, int]] = [(path, -1) for path in paths]
    while todo:
        path, device = todo.pop()
        with contextlib.suppress(OSError):
            found = os.lstat(path)
            if device not in (-1, found.st_dev) or (found.st_dev, found.st_ino) in seen:
                continue
            if found.st_nlink > 1:
                seen.add((found.st_dev, found.st_ino))
            total += found.st_blocks * _BLOCK
            if stat.S_ISDIR(found.st_mode):
                todo += [(os.path.join(path, name), found.st_dev) for name in os.listdir(path)]
    return total
