# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python 3.13 for machines with an older one: Debian trixie's, unpacked below .build, with its libraries.

Usage: python tools/python313.py. Prints the path of a program that runs this Python; sys.executable works too.
"""

from __future__ import annotations

import os
import pathlib

from ansible_collections.fleet.containerd.tools.containerds import fetch

_PACKAGES = (
    "python3.13-minimal",
    "libpython3.13-minimal",
    "libpython3.13-stdlib",
    "libbz2-1.0",
    "libc6",
    "libexpat1",
    "libffi8",
    "liblzma5",
    "libsqlite3-0",
    "libssl3t64",
    "libzstd1",
    "zlib1g",
)
#: The loader gets the name of this script as that of the program, so Python finds its own files beside it.
# starts: sh (and what was fetched)
_PROGRAM = """#!/bin/sh
exec "{loader}" --library-path "{libraries}" --argv0 "$0" "{python}" "$@"
"""


def interpreter() -> pathlib.Path:
    """The path of the interpreter, which is fetched if it is missing."""
    tree = fetch("trixie", *_PACKAGES)
    program = tree / "usr" / "bin" / "python"
    (libraries,) = tree.glob("usr/lib/*-linux-gnu*")
    loader = min(libraries.glob("ld-*.so.*"))
    text = _PROGRAM.format(loader=loader, libraries=libraries, python=tree / "usr" / "bin" / "python3.13")
    if not program.exists() or program.read_text() != text:
        partial = program.with_name(f"python.{os.getpid()}")
        partial.write_text(text)
        partial.chmod(0o755)
        partial.rename(program)
    return program


if __name__ == "__main__":
    print(interpreter())
