# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a runtime is told when limits change, in either version of the control groups (what comes of it: tests/vm, test_container_limits)."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec import resources
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.resources import update_of

CPU = {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"}
MEMORY = {"limit": 64, "swap": 128, "reservation": 32}
RATES = [{"major": 8, "minor": 0, "rate": 5}]
NOTHING: t.Dict[str, t.Any] = {"devices": [{"allow": False}]}
ALL = {
    **NOTHING,
    "cpu": CPU,
    "memory": {**MEMORY, "swappiness": 0},
    "pids": {"limit": 5},
    "blockIO": {"weight": 300, "throttleReadBpsDevice": RATES},
}
BOTH = {"pids": {"limit": -1}, "blockIO": {"weight": 100}}
QUOTA = {"quota": -1, "period": 100000, "cpus": "0-7", "mems": "0-1"}
FREE = {
    1: {**BOTH, "cpu": {"shares": 1024, **QUOTA}, "memory": {"limit": -1, "swap": -1, "reservation": -1}},
    2: {**BOTH, "cpu": QUOTA, "memory": {"limit": -1, "swap": -1}, "unified": {"cpu.weight": "100", "memory.low": "0"}},
}


@pytest.mark.parametrize("version", [1, 2])
def test_what_a_runtime_is_told(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "version", lambda: version)
    monkeypatch.setattr(resources, "online", {"cpus": "0-7", "mems": "0-1"}.get)
    told = {"cpu": CPU, "memory": MEMORY, "pids": {"limit": 5}, "blockIO": {"weight": 300}}
    assert update_of(ALL, NOTHING) == update_of(ALL, ALL, NOTHING) == told
    assert update_of(NOTHING, ALL) == update_of(NOTHING, NOTHING, ALL) == FREE[version]
    assert update_of(NOTHING, NOTHING) == {}
    one = {"pids": {"limit": 7}}
    assert update_of(one, {"pids": {"limit": 5}, "cpu": {"quota": 1}}) == {**one, "cpu": {"quota": -1}}
