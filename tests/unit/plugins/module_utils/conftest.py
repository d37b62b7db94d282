# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An embedded engine of the test's own."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> t.Iterator[EmbeddedEngine]:
    found = EmbeddedEngine("default", str(tmp_path / "data"), str(tmp_path / "state"))
    yield found
    found.close()
