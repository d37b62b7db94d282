# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeing and removing what containers of the embedded engine leave on the host: processes, mounts, cgroups."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import typing as t


def mounts_below(path: t.Union[str, pathlib.Path], pid: t.Union[str, int] = "self") -> t.List[str]:
    """Mount points at or below path, in the order in which they were mounted. pid: a process that sees them."""
    points = []
    for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        point = line.split()[4].encode().decode("unicode_escape")
        if point == str(path) or point.startswith(f"{path}/"):
            points.append(point)
    return points


def unmount_below(path: t.Union[str, pathlib.Path]) -> None:
    """Unmount all of it, last first; lazily what is still in use."""
    for point in reversed(mounts_below(path)):
        done = subprocess.run(["umount", point], check=False, capture_output=True)
        if done.returncode:
            subprocess.run(["umount", "-l", point], check=True)


def processes_with(path: t.Union[str, pathlib.Path]) -> t.Dict[int, t.List[str]]:
    """Processes with an argument at or below path: pid and arguments. That finds the shims of a state_root."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            # Those of other tests may be no UTF-8.
            arguments = entry.joinpath("cmdline").read_text(errors="replace").split("\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if int(entry.name if arguments else 0) != os.getpid() and any(f"{one}/".startswith(f"{path}/") for one in arguments):
            found[int(entry.name)] = arguments
    return found


def clean_up(data_root: t.Union[str, pathlib.Path], state_root: t.Union[str, pathlib.Path]) -> None:
    """End every container of these roots, whatever state a test left it in, and unmount what they had mounted."""
    for pid in processes_with(state_root):
        _kill(pid)
    for state in pathlib.Path(state_root).glob("runc/*/*"):
        bundle = pathlib.Path(state_root) / state.parent.name / state.name
        program = os.readlink(bundle / "runtime") if os.path.lexists(bundle / "runtime") else "runc"
        runtime = [program, "--root", str(state.parent)]
        # starts: runc, crun
        subprocess.run([*runtime, "delete", "--force", state.name], check=False, capture_output=True)
    unmount_below(state_root)
    unmount_below(data_root)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
