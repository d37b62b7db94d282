# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much is read at once: who passes a blob on must not wait long for the next bytes of a slow link."""

from __future__ import annotations

import contextlib
import types
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.registry import client

SIZE = 1_000_000


@pytest.mark.parametrize(("rate", "most"), [(100_000, 8 * 1024), (1_250_000, 32 * 1024), (10**9, 128 * 1024)])
def test_blocks_are_as_large_as_the_link_is_fast(monkeypatch: pytest.MonkeyPatch, rate: float, most: int) -> None:
    now, asked, left = 0.0, t.cast(t.List[int], []), SIZE

    def read_block(_response: t.Any, count: int, _what: str) -> bytes:
        nonlocal now, left
        asked.append(count)
        data = bytes(min(count, left))
        left -= len(data)
        now += len(data) / rate
        return data

    answer = contextlib.nullcontext(types.SimpleNamespace(status_code=200))
    monkeypatch.setattr(client, "_from", lambda *_arguments: answer)
    monkeypatch.setattr(client, "read_block", read_block)
    monkeypatch.setattr(client, "time", types.SimpleNamespace(monotonic=lambda: now))
    blob = Descriptor("application/vnd.oci.image.layer.v1.tar", Digest.of(b"x"), SIZE)
    reference = Reference.parse("registry.example.com/a:1", "name")
    assert sum(map(len, client._stream(t.cast(t.Any, None), reference, blob, 0))) == SIZE
    assert max(asked) == most
