# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that both engines keep on a host in the same way: directories of containers, and locks.

Below data_root, each engine has its own containers/<engine>/<namespace>/<id> and locks/<engine>/<namespace>/<digest of the name>:
two daemons, or a daemon and the embedded engine, share a data_root without knowing each other.

A lock file exists while a process holds it, and stays when that process is killed, or fails. So it also marks unfinished work: the
next holder of the lock tidies up.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import typing as t

from ..engine.models import VOLUMES, VOLUMES_FILE
from ..errors import EngineError, InvalidArgument, NotFound, Unavailable, from_os_error, printable
from ..hostfs.atomic import make_dir, read_file, write_file
from ..hostfs.lock import abandoned, marked

_NAMESPACE = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*\Z")
#: In containers/<engine>: the owner of these directories. Nothing is swept where the name is missing or another one.
_MARK = ".engine"
_NAME_DIGITS = 32


def check_namespace(namespace: str) -> None:
    if not _NAMESPACE.match(namespace) or len(namespace) > 76:
        raise InvalidArgument(
            f"namespace: {printable(namespace, 100)!r} is not a namespace: letters and digits, with single . _ or - between "
            "them, at most 76 characters"
        )


def check_absolute(option: str, path: str) -> str:
    """The normalised path. Raises InvalidArgument unless it is absolute."""
    if not os.path.isabs(path):
        raise InvalidArgument(f"{option}: {printable(path, 200)!r} is not an absolute path")
    return os.path.normpath(path)


def owners(data_root: str) -> t.Iterator[t.Tuple[str, str]]:
    """The directories below containers/, one an engine that was ever used, and the socket of each daemon; empty for the embedded one."""
    top = os.path.join(data_root, "containers")
    for name in sorted(os.listdir(top)) if os.path.isdir(top) else []:
        owner = os.fsdecode(read_file(os.path.join(top, name, _MARK)) or b"")
        if owner:
            yield os.path.join(top, name), owner.partition(" ")[2]


def sync(directories: t.Iterable[str]) -> None:
    """Write back the file systems of those directories that exist."""
    from ..hostfs.syscalls import syncfs

    done: t.Set[int] = set()
    for path in filter(os.path.isdir, directories):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                device = os.fstat(fd).st_dev
                if device not in done:
                    syncfs(fd)
                done.add(device)
            finally:
                os.close(fd)
        except OSError as error:
            raise from_os_error(error, f"writing back {path}") from error


