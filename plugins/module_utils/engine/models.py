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

# Task status (containerd task.Status).
CREATED, RUNNING, STOPPED, PAUSED = "created", "running", "stopped", "paused"


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


class TaskIO(t.NamedTuple):
    """Input and output of a task. terminal: a console (as in the spec's process.terminal). stdin: keep standard input open.

    log_path: the json-file log ("" discards); a file is rotated at log_max_size bytes (0: never), log_max_files kept.
    """

    terminal: bool = False
    stdin: bool = False
    log_path: str = ""
    log_max_size: int = 0
    log_max_files: int = 1


class TaskState(t.NamedTuple):
    """The task of a container. exit_status: 128 + signal if a signal ended it. Unknown times are 0.0."""

    container_id: str
    status: str
    pid: int = 0
    exit_status: int = 0
    started_at: float = 0.0
    exited_at: float = 0.0
    oom_killed: bool = False
    log_path: str = ""
