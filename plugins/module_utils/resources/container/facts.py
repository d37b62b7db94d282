# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers as facts, in the shape of docker inspect."""

from __future__ import annotations

import typing as t

from ...engine import labels as L
from ...engine.models import CREATED, PAUSED, RUNNING, STOPPED, Container, TaskState
from ..times import timestamp
from .options.row import Seen
from .options.table import facts, values_of

if t.TYPE_CHECKING:
    from ...engine.api import Engine

_ZERO_TIME = "0001-01-01T00:00:00Z"
_WORDS = {CREATED: "created", RUNNING: "running", PAUSED: "paused", STOPPED: "exited"}


def container_facts(engine: Engine, container: Container, task: t.Optional[TaskState]) -> t.Dict[str, t.Any]:
    """The facts of one container: those of its options, and the others. Engine, namespace and so on are below Containerd."""
    stored = container.extensions.get(L.DESIRED) or {}
    image = stored.get("image") or {}
    told = facts(Seen(container, values_of(container), bool(task and task.status in (RUNNING, PAUSED))))
    told["Config"]["Image"] = container.image
    told["HostConfig"].update(UsernsMode="", RestartPolicy={"Name": "no", "MaximumRetryCount": 0})
    return {
        **told,
        "Id": container.id,
        "Name": "/" + (container.labels.get(L.NAME) or container.id),
        "Created": timestamp(container.created_at),
        "State": _state(task),
        "Image": image.get("config") or "",
        "Platform": (container.labels.get(L.PLATFORM) or "linux").partition("/")[0],
        "Driver": container.snapshotter,
        "LogPath": (task.log_path if task else "") or "",
        "RestartCount": 0,
        "Containerd": {
            **told["Containerd"],
            "Engine": engine.kind,
            "Namespace": engine.namespace,
            "Snapshotter": container.snapshotter,
            "SnapshotKey": container.snapshot_key,
            "Runtime": container.runtime.name,
            "ImageDigest": image.get("target") or "",
            "ManifestDigest": image.get("manifest") or "",
            "ManagedByUs": bool(stored),
        },
    }


def _state(task: t.Optional[TaskState]) -> t.Dict[str, t.Any]:
    status = task.status if task else CREATED
    running = status in (RUNNING, PAUSED)
    return {
        "Status": _WORDS.get(status, status),
        "Running": running,
        "Paused": status == PAUSED,
        "Restarting": False,
        "OOMKilled": bool(task and task.oom_killed),
        "Dead": False,
        "Pid": task.pid if task and running else 0,
        "ExitCode": task.exit_status if task and status == STOPPED else 0,
        "Error": "",
        "StartedAt": (timestamp(task.started_at) if task else "") or _ZERO_TIME,
        "FinishedAt": (timestamp(task.exited_at) if task and status == STOPPED else "") or _ZERO_TIME,
    }
