# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate for Python 3.9 notices what is newer, and what is not on every target."""

from __future__ import annotations

import pathlib
import sys

import pytest

from ansible_collections.fleet.containerd.tools import gates, python39


def _module(root: pathlib.Path, text: str) -> pathlib.Path:
    path = root / "plugins" / "modules" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f():\n    import tomllib", "'tomllib' module requires"),
        ("import itertools\n\n\ndef f():\n    return itertools.pairwise([])", "'itertools.pairwise' member requires"),
        ("def f():\n    return zip([], [], strict=True)", "'zip(strict)' requires"),
        ("import os\n\nos.splice  # novm", "'os.splice' member requires"),
        ("match 1:\n    case 1:\n        pass", "x.py:"),
        ("def f(:", "x.py:"),
    ],
)
def test_what_is_newer_is_noticed_on_every_machine(tmp_path: pathlib.Path, text: str, message: str) -> None:
    assert message in python39.newer([_module(tmp_path, text)])


def test_what_is_in_3_9_is_not_newer(tmp_path: pathlib.Path) -> None:
    text = 'from __future__ import annotations\n\n\ndef f(a: int | None) -> str:\n    return "ab".removeprefix("a")\n'
    assert python39.newer([_module(tmp_path, text)]) == ""


def test_an_import_that_fails_is_noticed(tmp_path: pathlib.Path) -> None:
    """With the Python that is here: how a real 3.9 is found depends on the machine."""
    _module(tmp_path, "import requests")
    assert "No module named 'requests'" in python39.imported(sys.executable, tmp_path)
    (tmp_path / "plugins" / "modules" / "x.py").write_text("from ansible.module_utils.basic import AnsibleModule")
    assert python39.imported(sys.executable, tmp_path) == ""


def test_a_machine_without_python_3_9_is_told_in_the_line_of_the_gate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(python39, "interpreter", lambda: "")
    assert python39.main() == 0
    line = gates.verdict("Python 3.9 on targets", True, 2.2, capsys.readouterr().out)
    assert line == "ok     Python 3.9 on targets (2 s); no Python 3.9 is on this machine, so nothing was imported by one"


def test_a_python_that_does_not_start_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    shim = tmp_path / "python3.9"
    # starts: sh
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert python39.interpreter() == ""
    # starts: sh
    shim.write_text("#!/bin/sh\nexit 0\n")
    assert python39.interpreter() == str(shim)
