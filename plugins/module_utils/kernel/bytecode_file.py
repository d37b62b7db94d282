# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the file of compiled code that bytecode.py reads. It is apart, since that is compiled anew by each task."""

from __future__ import annotations

import contextlib
import marshal
import os
import sys
import typing as t
import zlib

from ..errors import EngineError
from ..hostfs.atomic import make_dir, write_file
from .bytecode import HEAD, Index

_MOST_FILES = 32


def write(path: str, kept: t.Mapping[str, t.Tuple[bool, bytes]], names: t.Iterable[str]) -> None:
    """Replace the file by one with the code that is kept, and that of these modules. Without room or rights there is none."""
    code = dict(kept)
    for name in names:
        module = sys.modules[name]
        loader: t.Any = getattr(module, "__loader__", None)
        with contextlib.suppress(ImportError, AttributeError):
            code[name] = (hasattr(module, "__path__"), marshal.dumps(loader.get_code(name)))
    keep(path, _file(code))


def keep(path: str, data: bytes) -> None:
    """Write a file into the directory of what targets keep, and remove the oldest ones there. Without room or rights there is none."""
    with contextlib.suppress(EngineError, OSError):
        directory = os.path.dirname(path)
        make_dir(directory)
        write_file(path, data)
        found = sorted(os.listdir(directory), key=lambda one: os.lstat(os.path.join(directory, one)).st_mtime)
        for name in found[:-_MOST_FILES]:
            os.unlink(os.path.join(directory, name))


def _file(code: t.Mapping[str, t.Tuple[bool, bytes]]) -> bytes:
    index: Index = {}
    at = 0
    for name, (package, marshalled) in code.items():
        index[name] = (package, at, at + len(marshalled))
        at += len(marshalled)
    listed = marshal.dumps(index)
    rest = b"".join([HEAD.pack(0, len(listed))[4:], listed, *(marshalled for _package, marshalled in code.values())])
    return zlib.crc32(rest).to_bytes(4, "little") + rest
