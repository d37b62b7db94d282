# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a container's log back: from its end, in memory that its size does not change."""

from __future__ import annotations

import json
import pathlib
import tracemalloc

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.runtime.logs import read


def line(text: str, stream: str = "stdout") -> bytes:
    return json.dumps({"log": text, "stream": stream, "time": "2026-01-01T00:00:00Z"}).encode() + b"\n"


def test_no_log(tmp_path: pathlib.Path) -> None:
    assert read("") == b""
    assert read(str(tmp_path / "log")) == b""


def test_rotated_files_streams_and_damage(tmp_path: pathlib.Path) -> None:
    (tmp_path / "log.2").write_bytes(line("1\n") + line("error\n", "stderr"))
    (tmp_path / "log.1").write_bytes(b"\x00garbage\n" + line("2\n") + b'{"log": 5}\n[]\n' + line("3, no end")[:-1])
    (tmp_path / "log").write_bytes(line("4\n") + line("5\n")[:20])
    assert read(str(tmp_path / "log")) == b"1\nerror\n2\n3, no end4\n"
    assert read(str(tmp_path / "log"), ("stderr",)) == b"error\n"


@pytest.mark.parametrize("length", [1, 300, 70_000, 200_000])
def test_lines_of_every_length_come_whole(tmp_path: pathlib.Path, length: int) -> None:
    """Shorter and longer than what is read at once."""
    texts = [f"{number} {chr(65 + number % 26) * length}\n" for number in range(2_000_000 // length if length > 1 else 70_000)]
    (tmp_path / "log").write_bytes(b"".join(map(line, texts)))
    whole = "".join(texts).encode()
    assert read(str(tmp_path / "log"), limit=10**9) == whole
    assert read(str(tmp_path / "log"), limit=1000) == whole[-1000:]


def test_memory_does_not_grow_with_the_log(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "log").open("wb") as stream:
        stream.write(line("x\n") * 300_000)
        stream.write(b"not of ours, and without an end of line " * 200_000 + b"\n")
        stream.write(line("y\n") * 100)
    tracemalloc.start()
    assert read(str(tmp_path / "log"), limit=1000) == b"x\n" * 400 + b"y\n" * 100
    assert tracemalloc.get_traced_memory()[1] < 5 * 1024 * 1024
    tracemalloc.stop()
