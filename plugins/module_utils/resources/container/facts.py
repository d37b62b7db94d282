# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers as facts, in the shape of docker inspect."""

from __future__ import annotations

import typing as t

from ...engine import labels as L
from ...engine.models import CREATED, PAUSED, RUNNING, STOPPED, Container, TaskState
from ..image.facts import timestamp
from .volumes import is_declared

if t.TYPE_CHECKING:
    from ...engine.api import Engine

_ZERO_TIME = "0001-01-01T00:00:00Z"
_WORDS = {CREATED: "created", RUNNING: "running", PAUSED: "paused", STOPPED: "exited"}


def container_facts(engine: Engine, container: Container, task: t.Optional[TaskState]) -> t.Dict[str, t.Any]:
    """One container. Engine, namespace and the like are below Containerd."""
    spec = container.spec
    process = spec.get("process") or {}
    args = list(process.get("args") or [])
    stored = container.extensions.get(L.DESIRED) or {}
    image = stored.get("image") or {}
    name = container.labels.get(L.NAME) or container.id
    return {
        "Id": container.id,
        "Name": "/" + name,
        "Created": timestamp(container.created_at),
        "Path": args[0] if args else "",
        "Args": args[1:],
        "State": _state(task),
        "Image": image.get("config") or "",
        "Platform": (container.labels.get(L.PLATFORM) or "linux").partition("/")[0],
        "Driver": container.snapshotter,
        "LogPath": (task.log_path if task else "") or "",
        "RestartCount": 0,
        "Mounts": [_mount(mount, container.id) for mount in _mounts(container, stored)],
        "Config": _config(container, process, args, stored),
        "HostConfig": _host_config(container, stored),
        "NetworkSettings": {"Networks": {}},
        "Containerd": {
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


def _mounts(container: Container, stored: t.Mapping[str, t.Any]) -> t.List[t.Mapping[str, t.Any]]:
    """The volumes. Of a container that somebody else made, all that is bound."""
    mounts = container.spec.get("mounts") or []
    found = [mount for mount in mounts if "bind" in str(mount.get("type")) or "rbind" in (mount.get("options") or [])]
    if not stored:
        return found
    given = {(volume["source"], volume["target"]) for volume in (stored.get("effective") or {}).get("volumes") or ()}
    return [one for one in found if (one["source"], one["destination"]) in given or is_declared(one, container.id)]


def _mount(mount: t.Mapping[str, t.Any], container_id: str) -> t.Dict[str, t.Any]:
    options = list(mount.get("options") or [])
    source = mount.get("source", "")
    propagation = [o for o in options if o in ("private", "rprivate", "shared", "rshared", "slave", "rslave")]
    volume = (
        {"Name": f"{container_id}-{source.rpartition('/')[2]}", "Driver": "local"} if is_declared(mount, container_id) else {}
    )
    return {
        "Type": "volume" if volume else "bind",
        **volume,
        "Source": source,
        "Destination": mount.get("destination", ""),
        "Mode": ",".join(o for o in options if o not in ("bind", "rbind", *propagation)),
        "RW": "ro" not in options,
        "Propagation": propagation[0] if propagation else "rprivate",
    }


def _config(
    container: Container, process: t.Mapping[str, t.Any], args: t.Sequence[str], stored: t.Mapping[str, t.Any]
) -> t.Dict[str, t.Any]:
    user = process.get("user") or {}
    effective = stored.get("effective") or {}
    return {
        "Hostname": container.spec.get("hostname") or container.labels.get(L.HOSTNAME, ""),
        "User": effective.get("user", f"{user.get('uid', 0)}:{user.get('gid', 0)}"),
        "Tty": bool(process.get("terminal")),
        "OpenStdin": bool(effective.get("interactive")),
        "Env": list(process.get("env") or []),
        "Cmd": effective.get("command", list(args)) or None,
        "Entrypoint": effective.get("entrypoint") or None,
        "Image": container.image,
        "WorkingDir": process.get("cwd", ""),
        "Labels": {key: value for key, value in container.labels.items() if not key.startswith(L.RESERVED)},
        "StopSignal": _signal_name(effective.get("stop_signal") or 15),
        "StopTimeout": effective.get("stop_timeout", 10),
    }


def _signal_name(number: int) -> str:
    from ...oci.signals import signal_name

    return signal_name(number)


def _host_config(container: Container, stored: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    effective = stored.get("effective") or {}
    linux = container.spec.get("linux") or {}
    networks = [n for n in linux.get("namespaces") or [] if n.get("type") == "network"]
    log = effective.get("log_options") or {}
    config = {"max-file": str(log.get("max-file", 1))}
    if log.get("max-size"):
        config["max-size"] = str(log["max-size"])
    return {
        "NetworkMode": effective.get("network_mode") or ("none" if networks else "host"),
        "ReadonlyRootfs": bool((container.spec.get("root") or {}).get("readonly")),
        "Runtime": container.runtime.binary,
        "LogConfig": {"Type": effective.get("log_driver", "json-file"), "Config": config},
        "Binds": [_bind(volume) for volume in effective.get("volumes") or []],
        "CgroupParent": "",
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    }


def _bind(volume: t.Mapping[str, t.Any]) -> str:
    options = ",".join(volume.get("options") or [])
    return f"{volume.get('source')}:{volume.get('target')}" + (f":{options}" if options else "")
