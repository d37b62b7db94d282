# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a container's command can be there, and waiting for processes."""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.executables import check_command
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import Process

PATH = "/usr/local/bin:relative:/bin"


@pytest.fixture
def root(tmp_path: pathlib.Path) -> t.Iterator[int]:
    """usr/bin with a program, a file and a directory; links to and out of it, and in a circle."""
    programs = tmp_path / "usr" / "bin"
    (programs / "directory").mkdir(parents=True)
    (programs / "program").touch(mode=0o755)
    (programs / "file").touch(mode=0o644)
    (tmp_path / "bin").symlink_to("usr/bin")
    (programs / "absolute").symlink_to("/usr/bin/../../../bin/program")
    (programs / "out").symlink_to("../../../../etc/passwd")
    (programs / "circle").symlink_to("circle")
    (tmp_path / "app").symlink_to("/data/app")
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("command", "mounted", "words"),
    [
        ("/usr/bin/program", (), ""),
        ("/bin/program", (), ""),
        ("program", (), ""),
        ("absolute", (), ""),
        ("./program", (), ""),
        ("../../bin/program", (), ""),
        ("nothing", (), "is not in the image's PATH"),
        ("file", (), "is not in the image's PATH"),
        ("/bin/nothing", (), "is not in the image"),
        ("/bin/program/below", (), "is not in the image"),
        ("/bin/out", (), "is not in the image"),
        ("/bin/circle", (), "is not in the image"),
        ("/app/run", (), "is not in the image"),
        ("/bin/file", (), "may not be executed"),
        ("/bin/directory", (), "may not be executed"),
        # What is mounted only the running container has.
        ("/proc/self/exe", (), ""),
        ("/app/run", ("/data",), ""),
        ("/bin/nothing", ("/usr/bin/",), ""),
        ("nothing", ("/usr/local",), ""),
        ("/bin/nothing", ("/usr/bi", "/srv"), "is not in the image"),
        ("/anything", ("/",), ""),
    ],
)
def test_whether_a_command_is_there(root: int, command: str, mounted: t.Tuple[str, ...], words: str) -> None:
    if not words:
        check_command(root, command, PATH, "/usr/bin", mounted)
        return
    with pytest.raises(InvalidArgument, match=f"^the command {command} {words}$"):
        check_command(root, command, PATH, "/usr/bin", mounted)


def test_a_wait_may_be_as_long_as_it_likes() -> None:
    with subprocess.Popen(["sleep", "0.1"]) as child:
        assert Process.of(child.pid).wait(1e12)
