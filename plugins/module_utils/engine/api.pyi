# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seam: what an engine is. Two engines implement it (embedded, containerd), and one in memory for the tests.

This is a stub, which only a type checker reads: ansible-core sends every .py file that a module imports, and Protocols are not needed
at run time. Every method raises only errors.*; the suites in tests/unit/conformance define precisely what each one does.

An image comes
==============
Everything happens inside `engine.lease()`: the lease keeps new blobs and snapshots until a record refers to them.

    with engine.unpacker() as unpacker, engine.lease():
        with engine.content.writer(ref, layer) as ingest:       # a blob: bytes first ...
            ingest.write(data)
            ingest.commit(layer.size, layer.digest, labels)     # ... visible from here on, and never before
        with unpacker.begin() as unpacking:                     # its layers: each becomes a snapshot
            unpacking.write(layer, diff_id, chain_id, parent)
            unpacking.commit()                                  # durable, then named: bottom to top
        engine.images.put(Image(name, top))                     # the record, last: it and everything behind it is durable

A process that is killed on the way leaves blobs and snapshots without a record, and an ingest that the next pull continues.

A snapshot lives
================
prepare(key, parent) makes a writable snapshot on top of a committed parent. commit(name, key) freezes it, so that it can be a parent.
remove() removes it, unless it has children. The snapshot of an unpacked layer has the chain id as its name. The snapshot that a
container writes to has the container's id as its key, and is never committed. look() gives the directories of a committed one.

A container lives
=================
    with engine.containers.making():                            # others see everything, or nothing
        mounts = snapshotter.prepare(container_id, chain_id)
        engine.containers.create(container)                     # the record; its name is taken from here on
    engine.tasks.start(container, mounts, io)                   # the process; the record stays after its end
    engine.tasks.update(container, resources)                   # other limits, while it runs
    engine.tasks.wait(container_id)
    engine.tasks.delete(container_id)                           # its last state, once
    engine.containers.delete(container_id)                      # and its directory (container_dir), with the log and the volumes
    snapshotter.remove(container_id)

images.delete() removes an image, and collects the blobs and snapshots that no image, container or lease needs any more.
"""

import concurrent.futures
import typing as t

from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from .holdings import Holdings, Node
from .models import (
    About,
    Container,
    ContentInfo,
    Image,
    IngestStatus,
    Labels,
    LayerTarget,
    Mount,
    SnapshotInfo,
    Supervision,
    TaskIO,
    TaskState,
)

class Ingest(t.Protocol):
    """A blob that is being written. A context manager: without a commit it keeps the bytes for a resume."""

    @property
    def offset(self) -> int: ...
    def __enter__(self) -> Ingest: ...
    def __exit__(self, *exc: object) -> None: ...
    def write(self, data: bytes) -> None:
        """Append. Raises FailedPrecondition for more bytes than expected, before they reach the disk."""

    def truncate(self) -> None:
        """Forget what was written: offset is 0 again."""

    def commit(self, size: int, digest: Digest, labels: t.Optional[Labels] = None) -> None:
        """Make the blob visible, durably. FailedPrecondition unless size and digest agree; then the bytes are dropped.

        AlreadyExists when another writer was faster (the labels are set anyway). size 0 means "not known".
        """

class ContentStore(t.Protocol):
    """Blobs by digest. A blob is visible after its commit, never before."""

    def info(self, digest: Digest) -> ContentInfo:
        """NotFound when it is not committed in this namespace."""

    def walk(self, labels: t.Optional[Labels] = None) -> t.Iterator[ContentInfo]:
        """All blobs, or those that carry all the labels ("" as value: any value)."""

    def open(self, descriptor: Descriptor) -> t.BinaryIO:
        """A seekable reader. NotFound; DataLoss when the stored size is not the descriptor's."""

    def label(self, digest: Digest, labels: Labels) -> None:
        """Set labels (an empty value removes one); others stay. NotFound."""

    def delete(self, digest: Digest) -> None:
        """NotFound when absent."""

    def writer(self, ref: str, expected: t.Optional[Descriptor] = None) -> Ingest:
        """Begin or resume the ingest called ref. Unavailable when another process writes it (after a limited wait);
        AlreadyExists when expected.digest is committed already."""

    def ingests(self) -> t.List[IngestStatus]:
        """The unfinished ingests."""

    def ingest_file(self, ref: str) -> str:
        """The file of this host that an ingest is written to, for reading; empty without one. It may lag behind what was written."""

    def abort(self, ref: str) -> None:
        """Drop an ingest and its bytes. NotFound."""

