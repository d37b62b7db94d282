# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles: the directories from which an OCI runtime starts containers (runtime-spec, bundle.md)."""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from ..engine.models import Mount
from ..errors import from_os_error
from ..hostfs import mounts as host_mounts
from ..hostfs.atomic import make_dir, write_file
from ..hostfs.remove import rename_then_remove

_RUNTIME = "runtime"


class Bundle:
    """The bundle of one container below the state directory of its namespace. It is gone after a reboot."""

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def rootfs(self) -> str:
        return os.path.join(self.path, "rootfs")

    def make(self, spec: t.Mapping[str, t.Any], mounts: t.Sequence[Mount], runtime: str) -> None:
        """Write config.json and mount the root file system. runtime: the binary that will make the container."""
        make_dir(self.rootfs)
        os.symlink(runtime, os.path.join(self.path, _RUNTIME))
        self.configure(spec)
        for entry in mounts:
            host_mounts.mount(entry.type, entry.source, self.rootfs, entry.options)

    def configure(self, spec: t.Mapping[str, t.Any]) -> None:
        """Write config.json, also for the next start from this bundle."""
        write_file(os.path.join(self.path, "config.json"), json.dumps(spec).encode(), durable=False)

    def give_up(self) -> None:
        """Tell the shim that the coming end is wanted. A full disk must not prevent a removal."""
        with contextlib.suppress(OSError):
            os.close(os.open(os.path.join(self.path, "stopped"), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))

    def remove(self) -> bool:
        """Unmount and remove; False when there was none."""
        try:
            if os.path.isdir(self.rootfs):
                host_mounts.unmount(self.rootfs, lazy=True)
        except OSError as error:
            raise from_os_error(error, f"unmounting {self.rootfs}") from error
        return rename_then_remove(self.path)

    @property
    def runtime(self) -> str:
        """The binary that was given to make(); empty without a bundle, or with a damaged one."""
        try:
            return os.readlink(os.path.join(self.path, _RUNTIME))
        except OSError:
            return ""
