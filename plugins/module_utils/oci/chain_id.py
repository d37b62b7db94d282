# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chain ids (OCI image-spec, config.md#layer-chainid)."""

from __future__ import annotations

import hashlib
import typing as t

from .digest import Digest


def chain_ids(diff_ids: t.Iterable[Digest]) -> t.List[Digest]:
    """The chain id of every layer, bottom first."""
    chain: t.List[Digest] = []
    for diff_id in diff_ids:
        if chain:
            diff_id = Digest("sha256:" + hashlib.sha256(f"{chain[-1]} {diff_id}".encode()).hexdigest())
        chain.append(diff_id)
    return chain