class ImageStore(t.Protocol):
    """Names for descriptors."""

    def get(self, name: str) -> Image: ...
    def list(self) -> t.List[Image]:
        """Sorted by name."""

    def put(self, image: Image) -> Image:
        """Create, or replace the target and merge the labels (engine/labels.py: merged). created_at stays that of the first put.

        Everything that this process has stored is durable before the record exists.
        """

    def delete(self, name: str, target: t.Optional[Digest] = None, collect: bool = True) -> None:
        """NotFound; FailedPrecondition when target is given and is not the record's.

        collect: collect garbage before the return. Without it, call Engine.collect() once for several images.
        """

    def companions(self, image: Image, records: t.Sequence[Image]) -> t.List[str]:
        """The names of those records (all of the store) that are deleted together with this image."""

class Snapshotter(t.Protocol):
    """Layered file systems (containerd core/snapshots). A key names an active snapshot, a name a committed one."""

    @property
    def name(self) -> str: ...
    def stat(self, key: str) -> SnapshotInfo: ...
    def mounts(self, key: str) -> t.List[Mount]:
        """The mounts of an active snapshot. NotFound; FailedPrecondition for a committed one."""

    def look(self, name: str, view: bool = False) -> t.ContextManager[LayerTarget]:
        """The directories of a committed snapshot, for reading. NotFound; Unimplemented when they are not on this host.

        view: the engine may make a view (a record) during the context to find them; without it, Unimplemented if it needs one.
        Without an overlay, lowers are known only with view.
        """

    def prepare(self, key: str, parent: str = "", labels: t.Optional[Labels] = None) -> t.List[Mount]:
        """Make an active snapshot on a committed parent ("" for none). AlreadyExists; NotFound for the parent."""

    def commit(self, name: str, key: str, labels: t.Optional[Labels] = None) -> None:
        """Freeze an active snapshot under name. AlreadyExists for the name; NotFound for the key."""

    def remove(self, key: str) -> None:
        """FailedPrecondition when it has children; NotFound."""

    def walk(self) -> t.List[SnapshotInfo]: ...

class Unpacker(t.Protocol):
    """Makes snapshots from stored layers. A context manager. It may start processes, so enter it before starting threads."""

    @property
    def snapshotter(self) -> Snapshotter:
        """The snapshotter for the snapshots. An engine may probe the host here; Engine.snapshotter() does not."""

    def begin(self) -> Unpacking:
        """The layers of one image."""

    def __enter__(self) -> Unpacker: ...
    def __exit__(self, *exc: t.Any) -> None: ...

class Unpacking(t.Protocol):
    """Layers on their way to snapshots. A context manager: at its end it removes what is not committed."""

    def write(self, layer: Descriptor, diff_id: Digest, name: str, parent: str) -> concurrent.futures.Future[t.Any]:
        """Begin to write a layer, for the snapshot called name on that parent. Call it bottom to top.

        The future is done when the layer is written. It raises FailedPrecondition (its details have the diff_id) when the layer
        has another diff_id; DataLoss, InvalidArgument, ResourceExhausted when it cannot be unpacked.
        """

    def commit(self) -> None:
        """Wait for the layers that were begun, make them durable and commit them. Another process may have committed them by then."""

    def __enter__(self) -> Unpacking: ...
    def __exit__(self, *exc: t.Any) -> None: ...

