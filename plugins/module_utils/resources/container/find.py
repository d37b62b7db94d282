# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find containers."""

from __future__ import annotations

import os
import typing as t

from ...engine import labels as L
from ...engine.models import Container, TaskState
from ...errors import EngineError, NotFound
from ...kernel.engines import EngineOptions, kept_by_embedded

if t.TYPE_CHECKING:
    from ...engine.api import Engine

#: Below the directory of a container, while it is changed in place (live.py).
MARK = "updating"
_SHORTEST_ID = 4


def find_container(engine: Engine, name: str) -> t.Optional[Container]:
    """The container with that name (also one of nerdctl), else the one with that id."""
    found = engine.containers.list({L.NAME: name})
    if found:
        return found[0]
    try:
        return engine.containers.get(name)
    except NotFound:
        return None


def by_short_id(engine: Engine, text: str) -> t.Optional[Container]:
    """The one container whose id begins so."""
    if len(text) < _SHORTEST_ID or not all(c in "0123456789abcdef" for c in text):
        return None
    same = [container for container in engine.containers.list() if container.id.startswith(text)]
    return same[0] if len(same) == 1 else None


def leftovers(engine: Engine, name: str) -> t.Tuple[Container, ...]:
    """The containers that an interrupted recreation left."""
    return tuple(engine.containers.list({L.STAGE: name}))


def named(container: Container, name: str) -> Container:
    """The container as it will be when it has got the name of the one before it."""
    labels = {key: value for key, value in container.labels.items() if key not in (L.STAGE, L.ROLE)}
    return container._replace(labels={**labels, L.NAME: name})


def heir(left: t.Sequence[Container]) -> t.Optional[Container]:
    """Which of these gets a name that none has, since a swap was interrupted: the new one, or the former if there is no other."""
    former = [one for one in left if one.labels.get(L.ROLE) == L.FORMER]
    new = [one for one in left if L.ROLE not in one.labels]
    return (new or former)[0] if former else None


def is_staged(container: Container) -> bool:
    return container.labels.get(L.ROLE) == L.STAGED


def task_of(engine: Engine, container: t.Optional[Container]) -> t.Optional[TaskState]:
    try:
        return engine.tasks.state(container.id) if container else None
    except NotFound:
        return None


def mark_of(engine: Engine, container: Container) -> str:
    return os.path.join(engine.container_path(container.id), MARK)


def elsewhere_or_warning(options: EngineOptions, engine: Engine, name: str) -> t.Tuple[str, str]:
    """Why a container that is not here is not simply absent, and a warning when that cannot be known; both may be empty."""
    try:
        return kept_by_embedded(options, engine.kind, name), ""
    except EngineError as error:
        return "", f"it cannot be told whether the embedded engine has a container {name}: {error}"
