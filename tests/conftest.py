# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that many tests use: a registry with an image, and roots for the embedded engine that are cleaned up."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.leftovers import clean_up
from ansible_collections.fleet.containerd.tests.support.payloads import DIRECTORY, build_once
from ansible_collections.fleet.containerd.tests.support.registry import Registry, make_ca, running_registry

# What fails in a story is explained as what fails in a test.
pytest.register_assert_rewrite("ansible_collections.fleet.containerd.tests.support.stories")

_LONGEST = ("test_role.py", "test_molecule.py")


def pytest_configure(config: pytest.Config) -> None:
    """Programs for hosts are built once for all workers, which have the environment of this process."""
    if DIRECTORY not in os.environ:
        made = os.environ[DIRECTORY] = tempfile.mkdtemp(prefix="fleet-payloads-")
        config.add_cleanup(lambda: shutil.rmtree(made))
        config.add_cleanup(lambda: os.environ.pop(DIRECTORY))
    build_once()


def pytest_collection_modifyitems(items: t.List[pytest.Item]) -> None:
    """Mark what runs against a daemon: that engine's own tests, and parameters such as containerd-1.7.

    The longest tests come first, so that at the end no worker waits for another one.
    """
    items.sort(key=lambda item: (item.path.name not in _LONGEST, "integration" not in item.path.parts))
    for item in items:
        if "engine_containerd" in item.path.parts or "containerd-" in getattr(getattr(item, "callspec", None), "id", ""):
            item.add_marker(pytest.mark.daemon)


@pytest.fixture(scope="session")
def registry() -> t.Iterator[Registry]:
    """A plain docker-registry on loopback for the whole session: use repository names of your own in it."""
    with running_registry() as running:
        yield running


@pytest.fixture(scope="session")
def busybox(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a small image that runs, in the registry."""
    layout = Layout(tmp_path_factory.mktemp("busybox"))
    registry.push(layout.path, busybox_image(layout), "busybox", "1")
    return f"{registry.address}/busybox:1"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> t.Tuple[str, str, str]:
    """A private authority and a certificate of it, as of make_ca. Keys take a while: once for all tests."""
    return make_ca(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def ca(authority: t.Tuple[str, str, str]) -> str:
    """The file of the private authority; its key is in another one, with .key behind its name."""
    return authority[0]


@pytest.fixture
def roots(tmp_path: pathlib.Path) -> t.Iterator[t.Dict[str, str]]:
    """Options of a module for an embedded engine of the test's own; containers and mounts are gone afterwards."""
    data_root, state_root = tmp_path / "data", tmp_path / "state"
    try:
        yield {"engine": "embedded", "data_root": str(data_root), "state_root": str(state_root)}
    finally:
        clean_up(data_root, state_root)


@pytest.fixture
def layout(tmp_path: pathlib.Path) -> Layout:
    """A place to build images in."""
    return Layout(tmp_path / "layout")
