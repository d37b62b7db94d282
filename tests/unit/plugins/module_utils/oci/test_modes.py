# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modes as text."""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.oci.modes import parse_mode

SYMBOLIC = [
    "u+x",
    "g=u",
    "o=",
    "a=rX",
    "u=rw,g=r,o=",
    "ug+s",
    "u-s",
    "+t",
    "go-w",
    "u=rwxs,o+X",
    "a+rwx",
    "g-x+w",
    "o=g",
    "u=",
    "=r",
]


@pytest.mark.parametrize("before", [0o644, 0o4751, 0o2070, 0o1777, 0])
@pytest.mark.parametrize("text", SYMBOLIC)
def test_symbols_mean_what_they_mean_to_chmod(tmp_path: pathlib.Path, text: str, before: int) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(before)
    # starts: chmod
    subprocess.run(["chmod", text, str(path)], check=True, preexec_fn=lambda: os.umask(0))
    assert f"{parse_mode(text, 'mode')(before, False):04o}" == f"{path.stat().st_mode & 0o7777:04o}"


def test_x_of_a_directory() -> None:
    assert parse_mode("a+X", "mode")(0o600, True) == 0o711
    assert parse_mode("a+X", "mode")(0o600, False) == 0o600


@pytest.mark.parametrize(("value", "mode"), [("0644", 0o644), ("644", 0o644), (0o755, 0o755), ("02750", 0o2750), ("0", 0)])
def test_numbers(value: t.Any, mode: int) -> None:
    assert parse_mode(value, "mode")(0o7777, False) == mode


@pytest.mark.parametrize(
    "value", ["0888", "rw", "u+z", "u=rw,", "", "77777", 0o10000, -1, True, 6.44, "u=ug", "preserved"], ids=str
)
def test_wrong(value: t.Any) -> None:
    with pytest.raises(InvalidArgument, match="^directory_mode: .*is not a mode"):
        parse_mode(value, "directory_mode")
