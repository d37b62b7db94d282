# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Editing a file in place, which a container has too."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.edit import Edit, edit, with_part


def test_the_same_file_gets_longer_and_shorter(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(NotFound):
        edit(str(path), becomes(b"x"))
    edit(str(path), becomes(b"one\n"), make=True, durable=True)
    inode = path.stat().st_ino
    for text in (b"one and more\n", b"1\n", b""):
        edit(str(path), becomes(text))
        assert (path.read_bytes(), path.stat().st_ino) == (text, inode)


def part(name: str, number: int) -> Edit:
    return lambda old: with_part(old, name, [str(number)])


def becomes(text: bytes) -> Edit:
    return lambda old: text


def test_nobody_is_lost(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "hosts"
    path.write_bytes(b"127.0.0.1\tlocalhost\n")

    def write(name: str) -> None:
        for turn in range(25):
            edit(str(path), part(name, turn))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    found = path.read_text()
    assert found.startswith("127.0.0.1\tlocalhost\n")
    assert [f"# begin fleet.containerd {name}\n24\n# end" in found for name in "abcd"] == [True] * 4


def test_what_a_container_could_make_of_it(tmp_path: pathlib.Path) -> None:
    """Its root may replace what the file has, hold a lock on it, and let it grow."""
    path, elsewhere = tmp_path / "hosts", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"the host's\n")
    path.symlink_to(elsewhere)
    with pytest.raises(EngineError):
        edit(str(path), becomes(b"x"))
    assert elsewhere.read_bytes() == b"the host's\n"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(EngineError):
        edit(str(path), becomes(b"x"))
    path.unlink()
    path.write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(EngineError, match="is no file of at most 1048576 bytes"):
        edit(str(path), becomes(b"x"))
    path.write_bytes(b"")
    hold = "import fcntl,sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        edit(str(path), becomes(b"x"))
        holder.communicate()
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize(
    ("old", "lines", "new"),
    [
        (b"", [], b""),
        (b"a", ["1"], b"a\n# begin fleet.containerd n\n1\n# end fleet.containerd n\n"),
        (b"a\n# begin fleet.containerd n\n1\n# end fleet.containerd n\nb\n", ["2", "3"],
         b"a\n# begin fleet.containerd n\n2\n3\n# end fleet.containerd n\nb\n"),
        (b"a\n# begin fleet.containerd n\n1\n# end fleet.containerd n\nb\n", [], b"a\nb\n"),
        (b"# begin fleet.containerd nn\n1\n# end fleet.containerd nn\n", [], b"# begin fleet.containerd nn\n1\n# end fleet.containerd nn\n"),
    ],
)  # fmt: skip
def test_a_part(old: bytes, lines: list[str], new: bytes) -> None:
    assert with_part(old, "n", lines) == new
