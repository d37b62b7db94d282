# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What networks and shims leave in places that all engines of a host share, when the last of them is gone: locks and empty directories."""

from __future__ import annotations

import contextlib
import glob
import os
import typing as t

from ...errors import EngineError
from ...hostfs.lock import locked
from ...hostfs.mounts import unmount
from ...network.attachment import rules_of_host
from ...network.conflist import ConfDir
from ...network.iptables import STATE
from ...network.places import CONF_DIR, Places
from ...network.rules import LOCK
from ...network.strangers import sweep

_CONF_LOCK = ".nerdctl.lock"
_CGROUPS = "/sys/fs/cgroup"


def tidy(places: Places) -> None:
    """Nothing that somebody uses goes. What cannot be removed stays, and is no error: it is empty."""
    with contextlib.suppress(EngineError):
        # Containers without records have no module that detaches them.
        sweep(places, rules_of_host())
    for group in [*glob.glob(f"{_CGROUPS}/fleet-shims"), *glob.glob(f"{_CGROUPS}/*/fleet-shims")]:
        _rmdir(group)
    _names(places.names_dir)
    _rules()
    _pins(places.pin_dir)
    for path in (places.data_dir, os.path.join(places.cache_dir, "results"), places.cache_dir):
        _rmdir(path)
    _conf_dir(places.conf_dir)


def _rmdir(path: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _names(directory: str) -> None:
    """Of networks without members, locks are left."""
    for base, _directories, files in os.walk(directory, topdown=False):
        if set(files) <= {".lock"}:
            for name in files:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(base, name))
            _rmdir(base)


def _rules() -> None:
    """With the last rule, the lock on them."""
    with contextlib.suppress(EngineError, OSError):
        if os.path.lexists(LOCK) and not rules_of_host().elements():
            for path in (STATE, LOCK):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
    _rmdir(os.path.dirname(LOCK))


def _pins(directory: str) -> None:
    """As long as it is shared with other mount namespaces, it is mounted on itself."""
    with contextlib.suppress(EngineError, OSError):
        if not os.listdir(directory):
            with locked(directory, f"the namespaces in {directory}", wait=1):
                if os.stat(directory).st_dev == os.stat(os.path.dirname(directory)).st_dev:
                    # The lock itself uses it.
                    unmount(directory, lazy=True)
            _rmdir(directory)


def _conf_dir(directory: str) -> None:
    """The lock is nerdctl's, too."""
    networks: t.Sequence[t.Any] = ConfDir(directory).every()
    if not any(one.id for one in networks):
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(directory, _CONF_LOCK))
        _rmdir(directory)
        if directory == CONF_DIR:
            _rmdir(os.path.dirname(directory))
