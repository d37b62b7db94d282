# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of which nothing is known any more."""

from __future__ import annotations

from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import Process


def test_a_process_that_was_never_written_down_has_ended() -> None:
    unknown = Process(0, 0)
    assert not unknown.alive
    assert unknown.wait(None)
    assert not unknown.signal(9)
