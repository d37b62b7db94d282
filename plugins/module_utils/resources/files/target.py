# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the copy goes: how what is there differs, and writing it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
import typing as t

from ...errors import DataLoss, EngineError, InvalidArgument, NotFound, PermissionDenied, from_os_error, printable
from ...hostfs import xattrs
from ...hostfs.put import Attributes, blocks_of, change, make_directory, put_file, put_link, put_name, sync_file_system
from ...hostfs.view import Spot, View
from ...hostfs.xattrs import translated
from ...kernel.interrupt import check
from .source import bytes_of
from .values import DIRECTORY, FILE, LINK, Difference, Entry, WantedCopy, kind_of


class Rules(t.NamedTuple):
    """Which attributes copies get, as this host has them. owner, group: the given ones, else None; default: for both.

    translate: from an owner as the source has it to the one here. strip: bits that are not copied from a mode.
    """

    want: WantedCopy
    owner: t.Optional[int]
    group: t.Optional[int]
    default: t.Tuple[int, int]
    translate: t.Callable[[int, int], t.Tuple[int, int]]
    strip: int = 0

    def attributes(self, entry: Entry, have: t.Any) -> Attributes:
        """have: what is there, by its stat result. A directory that is there keeps what nobody has given."""
        want, directory = self.want, entry.kind == DIRECTORY
        uid, gid = self.translate(entry.uid, entry.gid) if want.archive else self.default
        extended = translated(entry.extended, self.translate) if want.archive and entry.kind != LINK and not want.part else None
        mode = entry.mode & ~(0 if want.archive else self.strip)
        asked = want.directory_mode if directory else want.mode
        there = kind_of(have.st_mode) if have else ""
        if not want.archive and (there == DIRECTORY if directory else there == FILE and want.content is not None):
            mode = stat.S_IMODE(have.st_mode)
        if not want.archive and there == DIRECTORY:
            uid, gid = have.st_uid, have.st_gid
        return Attributes(
            uid if self.owner is None else self.owner,
            gid if self.group is None else self.group,
            asked(mode, directory) if asked else mode,
            entry.mtime if want.archive and not directory else None,
            extended,
        )


