# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both engines keep on a host in the same way: the directories of containers, and locks.

Below data_root, each engine has containers/<engine>/<namespace>/<id> and locks/<engine>/<namespace>/<digest of the name> for
itself: two daemons, or a daemon and the embedded engine, share a data_root without knowing each other.

The file of a lock is there while somebody holds it, and stays when its holder is killed, or fails. So it also marks what was
begun and not ended: who holds the lock next tidies up.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import typing as t

from ..errors import EngineError, InvalidArgument, Unavailable, printable
from ..hostfs.atomic import make_dir, read_file, write_file
from ..hostfs.lock import abandoned, marked

_NAMESPACE = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*\Z")
#: In containers/<engine>: whose directories these are. Nothing is swept where another name, or none, stands.
_MARK = ".engine"
_NAME_DIGITS = 32


def check_namespace(namespace: str) -> None:
    if not _NAMESPACE.match(namespace) or len(namespace) > 76:
        raise InvalidArgument(
            f"namespace: {printable(namespace, 100)!r} is not a namespace: letters and digits, with single . _ or - between "
            "them, at most 76 characters"
        )


def check_absolute(option: str, path: str) -> None:
    if not os.path.isabs(path):
        raise InvalidArgument(f"{option}: {printable(path, 200)!r} is not an absolute path")


class Place:
    """The part of data_root that belongs to one namespace of one engine. address: the daemon's socket; none when embedded.

    mend: called when a lock is taken whose last holder was killed, before it is worked under. tidy: removes everything that
    killed processes have left, and says whether that was all; called when that work is done, and after a failure.
    """

    def __init__(
        self,
        data_root: str,
        namespace: str,
        address: str = "",
        mend: t.Callable[[], None] = lambda: None,
        tidy: t.Callable[[], bool] = lambda: True,
    ) -> None:
        self._owner, engine = "embedded", "embedded"
        if address:
            # /var/run and /run are the same socket.
            resolved = os.path.realpath(address)
            self._owner = f"containerd {resolved}"
            engine = f"containerd-{hashlib.sha256(os.fsencode(resolved)).hexdigest()[:12]}"
        self._containers = os.path.join(data_root, "containers", engine, namespace)
        self._locks = os.path.join(data_root, "locks", engine, namespace)
        self._mend, self._tidy = mend, tidy
        self._held, self._tidied = 0, False
        #: Something that should be gone could not be removed: the marks stay, and later runs try again.
        self.rest = False

    def container_path(self, container_id: str) -> str:
        """Where the directory of a container is, or would be."""
        return os.path.join(self._containers, container_id)

    def container_dir(self, container_id: str) -> str:
        """The directory of a container, made when it is not there."""
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

    def container_removed(self, container_id: str) -> None:
        from ..hostfs.remove import rename_then_remove

        self.rest = True
        rename_then_remove(self.container_path(container_id))
        self.rest = False

    def sweep_containers(self, known: t.Callable[[], t.Collection[str]]) -> bool:
        """Remove the directories of containers that are not known: killed runs have left them. Called when nobody makes one.

        False when one cannot be removed.
        """
        if self._any() and read_file(self._mark()) == os.fsencode(self._owner):
            from ..hostfs.remove import sweep_strangers

            return sweep_strangers(self._containers, known())
        return True

    def _any(self) -> bool:
        try:
            return bool(os.listdir(self._containers))
        except FileNotFoundError:
            return False

    @property
    def leases(self) -> str:
        """The file that all holders of leases lock together."""
        make_dir(self._locks)
        return os.path.join(self._locks, "leases")

    @contextlib.contextmanager
    def lock(self, name: str) -> t.Iterator[None]:
        """Serialise with other processes of ours that change what is called name."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:_NAME_DIGITS]
        path, spare = os.path.join(self._locks, digest), os.path.join(self._locks, "spare")
        with marked(path, spare, printable(name, 200)) as mark:
            self._tidied = self._tidied and self._held > 0
            self._held += 1
            try:
                if mark.left:
                    self._mend()
                yield
                mark.done = (not mark.left or self._tidy_once()) and not self.rest
            except Unavailable:
                # It would take as long again to be told that once more.
                raise
            except EngineError:
                mark.done = self._tidy_once()
                raise
            finally:
                self._held -= 1

    def _tidy_once(self) -> bool:
        """For all locks that are held at the same time."""
        if not self._tidied:
            with contextlib.suppress(EngineError):
                self._tidied = self._tidy()
        return self._tidied

    def _marks(self) -> t.List[str]:
        try:
            return [os.path.join(self._locks, name) for name in os.listdir(self._locks) if len(name) == _NAME_DIGITS]
        except OSError:
            # None was ever taken; or who is not root looks at what he cannot change.
            return []

    def interrupted(self) -> bool:
        """Whether somebody was killed who held a lock here, and nobody has tidied up since."""
        return any(map(abandoned, self._marks()))

    def forget_interrupted(self) -> None:
        """Everything is tidy."""
        for path in self._marks():
            abandoned(path, remove=True)
