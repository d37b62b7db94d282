# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written down about a task is read with suspicion, but a reader in trouble does not invent an end."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import ResourceExhausted
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.task_record import Ending, TaskRecord
from ansible_collections.fleet.containerd.tests.support.limits import no_more_open_files


def test_too_many_open_files_are_no_damage(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"exit_status": 3, "exited_at": 12.5}')
    with no_more_open_files(), pytest.raises(ResourceExhausted, match="Too many open files"):
        TaskRecord.read(str(path))
    record = TaskRecord.read(str(path))
    assert record
    assert record.ending == Ending(3, 12.5, False)


def test_the_first_that_is_complete_counts(tmp_path: pathlib.Path) -> None:
    texts = ["", "[]", "{", '{"init": [1]}', '{"exit_status": 1}', '{"exit_status": 2}']
    for number, text in enumerate(texts):
        (tmp_path / str(number)).write_text(text)
    record = TaskRecord.read(str(tmp_path / "missing"), *(str(tmp_path / str(number)) for number in range(len(texts))))
    assert record
    assert record.ending == Ending(1, 0.0, False)
    assert TaskRecord.read(str(tmp_path / "3")) is None
