# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams of gzip, by zlib and by isal alike."""

from __future__ import annotations

import gzip
import io
import os
import sys
import typing as t
import zlib

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import DataLoss
from ansible_collections.fleet.containerd.plugins.module_utils.oci import decompress
from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS

TEXT = b"".join(b"%d bottles\n" % number for number in range(100_000))


@pytest.fixture(params=["zlib", "isal"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[str]:
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    else:
        monkeypatch.syspath_prepend(str(COLLECTIONS.parent / "optional"))
    assert decompress._zlib().__name__ == {"zlib": "zlib", "isal": "isal.isal_zlib"}[request.param]
    yield request.param
    for name in [name for name in sys.modules if name.partition(".")[0] == "isal"]:
        del sys.modules[name]


def inflated(data: bytes) -> bytes:
    return b"".join(decompress.decompressed(io.BytesIO(data), "layer", True))


def with_fields(data: bytes) -> bytes:
    """A member with an extra field, a name, a comment and a checksum of its header (RFC 1952)."""
    head = b"\x1f\x8b\x08\x1e" + bytes(4) + b"\x00\x03" + b"\x04\x00abcd" + b"name\0" + b"comment\0"
    return head + (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little") + gzip.compress(data, mtime=0)[10:]


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (gzip.compress(TEXT), TEXT),
        (gzip.compress(TEXT, 0), TEXT),
        (gzip.compress(b""), b""),
        (b"".join(gzip.compress(TEXT[at : at + 100]) for at in range(0, len(TEXT), 100)), TEXT),
        (gzip.compress(TEXT) + gzip.compress(b"") + gzip.compress(b"end"), TEXT + b"end"),
        (gzip.compress(TEXT) + bytes(512), TEXT),
        (gzip.compress(TEXT) + b"\x1f", TEXT),
        (with_fields(TEXT) + with_fields(b"end"), TEXT + b"end"),
    ],
    ids=["one", "stored", "empty", "many", "empty between", "zeros behind", "a byte behind", "fields"],
)
def test_good_streams(data: bytes, wanted: bytes) -> None:
    assert inflated(data) == wanted


def test_members_at_every_place() -> None:
    """Wherever a member ends in what is read at once."""
    for size in range(262_100, 262_200):
        noise = os.urandom(size - 23)
        assert inflated(gzip.compress(noise, 0) + gzip.compress(b"end")) == noise + b"end"


def test_damaged_streams() -> None:
    good = gzip.compress(TEXT)
    for at in (2, 11, len(good) // 2, len(good) - 8, len(good) - 2):
        with pytest.raises(DataLoss, match="the compressed layer is damaged"):
            inflated(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
    for length in (5, 9, len(good) // 2, len(good) - 8, len(good) - 1):
        with pytest.raises(DataLoss, match="the compressed layer ends too early"):
            inflated(good[:length])
    with pytest.raises(DataLoss, match="the compressed layer is empty"):
        inflated(b"")


def test_a_bomb_comes_in_small_blocks() -> None:
    bomb = gzip.compress(bytes(100_000_000))
    total = 0
    for block in decompress.decompressed(io.BytesIO(bomb), "layer"):
        assert len(block) <= 1024 * 1024
        total += len(block)
    assert total == 100_000_000
