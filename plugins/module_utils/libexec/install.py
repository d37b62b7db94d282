# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the programs that outlive a module on the target, as one file.

A module's payload is temporary. So the modules named here go into a zip file below data_root, at a path made from its
digest. It is written once, and a process that runs from it has this path among its arguments.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
import time
import typing as t
import urllib.parse

from ..errors import EngineError, from_os_error
from ..hostfs.atomic import make_dir, write_file
from ..hostfs.remove import remove_tree
from ..runtime import json_log
from ..runtime.processes import arguments_of
from . import console, ends, health, keep, life, log, main, shim, state, watch

#: Everything that the verbs need, in the same rooms as here.
MODULES = (console, ends, health, json_log, keep, life, log, main, shim, state, watch)
_ROOT = "fleet"
#: Run with -c rather than as a zipapp's __main__: runpy and what it imports would stay in memory.
COMMAND = f"import sys;sys.path.insert(0,sys.argv[1]);from {_ROOT}.libexec.main import main;main(sys.argv[2:])"
_MAIN = f"import sys\n\nfrom {_ROOT}.libexec.main import main\n\nmain(sys.argv[1:])\n"
_YOUNG_SECONDS = 24 * 3600.0


def _sources(modules: t.Sequence[t.Any]) -> t.Iterator[t.Tuple[str, str]]:
    """The paths (without ending) and texts of the modules in the zip file, where the rooms are packages."""
    top, rooms = __name__.split(".")[:-2], set()
    for module in modules:
        *room, name = module.__name__.split(".")[len(top) :]
        loader: t.Any = module.__loader__
        try:
            source: t.Optional[str] = loader.get_source(module.__name__)
        except ImportError as error:  # an OSError becomes an ImportError there
            raise EngineError(f"the source of {module.__name__} cannot be read: {error.__cause__ or error}") from error
        if source is None:
            raise EngineError(f"the source of {module.__name__} cannot be read")
        rooms.update(room)
        yield "/".join([_ROOT, *room, name]), source
    for package in (_ROOT, *(f"{_ROOT}/{room}" for room in sorted(rooms))):
        yield f"{package}/__init__", ""


def _bytecode(source: str, name: str) -> bytes:
    """A .pyc that is not checked against its source (PEP 552). Other Python versions use the source beside it."""
    import marshal

    code = compile(source, f"ctr.pyz/{name}.py", "exec", dont_inherit=True, optimize=2)
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(code)


def payload(sources: t.Sequence[t.Tuple[str, str]]) -> bytes:
    """The zip file: stored, sorted, with fixed dates, so that the same sources give the same bytes on the same Python.

    It has bytecode, since compiling takes 6 ms of each container's start, and memory that the shim would keep.
    """
    import io
    import zipfile

    files: t.Dict[str, t.Union[str, bytes]] = {"__main__.py": _MAIN}
    for name, source in sources:
        files[f"{name}.py"] = source
        files[f"{name}.pyc"] = _bytecode(source, name)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), files[name])
    return out.getvalue()


def install(data_root: str, modules: t.Sequence[t.Any] = MODULES) -> str:
    """The path of the file with these modules, which is written if it is missing."""
    return put(data_root, list(_sources(modules)))


def put(data_root: str, sources: t.Sequence[t.Tuple[str, str]]) -> str:
    """As install(), of names and sources. The digest covers them and the version of the bytecode."""
    digest = hashlib.sha256(importlib.util.MAGIC_NUMBER)
    for name, source in sources:
        digest.update(f"{name}\0{source}\0".encode())
    directory = os.path.join(data_root, "libexec", digest.hexdigest())
    path = os.path.join(directory, "ctr.pyz")
    if not os.path.exists(path):
        make_dir(directory)
        write_file(path, payload(sources), 0o555)
        # Somebody else may do the same just now.
        with contextlib.suppress(FileNotFoundError):
            _remove_others(os.path.dirname(directory), digest.hexdigest())
    return path


def link(data_root: str, name: str, path: str) -> str:
    """Have a link with a path that stays to such a file. Returns the link's path."""
    stays = os.path.join(data_root, "libexec", name)
    try:
        if not os.path.islink(stays) or os.readlink(stays) != path:
            new = f"{stays}.{os.urandom(4).hex()}"
            os.symlink(path, new)
            os.replace(new, stays)
    except OSError as error:
        raise from_os_error(error, f"writing {stays}") from error
    return stays


def _remove_others(directory: str, own: str) -> None:
    """Remove the files of other releases if no process runs from them, and they are so old that no process is about to."""
    before = time.time() - _YOUNG_SECONDS
    found = list(os.scandir(directory))
    # What a link leads to is the hook that containers name.
    kept = {own, *(os.path.basename(os.path.dirname(os.readlink(entry.path))) for entry in found if entry.is_symlink())}
    old = [
        one.name for one in found if one.is_dir(follow_symlinks=False) and one.name not in kept and one.stat().st_mtime < before
    ]
    if old:
        running = "\n".join(" ".join(arguments_of(int(name))) for name in os.listdir("/proc") if name.isdigit())
        for name in old:
            if name not in running:
                remove_tree(os.path.join(directory, name))


def interpreter() -> str:
    """A Python that stays: the system's if it is new enough, rather than that of a virtual environment."""
    for path in ("/usr/bin/python3", "/usr/libexec/platform-python"):
        resolved = os.path.realpath(path)
        version = os.path.basename(resolved).replace("python3.", "")
        if os.access(resolved, os.X_OK) and version.isdigit() and int(version) >= 9:
            return path
    return sys.executable


def command(data_root: str, verb: str) -> t.List[str]:
    """The command that runs a verb; append the verb's arguments."""
    return [interpreter(), "-I", "-S", "-E", "-c", COMMAND, install(data_root), verb]


def log_code(data_root: str, *arguments: t.Any) -> str:
    """The code that the interpreter runs (-ISEc) as a log writer with these arguments."""
    call = f"main({['log', *map(str, arguments)]!r})"
    return f"import sys;sys.path.insert(0,{install(data_root)!r});from {_ROOT}.libexec.main import main;{call}"


def lasting_log_code(data_root: str, *arguments: t.Any) -> str:
    """As log_code(), for starts in months, by the release of then. What runs has its file among its arguments, which keeps that."""
    stays = link(data_root, "ctr.pyz", install(data_root))
    words = ["log", *map(str, arguments)]
    start = f'os.execv(sys.executable,[sys.executable,"-I","-S","-E","-c",{COMMAND!r},os.readlink({stays!r}),*{words!r}])'
    return f"import os,sys;{start}"


def log_uri(code: str) -> str:
    """The URI that makes containerd's shim start a log writer. It has one query pair, since the order of pairs is not kept."""
    return f"binary://{interpreter()}?-ISEc={urllib.parse.quote(code, safe='')}"
