# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seam: what an engine is. Two engines implement it (embedded, containerd), and one in memory for the tests.

A stub, which only a type checker reads: ansible-core sends every .py file that a module names, and this is needed nowhere at run
time. Every method raises only errors.*; the suites in tests/unit/conformance say precisely what each one does.

An image comes
==============
All of it happens inside `engine.lease()`: until something refers to what is written, the lease keeps it from being collected.

    with engine.unpacker() as unpacker, engine.lease():
        with engine.content.writer(ref, layer) as ingest:       # a blob: bytes first ...
            ingest.write(data)
            ingest.commit(layer.size, layer.digest, labels)     # ... visible from here on, and never before
        with unpacker.begin() as unpacking:                     # its layers: each becomes a snapshot
            unpacking.write(layer, diff_id, chain_id, parent)
            unpacking.commit()                                  # durable, then named: bottom to top
        engine.images.put(Image(name, top))                     # the record, last: it is durable, and so is all behind it

Whoever is killed on the way leaves blobs and snapshots that nothing refers to, and an ingest that the next pull goes on with.

A snapshot lives
================
prepare(key, parent) gives something to write into, on top of a committed parent; commit(name, key) freezes it, so that others can
stand on it; remove() takes it away again, unless others do. What an unpacker makes is called by its chain id; what a container
writes into is called by the container's id, and is never committed. view() is a prepare for reading; look() leaves no trace.

A container lives
=================
    with engine.containers.making():                            # others see all of it, or nothing
        mounts = snapshotter.prepare(container_id, chain_id)
        engine.containers.create(container)                     # the record; its name is taken from here on
    engine.tasks.start(container, mounts, io)                   # what runs; the record stays when that ends
    engine.tasks.wait(container_id)
    engine.tasks.delete(container_id)                           # its last state, once
    engine.containers.delete(container_id)                      # and its directory (container_dir), with the log and the volumes
    snapshotter.remove(container_id)

