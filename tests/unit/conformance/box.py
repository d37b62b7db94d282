# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers for tests of the tasks of an engine."""

from __future__ import annotations

import contextlib
import os
import secrets
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container, LayerTarget, TaskIO
from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.layers.diff_apply import apply_layer
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.logs import read as read_log
from ansible_collections.fleet.containerd.tests.support.images import busybox_layer
from ansible_collections.fleet.containerd.tests.support.specs import busybox_spec

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine


class Box:
    """Containers with a busybox in them, removed at the end."""

    def __init__(self, engine: Engine, harness: t.Any) -> None:
        self.engine, self.harness = engine, harness
        self.made: t.List[Container] = []

    def container(self, *args: str, tty: bool = False) -> Container:
        container_id = secrets.token_hex(32)
        store = self.engine.snapshotter()
        with self.engine.lease():
            with self.harness.view(store.prepare(container_id)) as root:
                layer = root.parent / "layer.tar"
                layer.write_bytes(busybox_layer())
                with layer.open("rb") as stream:
                    apply_layer(stream, "application/vnd.oci.image.layer.v1.tar", LayerTarget(str(root)))
            spec = busybox_spec(container_id, self.engine.namespace, args, tty)
            made = Container(container_id, "none", spec, store.name, container_id)
            self.made.append(self.engine.containers.create(made))
        return self.made[-1]

    def log(self, container: Container) -> str:
        return os.path.join(self.engine.container_dir(container.id), "out.log")

    def run(self, *args: str, tty: bool = False, **io: t.Any) -> Container:
        made = self.container(*args, tty=tty)
        mounts = self.engine.snapshotter().mounts(made.snapshot_key)
        self.engine.tasks.start(made, mounts, TaskIO(terminal=tty, log_path=self.log(made), **io))
        return made

    def output(self, container: Container, *streams: str) -> str:
        return read_log(self.log(container), streams or ("stdout", "stderr")).decode()

    def close(self) -> None:
        for made in self.made:
            with contextlib.suppress(NotFound):
                self.engine.tasks.delete(made.id, force=True)
            with contextlib.suppress(NotFound):
                self.engine.containers.delete(made.id)
            with contextlib.suppress(NotFound):
                self.engine.snapshotter().remove(made.snapshot_key)
