# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases: what is made under one is safe from the daemon's garbage collection."""

from __future__ import annotations

import contextlib
import secrets
import time
import typing as t

from ..engine.labels import GC_EXPIRE
from ..errors import NotFound

if t.TYPE_CHECKING:
    from ..rpc.channel import Channel


@contextlib.contextmanager
def lease(rpc: Channel, seconds: float) -> t.Iterator[str]:
    """A lease for all calls inside; a lease in a lease is the same. It expires by itself if we are killed."""
    if rpc.lease:
        yield rpc.lease
        return
    name = f"fleet-{secrets.token_hex(8)}"
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
    rpc.call("leases.v1.Leases/Create", {"id": name, "labels": {GC_EXPIRE: expires}})
    rpc.lease = name
    try:
        yield name
    finally:
        rpc.lease = ""
        with contextlib.suppress(NotFound):
            rpc.call("leases.v1.Leases/Delete", {"id": name})
