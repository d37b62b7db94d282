# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting up a checkout (tools/setup.py)."""

from __future__ import annotations

import pathlib
import typing as t
import venv

import pytest

from ansible_collections.fleet.containerd.tools import setup


def test_a_checkout_does_not_clear_the_environment_of_another(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worktree may link to it, and have other requirements."""
    other, link = tmp_path / "other", tmp_path / ".venv"
    other.mkdir()
    (other / "made-from").write_text("other requirements")
    link.symlink_to(other)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "test.txt").write_text("")
    create = venv.create

    def without_pip(path: pathlib.Path, **_how: t.Any) -> None:
        create(path, clear=True)

    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "VENV", link)
    monkeypatch.setattr(setup, "install", lambda *_arguments: None)
    monkeypatch.setattr(venv, "create", without_pip)
    setup.environment()
    assert (other / "made-from").exists()
    assert (link / "pyvenv.cfg").exists()
    assert not link.is_symlink()
