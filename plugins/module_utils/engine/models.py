# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values that cross the seam. Frozen, no I/O. Times are seconds since the epoch (float), sizes bytes (int)."""

from __future__ import annotations

import typing as t

from ..oci.descriptor import Descriptor
from ..oci.digest import Digest

Labels = t.Mapping[str, str]

# Snapshot kinds (containerd core/snapshots: Kind).
VIEW, ACTIVE, COMMITTED = "view", "active", "committed"

#: Below the directory of a container: the volumes that it has alone; and the file that says which volumes it uses (volume/users.py).
VOLUMES, VOLUMES_FILE = "volumes", "volumes.json"

# Task status (containerd task.Status). RESTARTING: the task has ended, and its supervisor is about to start it again.
CREATED, RUNNING, STOPPED, PAUSED, RESTARTING = "created", "running", "stopped", "paused", "restarting"
#: Below the directory of a container: somebody asked for its end, so no supervisor starts it again.
ASKED = "stopped"
#: Beside it: why its supervisor could not start it again.
START_ERROR = "start.error"


class ContentInfo(t.NamedTuple):
    """A committed blob."""

    digest: Digest
    size: int
    created_at: float = 0.0
    labels: Labels = {}


class IngestStatus(t.NamedTuple):
    """A blob that is being written: it has offset bytes of total."""

    ref: str
    offset: int
    total: int = 0
    expected: str = ""
    updated_at: float = 0.0


class Image(t.NamedTuple):
    """An image record: a name for a top descriptor."""

    name: str
    target: Descriptor
    labels: Labels = {}
    created_at: float = 0.0
    updated_at: float = 0.0


class Mount(t.NamedTuple):
    """A mount: type (overlay, bind), source, options as in mount(8)."""

    type: str
    source: str
    options: t.Tuple[str, ...] = ()


class LayerTarget(t.NamedTuple):
    """The directories of a layer on this host. root: its own directory. lowers: those of the layers below, top first.

    overlay: the content of lowers shows through. Without it root has everything, and lowers may name the layer below.
    """

    root: str
    lowers: t.Tuple[str, ...] = ()
    overlay: bool = False

    def mounts(self) -> t.List[Mount]:
        """The mounts that show the layer, read-only."""
        if self.overlay and self.lowers:
            return [Mount("overlay", "overlay", ("lowerdir=" + ":".join((self.root, *self.lowers)),))]
        return [Mount("bind", self.root, ("ro", "rbind"))]


class SnapshotInfo(t.NamedTuple):
    """key of a view or active snapshot, name of a committed one."""

    name: str
    parent: str
    kind: str
    labels: Labels = {}
    created_at: float = 0.0
    updated_at: float = 0.0


class Runtime(t.NamedTuple):
    """name: io.containerd.runc.v2. binary: the OCI runtime that it uses (runc, crun or a path)."""

    name: str = "io.containerd.runc.v2"
    binary: str = "runc"


class Container(t.NamedTuple):
    """A container record. id is 64 hex digits; its human name is a label (engine/labels.py).

    image: the name of the image record, for information. spec: the OCI runtime spec. extensions: JSON objects by name.
    cri_log: the log of one that the kubelet has made.
    """

    id: str
    image: str
    spec: t.Mapping[str, t.Any]
    snapshotter: str
    snapshot_key: str
    labels: Labels = {}
    runtime: Runtime = Runtime()
    extensions: t.Mapping[str, t.Mapping[str, t.Any]] = {}
    created_at: float = 0.0
    updated_at: float = 0.0
    cri_log: str = ""


class TaskIO(t.NamedTuple):
    """Input and output of a task. terminal: a console (as in the spec's process.terminal). stdin: keep standard input open.

    log_path: the json-file log ("" discards); a file is rotated at log_max_size bytes (0: never), log_max_files kept.
    """

    terminal: bool = False
    stdin: bool = False
    log_path: str = ""
    log_max_size: int = 0
    log_max_files: int = 1


class HealthCheck(t.NamedTuple):
    """How a container is asked for its health. process: the process of an exec, as in the runtime spec. Times are in seconds.

    on_failure: what follows when it turns unhealthy: none, kill, restart or stop.
    """

    process: t.Mapping[str, t.Any]
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float = 5.0
    on_failure: str = "none"


class Supervision(t.NamedTuple):
    """How a container is looked after while nobody of us is there.

    policy: no, always, unless-stopped, or on-failure (at most retries times; 0: no limit). delay: seconds before the first start, which
    double with each, up to max_delay, unless it ran for a while; 0.0: as the engine does it. restarts, waited: the number of starts by
    supervisors so far, and the last delay. stop_signal, stop_timeout: how on_failure stops it. mounts: something has to be mounted on the
    host before each start. remove: it goes when it has ended. name: the container's; needs: after which others it comes at a boot, and what
    they have to be: started or healthy.
    """

    policy: str = "no"
    retries: int = 0
    delay: float = 0.0
    max_delay: float = 0.0
    health: t.Optional[HealthCheck] = None
    stop_signal: int = 15
    stop_timeout: float = 10.0
    restarts: int = 0
    waited: float = 0.0
    mounts: bool = False
    remove: bool = False
    name: str = ""
    needs: t.Tuple[t.Tuple[str, str], ...] = ()

    @property
    def wanted(self) -> bool:
        return self.policy != "no" or self.health is not None or self.remove


class Plugin(t.NamedTuple):
    """A part of an engine. status: ok, skip (the host does not have what it needs) or error; error: why."""

    type: str
    id: str
    status: str = "ok"
    error: str = ""

    def facts(self) -> t.Dict[str, str]:
        return {"Type": self.type, "Id": self.id, "Status": self.status, "Error": self.error}


class About(t.NamedTuple):
    """version: of the engine. snapshotters: those that work. root: the directory of its data, as far as it is known."""

    version: str
    revision: str = ""
    plugins: t.Tuple[Plugin, ...] = ()
    snapshotters: t.Tuple[str, ...] = ()
    root: str = ""


class TaskState(t.NamedTuple):
    """The task of a container. exit_status: 128 + signal if a signal ended it. Unknown times are 0.0.

    restarts: how often its supervisor has started it since somebody asked for that. error: why the last of these starts failed.
    alone: it runs, and its supervisor was killed.
    """

    container_id: str
    status: str
    pid: int = 0
    exit_status: int = 0
    started_at: float = 0.0
    exited_at: float = 0.0
    oom_killed: bool = False
    log_path: str = ""
    restarts: int = 0
    error: str = ""
    alone: bool = False
