# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tar headers byte by byte, for archives that no tar program writes."""

from __future__ import annotations

import typing as t

Records = t.Sequence[t.Tuple[t.Union[str, bytes], t.Union[str, bytes]]]
END = bytes(1024)


def octal(value: int, width: int = 11) -> bytes:
    return b"%0*o" % (width, value)


def base256(value: int, width: int = 12) -> bytes:
    return b"\x80" + value.to_bytes(width - 1, "big", signed=value < 0)


def header(name: bytes = b"x", size: t.Union[int, bytes] = 0, kind: bytes = b"0", link: bytes = b"", **places: bytes) -> bytes:
    """One block. places: further fields by their offset (p108=b"...")."""
    raw = bytearray(512)
    raw[0 : len(name)] = name
    raw[100:108], raw[108:116], raw[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    length = octal(size) if isinstance(size, int) else size
    raw[124 : 124 + len(length)] = length
    raw[136:147], raw[156:157], raw[257:265] = b"00000000000", kind, b"ustar\x0000"
    raw[157 : 157 + len(link)] = link
    for place, value in places.items():
        raw[int(place[1:]) : int(place[1:]) + len(value)] = value
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes = b"x", data: bytes = b"", kind: bytes = b"0", **fields: t.Any) -> bytes:
    """A header and its data."""
    return header(name, len(data), kind, **fields) + padded(data)


def record(key: t.Union[str, bytes], value: t.Union[str, bytes]) -> bytes:
    """One PAX record."""
    both = [one.encode() if isinstance(one, str) else one for one in (key, value)]
    rest = b" " + both[0] + b"=" + both[1] + b"\n"
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def pax(records: Records, kind: bytes = b"x") -> bytes:
    """A PAX header with these records."""
    return member(b"pax", b"".join(record(key, value) for key, value in records), kind)


def sparse(real_size: int, segments: t.Sequence[t.Tuple[int, int]] = (), data: bytes = b"", extended: bytes = b"") -> bytes:
    """A sparse file in GNU's old form. extended: further blocks of the map."""
    table = b"".join(octal(offset) + b"\0" + octal(length) + b"\0" for offset, length in segments)
    more = b"\x01" if extended else b"\0"
    real = octal(real_size) + b"\0" if real_size < 8**11 else base256(real_size)
    return header(kind=b"S", size=len(data), p386=table, p482=more, p483=real) + extended + padded(data)


def sparse_1_0(real_size: int, content: bytes, size: t.Optional[int] = None) -> bytes:
    """A sparse file in GNU's PAX form 1.0; content: map and data. size: what the header says of it."""
    head = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.realsize", str(real_size)),
        ("GNU.sparse.name", "x"),
    ]
    return pax(head) + header(size=len(content) if size is None else size) + padded(content)
