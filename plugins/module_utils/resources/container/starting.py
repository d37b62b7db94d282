# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install what starts containers while no task is there (boot.py): a file with the engines, and, with systemd, the unit of the boot.

The file has boot.py and all that it imports: ansible-core has sent that, as boot.py is imported here.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shlex
import subprocess
import typing as t

from ...errors import FailedPrecondition
from ...hostfs.atomic import read_file, remove_file, write_file
from ...libexec.closure import closure
from ...libexec.install import link, put
from ...libexec.starter import LINK, command
from ...runtime_spec.cgroups import systemd_runs
from . import boot

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
    link(data_root, LINK, put(data_root, boot_sources()))
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


def unit_of(data_root: str) -> str:
    """The path of the unit, which may be missing."""
    digest = hashlib.sha256(data_root.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return os.path.join(_UNITS, "fleet-containers.service" if data_root == _DATA_ROOT else f"fleet-containers-{digest}.service")


def uninstall(data_root: str) -> None:
    """Remove the unit. The containers that it has started run on."""
    unit = unit_of(data_root)
    # Before the unit itself: it tells that something is left.
    remove_file(os.path.join(_UNITS, "multi-user.target.wants", os.path.basename(unit)))
    remove_file(unit)
    if systemd_runs():
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(["systemctl", "daemon-reload"], capture_output=True, timeout=_SECONDS, check=False)


def _enable(data_root: str, script: str) -> None:
    unit = unit_of(data_root)
    name = os.path.basename(unit)
    if not _write(unit, _UNIT.format(data_root=_escaped(data_root), script=_escaped(script)), 0o644):
        return
    try:
        done = subprocess.run(["systemctl", "enable", name], capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FailedPrecondition(f"the unit {name}, which starts containers after a boot, cannot be enabled: {error}") from error
    if done.returncode:
        os.unlink(unit)
        reason = done.stderr.decode("utf-8", "replace").strip()
        raise FailedPrecondition(f"the unit {name}, which starts containers after a boot, cannot be enabled: {reason}")


def _escaped(path: str) -> str:
    """For a unit file: specifiers, and what is special in quotes (systemd.unit(5), systemd.service(5))."""
    return path.replace("\\", "\\\\").replace("%", "%%").replace('"', '\\"').replace("$", "$$")


@functools.cache
def boot_sources() -> t.Sequence[t.Tuple[str, str]]:
    """The program that starts containers while no task is there: the paths and texts of its modules."""
    return tuple(closure(boot.__name__))
