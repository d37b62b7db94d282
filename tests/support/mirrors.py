# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role registry_mirror on this machine, without an init system, in directories of a test's own."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import tempfile
import typing as t

from .leftovers import processes_with


@contextlib.contextmanager
def directories() -> t.Iterator[pathlib.Path]:
    """For the cache, whose user can look into it. A cache that a test has left ends with it."""
    with tempfile.TemporaryDirectory(prefix="fleet-mirror-") as made:
        base = pathlib.Path(made)
        base.chmod(0o755)
        try:
            yield base
        finally:
            for pid in processes_with(base):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def places(base: pathlib.Path) -> t.Dict[str, t.Any]:
    """Variables of the role, so that the machine has nothing of it."""
    names = {"config_dir": "config", "run_dir": "run", "log_dir": ".", "storage": "storage"}
    found: t.Dict[str, t.Any] = {f"registry_mirror_{name}": str(base / path) for name, path in names.items()}
    return {
        **found,
        "registry_mirror_packages": [],
        "registry_mirror_python_packages": [],
        "registry_mirror_start_without_init": True,
    }
