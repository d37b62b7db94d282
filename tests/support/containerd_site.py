# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One namespace of a daemon, with the methods of an embedded engine's Site: so that a test can run against both."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult
from ansible_collections.fleet.containerd.tests.support.containerds import Daemon
from ansible_collections.fleet.containerd.tests.support.site import Site


class ContainerdSite(Site):
    """A namespace of its own in a running daemon; base is for our files."""

    def __init__(self, daemon: Daemon, base: pathlib.Path, namespace: str) -> None:
        super().__init__(base, namespace)
        self.daemon = daemon
        self.defaults = {
            "engine": "containerd",
            "address": daemon.address,
            "data_root": str(self.data),
            "namespace": namespace,
        }

    @contextlib.contextmanager
    def engine(self) -> t.Iterator[t.Any]:
        with contextlib.closing(ContainerdEngine(self.daemon.address, self.namespace, "", str(self.data))) as engine:
            yield engine

    def converge(self, *tasks: Task, **how: t.Any) -> t.List[TaskResult]:
        """As of Site; the daemon's records are looked at in place of files."""
        with self.engine() as engine:
            before = records(engine)
            self.play(*tasks, check=True, **how)
            assert records(engine) == before, "check mode changed what the daemon has"
        return super().converge(*tasks, **how)

    def ctr(self, *arguments: str) -> str:
        return self.daemon.ctr(*arguments, namespace=self.namespace).stdout

    def close(self) -> None:
        """All images of the namespace go, and all content with them."""
        with self.engine() as engine:
            for image in engine.images.list():
                engine.images.delete(image.name)
        super().close()


def records(engine: Engine) -> t.Dict[str, t.Any]:
    """What an engine has of images."""
    return {
        "images": {image.name: (image.target.digest, image.updated_at) for image in engine.images.list()},
        "blobs": sorted(info.digest for info in engine.content.walk()),
        "snapshots": sorted(info.name for info in engine.snapshotter().walk()),
        "ingests": engine.content.ingests(),
    }
