# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_info: containers as they are."""

from __future__ import annotations

import typing as t

from ...engine.labels import NAME
from ...engine.models import TaskState
from ...errors import Unavailable
from ...kernel.converge import Facts
from ...kernel.engines import EngineOptions
from .facts import container_facts
from .filters import parse_filters
from .find import by_short_id, elsewhere_or_warning, find_container, task_of

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container


def container_info(params: t.Mapping[str, t.Any], engine: Engine) -> Facts:
    """The containers asked for, or all."""
    wanted, tests = params["name"], parse_filters(params["filters"] or {})
    labels = {key: str(value) for key, value in (params["labels"] or {}).items()}
    found: t.Dict[str, Container] = {}
    absent = []
    if wanted is None:
        found = {container.id: container for container in engine.containers.list(labels)}
    for name in wanted or ():
        container = find_container(engine, name) or by_short_id(engine, name)
        if container and all(key in container.labels and value in ("", container.labels[key]) for key, value in labels.items()):
            found[container.id] = container
        else:
            absent.append(name)
    warnings: t.List[str] = []
    facts = [container_facts(engine, container, _task(engine, container, warnings)) for container in found.values()]
    facts = sorted((one for one in facts if all(test(one) for test in tests)), key=lambda one: str(one["Name"]))
    exists = not absent and (wanted is None or len(facts) == len(found))
    out: t.Dict[str, t.Any] = {"containers": facts, "exists": exists}
    options = EngineOptions.of(params)
    warnings += [hint for name in absent for hint in elsewhere_or_warning(options, engine, name) if hint]
    if wanted is not None and len(wanted) == 1:
        out["container"] = facts[0] if facts else {}
    return Facts(out, warnings)


def _task(engine: Engine, container: Container, warnings: t.List[str]) -> t.Optional[TaskState]:
    """The task of a container. If its shim hangs, warn, and show the other containers."""
    try:
        return task_of(engine, container)
    except Unavailable as error:
        warnings.append(f"the state of the container {container.labels.get(NAME) or container.id[:12]} is unknown: {error}")
        return TaskState(container.id, "unknown")
