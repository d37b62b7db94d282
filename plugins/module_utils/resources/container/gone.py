# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what a container consists of is gone."""

from __future__ import annotations

import os
import time
import typing as t

from ...errors import NotFound, Unavailable
from .options import network_seen

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container


def check_gone(engine: Engine, container: Container, seconds: float) -> None:
    """Unavailable if a removed container is not gone within that time: its task, its snapshot, or its network namespace."""
    deadline = time.monotonic() + seconds
    while True:
        left = [what for what, is_there in _parts(engine, container).items() if is_there()]
        if not left:
            return
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"removal_wait_timeout: after {seconds:g} s there is still the {' and the '.join(left)} of the container"
            )
        time.sleep(0.1)


def _parts(engine: Engine, container: Container) -> t.Dict[str, t.Callable[[], bool]]:
    store = engine.snapshotter(container.snapshotter)
    connected = network_seen.kept(container)
    pin = connected.pin if connected else ""
    return {
        "task": lambda: there(engine.tasks.state, container.id),
        "snapshot": lambda: there(store.stat, container.snapshot_key),
        "network namespace": lambda: bool(pin) and os.path.lexists(pin),
    }


def there(look: t.Callable[[str], t.Any], key: str) -> bool:
    """Whether something is there."""
    try:
        look(key)
    except NotFound:
        return False
    return True
