# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller sends of its files (plugins/plugin_utils/files_part.py writes it): a tar with a list of all, and some contents.

A content that is needed and not there fails the task with its path under "unsent", before anything is changed: then it is sent, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
import typing as t

from ...errors import DataLoss, FailedPrecondition, from_os_error, printable
from .source import Content
from .values import FILE, Entry

LIST, CONTENT, UNSENT = "list.json", "content/", "unsent"


class Part:
    """path: of the tar."""

    def __init__(self, path: str) -> None:
        self.skipped: t.List[str] = []
        self._path = path
        try:
            # The fields of a tar are read; what is in it is not unpacked.
            with tarfile.open(path, "r:") as archive:
                found = json.loads(t.cast(t.Any, archive.extractfile(LIST)).read())
                self._places = {one.name[len(CONTENT) :]: one.offset_data for one in archive if one.name.startswith(CONTENT)}
            self.shown, self.skipped = str(found["shown"]), [str(one) for one in found["skipped"]]
            self._entries = [Entry(*one) for one in found["entries"]]
        except OSError as error:
            raise from_os_error(error, "reading what the controller has sent") from error
        except (tarfile.TarError, ValueError, TypeError, KeyError, AssertionError) as error:
            raise DataLoss(f"path: {printable(path, 200)} is not what a controller sends: {printable(error, 100)}") from error
        self._numbers = {one.path: str(number) for number, one in enumerate(self._entries)}

    def entries(self) -> t.Iterator[Entry]:
        return iter(self._entries)

    def unsent(self, entries: t.Iterable[Entry]) -> t.List[str]:
        """The paths of those whose contents are not here."""
        return [one.path for one in entries if one.kind == FILE and self._numbers[one.path] not in self._places]

    def check_sent(self, entries: t.Iterable[Entry]) -> None:
        unsent = self.unsent(entries)
        if unsent:
            raise FailedPrecondition(f"the controller has to send {len(unsent)} files", **{UNSENT: unsent})

    @contextlib.contextmanager
    def content(self, entry: Entry) -> t.Iterator[Content]:
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield fd, self._places[self._numbers[entry.path]]
        finally:
            os.close(fd)
