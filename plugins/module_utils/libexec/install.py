# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting on the target, as one file, what outlives a module.

A module's payload is temporary. So the modules named here go into a zip file below data_root, at a path made from its
digest; it is written once, and every container's bundle names the one that it was made with.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import typing as t
import zipfile

from ..errors import EngineError
from ..hostfs.atomic import make_dir, write_file
from . import shim

_MODULES = (("shim", shim),)
#: Run with -c rather than as a zipapp's __main__: runpy and what it imports would stay in memory.
COMMAND = "import sys;sys.path.insert(0,sys.argv[1]);import shim;shim.main()"
_MAIN = "import shim\n\nshim.main()\n"


def _source(module: t.Any) -> str:
    source: t.Optional[str] = module.__loader__.get_source(module.__name__)
    if source is None:
        raise EngineError(f"the source of {module.__name__} cannot be read")
    return source


def payload() -> bytes:
    """The zip file: stored, sorted, with fixed dates, so that the same sources give the same bytes."""
    files = {f"{name}.py": _source(module) for name, module in _MODULES}
    files["__main__.py"] = _MAIN
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), files[name])
    return out.getvalue()


def install(data_root: str) -> str:
    """The path of the file, which is written when it is not there yet."""
    data = payload()
    directory = os.path.join(data_root, "libexec", hashlib.sha256(data).hexdigest())
    path = os.path.join(directory, "ctr.pyz")
    try:
        if os.stat(path).st_size == len(data):
            return path
    except FileNotFoundError:
        make_dir(directory)
    write_file(path, data, 0o555)
    return path


def interpreter() -> str:
    """A Python that stays: the system's, if it is new enough, rather than that of a virtual environment."""
    for path in ("/usr/bin/python3", "/usr/libexec/platform-python"):
        resolved = os.path.realpath(path)
        version = os.path.basename(resolved).replace("python3.", "")
        if os.access(resolved, os.X_OK) and version.isdigit() and int(version) >= 9:
            return path
    return sys.executable


def command(data_root: str) -> t.List[str]:
    """What starts the shim, to be followed by its arguments."""
    return [interpreter(), "-I", "-S", "-E", "-c", COMMAND, install(data_root)]