class Place:
    """The part of data_root that belongs to one namespace of one engine. address: the daemon's socket; empty when embedded.

    mend: called after taking a lock whose last holder was killed, before the work under it. tidy: removes everything that
    killed processes left, and returns whether that was all; called after the work, and after a failure.
    """

    def __init__(
        self,
        data_root: str,
        namespace: str,
        address: str = "",
        mend: t.Callable[[], None] = lambda: None,
        tidy: t.Callable[[], bool] = lambda: True,
    ) -> None:
        check_namespace(namespace)
        self.data_root = data_root = check_absolute("data_root", data_root)
        self._owner, engine = "embedded", "embedded"
        if address:
            # /var/run and /run are the same socket.
            resolved = os.path.realpath(address)
            self._owner = f"containerd {resolved}"
            engine = f"containerd-{hashlib.sha256(os.fsencode(resolved)).hexdigest()[:12]}"
        #: Where its files are below a directory that engines share.
        self.part = os.path.join(engine, namespace)
        self._containers = os.path.join(data_root, "containers", self.part)
        self._locks = os.path.join(data_root, "locks", self.part)
        self._mend, self._tidy = mend, tidy
        self._held, self._tidied = 0, False
        #: Something could not be removed: the marks stay, and later runs try again.
        self.rest = False

    def container_path(self, container_id: str) -> str:
        """The path of a container's directory, which may be missing."""
        return os.path.join(self._containers, container_id)

    def container_dir(self, container_id: str) -> str:
        """The directory of a container, which is made if it is missing."""
        if not os.path.isdir(self._containers):
            self._claim()
        path = self.container_path(container_id)
        make_dir(path)
        return path

    def _mark(self) -> str:
        return os.path.join(os.path.dirname(self._containers), _MARK)

    def _claim(self) -> None:
        mark = self._mark()
        make_dir(os.path.dirname(mark))
        if not os.path.exists(mark):
            write_file(mark, os.fsencode(self._owner), durable=False)
        make_dir(self._containers)

    @contextlib.contextmanager
    def removing(self, container_id: str, keep_volumes: bool = False) -> t.Iterator[None]:
        """A context for removing a container's record. It then removes the directory, but for the volumes if they are to be kept.

        First the volumes get a name that marks them as doomed. Otherwise a directory with volumes and no record is never swept:
        the records may be lost, or not be available yet. If they are kept, the file that says that the container uses them gets it.
        """
        from ..hostfs.mounts import unmount_below
        from ..hostfs.remove import DOOMED, rename_then_remove

        path = self.container_path(container_id)
        keep = keep_volumes and os.path.isdir(os.path.join(path, VOLUMES))
        marked = VOLUMES_FILE if keep else VOLUMES
        there, doomed = os.path.join(path, marked), os.path.join(path, DOOMED + marked)
        _rename(there, doomed)
        try:
            yield
        except (NotFound, Unavailable):
            # The record is gone, or we do not know. If it is not, the next start takes the volumes back.
            raise
        except EngineError:
            _rename(doomed, there)
            raise
        self.rest = True
        for one in [os.path.join(path, name) for name in os.listdir(path) if name != VOLUMES] if keep else [path]:
            # What it shared with other containers.
            unmount_below(one)
            rename_then_remove(one)
        self.rest = False

    def set_aside_strangers(self, known: t.Callable[[], t.Collection[str]]) -> bool:
        """Doom the directories of unknown containers: killed runs left them. Call it when no process makes a container.

        False when some could not be doomed.
        """
        if self._names() and read_file(self._mark()) == os.fsencode(self._owner):
            from ..hostfs.remove import set_aside_strangers

            return set_aside_strangers(self._containers, known(), lambda path: os.path.isdir(os.path.join(path, VOLUMES)))
        return True

    def sweep(self) -> bool:
        """Remove everything that was set aside, however long it takes. False when some of it could not be removed."""
        from ..hostfs.remove import DOOMED, sweep

        return not any(name.startswith(DOOMED) for name in self._names()) or sweep(self._containers)

    def _names(self) -> t.List[str]:
        try:
            return os.listdir(self._containers)
        except FileNotFoundError:
            return []

    def never_used(self, container_id: str) -> bool:
        """Whether a container has only its record."""
        try:
            return not os.listdir(self.container_path(container_id))
        except FileNotFoundError:
            return True
        except OSError:
            return False

    @property
    def leases_path(self) -> str:
        """The lock file that all holders of leases share, existing or not."""
        return os.path.join(self._locks, "leases")

    @property
    def leases(self) -> str:
        """The same; its directory is made."""
        make_dir(self._locks)
        return self.leases_path

    def strangers(self, known: t.Collection[str]) -> t.List[str]:
        """The paths of what set_aside_strangers() and sweep() would remove. known: the ids of the containers that exist."""
        from ..hostfs.remove import DOOMED

        if not self._names() or read_file(self._mark()) != os.fsencode(self._owner):
            return []
        paths = [self.container_path(name) for name in self._names() if name not in known]
        return [one for one in paths if os.path.basename(one).startswith(DOOMED) or not os.path.isdir(os.path.join(one, VOLUMES))]

    @contextlib.contextmanager
    def lock(self, name: str, wait: t.Optional[float] = None) -> t.Iterator[None]:
        """Serialise with our other processes that change the object called name."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:_NAME_DIGITS]
        path, spare = os.path.join(self._locks, digest), os.path.join(self._locks, "spare")
        with marked(path, spare, printable(name, 200), wait) as mark:
            self._tidied = self._tidied and self._held > 0
            self._held += 1
            try:
                if mark.left:
                    self._mend()
                yield
                if self._held == 1 and not mark.left and self.interrupted():
                    # Another process was killed. Without this, runs with nothing to do would take its lock, but never tidy.
                    self._tidy_once()
                mark.done = (not mark.left or self._tidy_once()) and not self.rest
            except Unavailable:
                # A second try would wait as long again for the same answer.
                raise
            except EngineError:
                mark.done = self._tidy_once()
                raise
            finally:
                self._held -= 1

    def _tidy_once(self) -> bool:
        """Tidy once for all locks that are held at the same time."""
        if not self._tidied:
            # Marks of processes that are killed from here on stay.
            marks = list(filter(abandoned, self._marks()))
            with contextlib.suppress(EngineError):
                self._tidied = self._tidy()
            if self._tidied:
                for path in marks:
                    abandoned(path, remove=True)
        return self._tidied

    def _marks(self) -> t.List[str]:
        try:
            return [os.path.join(self._locks, name) for name in os.listdir(self._locks) if len(name) == _NAME_DIGITS]
        except OSError:
            # No lock was ever taken; or this user is not root and cannot change anything.
            return []

    def interrupted(self) -> bool:
        """Whether a holder of a lock was killed, and no process has tidied up since."""
        return any(map(abandoned, self._marks()))


def _rename(old: str, new: str) -> None:
    """Rename; a missing old name, or an existing new one, is no error."""
    try:
        os.rename(old, new)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise from_os_error(error, f"renaming {old}") from error
