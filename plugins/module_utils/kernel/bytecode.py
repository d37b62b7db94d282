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
import hashlib
import importlib.util
import marshal
import os
import sys
import types
import typing as t
import zlib

_DIRECTORY = "/var/cache/fleet-containerd"
_PACKAGE = __name__.rpartition(".module_utils.")[0] + ".module_utils."
_MOST_FILES = 32
_END_OF_DIRECTORY, _ENTRY = b"PK\5\6", b"PK\1\2"


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def checksums(archive: str, folder: str) -> t.List[str]:
    """Name and checksum of each file below a folder of a zip file, sorted; empty when it cannot be read.

    zipimport knows them too, but its name for them changes with Python's versions; the format does not (APPNOTE.TXT 4.3).
    """
    found = []
    try:
        with open(archive, "rb") as stream:
            stream.seek(-22, os.SEEK_END)
            end = stream.read()
            stream.seek(_number(end, 16, 4))
            data = stream.read(_number(end, 12, 4)) if end.startswith(_END_OF_DIRECTORY) else b""
    except OSError:
        return []
    at = 0
    while data.startswith(_ENTRY, at):
        length = _number(data, at + 28, 2)
        name = data[at + 46 : at + 46 + length].decode("utf-8", "replace")
        if name.startswith(folder):
            found.append(f"{name}:{_number(data, at + 16, 4):08x}")
        at += 46 + length + _number(data, at + 30, 2) + _number(data, at + 32, 2)
    return sorted(found)


class Cache:
    """A finder for sys.meta_path, and a loader. It does nothing unless this module itself comes from a zip file."""

    def __init__(self) -> None:
        self._loader: t.Any = globals().get("__loader__")
        self._path = ""
        # By name: whether it is a package, and its marshalled code, which is read only when it is imported.
        self._code: t.Dict[str, t.Tuple[bool, bytes]] = {}
        self._found: t.Dict[str, types.CodeType] = {}
        archive = getattr(self._loader, "archive", "")
        sums = checksums(archive, _PACKAGE.partition(".plugins.")[0].replace(".", "/")) if archive and os.geteuid() == 0 else []
        if not sums:
            return
        key = hashlib.sha256(importlib.util.MAGIC_NUMBER + "\n".join(sums).encode()).hexdigest()
        self._path = os.path.join(_DIRECTORY, key)
        self._load()

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
        if len(data) > 4 and zlib.crc32(data[4:]) == int.from_bytes(data[:4], "little"):
            with contextlib.suppress(ValueError, EOFError, TypeError):
                self._code = marshal.loads(data[4:])  # noqa: S302  # a file of root in a directory of root
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
        try:
            self._found[name] = marshal.loads(found[1])  # noqa: S302  # see _load
        except (ValueError, EOFError, TypeError):
            self._drop()
            return None
        spec = importlib.util.spec_from_loader(name, t.cast(t.Any, self), is_package=found[0])
        if spec and found[0]:
            # Code that is not kept yet comes from the zip file.
            spec.submodule_search_locations = [os.path.join(self._loader.archive, *name.split("."))]
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

        place = os.path.join(self._loader.archive, *name.split(".")[:-1])
        return zipimport.zipimporter(place).get_source(name)

    def save(self) -> None:
        """Keep the additional code that this run has imported. Call it at the end of a task that may change the target."""
        if not self._path:
            return
        code = {}
        for name, module in list(sys.modules.items()):
            if name.startswith(_PACKAGE) and name != __name__ and name not in self._code:
                loader: t.Any = getattr(module, "__loader__", None)
                with contextlib.suppress(ImportError, AttributeError):
                    code[name] = (hasattr(module, "__path__"), marshal.dumps(loader.get_code(name)))
        if code:
            self._write({**self._code, **code})

    def _write(self, code: t.Dict[str, t.Any]) -> None:
        from ..errors import EngineError
        from ..hostfs.atomic import make_dir, write_file

        with contextlib.suppress(EngineError, OSError):
            make_dir(_DIRECTORY)
            data = marshal.dumps(code)
            write_file(self._path, zlib.crc32(data).to_bytes(4, "little") + data)
            names = sorted(os.listdir(_DIRECTORY), key=lambda one: os.lstat(os.path.join(_DIRECTORY, one)).st_mtime)
            for name in names[:-_MOST_FILES]:
                os.unlink(os.path.join(_DIRECTORY, name))


cache = Cache()