class ContainerStore(t.Protocol):
    """Container records. Names (labels.NAME) are unique in a namespace."""

    def get(self, container_id: str) -> Container: ...
    def list(self, labels: t.Optional[Labels] = None) -> t.List[Container]:
        """All, or those that carry all the labels ("" as value: any value)."""

    def making(self) -> t.ContextManager[t.Any]:
        """A context for making a container's snapshot and record. Others see both or nothing if the engine can do that; else a
        lease keeps them. For short work only.
        """

    def create(self, container: Container) -> Container:
        """AlreadyExists for a taken id or name."""

    def update(self, container: Container, fields: t.Sequence[str]) -> Container:
        """Replace the fields named (labels, spec, extensions, image); NotFound; InvalidArgument for others."""

    def delete(self, container_id: str, keep_volumes: bool = False) -> None:
        """NotFound; FailedPrecondition while it has a task. keep_volumes: of its directory, the volumes stay."""

class Execution(t.Protocol):
    """A process in a container. A context manager: at its end the process has ended, if need be by SIGKILL.

    What it has put in the background stays, unless it was ended.
    """

    @property
    def stdin(self) -> int:
        """Our end of its standard input: a descriptor that does not block; -1 without one."""

    @property
    def stdout(self) -> int: ...
    @property
    def stderr(self) -> int:
        """-1 for a process with a terminal: all that comes from that is stdout."""

    @property
    def ended(self) -> int:
        """A descriptor that is readable when it has ended."""

    @property
    def pid(self) -> int:
        """As this host has it."""

    def __enter__(self) -> Execution: ...
    def __exit__(self, *exc: object) -> None: ...
    def close_stdin(self) -> None:
        """The process reads the end of its input, when it has read all."""

    def signal(self, number: int) -> None:
        """Send a signal to the process. No error after its end."""

    def kill(self) -> None:
        """End it, with all that is in its session."""

    def status(self) -> int:
        """Wait for its end. Its exit status; 128 + signal if one has ended it."""

class TaskService(t.Protocol):
    """Running containers. A task belongs to one container and has its id."""

    def expect(self, container: Container, io: TaskIO) -> None:
        """A start with the same follows in this process: what takes time and changes nothing may begin. The container's record may not be
        there yet. If no start follows, it ends with the engine or the process. No error: that comes with the start.
        """

    def start(self, container: Container, rootfs: t.Sequence[Mount], io: TaskIO, supervision: Supervision = ...) -> TaskState:
        """Make and start the container's task. AlreadyExists when there is one, even a stopped one. A failure leaves no task.
        A start by a supervisor (restarts) takes the place of the task that has ended.

        From here on it is supervised, until give_up(), an end that needs no start, or delete().
        """

    def supervise(self, container: Container, io: TaskIO, supervision: Supervision) -> None:
        """Change the supervision of a container, also while it runs. Its counters stay. io: as it was started with.

        One that runs alone (TaskState) gets a supervisor again.
        """

    def give_up(self, container_id: str) -> None:
        """The next end of the task is its last one, and no boot starts it again. Nothing happens to what runs. No error without a task."""

    def health(self, container_id: str) -> t.Mapping[str, t.Any]:
        """What the health check has found, as docker has it: Status, FailingStreak, Log; empty without one."""

    def exec(self, container: Container, process: t.Mapping[str, t.Any], stdin: bool = False) -> Execution:
        """Start a process in a container that runs: as in the runtime spec. stdin: it reads what we write; else its input is empty.

        It ends at once when we are killed. NotFound, FailedPrecondition, InvalidArgument.
        """

    def spawn(self, container: Container, process: t.Mapping[str, t.Any]) -> str:
        """The same for one that nobody waits for, without streams. A name for it."""

    def find_runtime(self, binary: str) -> str:
        """The path of the runtime, as start() would find it; empty if it cannot be known. NotFound tells what to install."""

    def state(self, container_id: str) -> TaskState:
        """NotFound when the container has no task."""

    def list(self) -> t.List[TaskState]: ...
    def signal(self, container_id: str, signal: int) -> None:
        """Send a signal to the init process. NotFound; FailedPrecondition when it is not running."""

    def wait(self, container_id: str, timeout: t.Optional[float] = None) -> TaskState:
        """Wait until the task has stopped. Unavailable when timeout (seconds) passes first."""

    def delete(self, container_id: str, force: bool = False) -> TaskState:
        """Remove the task and return its last state. FailedPrecondition while it runs, unless force (SIGKILL first)."""

    def pause(self, container_id: str) -> None: ...
    def resume(self, container_id: str) -> None: ...
    def update(self, container: Container, resources: t.Mapping[str, t.Any]) -> None:
        """Change the limits of what runs. resources: as in linux.resources; what it does not name stays.

        container: with the specification for the next start, also by a supervisor; its record is not written. NotFound;
        FailedPrecondition when it does not run or uses more memory than it would have. After an error, limits may have changed.
        """

