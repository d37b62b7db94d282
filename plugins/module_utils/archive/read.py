# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading image archives: a tar, compressed or not, or a directory; by the names of what is in it, never extracting anything.

A plain tar is looked over by its headers. Of a compressed one the beginning is read, where archives of ours tell what is in
them; what comes then is decompressed into a file without a name when it is asked for. What a stranger can write is bounded:
members, links, sizes, and what a compressed archive may come to.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import posixpath
import stat
import tempfile
import threading
import typing as t

from ..errors import DataLoss, InvalidArgument, NotFound, ResourceExhausted, Unimplemented, from_os_error, printable
from ..oci.block_reader import buffered
from ..oci.decompress import compression_of, decompressed
from ..oci.tar_reader import DIRECTORY, HARDLINK, REGULAR, SYMLINK, TarReader

if t.TYPE_CHECKING:
    from ..oci.tar_reader import Entry
    from .api import Archive

_MEMBERS_LIMIT = 100_000
_LINKS_LIMIT = 8
_LEAST_LIMIT = 10 * 1024**3
_HEAD_LIMIT = 8 * 1024 * 1024
_BLOCK = 1024 * 1024
_LOOK = 16 * 1024
_OTHERS = {b"\xfd7zX": "xz", b"BZh": "bzip2", b"PK\x03\x04": "zip"}


def open_archive(path: str, spool: t.Optional[str] = None) -> Archive:
    """The archive or directory at path. spool: where to decompress (None: the temporary directory).

    NotFound; InvalidArgument for what is no archive.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise NotFound(f"there is no {printable(path, 300)} on the target") from error
    except OSError as error:
        raise from_os_error(error, f"reading {printable(path, 300)}") from error
    kind = os.fstat(fd).st_mode
    if stat.S_ISREG(kind):
        return read_archive(open(fd, "rb"), path, spool)
    os.close(fd)
    if not stat.S_ISDIR(kind):
        raise InvalidArgument(f"{printable(path, 300)} is neither a file nor a directory")
    return DirectoryArchive(path)


def read_archive(stream: t.BinaryIO, where: str, spool: t.Optional[str] = None) -> Archive:
    """The archive in an open file, which is closed with it, or when it is none."""
    with contextlib.ExitStack() as stack:
        stack.callback(stream.close)
        start = stream.read(4)
        stream.seek(0)
        if not start:
            raise InvalidArgument(f"{printable(where, 300)} is empty")
        for magic, name in _OTHERS.items():
            if start.startswith(magic):
                raise Unimplemented(f"{printable(where, 300)} is compressed with {name}: compress it with gzip or zstd")
        packed = compression_of(start) != "none"
        found = CompressedArchive(stream, where, spool) if packed else TarArchive(stream, where)
        stack.pop_all()
    return found


class Member(t.NamedTuple):
    """Where a file's bytes are in the tar."""

    offset: int
    size: int


class TarArchive:
    """An uncompressed tar in a regular file."""

    def __init__(self, stream: t.BinaryIO, where: str) -> None:
        self.where, self._stream = where, stream
        self._members, self._links = _scan(stream, where)

    def __enter__(self) -> TarArchive:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stream.close()

    def _find(self, name: str) -> Member:
        links = 0
        while name not in self._members:
            target = self._links.get(name)
            if target is None:
                raise NotFound(f"there is no {printable(name, 200)} in the archive {printable(self.where, 300)}")
            links += 1
            if links > _LINKS_LIMIT or target == name or _leaves(target):
                raise InvalidArgument(f"the link {printable(name, 200)} in {printable(self.where, 300)} leads nowhere: refused")
            name = target
        return self._members[name]

    def has(self, name: str) -> bool:
        return name in self._members or name in self._links

    def size(self, name: str) -> int:
        return self._find(name).size

    def open(self, name: str) -> t.BinaryIO:
        member = self._find(name)
        return buffered(member.size, functools.partial(_blocks, self._stream.fileno(), member), _BLOCK)

    def read(self, name: str, limit: int) -> bytes:
        _check_size(name, self.size(name), limit, self.where)
        with self.open(name) as stream:
            return stream.read()


