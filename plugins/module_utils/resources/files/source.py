# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is copied: files of a view (of this host, or of a container), or a content that the task gives."""

from __future__ import annotations

import contextlib
import os
import stat
import time
import typing as t

from ...errors import FailedPrecondition, InvalidArgument, NotFound, from_os_error, printable
from ...hostfs import xattrs
from ...hostfs.put import blocks_of
from ...hostfs.view import Spot, View
from .values import DIRECTORY, FILE, LINK, Entry, kind_of

#: Directories below each other; each needs descriptors meanwhile.
_DEPTH = 200
#: What a task reads from to write entry by entry: an open file, and where in it the content begins.
Content = t.Tuple[int, int]


class Tree:
    """A path of a view, and all that is below it. option: of the path, for messages. follow: links are what they lead to.

    archive: with extended attributes and hard links. skipped: the paths of what cannot be copied (devices, fifos, sockets).
    """

    def __init__(self, view: View, path: str, follow: bool, option: str, archive: bool) -> None:
        self._view, self._path, self._follow, self._option, self._archive = view, path, follow, option, archive
        self.skipped: t.List[str] = []
        #: The first path of a file with several names.
        self._first: t.Dict[t.Tuple[int, int], str] = {}

    def entries(self) -> t.Iterator[Entry]:
        """A directory comes before what is in it. InvalidArgument, NotFound."""
        with self._errors(""), self._find("") as spot:
            if not spot.found:
                raise FileNotFoundError
            entry = self._entry("", spot)
            if entry is None:
                raise InvalidArgument(
                    f"{self._option}: {printable(self._path, 200)} is a {kind_of(spot.found.st_mode)}: only files, directories and "
                    "links can be copied"
                )
            yield from self._below(entry, spot, [])

    def _below(self, entry: Entry, spot: Spot, above: t.List[t.Tuple[int, int]]) -> t.Iterator[Entry]:
        yield entry
        if entry.kind != DIRECTORY:
            return
        there = t.cast(os.stat_result, spot.found)
        identity = (there.st_dev, there.st_ino)
        if identity in above or len(above) > _DEPTH:
            why = "contains itself by a link" if identity in above else f"is more than {_DEPTH} directories deep"
            raise InvalidArgument(f"{self._option}: {printable(self._where(entry.path), 200)} {why}")
        for name in self._view.names(spot.node):
            path = f"{entry.path}/{name}" if entry.path else name
            with contextlib.ExitStack() as stack:
                below, found = spot, None
                # What cannot be seen. What a process of the container removes meanwhile was never there.
                with contextlib.suppress(FailedPrecondition):
                    below = self._view.at(spot.node, name)
                    stack.callback(below.close)
                    if self._follow and stat.S_ISLNK(below.kind):
                        # One that leads nowhere stays a link.
                        with contextlib.suppress(OSError):
                            led = stack.enter_context(self._view.find(below.path, follow=True))
                            below = led if led.found else below
                    found = self._entry(path, below) if below.found else None
                if found:
                    yield from self._below(found, below, [*above, identity])
                else:
                    self.skipped.append(self._where(path))

    def _entry(self, path: str, spot: Spot) -> t.Optional[Entry]:
        spot.check_data()
        entry = Entry.of(path, spot.found, os.readlink("", dir_fd=spot.fd) if stat.S_ISLNK(spot.kind) else "")
        if entry.kind not in (FILE, DIRECTORY, LINK):
            return None
        return self._whole(entry, spot) if self._archive and entry.kind != LINK else entry

    def _whole(self, entry: Entry, spot: Spot) -> Entry:
        there = t.cast(os.stat_result, spot.found)
        entry = entry._replace(extended=xattrs.read(spot.fd))
        if entry.kind != FILE or there.st_nlink == 1:
            return entry
        first = self._first.setdefault((there.st_dev, there.st_ino), entry.path)
        return entry if first == entry.path else entry._replace(same=first)

    def _where(self, path: str) -> str:
        return f"{self._path.rstrip('/')}/{path}" if path else self._path

    def _find(self, path: str) -> t.ContextManager[Spot]:
        return self._view.find(self._where(path), self._follow)

    @contextlib.contextmanager
    def _errors(self, path: str) -> t.Iterator[None]:
        """Those of the operating system as ours."""
        what = f"{self._option}: {printable(self._where(path), 200)}"
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"{what} is not there") from error
        except OSError as error:
            raise from_os_error(error, what) from error

    @contextlib.contextmanager
    def content(self, entry: Entry) -> t.Iterator[Content]:
        """That of a file."""
        with self._errors(entry.path), self._find(entry.path) as spot:
            if not stat.S_ISREG(spot.kind):
                raise NotFound(f"{self._option}: {printable(self._where(entry.path), 200)} is no file any more")
            fd = spot.open(os.O_RDONLY)
            try:
                yield fd, 0
            finally:
                os.close(fd)


class Text:
    """A file with a content that the task gives."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.skipped: t.List[str] = []

    def entries(self) -> t.Iterator[Entry]:
        yield Entry("", FILE, 0o644, 0, 0, time.time_ns(), len(self._content))

    @contextlib.contextmanager
    def content(self, entry: Entry) -> t.Iterator[Content]:
        fd = os.memfd_create("content")
        try:
            os.write(fd, self._content)
            yield fd, 0
        finally:
            os.close(fd)


def bytes_of(source: t.Any, entry: Entry) -> t.Generator[bytes, None, None]:
    """The content of a file, in blocks."""
    with source.content(entry) as (fd, offset):
        yield from blocks_of(fd, offset, entry.size)
