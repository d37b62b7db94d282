# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a runtime gets where nothing is to be read or written."""

from __future__ import annotations

import os
import pathlib
import stat
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.libexec import ends


def test_a_runtime_gets_a_device_that_is_not_that_of_the_host() -> None:
    fd, host = ends.null(), os.stat("/dev/null")
    try:
        found = os.fstat(fd)
        assert (found.st_rdev, stat.S_IMODE(found.st_mode), found.st_nlink) == (host.st_rdev, 0o666, 0)
        os.fchown(fd, 12345, 12345)
        assert os.stat("/dev/null").st_uid == host.st_uid
        assert os.write(fd, b"x") == 1
        assert os.read(fd, 1) == b""
    finally:
        os.close(fd)


def test_where_no_device_can_be_made_it_is_that_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: t.Any) -> None:
        raise PermissionError

    monkeypatch.setattr(ends.os, "mknod", refuse)
    fd = ends.null()
    try:
        assert str(pathlib.Path(f"/proc/self/fd/{fd}").readlink()) == "/dev/null"
    finally:
        os.close(fd)
