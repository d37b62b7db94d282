# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_volume and containerd_volume_info, and volumes of containers in memory."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Layout, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories import volume as stories
from ansible_collections.fleet.containerd.tests.support.stories.volume import Volumes


@pytest.fixture
def volumes(site: MemorySite, registry: FakeRegistry, layout: Layout) -> Volumes:
    registry.push(layout.path, small_image(layout, stories.image_layers()), "volumes", "1")
    return Volumes(site, f"{registry.address}/volumes:1")


def test_in_and_out(volumes: Volumes) -> None:
    stories.in_and_out(volumes)


def test_made_anew(volumes: Volumes, tmp_path: pathlib.Path) -> None:
    (tmp_path / "pages").mkdir()
    stories.made_anew(volumes, tmp_path / "pages")


def test_containers_use_volumes(volumes: Volumes) -> None:
    stories.containers_use_volumes(volumes)


def test_owner_and_mode_that_a_task_gives(volumes: Volumes) -> None:
    stories.owner_and_mode_that_a_task_gives(volumes)


def test_volumes_of_a_container_alone(volumes: Volumes) -> None:
    stories.volumes_of_a_container_alone(volumes)


def test_a_job_that_is_cleaned_up_leaves_none(volumes: Volumes) -> None:
    stories.a_job_that_is_cleaned_up_leaves_none(volumes)


def test_force(volumes: Volumes) -> None:
    stories.force(volumes)


def test_what_a_killed_run_left(volumes: Volumes) -> None:
    stories.what_a_killed_run_left(volumes)