class CompressedArchive:
    """A tar in a compressed file: the first small members are known at once, the others when all is decompressed."""

    def __init__(self, stream: t.BinaryIO, where: str, spool: t.Optional[str]) -> None:
        self.where, self._stream, self._spool = where, stream, spool
        self._head = _read_head(stream, where)
        self._lock = threading.Lock()
        self._tar: t.Optional[TarArchive] = None

    def __enter__(self) -> CompressedArchive:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stream.close()
        if self._tar:
            self._tar.__exit__()

    @property
    def is_decompressed(self) -> bool:
        """Whether all was already, so that everything can be read without waiting."""
        return self._tar is not None

    def _whole(self) -> TarArchive:
        with self._lock:
            if self._tar is None:
                self._tar = TarArchive(_decompress(self._stream, self.where, self._spool), self.where)
            return self._tar

    def has(self, name: str) -> bool:
        return name in self._head or self._whole().has(name)

    def size(self, name: str) -> int:
        return len(self._head[name]) if name in self._head else self._whole().size(name)

    def open(self, name: str) -> t.BinaryIO:
        return self._whole().open(name)

    def read(self, name: str, limit: int) -> bytes:
        if name not in self._head:
            return self._whole().read(name, limit)
        _check_size(name, self.size(name), limit, self.where)
        return self._head[name]


class DirectoryArchive:
    """An unpacked archive."""

    def __init__(self, path: str) -> None:
        self.where = path

    def __enter__(self) -> DirectoryArchive:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def has(self, name: str) -> bool:
        return os.path.isfile(self._path(name))

    def _path(self, name: str) -> str:
        if _leaves(name):
            raise InvalidArgument(f"the name {printable(name, 200)} leaves the directory {printable(self.where, 300)}: refused")
        return os.path.join(self.where, name)

    def size(self, name: str) -> int:
        with self.open(name) as stream:
            return os.fstat(stream.fileno()).st_size

    def open(self, name: str) -> t.BinaryIO:
        path = self._path(name)
        try:
            stream = open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW), "rb")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"there is no {printable(name, 200)} in {printable(self.where, 300)}") from error
        except OSError as error:
            raise from_os_error(error, f"reading {printable(path, 300)}") from error
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            stream.close()
            raise InvalidArgument(f"{printable(path, 300)} is no regular file")
        return stream

    def read(self, name: str, limit: int) -> bytes:
        with self.open(name) as stream:
            _check_size(name, os.fstat(stream.fileno()).st_size, limit, self.where)
            return stream.read(limit)


def _blocks(fd: int, member: Member, offset: int) -> t.Iterator[bytes]:
    """A member's bytes from offset on. Threads may read at the same time."""
    while offset < member.size:
        try:
            data = os.pread(fd, min(_BLOCK, member.size - offset), member.offset + offset)
        except OSError as error:
            raise from_os_error(error, "reading the archive") from error
        if not data:
            return
        offset += len(data)
        yield data


class _Blocks:
    """A stream as a TarReader's source, which can move on without reading."""

    def __init__(self, stream: t.BinaryIO) -> None:
        self._stream, self.position = stream, 0

    def read(self) -> bytes:
        data = self._stream.read(_LOOK)
        self.position += len(data)
        return data

    def skip(self, count: int) -> None:
        self._stream.seek(count, io.SEEK_CUR)
        self.position += count