class Target:
    """A path of a view. where: how messages name it. key: who writes."""

    def __init__(self, view: View, path: str, rules: Rules, where: str, key: str = "") -> None:
        self._view, self._rules, self._where, self._key = view, rules, where, key
        self._follow, self._force = rules.want.follow and rules.want.into, rules.want.force
        with self._errors(""), view.find(path, self._follow) as spot:
            #: The real path.
            self.path = spot.path
        #: The paths of files that are written.
        self._renewed: t.Set[str] = set()
        #: Kinds of extended attributes that its file system is known to keep.
        self._keeps: t.Set[str] = set()

    def find(self, path: str) -> t.ContextManager[Spot]:
        return self._view.find(f"{self.path.rstrip('/')}/{path}" if path else self.path, self._follow)

    @contextlib.contextmanager
    def _errors(self, path: str) -> t.Iterator[None]:
        """Those of the operating system as ours."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(f"{self.name(path)}: its directory is not there: make it first") from error
        except NotADirectoryError as error:
            raise InvalidArgument(f"{self.name(path)}: something on its way is no directory") from error
        except OSError as error:
            raise from_os_error(error, self.name(path)) from error

    def name(self, path: str) -> str:
        """For messages."""
        return printable(f"{self._where.rstrip('/')}/{path}" if path else self._where, 300)

    def differences(self, source: t.Any) -> t.Iterator[Difference]:
        """What is to be written. Raises the errors that writing it would meet."""
        made: t.Set[str] = set()
        for entry in source.entries():
            check()
            above = entry.path.rpartition("/")[0]
            if entry.path and above in made:
                found = Difference(entry, self._rules.attributes(entry, None), None, True)
            else:
                with self._errors(entry.path), self.find(entry.path) as spot:
                    there = self._compared(source, entry, spot)
                if there is None:
                    continue
                found = there
            if entry.kind == DIRECTORY and not found.have:
                made.add(entry.path)
            if entry.kind == FILE and found.content:
                self._renewed.add(entry.path)
            self._check_kept(found)
            yield found

    def _check_kept(self, found: Difference) -> None:
        """Whether its extended attributes can be kept where the copy goes."""
        wanted = {name.partition(".")[0]: name for name in found.want.extended or {}}
        new = wanted.keys() - self._keeps
        if new:
            with self._errors(found.entry.path), self.find("") as spot:
                there = spot.fd if spot.fd >= 0 else spot.directory.fd if spot.directory else -1
                xattrs.check(there, [wanted[one] for one in new])
            self._keeps |= new

    def _compared(self, source: t.Any, entry: Entry, spot: Spot) -> t.Optional[Difference]:
        have = spot.found
        if have and self._force is False and (entry.kind != DIRECTORY or stat.S_ISDIR(have.st_mode)):
            return None
        self._check_kind(entry, spot)
        if self._force is False and entry.same not in self._renewed:
            # The first name may be of another file there.
            entry = entry._replace(same="")
        want = self._rules.attributes(entry, have)
        content = (entry.kind != DIRECTORY and (self._force is True or not self._same(source, entry, spot))) or not have
        extended = xattrs.read(spot.fd) if want.extended is not None and have and not stat.S_ISLNK(spot.kind) else None
        if not content and not (have and (_differs(entry, want, have) or extended != want.extended)):
            return None
        if spot.readonly:
            raise PermissionDenied(f"{self.name(entry.path)}: it is read-only there")
        return Difference(entry, want, have, content, extended)

    def _check_kind(self, entry: Entry, spot: Spot) -> None:
        spot.check_data()
        there = kind_of(spot.found.st_mode) if spot.found else entry.kind
        if there != entry.kind and DIRECTORY in (there, entry.kind):
            hint = ": give the path of the file" if there == DIRECTORY else ""
            hint = ": give follow=true to copy to where it leads" if there == LINK and self._rules.want.into else hint
            raise InvalidArgument(f"{self.name(entry.path)} is a {there}, and cannot become a {entry.kind}{hint}")
        if there != entry.kind and spot.mounted:
            raise InvalidArgument(f"{self.name(entry.path)} is a {there} that is mounted there, and cannot be replaced")

    def _same(self, source: t.Any, entry: Entry, spot: Spot) -> bool:
        """Whether the content is there already: sizes are looked at first."""
        if not spot.found or kind_of(spot.found.st_mode) != entry.kind:
            return False
        if entry.kind == LINK:
            return os.readlink("", dir_fd=spot.fd) == entry.link
        if entry.same:
            if entry.same in self._renewed:
                return False
            with self.find(entry.same) as first:
                if first.found and _may_share(first, spot):
                    return os.path.samestat(first.found, spot.found)
        if spot.found.st_size != entry.size:
            return False
        fd = spot.open(os.O_RDONLY)
        try:
            there = blocks_of(fd, 0, entry.size)
            if entry.digest:
                digest = hashlib.sha256()
                for block in there:
                    check()
                    digest.update(block)
                return digest.hexdigest() == entry.digest
            with contextlib.closing(bytes_of(source, entry)) as here:
                return all(one == other for one, other in itertools.zip_longest(here, there))
        finally:
            os.close(fd)

    def write(self, source: t.Any, differences: t.Sequence[Difference]) -> None:
        """Write what differs."""
        alone = len(differences) == 1
        for number, one in enumerate(differences):
            check()
            path = one.entry.path
            try:
                with self._errors(path), self.find(path) as spot:
                    self._check_kind(one.entry, spot)
                    self._put(source, one, spot, alone)
            except EngineError as error:
                error.args = (f"{error}{f' ({number} of {len(differences)} were written before)' if number else ''}",)
                raise
        if not alone:
            # One call for all of them.
            with self._errors(""), self.find("") as spot:
                sync_file_system(spot)

    def _put(self, source: t.Any, one: Difference, spot: Spot, durable: bool) -> None:
        entry, want = one.entry, one.want
        if entry.same and one.content:
            with self.find(entry.same) as first:
                if stat.S_ISREG(first.kind) and _may_share(first, spot):
                    put_name(spot, first, self._key)
                    return
        if entry.kind == FILE and one.content:
            put_file(spot, _complete(source, entry, self.name(entry.path)), want, self._key, durable)
        elif entry.kind == LINK and one.content:
            put_link(spot, entry.link, want, self._key)
        elif not spot.found:
            make_directory(spot, want)
        else:
            change(spot, want)


def _complete(source: t.Any, entry: Entry, name: str) -> t.Iterator[bytes]:
    """All of a file. What is taken out of something that runs may become shorter meanwhile."""
    size, digest = 0, hashlib.sha256()
    for block in bytes_of(source, entry):
        check()
        size += len(block)
        if entry.digest:
            digest.update(block)
        yield block
    if size != entry.size or (entry.digest and digest.hexdigest() != entry.digest):
        raise DataLoss(f"{name}: the file to be copied has changed while it was read: run the task again")


def _may_share(first: Spot, spot: Spot) -> bool:
    """Whether two places can be names of one file."""
    return first.mount == spot.mount and not first.mounted and not spot.mounted


def _differs(entry: Entry, want: Attributes, have: os.stat_result) -> bool:
    if (want.uid, want.gid) != (have.st_uid, have.st_gid):
        return True
    if entry.kind == LINK:
        return False
    # Not every file system keeps parts of a second.
    other_time = want.mtime is not None and want.mtime // 10**9 != have.st_mtime_ns // 10**9
    return want.mode != stat.S_IMODE(have.st_mode) or other_time