Images go by images.delete(), which collects: blobs and snapshots that no image, container or lease needs any more.
"""

import concurrent.futures
import typing as t

from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from .models import (
    Container,
    ContentInfo,
    Image,
    IngestStatus,
    Labels,
    LayerTarget,
    Mount,
    SnapshotInfo,
    TaskIO,
    TaskState,
    Version,
)

class Ingest(t.Protocol):
    """A blob being written. A context manager: leaving it without commit keeps the bytes for a resume."""

    @property
    def offset(self) -> int: ...
    def __enter__(self) -> Ingest: ...
    def __exit__(self, *exc: object) -> None: ...
    def write(self, data: bytes) -> None:
        """Append. More bytes than the expected size raise FailedPrecondition before they reach the disk."""

    def truncate(self) -> None:
        """Forget what was written: offset is 0 again."""

    def commit(self, size: int, digest: Digest, labels: t.Optional[Labels] = None) -> None:
        """Make the blob visible, durably. FailedPrecondition (and the bytes forgotten) unless size and digest agree.

        AlreadyExists when another writer was faster (labels are set all the same). size 0 means "not known".
        """

class ContentStore(t.Protocol):
    """Blobs by digest. A blob is visible once committed and never before."""

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
        """Begin or resume the ingest called ref. Unavailable when somebody else writes it (after a bounded wait);
        AlreadyExists when expected.digest is committed already."""

    def ingests(self) -> t.List[IngestStatus]:
        """Unfinished ones."""

    def abort(self, ref: str) -> None:
        """Drop an ingest and its bytes. NotFound."""

class ImageStore(t.Protocol):
    """Names for descriptors."""

    def get(self, name: str) -> Image: ...
    def list(self) -> t.List[Image]:
        """Sorted by name."""

    def put(self, image: Image) -> Image:
        """Create, or replace the target and merge the labels (engine/labels.py: merged). created_at stays that of the first put.

        What this process has stored is durable before the record is there.
        """

    def delete(self, name: str, target: t.Optional[Digest] = None, collect: bool = True) -> None:
        """NotFound; FailedPrecondition when target is given and is not the record's.

        collect: garbage is collected before it returns; without, by Engine.collect(), once for several.
        """

    def companions(self, image: Image, records: t.Sequence[Image]) -> t.List[str]:
        """Which of the records (all that there are) are deleted with this one."""

class Snapshotter(t.Protocol):
    """Layered file systems (containerd core/snapshots). key is being changed, name is frozen."""

    @property
    def name(self) -> str: ...
    def stat(self, key: str) -> SnapshotInfo: ...
    def mounts(self, key: str) -> t.List[Mount]:
        """What to mount for an active snapshot or a view. NotFound."""

    def look(self, name: str, view: bool = False) -> t.ContextManager[LayerTarget]:
        """Where a committed snapshot is, to read it. NotFound; Unimplemented where it is in no directory of this host.

        view: where only a view, which is a record, tells that, one is made for as long as the context lasts; without, that is
        Unimplemented too. The lowers of what is no overlay are there only with view.
        """

    def prepare(self, key: str, parent: str = "", labels: t.Optional[Labels] = None) -> t.List[Mount]:
        """An active snapshot on a committed parent ("" none). AlreadyExists; NotFound parent."""

    def view(self, key: str, parent: str = "", labels: t.Optional[Labels] = None) -> t.List[Mount]:
        """A read-only one."""

    def commit(self, name: str, key: str, labels: t.Optional[Labels] = None) -> None:
        """Freeze an active snapshot under name. AlreadyExists name; NotFound key."""

    def remove(self, key: str) -> None:
        """FailedPrecondition when it has children; NotFound."""

    def walk(self) -> t.List[SnapshotInfo]: ...

class Unpacker(t.Protocol):
    """Makes snapshots of stored layers. A context manager: it may start processes, so enter it while this one has one thread."""

    @property
    def snapshotter(self) -> Snapshotter:
        """Where the snapshots are made. An engine may try out here what the host can do; Engine.snapshotter() does not."""

    def begin(self) -> Unpacking:
        """The layers of one image."""

    def __enter__(self) -> Unpacker: ...
    def __exit__(self, *exc: t.Any) -> None: ...

class Unpacking(t.Protocol):
    """Layers on their way to snapshots. A context manager: what is not committed when it is left is removed."""

    def write(self, layer: Descriptor, diff_id: Digest, name: str, parent: str) -> concurrent.futures.Future[t.Any]:
        """Begin to write a layer, which is to be the snapshot called name on that parent. To be called bottom to top.

        The future is done when it is written. FailedPrecondition (its details have the diff_id) when it unpacks to something else
        than diff_id; DataLoss, InvalidArgument, ResourceExhausted where it cannot be unpacked.
        """

    def commit(self) -> None:
        """Wait for the layers that were begun, make them durable and commit them. What somebody else has committed by then is fine."""

    def __enter__(self) -> Unpacking: ...
    def __exit__(self, *exc: t.Any) -> None: ...

class ContainerStore(t.Protocol):
    """Container records. Names (labels.NAME) are unique in a namespace."""

    def get(self, container_id: str) -> Container: ...
    def list(self, labels: t.Optional[Labels] = None) -> t.List[Container]:
        """All, or those that carry all the labels ("" as value: any value)."""

    def making(self) -> t.ContextManager[t.Any]:
        """Around making a container's snapshot and record: others see both or nothing where the engine can, else a lease keeps them.
        Short work only.
        """

    def create(self, container: Container) -> Container:
        """AlreadyExists for a taken id or name."""

    def update(self, container: Container, fields: t.Sequence[str]) -> Container:
        """Replace the fields named (labels, spec, extensions, image); NotFound; InvalidArgument for others."""

    def delete(self, container_id: str) -> None:
        """NotFound; FailedPrecondition while it has a task."""

class TaskService(t.Protocol):
    """What runs. A task belongs to one container and has the container's id."""

    def start(self, container: Container, rootfs: t.Sequence[Mount], io: TaskIO) -> TaskState:
        """Make and start the container's task. AlreadyExists when there is one (also a stopped one); a failure leaves none."""

    def find_runtime(self, binary: str) -> str:
        """The path of a runtime's program, as start() would find it; empty where that cannot be known. NotFound says what to install."""

    def state(self, container_id: str) -> TaskState:
        """NotFound when the container has no task."""

    def list(self) -> t.List[TaskState]: ...
    def signal(self, container_id: str, signal: int) -> None:
        """To the init process. NotFound; FailedPrecondition when it is not running."""

    def wait(self, container_id: str, timeout: t.Optional[float] = None) -> TaskState:
        """Until it has stopped. Unavailable when timeout (seconds) passes first."""

    def delete(self, container_id: str, force: bool = False) -> TaskState:
        """Take the task away and give its last state. FailedPrecondition while it runs, unless force (SIGKILL first)."""

    def pause(self, container_id: str) -> None: ...
    def resume(self, container_id: str) -> None: ...

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
        """The directory of this host below which ours is kept."""

    def snapshotter(self, name: str = "") -> Snapshotter:
        """The empty name is the one in use, else the best one. NotFound for unknown names."""

    def unpacker(self, snapshotter: str = "") -> Unpacker:
        """As snapshotter(), to unpack images."""

    def lease(self) -> t.ContextManager[str]:
        """What is written inside is safe from garbage collection until the end of the context, however long that takes.

        The lease of a process that was killed ends when the next one does, or with tidying up (lock).
        """

    def collect(self) -> t.Any:
        """Remove what no image, container or lease needs, before it returns."""

    def places(self, snapshotter: str = "") -> t.Tuple[str, str]:
        """The directories of this host in which blobs and layers are kept, or will be; empty where they are not on this host."""

    def container_dir(self, container_id: str) -> str:
        """A directory of ours for a container's log and files; made on first use, removed with the container."""

    def lock(self, name: str, wait: t.Optional[float] = None) -> t.ContextManager[None]:
        """Serialise with other processes of ours that change what is called name (in this namespace).

        A flock on a file below data_root/locks; Unavailable, naming it, after wait seconds. When its last holder was killed,
        all that killed processes have left in this namespace is removed at the end of the context; also after a failure in it.
        """

    def interrupted(self) -> bool:
        """Whether a holder of a lock was killed and nobody has tidied up since. Reads only, in a few system calls."""

    def version(self) -> Version: ...
    def close(self) -> None: ...
