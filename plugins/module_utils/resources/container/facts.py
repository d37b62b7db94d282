# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers as facts, in the shape of docker inspect."""

from __future__ import annotations

import typing as t

from ...engine import labels as L
from ...engine.models import CREATED, PAUSED, RESTARTING, RUNNING, STOPPED, Container, TaskState
from ..times import timestamp
from .options.row import Seen
from .options.supervision import supervision_of
from .options.table import facts, values_of

if t.TYPE_CHECKING:
    from ...engine.api import Engine

_ZERO_TIME = "0001-01-01T00:00:00Z"
_WORDS = {CREATED: "created", RUNNING: "running", PAUSED: "paused", STOPPED: "exited", RESTARTING: "restarting"}


def container_facts(engine: Engine, container: Container, task: t.Optional[TaskState]) -> t.Dict[str, t.Any]:
    """The facts of one container: those of its options, and the others. Engine, namespace and so on are below Containerd."""
    stored = container.extensions.get(L.DESIRED) or {}
    image = stored.get("image") or {}
    told = facts(Seen(container, values_of(container), bool(task and task.status in (RUNNING, PAUSED))))
    told["Config"]["Image"] = container.image
    return {
        **told,
        "Id": container.id,
        "Name": "/" + (container.labels.get(L.NAME) or container.id),
        "Created": timestamp(container.created_at),
        "State": {**_state(task), **_health(engine, container, task)},
        "Image": image.get("config") or "",
        "Platform": (container.labels.get(L.PLATFORM) or "linux").partition("/")[0],
        "Driver": container.snapshotter,
        "LogPath": (task.log_path if task else "") or "",
        "RestartCount": max(task.restarts if task else 0, _number(container.labels.get(L.RESTART_COUNT, ""))),
        "Containerd": {
            **told["Containerd"],
            "Engine": engine.kind,
            "Namespace": engine.namespace,
            "Snapshotter": container.snapshotter,
            "SnapshotKey": container.snapshot_key,
            "Runtime": container.runtime.name,
            "ImageDigest": image.get("target") or "",
            "ManifestDigest": image.get("manifest") or "",
            "PreviousImage": _previous(container),
            "ManagedByUs": bool(stored),
        },
    }


def _previous(container: Container) -> str:
    """The image that state=previous would bring back, with its digest; empty if there is none."""
    image = (container.extensions.get(L.PREVIOUS) or {}).get("image")
    return f"{image['name']}@{image['descriptor']['digest']}" if image else ""


def _state(task: t.Optional[TaskState]) -> t.Dict[str, t.Any]:
    status = task.status if task else CREATED
    # docker calls a container that is about to be started again a running one.
    running, ended = status in (RUNNING, PAUSED, RESTARTING), status in (STOPPED, RESTARTING)
    return {
        "Status": _WORDS.get(status, status),
        "Running": running,
        "Paused": status == PAUSED,
        "Restarting": status == RESTARTING,
        "OOMKilled": bool(task and task.oom_killed),
        "Dead": False,
        "Pid": task.pid if task and running else 0,
        "ExitCode": task.exit_status if task and ended else 0,
        "Error": task.error if task and ended else "",
        "StartedAt": (timestamp(task.started_at) if task else "") or _ZERO_TIME,
        "FinishedAt": (timestamp(task.exited_at) if task and ended else "") or _ZERO_TIME,
    }


def _health(engine: Engine, container: Container, task: t.Optional[TaskState]) -> t.Dict[str, t.Any]:
    """What its health check has found, as docker inspect has it; nothing without a check, or before the first start."""
    if task is None or supervision_of(container.spec, values_of(container)).health is None:
        return {}
    # After a reboot what was found is gone.
    unknown: t.Dict[str, t.Any] = {"Status": "unhealthy" if task.status == STOPPED else "starting", "FailingStreak": 0, "Log": []}
    return {"Health": dict(engine.tasks.health(container.id)) or unknown}


def _number(text: str) -> int:
    return int(text) if text.isdigit() and len(text) < 10 else 0
