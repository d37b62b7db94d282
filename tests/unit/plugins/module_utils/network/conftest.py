# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.network import netns
from ansible_collections.fleet.containerd.plugins.module_utils.network.attachment import Host
from ansible_collections.fleet.containerd.plugins.module_utils.network.nftables import Nftables
from ansible_collections.fleet.containerd.plugins.module_utils.network.places import BIN_DIRS
from ansible_collections.fleet.containerd.tests.support.namespaces import World, world


@pytest.fixture
def site(tmp_path: pathlib.Path) -> t.Iterator[World]:
    """A host, whose namespace this thread is in, and what is around it."""
    with world(tmp_path / "namespaces") as made, netns.entered(made.host):
        yield made


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Host:
    """Where networks of a test have their files."""
    return Host(Nftables(), BIN_DIRS, str(tmp_path / "cache"), str(tmp_path / "addresses"))
