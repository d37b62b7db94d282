# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command of the program that starts containers while no task is there (resources/container/boot.py).

It has the engines in it, so it is a file of its own, behind a path that stays: log writers and a host's boot use it months later.
"""

from __future__ import annotations

import os
import typing as t

from .install import interpreter

LINK = "start.pyz"
_CODE = (
    "import sys,posix;sys.path.insert(0,posix.readlink(sys.argv[1]));"
    "from fleet.resources.container.boot import main;main(sys.argv[2:])"
)


def command(data_root: str, *arguments: str) -> t.List[str]:
    """arguments: those of main() there."""
    return [interpreter(), "-I", "-S", "-E", "-c", _CODE, os.path.join(data_root, "libexec", LINK), *arguments]