class Engine(t.Protocol):
    """One namespace of one engine. kind is embedded or containerd."""

    @property
    def kind(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def content(self) -> ContentStore: ...
    @property
    def images(self) -> ImageStore: ...
    @property
    def containers(self) -> ContainerStore: ...
    @property
    def tasks(self) -> TaskService: ...
    @property
    def data_root(self) -> str:
        """The directory of this host below which we keep our files."""

    def snapshotter(self, name: str = "") -> Snapshotter:
        """An empty name means the one in use, else the best one. NotFound for unknown names."""

    def unpacker(self, snapshotter: str = "") -> Unpacker:
        """An unpacker for the same snapshotter as snapshotter()."""

    def lease(self) -> t.ContextManager[str]:
        """Garbage collection keeps everything that is written inside until the end of the context.

        The lease of a killed process ends when the next lease ends, or with tidying up (lock).
        """

    def collect(self) -> t.Any:
        """Remove what no image, container or lease needs, before it returns."""

    def about(self) -> About:
        """What this engine is. Only reads."""

    def namespaces(self) -> t.List[str]:
        """Those that have anything, and with containerd all that were made; sorted. Only reads."""

    def drop_namespace(self) -> None:
        """Forget an empty namespace, with all of its leases, whoever has them. FailedPrecondition when it has anything else; no error
        when it is not there."""

    def holdings(self) -> Holdings:
        """What there is, and what keeps it, leases of killed runs apart. Only reads."""

    def disk_usage(self, nodes: t.Iterable[Node]) -> t.Mapping[Node, int]:
        """The bytes on the disk that go with each node (0: another namespace has the blob, too). Only reads."""

    def leftovers(self) -> t.List[str]:
        """The files and directories of killed runs, which belong to nothing and go with the next collection. Only reads.

        None while a living process holds a lease: some may be its own.
        """

    def places(self, snapshotter: str = "") -> t.Tuple[str, str]:
        """The directories of blobs and layers, existing or not; empty if they are not on this host."""

    def container_path(self, container_id: str) -> str:
        """Our directory for the log and files of a container, existing or not."""

    def container_dir(self, container_id: str) -> str:
        """The same; made on first use, removed with the container."""

    def lock(self, name: str, wait: t.Optional[float] = None) -> t.ContextManager[None]:
        """Serialise with our other processes that change the object called name (in this namespace).

        A flock on a file below data_root/locks. Unavailable, which names the file, after wait seconds. If its last holder was
        killed, the end of the context removes everything that killed processes left in this namespace, also after a failure.
        """

    def interrupted(self) -> bool:
        """Whether a holder of a lock was killed and no process has tidied up since. Only reads, in a few system calls."""

    def close(self) -> None: ...
