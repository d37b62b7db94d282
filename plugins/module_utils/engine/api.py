# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The seam: what an engine is. Two engines implement it (embedded, containerd), and one in memory for the tests.

Every method raises only errors.*. Typing only: nothing at run time needs to import this module.
The conformance suites in tests/unit/conformance say precisely what each method does.
"""

from __future__ import annotations

import typing as t

from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from .models import (
    Applied,
    Container,
    ContentInfo,
    Image,
    IngestStatus,
    Labels,
    Mount,
    SnapshotInfo,
    TaskIO,
    TaskState,
    Usage,
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
        """Create, or replace the target and merge the labels (engine/labels.py: merged). created_at stays that of the first put."""

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

    @property
    def rebases(self) -> bool:
        """True where a layer can be prepared without its parent and be given it at commit: one sync serves all layers."""

    def stat(self, key: str) -> SnapshotInfo: ...

    def mounts(self, key: str) -> t.List[Mount]:
        """What to mount for an active snapshot or a view. NotFound."""

    def look(self, name: str) -> t.List[Mount]:
        """What to mount to see what is in a committed snapshot, read-only; no record is made. NotFound.

        Unimplemented where only a view, which is a record, would tell.
        """

    def prepare(self, key: str, parent: str = "", labels: t.Optional[Labels] = None) -> t.List[Mount]:
        """An active snapshot on a committed parent ("" none). AlreadyExists; NotFound parent."""

    def view(self, key: str, parent: str = "", labels: t.Optional[Labels] = None) -> t.List[Mount]:
        """A read-only one."""

    def commit(self, name: str, key: str, labels: t.Optional[Labels] = None, parent: t.Optional[str] = None) -> None:
        """Freeze an active snapshot under name, durably. AlreadyExists name; NotFound key.

        parent (only where rebases): the parent it gets; it must have been prepared with none.
        """

    def remove(self, key: str) -> None:
        """FailedPrecondition when it has children; NotFound."""

    def walk(self) -> t.List[SnapshotInfo]: ...

    def usage(self, key: str) -> Usage: ...


class ContainerStore(t.Protocol):
    """Container records. Names (labels.NAME) are unique in a namespace."""

    def get(self, container_id: str) -> Container: ...

    def list(self, labels: t.Optional[Labels] = None) -> t.List[Container]:
        """All, or those that carry all the labels ("" as value: any value)."""

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


class Writers(t.Protocol):
    """A context manager. size: how many layers are written at once; no more threads may call apply() at a time."""

    @property
    def size(self) -> int: ...

    def keep_root(self, mounts: t.Sequence[Mount]) -> None:
        """For a layer that apply() has written into mounts and that says nothing of its root directory: that is as in the layer
        below, which is whole by now.
        """

    def __enter__(self) -> t.Any: ...

    def __exit__(self, *exc: t.Any) -> None: ...


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

    def snapshotter(self, name: str = "", reading: bool = False) -> Snapshotter:
        """The empty name is the best one for this host (overlayfs, else native). NotFound for unknown names.

        reading: to look at what is there only; then nothing is tried out on the disk to find the best one.
        """

    def lease(self) -> t.ContextManager[str]:
        """What is written inside is safe from garbage collection until the end of the context, however long that takes.

        The lease of a process that was killed ends when the next one does, or with tidying up (lock).
        """

    def collect(self) -> t.Any:
        """Remove what no image, container or lease needs, before it returns."""

    def transaction(self) -> t.ContextManager[t.Any]:
        """Short work that belongs together: all of it or nothing where the engine can, else under a lease."""

    @property
    def writers(self) -> Writers:
        """Processes that apply() has layers written by, several at once. To be entered while this process has one thread."""

    def apply(self, layer: Descriptor, mounts: t.Sequence[Mount], below: t.Optional[t.Callable[[], None]] = None) -> Applied:
        """Extract a stored layer into mounts.

        below: the layers below may still be written, in other threads; this returns when they are whole, and is called before
        they are looked at.
        """

    def verify(self, layer: Descriptor, name: str, snapshotter: str = "") -> t.Tuple[Descriptor, str]:
        """Compare a stored layer with the committed snapshot it was unpacked to. As apply, and in words how they differ ("").

        NotFound without such a snapshot; Unimplemented where it is in no directory of this host.
        """

    def sync(self, snapshotter: str = "") -> None:
        """Make all that apply() wrote durable: to be called before the snapshots are committed."""

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
