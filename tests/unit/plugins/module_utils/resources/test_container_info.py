# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of containers whose state nobody can find out."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container, Runtime, TaskState
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.info import container_info


def test_a_shim_that_hangs_hides_no_other_container(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def state(container_id: str) -> TaskState:
        if container_id == "a" * 64:
            raise Unavailable("the shim does not answer")
        raise NotFound("no task")

    engine = EmbeddedEngine("default", str(tmp_path / "data"), str(tmp_path / "state"))
    for digit in "ab":
        engine.containers.create(Container(digit * 64, "none", {}, "", "", runtime=Runtime(binary="runc")))
    monkeypatch.setattr(engine.tasks, "state", state)
    found = container_info({"name": None, "labels": None}, engine)
    assert [one["State"]["Status"] for one in found.result["containers"]] == ["unknown", "created"]
    assert found.warnings == ["the state of the container aaaaaaaaaaaa is unknown: the shim does not answer"]
    engine.close()
