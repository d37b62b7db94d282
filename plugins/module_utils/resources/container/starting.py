# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install what starts containers while no task is there (boot.py): a file with the engines, and, with systemd, the unit of the boot.

The file has boot.py and all that it imports: ansible-core has sent that, as boot.py is imported here.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import shlex
import subprocess
import typing as t

from ...errors import EngineError, FailedPrecondition
from ...hostfs.atomic import read_file, write_file
from ...libexec.install import link, put
from ...libexec.starter import LINK, command
from ...runtime_spec.cgroups import systemd_runs
from . import boot

_IMPORT = re.compile(r"^ *from (\.+)([\w.]*) import (\([^)]*\)|[^\n#]*)", re.MULTILINE)
_UNITS = "/etc/systemd/system"
_DATA_ROOT = "/var/lib/fleet-containerd"
_SECONDS = 60.0
_UNIT = """# Written by the Ansible collection fleet.containerd.
[Unit]
Description=Containers of fleet.containerd that are to run ({data_root})
Wants=network-online.target
After=network-online.target local-fs.target containerd.service
RequiresMountsFor={data_root}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart="{script}"
# What it starts is in control groups of its own, and stays when this unit ends.
KillMode=process
TimeoutStartSec=infinity

[Install]
WantedBy=multi-user.target
"""
_SCRIPT = """#!/bin/sh
# Written by the Ansible collection fleet.containerd. Starts the containers that are to run after a boot; for hosts without systemd, too.
exec {command}
"""


def install(data_root: str) -> None:
    """Have the program of this release on the host, and the host's boot call it."""
    link(data_root, LINK, put(data_root, sources()))
    script = os.path.join(data_root, "libexec", "restore")
    words = " ".join(map(shlex.quote, command(data_root, "restore", data_root)))
    _write(script, _SCRIPT.format(command=words), 0o755)
    if systemd_runs():
        _enable(data_root, script)


def _write(path: str, text: str, mode: int) -> bool:
    """False if the file is that already."""
    if read_file(path) == text.encode():
        return False
    write_file(path, text.encode(), mode)
    return True


def _enable(data_root: str, script: str) -> None:
    digest = hashlib.sha256(data_root.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    name = "fleet-containers.service" if data_root == _DATA_ROOT else f"fleet-containers-{digest}.service"
    if not _write(os.path.join(_UNITS, name), _UNIT.format(data_root=_escaped(data_root), script=_escaped(script)), 0o644):
        return
    try:
        done = subprocess.run(["systemctl", "enable", name], capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FailedPrecondition(f"the unit {name}, which starts containers after a boot, cannot be enabled: {error}") from error
    if done.returncode:
        os.unlink(os.path.join(_UNITS, name))
        reason = done.stderr.decode("utf-8", "replace").strip()
        raise FailedPrecondition(f"the unit {name}, which starts containers after a boot, cannot be enabled: {reason}")


def _escaped(path: str) -> str:
    """For a unit file: specifiers, and what is special in quotes (systemd.unit(5), systemd.service(5))."""
    return path.replace("\\", "\\\\").replace("%", "%%").replace('"', '\\"').replace("$", "$$")


@functools.cache
def sources() -> t.Sequence[t.Tuple[str, str]]:
    """The paths (without ending) and texts of boot.py and of what it imports, below the package fleet, and of the packages."""
    return tuple(_sources())


def _sources() -> t.Iterator[t.Tuple[str, str]]:
    root = boot.__name__.rsplit(".", 3)[0]
    pending, texts = [boot.__name__], {}
    while pending:
        name = pending.pop()
        if name in texts:
            continue
        source = _source(name)
        if source is not None:
            texts[name] = source
            pending += _imported(name, source)
    packages = {"fleet"}
    for name in sorted(texts):
        path = "fleet/" + name[len(root) + 1 :].replace(".", "/")
        yield path, texts[name]
        parts = path.split("/")[:-1]
        packages.update("/".join(parts[: number + 1]) for number in range(len(parts)))
    for package in sorted(packages):
        yield f"{package}/__init__", ""


def _imported(name: str, source: str) -> t.Iterator[str]:
    """The full names of what may be modules of ours."""
    for dots, module, names in _IMPORT.findall(source):
        base = ".".join([*name.split(".")[: -len(dots)], *([module] if module else [])])
        yield base
        yield from (f"{base}.{word}" for word in re.findall(r"(\w+)(?: as \w+)?", names))


def _source(name: str) -> t.Optional[str]:
    """The text of a module; None for what is none: a package, a stub, a name in a module."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        # What should have the module is no package.
        return None
    if spec is None or spec.submodule_search_locations is not None or spec.loader is None:
        return None
    loader: t.Any = spec.loader
    try:
        source: t.Optional[str] = loader.get_source(name)
    except ImportError as error:
        raise EngineError(f"the source of {name} cannot be read: {error.__cause__ or error}") from error
    return source
