# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep compiled code on the target, so that tasks do not compile the collection again each time.

ansible-core sends sources, and each task compiles what it imports: 40 to 50 ms, twice as much as everything else that a task
without changes costs. The code that a run has compiled is kept in a directory of root, under a name made from the checksums
of all sources in the payload and the Python version, so other sources never use it. Without such a file, with a damaged one, or
without the right to make one, everything works as it does without this module.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib.machinery
import importlib.util
import marshal
import os
import struct
import sys
import types
import typing as t
import zlib

DIRECTORY = "/var/cache/fleet-containerd"
_PACKAGE = __name__.rpartition(".module_utils.")[0] + "."
#: The zip file that this module comes from; empty outside of a task.
ARCHIVE: str = getattr(globals().get("__loader__"), "archive", "")
_END_OF_DIRECTORY, _ENTRY = b"PK\5\6", b"PK\1\2"
#: Of a file: the checksum of all that follows, and the length of the index, which comes first in that.
HEAD = struct.Struct("<II")

#: By name: whether it is a package, and where in the file its marshalled code begins and ends.
Index = t.Dict[str, t.Tuple[bool, int, int]]


def checksums(archive: str, folder: str) -> t.List[bytes]:
    """Name and checksum of each file below a folder of a zip file, sorted; empty when it cannot be read.

    zipimport knows them too, but its name for them changes with Python's versions; the format does not (APPNOTE.TXT 4.3).
    """
    found = []
    try:
        with open(archive, "rb") as stream:
            stream.seek(-22, os.SEEK_END)
            end = stream.read()
            size, place = struct.unpack_from("<II", end, 12)
            stream.seek(place)
            data = stream.read(size) if end.startswith(_END_OF_DIRECTORY) else b""
    except OSError:
        return []
    lengths, below, at = struct.Struct("<HHH").unpack_from, folder.encode(), 0
    while data.startswith(_ENTRY, at):
        name, extra, comment = lengths(data, at + 28)
        if data.startswith(below, at + 46):
            found.append(data[at + 46 : at + 46 + name] + data[at + 16 : at + 20])
        at += 46 + name + extra + comment
    return sorted(found)


class Cache:
    """A finder for sys.meta_path, and a loader. It does nothing unless this module itself comes from a zip file.

    library: all code of the collection comes from this zip file in DIRECTORY, whose name is unique to its content.
    """

    def __init__(self, library: str = "") -> None:
        self._archive = library or ARCHIVE
        self._path = ""
        self._code: Index = {}
        # Of the file; code is read out of it only when it is imported.
        self._data = memoryview(b"")
        self._found: t.Dict[str, types.CodeType] = {}
        if not self._archive or os.geteuid() != 0:
            return
        sums = [library.encode()] if library else checksums(self._archive, _PACKAGE.partition(".plugins.")[0].replace(".", "/"))
        if sums:
            self._path = os.path.join(DIRECTORY, hashlib.sha256(importlib.util.MAGIC_NUMBER + b"".join(sums)).hexdigest())
            self._load()

    @property
    def is_empty(self) -> bool:
        """Whether no code is kept."""
        return not self._code

    def _load(self) -> None:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return
        with open(fd, "rb") as stream:
            found = os.fstat(fd)
            if found.st_uid != 0 or found.st_mode & 0o022:
                return
            data = memoryview(stream.read())
        with contextlib.suppress(ValueError, EOFError, TypeError, struct.error):
            checksum, length = HEAD.unpack_from(data)
            if zlib.crc32(data[4:]) == checksum:
                self._code = marshal.loads(data[HEAD.size :])  # noqa: S302  # a file of root in a directory of root
                self._data = data[HEAD.size + length :]
        if self._code:
            sys.meta_path.insert(0, t.cast(t.Any, self))
        else:
            self._drop()

    def _drop(self) -> None:
        """The file is damaged: import the rest from the sources; save() makes a new file."""
        self._code = {}
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(t.cast(t.Any, self))
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def find_spec(self, name: str, path: t.Any = None, target: t.Any = None) -> t.Any:
        """importlib.abc.MetaPathFinder."""
        found = self._code.get(name)
        if not found:
            return None
        package, begin, end = found
        try:
            self._found[name] = marshal.loads(self._data[begin:end])  # noqa: S302  # see _load
        except (ValueError, EOFError, TypeError):
            self._drop()
            return None
        spec = importlib.machinery.ModuleSpec(name, t.cast(t.Any, self), is_package=package)
        if package:
            # Code that is not kept yet comes from the zip file.
            spec.submodule_search_locations = [os.path.join(self._archive, *name.split("."))]
        return spec

    def create_module(self, spec: t.Any) -> None:
        """importlib.abc.Loader: the default is right."""

    def exec_module(self, module: t.Any) -> None:
        """importlib.abc.Loader. Our imports never fail for other reasons, so after a failure the file is removed."""
        done = False
        try:
            exec(self._found.pop(module.__name__), module.__dict__)  # noqa: S102  # what an import is
            done = True
        finally:
            if not done:
                self._drop()

    def get_source(self, name: str) -> t.Optional[str]:
        """Sources for libexec/install.py."""
        import zipimport

        place = os.path.join(self._archive, *name.split(".")[:-1])
        return zipimport.zipimporter(place).get_source(name)

    def stop(self) -> None:
        """Keep nothing from here on. What was kept is still used."""
        self._path = ""

    def save(self) -> None:
        """Keep the additional code that this run has imported. Call it at the end of a task that may change the target."""
        if not self._path:
            return
        more = [name for name in sys.modules if name.startswith(_PACKAGE) and name != __name__ and name not in self._code]
        if more:
            from .bytecode_file import write

            kept = {name: (package, bytes(self._data[begin:end])) for name, (package, begin, end) in self._code.items()}
            write(self._path, kept, more)


# Importing makes many objects and no garbage: a task without changes would look for some 18 times, for 4 ms.
gc.set_threshold(20_000)
cache = Cache()
