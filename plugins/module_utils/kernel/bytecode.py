# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled code that is kept on the target, so that a task does not compile the collection anew each time.

ansible-core sends sources, and each task compiles what it imports: 40 to 50 ms, twice as much as everything else that a task
without changes costs. What one run has compiled is kept in a directory of root's, under a name made from the checksums of all
the sources that were sent and the Python version; other sources never meet it. Without such a file, or without the rights to
make one, everything works as it does without this module.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import marshal
import os
import sys
import typing as t

_DIRECTORY = "/var/cache/fleet-containerd"
_PACKAGE = __name__.rpartition(".module_utils.")[0] + ".module_utils."
_MOST_FILES = 32


class Cache:
    """A finder for sys.meta_path, and a loader. It does nothing unless this module itself came out of a zip file."""

    def __init__(self) -> None:
        loader: t.Any = globals().get("__loader__")
        files = getattr(loader, "_files", None)
        self._loader = loader
        self._path = ""
        # By name: whether it is a package, and its marshalled code, which is read only when it is imported.
        self._code: t.Dict[str, t.Tuple[bool, bytes]] = {}
        if not isinstance(files, dict) or os.geteuid() != 0:
            return
        folder = _PACKAGE.partition(".plugins.")[0].replace(".", os.sep)
        sums = sorted(f"{name}:{entry[7]:08x}" for name, entry in files.items() if name.startswith(folder))
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
            with contextlib.suppress(ValueError, EOFError, TypeError):
                self._code = marshal.loads(stream.read())  # noqa: S302  # a file of root in a directory of root
        if self._code:
            sys.meta_path.insert(0, t.cast(t.Any, self))

    def find_spec(self, name: str, path: t.Any = None, target: t.Any = None) -> t.Any:
        """importlib.abc.MetaPathFinder."""
        found = self._code.get(name)
        if not found:
            return None
        spec = importlib.util.spec_from_loader(name, t.cast(t.Any, self), is_package=found[0])
        if spec and found[0]:
            # What is not kept yet comes out of the zip file.
            spec.submodule_search_locations = [os.path.join(self._loader.archive, *name.split("."))]
        return spec

    def create_module(self, spec: t.Any) -> None:
        """importlib.abc.Loader: the default is right."""

    def exec_module(self, module: t.Any) -> None:
        """importlib.abc.Loader."""
        exec(marshal.loads(self._code[module.__name__][1]), module.__dict__)  # noqa: S102, S302  # what an import is

    def get_source(self, name: str) -> t.Optional[str]:
        """What libexec/install.py asks for."""
        import zipimport

        place = os.path.join(self._loader.archive, *name.split(".")[:-1])
        return zipimport.zipimporter(place).get_source(name)

    def save(self) -> None:
        """Keep the code of what this run has imported besides. To be called when a task may change the target, at its end."""
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
            write_file(self._path, marshal.dumps(code), durable=False)
            names = sorted(os.listdir(_DIRECTORY), key=lambda one: os.lstat(os.path.join(_DIRECTORY, one)).st_mtime)
            for name in names[:-_MOST_FILES]:
                os.unlink(os.path.join(_DIRECTORY, name))


cache = Cache()
