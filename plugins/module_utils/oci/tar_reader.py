# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a tar stream: ustar, GNU (long names, base-256 numbers, sparse files) and PAX, with limits and validation.

Sources: POSIX pax(1), GNU tar's tar.h. Every limit is checked before memory or disk space is used.
"""

from __future__ import annotations

import re
import struct
import typing as t

from ..errors import DataLoss, InvalidArgument, printable

BLOCK = 512
_PAX_LIMIT = 1024 * 1024
_NAME_LIMIT = 64 * 1024
_SPARSE_LIMIT = 100_000
_SPARSE_BYTES = 48 * _SPARSE_LIMIT
_XATTRS_LIMIT = 64
_MAX = 2**63 - 1
#: The largest id: for the kernel the next one means "do not change".
_ID_MAX = 2**32 - 2

REGULAR, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
#: Mode, uid, gid, size, mtime and checksum as nearly all archives write them: the fast path.
_USUAL = re.compile(rb"([0-7]{7})[\0 ]" * 3 + rb"([0-7]{11})[\0 ]" * 2 + rb"([0-7]{6})[\0 ]{2}")
_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12s")

_XATTR = b"SCHILY.xattr."
_RECORDS = frozenset([b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"])

Segments = t.List[t.Tuple[int, int]]


class Entry:
    """One member. size counts its bytes in the stream; a sparse file also has its real_size and segments (offset, length)."""

    __slots__ = (
        "gid",
        "kind",
        "link",
        "major",
        "minor",
        "mode",
        "mtime_ns",
        "name",
        "real_size",
        "segments",
        "size",
        "uid",
        "xattrs",
    )

    def __init__(self) -> None:
        self.name = self.link = b""
        self.kind = REGULAR
        self.mode = self.uid = self.gid = self.size = self.mtime_ns = self.major = self.minor = 0
        self.real_size = 0
        self.segments: t.Optional[Segments] = None
        self.xattrs: t.Dict[bytes, bytes] = {}


class BlockSource(t.Protocol):
    def read(self) -> bytes:
        """The next block, of any length; empty at the end."""


class TarReader:
    """Iterate over the entries. Read an entry's data with blocks() before the next entry; unread data is skipped.

    what names the stream in errors. skip(count), if given, moves the source forward without reading.
    """

    def __init__(self, source: BlockSource, what: str = "the layer", skip: t.Optional[t.Callable[[int], None]] = None) -> None:
        self._source, self._what, self._move_on = source, what, skip
        self._buffer = memoryview(b"")
        self._left = 0
        self._padding = 0
        self._name = b""

    @property
    def ahead(self) -> int:
        """The number of bytes that were read from the source and not used yet."""
        return len(self._buffer)

    def _up_to(self, count: int) -> bytes:
        """Count bytes, or fewer at the end of the stream."""
        if len(self._buffer) >= count:
            found = bytes(self._buffer[:count])
            self._buffer = self._buffer[count:]
            return found
        parts, missing = [self._buffer], count - len(self._buffer)
        self._buffer = self._buffer[:0]
        while missing > 0:
            block = self._source.read()
            if not block:
                break
            view = memoryview(block)
            parts.append(view[:missing])
            self._buffer = view[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def _exactly(self, count: int, where: str) -> bytes:
        found = self._up_to(count)
        if len(found) < count:
            raise self._cut_off(where)
        return found

    def _cut_off(self, where: str) -> DataLoss:
        return DataLoss(f"{self._what} ends in the middle of {where}")

    def blocks(self) -> t.Iterator[memoryview]:
        """The data of the current entry."""
        while self._left:
            if not self._buffer:
                block = self._source.read()
                if not block:
                    raise self._cut_off(f"{printable(self._name, 200)}, {self._left} bytes before its end")
                self._buffer = memoryview(block)
            found = self._buffer[: self._left]
            self._left -= len(found)
            self._buffer = self._buffer[len(found) :]
            yield found

    def _skip(self) -> None:
        if self._move_on and self._left > len(self._buffer):
            self._move_on(self._left - len(self._buffer))
            self._buffer, self._left = self._buffer[:0], 0
        if self._left:
            for _block in self.blocks():
                pass
        while self._padding:
            # umoci 0.4.7 leaves out the padding of the last entry, and Go's tar package accepts that.
            self._buffer = self._buffer or memoryview(self._source.read())
            if not self._buffer:
                return
            done = min(self._padding, len(self._buffer))
            self._buffer, self._padding = self._buffer[done:], self._padding - done

    def _data(self, size: int, limit: int, what: str) -> bytes:
        if size > limit:
            raise InvalidArgument(f"{what} of {size} bytes in {self._what}; the limit is {limit}")
        data = self._exactly(size, what)
        self._exactly(-size % BLOCK, what)
        return data

    def __iter__(self) -> t.Iterator[Entry]:
        records: t.Dict[bytes, bytes] = {}
        long_name = long_link = b""
        while True:
            self._skip()
            header = self._header()
            if header is None:
                return
            entry, kind, size = header
            if kind in (b"x", b"X"):
                records = parse_pax(self._data(size, _PAX_LIMIT, "a PAX header"))
            elif kind == b"g":
                # No engine applies global headers to layers.
                self._data(size, _PAX_LIMIT, "a global PAX header")
            elif kind == b"L":
                long_name = self._data(size, _NAME_LIMIT, "a name").rstrip(b"\0")
            elif kind == b"K":
                long_link = self._data(size, _NAME_LIMIT, "a link target").rstrip(b"\0")
            else:
                entry.name, entry.link = long_name or entry.name, long_link or entry.link
                self._finish(entry, records)
                self._name = entry.name
                yield entry
                records, long_name, long_link = {}, b"", b""

    def _header(self) -> t.Optional[t.Tuple[Entry, bytes, int]]:
        """The next header block; None at the end of the archive (a block of zeros, or the end of the stream)."""
        if not self._buffer:
            self._buffer = memoryview(self._source.read())
            if not self._buffer:
                return None
        raw = self._up_to(BLOCK)
        if not raw[0] and not raw.strip(b"\0"):
            self._drain()
            return None
        if len(raw) < BLOCK:
            raise self._cut_off("a header")
        fields = _HEADER.unpack(raw)
        usual = _USUAL.match(raw, 100)
        numbers = [int(digits, 8) for digits in usual.groups()] if usual else _numbers(fields)
        mode, uid, gid, size, mtime, checksum = numbers
        if checksum != sum(raw) - sum(fields[6]) + 256 and checksum != _signed(raw):
            raise InvalidArgument(f"{self._what} is not a tar archive: a header's checksum is wrong")
        entry = Entry()
        entry.name, entry.link = fields[0].partition(b"\0")[0], fields[8].partition(b"\0")[0]
        if fields[9] == b"ustar\0" and fields[15][:1] != b"\0":
            entry.name = fields[15].partition(b"\0")[0] + b"/" + entry.name
        entry.mode, entry.uid, entry.gid, entry.size, entry.mtime_ns = mode, uid, gid, size, mtime * 10**9
        kind = fields[7]
        if kind in (CHARACTER, BLOCK_DEVICE):
            entry.major, entry.minor = number(fields[13], "devmajor"), number(fields[14], "devminor")
        if kind in (b"\0", b"7"):
            kind = DIRECTORY if entry.name.endswith(b"/") and kind == b"\0" else REGULAR
        entry.kind = kind
        if kind == b"S":
            entry.kind = REGULAR
            self._old_sparse(entry, raw)
        return entry, kind, entry.size

    def _drain(self) -> None:
        """Read the bytes after the end marker: they belong to the digest of the stream, but to no file."""
        self._buffer = memoryview(b"")
        while self._source.read():
            pass

    def _old_sparse(self, entry: Entry, raw: bytes) -> None:
        segments: Segments = []
        _sparse_table(raw[386:482], segments)
        extended, blocks = raw[482], 0
        while extended:
            blocks += 1
            if blocks > _SPARSE_LIMIT // 21:
                raise InvalidArgument(f"the sparse map of {printable(entry.name, 200)} does not end")
            block = self._exactly(BLOCK, "a sparse map")
            _sparse_table(block[:504], segments)
            extended = block[504]
        entry.segments, entry.real_size = segments, number(raw[483:495], "real size")

    def _finish(self, entry: Entry, records: t.Mapping[bytes, bytes]) -> None:
        if records:
            apply_pax(entry, records)
        if entry.kind not in (REGULAR, b"S"):
            self._left, self._padding = 0, 0
            if entry.size and entry.kind not in (HARDLINK, SYMLINK, DIRECTORY, CHARACTER, BLOCK_DEVICE, FIFO):
                self._left, self._padding = entry.size, -entry.size % BLOCK
            return
        self._left, self._padding = entry.size, -entry.size % BLOCK
        if records.get(b"GNU.sparse.major") == b"1":
            self._sparse_1_0(entry)
        if entry.segments is not None:
            _check_segments(entry)

    def _sparse_1_0(self, entry: Entry) -> None:
        """The map comes before the data: decimal numbers, one on each line, padded to a block."""
        if entry.size < BLOCK:
            raise InvalidArgument(f"the sparse map of {printable(entry.name, 200)} is missing")
        numbers: t.List[int] = []
        rest, used = b"", 0
        while not numbers or len(numbers) < 1 + 2 * numbers[0]:
            # A line is one number. A map without an end must not fill the memory.
            if used >= min(entry.size, _SPARSE_BYTES) or len(rest) > 32:
                raise InvalidArgument(f"the sparse map of {printable(entry.name, 200)} does not end")
            lines = (rest + self._exactly(BLOCK, "a sparse map")).split(b"\n")
            used += BLOCK
            rest = lines.pop()
            numbers += [_decimal(line) for line in lines if line.strip(b"\0")]
            if numbers and numbers[0] > _SPARSE_LIMIT:
                raise InvalidArgument(f"the sparse map of {printable(entry.name, 200)} has {numbers[0]} entries")
        count = numbers[0]
        entry.segments = list(zip(numbers[1 : 1 + 2 * count : 2], numbers[2 : 2 + 2 * count : 2]))
        entry.size -= used
        self._left = entry.size


def _signed(raw: bytes) -> int:
    """The checksum of some old tars, which added signed characters."""
    return sum(b - 256 if b > 127 else b for b in raw[:148] + raw[156:]) + 256


def _numbers(fields: t.Sequence[bytes]) -> t.List[int]:
    """Mode, uid, gid, size, mtime and checksum of a header, in any form."""
    limits = (_MAX, _ID_MAX, _ID_MAX, _MAX, _MAX, _MAX)
    names = ("mode", "uid", "gid", "size", "mtime", "checksum")
    return [number(field, name, limit, name == "mtime") for field, name, limit in zip(fields[1:7], names, limits)]


def number(field: bytes, what: str, limit: int = _MAX, signed: bool = False) -> int:
    """A numeric header field up to limit: octal digits, or base-256 with the first bit set. Only signed fields may be negative."""
    if field[:1] in (b"\x80", b"\xff"):
        value = int.from_bytes(field[1:], "big") if field[0] == 0x80 else int.from_bytes(field, "big", signed=True)
    else:
        text = field.partition(b"\0")[0].strip()
        if text.strip(b"01234567"):
            raise InvalidArgument(f"the {what} field of a tar header is not a number: {printable(text, 40)!r}")
        value = int(text, 8) if text else 0
    if not (-limit if signed else 0) <= value <= limit:
        raise InvalidArgument(f"the {what} field of a tar header is out of range: {value}")
    return value


def _decimal(text: bytes, limit: int = _MAX) -> int:
    if not text.isdigit() or len(text) > 19 or int(text) > limit:
        raise InvalidArgument(f"a number was expected in a tar header, at most {limit}: {printable(text, 40)!r}")
    return int(text)


def parse_pax(data: bytes) -> t.Dict[bytes, bytes]:
    """The records of a PAX header ("<length> <key>=<value>\\n") that matter to us."""
    records: t.Dict[bytes, bytes] = {}
    maps: t.List[bytes] = []
    start = 0
    while start < len(data):
        space = data.find(b" ", start, start + 20)
        end = start + (_decimal(data[start:space]) if space >= 0 else 0)
        if space < 0 or not space < end <= len(data) or data[end - 1 : end] != b"\n":
            raise InvalidArgument("a PAX header is malformed")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key or b"\0" in key:
            raise InvalidArgument("a PAX header has a record without a key")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            maps.append(value)
        elif key in _RECORDS or key.startswith((_XATTR, b"GNU.sparse.")):
            records[key] = value
        start = end
    if maps:
        records[b"GNU.sparse.map"] = b",".join(maps)
    return records


def _seconds(text: bytes) -> int:
    """Decimal seconds with a fraction, in nanoseconds."""
    whole, _dot, fraction = text.partition(b".")
    negative = whole.startswith(b"-")
    value = _decimal(whole.lstrip(b"-")) * 10**9
    part = _decimal((fraction + b"000000000")[:9]) if fraction else 0
    if value > _MAX:
        raise InvalidArgument(f"a time in a PAX header is out of range: {printable(text, 40)}")
    return -value - part if negative else value + part


def apply_pax(entry: Entry, records: t.Mapping[bytes, bytes]) -> None:
    """Replace the fields of the plain header by the records of PAX headers. An empty value deletes a record."""
    for key, value in records.items():
        if key.startswith(_XATTR):
            entry.xattrs[key[len(_XATTR) :]] = value
        elif not value:
            continue
        elif key == b"path":
            entry.name = value
        elif key == b"linkpath":
            entry.link = value
        elif key == b"size":
            entry.size = _decimal(value)
        elif key == b"uid":
            entry.uid = _decimal(value, _ID_MAX)
        elif key == b"gid":
            entry.gid = _decimal(value, _ID_MAX)
        elif key == b"mtime":
            entry.mtime_ns = _seconds(value)
        elif key in (b"GNU.sparse.size", b"GNU.sparse.realsize"):
            entry.real_size = _decimal(value)
        elif key == b"GNU.sparse.map":
            numbers = [_decimal(part) for part in value.split(b",")]
            if len(numbers) % 2 or len(numbers) > 2 * _SPARSE_LIMIT:
                raise InvalidArgument(f"the sparse map of {printable(entry.name, 200)} is malformed")
            entry.segments = list(zip(numbers[::2], numbers[1::2]))
    if len(entry.xattrs) > _XATTRS_LIMIT:
        raise InvalidArgument(
            f"{printable(entry.name, 200)} has {len(entry.xattrs)} extended attributes; the limit is {_XATTRS_LIMIT}"
        )
    # It wins over all other names: the plain name of a sparse file is invented (GNUSparseFile.<pid>/name).
    entry.name = records.get(b"GNU.sparse.name") or entry.name


def _sparse_table(raw: bytes, segments: Segments) -> None:
    for start in range(0, len(raw) - 23, 24):
        if not raw[start : start + 1].strip(b"\0"):
            return
        segments.append((number(raw[start : start + 12], "sparse offset"), number(raw[start + 12 : start + 24], "sparse length")))
        if len(segments) > _SPARSE_LIMIT:
            raise InvalidArgument(f"a sparse map has more than {_SPARSE_LIMIT} entries")


def _check_segments(entry: Entry) -> None:
    """Segments must be in order, inside the file, and as long as the data in the stream."""
    end = 0
    for offset, length in entry.segments or ():
        if offset < end or offset + length > entry.real_size:
            raise InvalidArgument(f"the sparse map of {printable(entry.name, 200)} is not in order or leaves the file")
        end = offset + length
    if sum(length for _offset, length in entry.segments or ()) != entry.size:
        raise InvalidArgument(f"the sparse map of {printable(entry.name, 200)} does not fit its data")
