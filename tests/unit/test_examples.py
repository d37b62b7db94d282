# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of every module's documentation are run by a test; and the test that says so notices when they are not."""

from __future__ import annotations

import pathlib

from ansible_collections.fleet.containerd.tests.support.examples import PLUGINS, never_run

INTEGRATION = pathlib.Path(__file__).resolve().parent.parent / "integration"


def test_the_examples_of_every_module_and_inventory_are_run() -> None:
    assert [never_run(PLUGINS / kind, INTEGRATION) for kind in ("modules", "inventory")] == [[], []]


def test_examples_that_are_not_run_or_not_there_are_noticed(tmp_path: pathlib.Path) -> None:
    for name, examples in (("run", "- a: b"), ("not_run", "- a: b"), ("empty", "")):
        (tmp_path / f"{name}.py").write_text(f'EXAMPLES = r"""\n{examples}\n"""\n')
    (tmp_path / "none.py").write_text("pass\n")
    (tmp_path / "test_x.py").write_text('def test_x():\n    for name in ("not_run",):\n        examples_of("run")\n')
    (tmp_path / "test_y.py").write_text('# examples_of("not_run")\nexamples_of("empty"), examples_of("none")\n')
    modules = tmp_path / "modules"
    modules.mkdir()
    for name in ("run", "not_run", "empty", "none"):
        (tmp_path / f"{name}.py").rename(modules / f"{name}.py")
    assert never_run(modules, tmp_path) == ["empty", "none", "not_run"]