def _scan(stream: t.BinaryIO, where: str) -> t.Tuple[t.Dict[str, Member], t.Dict[str, str]]:
    """The files of a tar and its links, by its headers."""
    what = f"the archive {printable(where, 300)}"
    length = os.fstat(stream.fileno()).st_size
    stream.seek(0)
    source = _Blocks(stream)
    reader = TarReader(source, what, source.skip)
    members: t.Dict[str, Member] = {}
    links: t.Dict[str, str] = {}
    for number, entry in enumerate(_entries(reader, what)):
        if number >= _MEMBERS_LIMIT:
            raise ResourceExhausted(f"{what} has more than {_MEMBERS_LIMIT} members")
        name = _name_of(entry, what)
        if entry.kind != DIRECTORY and (name in members or name in links):
            raise InvalidArgument(f"{what} has {printable(name, 200)} twice: refused")
        if entry.kind == REGULAR:
            members[name] = Member(source.position - reader.ahead, entry.size)
            if members[name].offset + entry.size > length:
                raise DataLoss(f"{what} ends in the middle of {printable(name, 200)}")
        elif entry.kind in (SYMLINK, HARDLINK):
            base = posixpath.dirname(name) if entry.kind == SYMLINK else ""
            links[name] = posixpath.normpath(posixpath.join(base, _text(entry.link)))
    return members, links


def _entries(reader: TarReader, what: str) -> t.Iterator[Entry]:
    """The entries; what is wrong with a header is said of the archive."""
    try:
        yield from reader
    except InvalidArgument as error:
        raise error if what in str(error) else InvalidArgument(f"{what} cannot be read: {error}") from error


def _name_of(entry: Entry, what: str) -> str:
    name = posixpath.normpath(_text(entry.name))
    if _leaves(name):
        raise InvalidArgument(f"{what} has a member {printable(entry.name, 200)!r}, which leaves its tree: refused")
    if entry.segments is not None:
        raise InvalidArgument(f"{what} has a sparse file, {printable(name, 200)}, which no image archive has: refused")
    return name


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _leaves(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/")


def _check_size(name: str, size: int, limit: int, where: str) -> None:
    if size > limit:
        raise InvalidArgument(f"{printable(name, 200)} in {printable(where, 300)} has {size} bytes; the limit is {limit}")


class _Head:
    """The first blocks of a compressed tar, at most so many bytes: then it ends."""

    def __init__(self, blocks: t.Iterator[bytes]) -> None:
        self._blocks, self._left = blocks, _HEAD_LIMIT

    def read(self) -> bytes:
        block = next(self._blocks, b"") if self._left > 0 else b""
        self._left -= len(block)
        return block


def _read_head(stream: t.BinaryIO, where: str) -> t.Dict[str, bytes]:
    """The small files that stand before the first blob."""
    what = f"the archive {printable(where, 300)}"
    found: t.Dict[str, bytes] = {}
    reader = TarReader(_Head(decompressed(stream, f"archive {printable(where, 300)}")), what)
    with contextlib.suppress(DataLoss):  # the end of what is looked at; real damage shows when all is read
        for entry in _entries(reader, what):
            name = _name_of(entry, what)
            if entry.kind == DIRECTORY:
                continue
            if entry.kind != REGULAR or "/" in name or name in found:
                break
            found[name] = b"".join(reader.blocks())
    return found


def _decompress(stream: t.BinaryIO, where: str, spool: t.Optional[str]) -> t.BinaryIO:
    """All of a compressed archive in a file without a name."""
    limit = max(_LEAST_LIMIT, 10 * os.fstat(stream.fileno()).st_size)
    stream.seek(0)
    try:
        target = t.cast(t.BinaryIO, tempfile.TemporaryFile(dir=spool))
        with contextlib.ExitStack() as stack:
            stack.callback(target.close)
            total = 0
            for block in decompressed(stream, f"archive {printable(where, 300)}"):
                total += len(block)
                if total > limit:
                    raise ResourceExhausted(f"the archive {printable(where, 300)} comes to more than {limit} bytes: refused")
                target.write(block)
            target.flush()
            stack.pop_all()
        return target
    except OSError as error:
        raise from_os_error(error, f"decompressing {printable(where, 300)}") from error
