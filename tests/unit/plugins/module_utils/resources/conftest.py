# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: modules over the engine in memory, and a registry in this process. Nothing here starts a program or mounts for long."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.network.connected import keep
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import jobs, networks
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, fake_registry
from ansible_collections.fleet.containerd.tests.support.images import Layout, hand_made_layers, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite


@pytest.fixture
def site(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[MemorySite]:
    """A fresh engine in memory. What ends there at once has ended when it was started: nobody waits for that."""
    monkeypatch.setattr(jobs, "_GRACE_SECONDS", 0.0)
    # Nobody runs the hook of a container there, so this machine needs no network for it.
    monkeypatch.setattr(networks, "install", lambda data_root: None)
    monkeypatch.setattr(networks, "prepare", lambda engine, container: container)
    monkeypatch.setattr(networks, "make_ready", lambda connected: None)
    monkeypatch.setattr(networks, "reconnect", lambda before, wanted, path: keep(path, wanted))
    made = MemorySite(tmp_path)
    yield made
    made.close()


@pytest.fixture
def registry() -> t.Iterator[FakeRegistry]:
    """A registry of the test's own, in place of the docker-registry of other tests."""
    with fake_registry() as running:
        yield running


@pytest.fixture
def busybox(registry: FakeRegistry, layout: Layout) -> str:
    """The name of a small image with a root file system, in the registry."""
    registry.push(layout.path, small_image(layout), "busybox", "1")
    return f"{registry.address}/busybox:1"


@pytest.fixture
def hand_made(registry: FakeRegistry, layout: Layout) -> str:
    """The name of an image with whiteouts, links across layers and odd names."""
    registry.push(layout.path, layout.image(hand_made_layers()), "handmade", "1")
    return f"{registry.address}/handmade:1"


@pytest.fixture
def two_platforms(registry: FakeRegistry, layout: Layout) -> t.Tuple[str, t.Dict[str, str]]:
    """The name of an index for amd64 and arm64, and the digest of each architecture's manifest."""
    ours = small_image(layout, Labels={"for": "amd64"})
    other = layout.image(hand_made_layers()[:1], {"Labels": {"for": "arm64"}}, architecture="arm64")
    registry.push(layout.path, layout.index([other, ours]), "index", "1")
    return f"{registry.address}/index:1", {"amd64": str(ours["digest"]), "arm64": str(other["digest"])}
